"""Pictures of a report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.evaluation.report import Report
from molgiae.metrics import RMSD_LIMITS
from molgiae.plots import blank, saved


def plots(report: Report, directory: str | os.PathLike[str]) -> list[Path]:
    """Write a PNG for each of: distribution of RMSD, RMSD against size, jumps against noise.

    Args:
        report: those without the figures of a picture go without the picture.
        directory: made if it is not there.

    Returns:
        the files written.

    Raises:
        ConfigError: if matplotlib is not installed.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    reconstruction = report.sections.get("reconstruction", {}).get(report.model, {})
    pictures = []
    if "series" in reconstruction:
        pictures.append(_rmsd_distribution(report.model, reconstruction["series"], folder))
        pictures.append(_rmsd_by_size(report.model, reconstruction["series"], folder))
    if "smoothness" in report.sections:
        pictures.append(_jumps(report.sections["smoothness"], folder))
    return pictures


def _canvas() -> tuple[Any, Any]:
    figure = blank()
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _rmsd_distribution(model: str, series: dict[str, list[float]], folder: Path) -> Path:
    """Share of conformers up to each RMSD."""
    figure, axes = _canvas()
    for key, label in (("rmsd", "as predicted"), ("solved_rmsd", "solved")):
        values = np.sort(np.maximum(series[key], 1e-6))
        axes.plot(values, np.arange(1, len(values) + 1) / len(values), label=label)
    for limit in RMSD_LIMITS:
        axes.axvline(limit, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="all-atom RMSD (Å)", ylabel="share of conformers up to it", title=model)
    axes.legend()
    return saved(figure, folder / "rmsd.png")


def _rmsd_by_size(model: str, series: dict[str, list[float]], folder: Path) -> Path:
    """RMSD against the number of atoms: every conformer, and the median of each size."""
    figure, axes = _canvas()
    n_atoms, rmsd = np.array(series["n_atoms"]), np.maximum(series["rmsd"], 1e-6)
    sizes = np.unique(n_atoms)
    axes.plot(n_atoms, rmsd, ".", markersize=2, alpha=0.3, label="conformers")
    axes.plot(sizes, [np.median(rmsd[n_atoms == n]) for n in sizes], "o-", markersize=4, label="median")
    axes.set(yscale="log", xlabel="atoms", ylabel="all-atom RMSD as predicted (Å)", title=model)
    axes.legend()
    return saved(figure, folder / "rmsd_by_size.png")


def _jumps(smoothness: dict[str, dict[str, Any]], folder: Path) -> Path:
    """Share of jumps against noise, a line for each descriptor."""
    figure, axes = _canvas()
    for name, figures in smoothness.items():
        sigmas = sorted(figures, key=float)
        axes.plot(
            [float(sigma) for sigma in sigmas],
            [100 * figures[sigma]["jumps"] for sigma in sigmas],
            "o-",
            label=name,
        )
    axes.set(xscale="log", xlabel="noise on every coordinate (Å)", ylabel="embeddings that jump (%)")
    axes.legend()
    return saved(figure, folder / "jumps.png")
