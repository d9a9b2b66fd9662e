"""Pictures of a report."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.data.bonds import perceived_bonds
from molgiae.evaluation.drawing import draw_molecule, shortest_last
from molgiae.evaluation.report import Report
from molgiae.plots import FigureFormat, axes, blank, saved
from molgiae.training.metrics import RMSD_LIMITS

DRAWN, PANELS_IN_A_ROW = 6, 3
"""Worst reconstructions that are drawn, and how many side by side."""

OUTLYING = 1
"""Percent of the values at each end of the map's scale that have the colour of the end."""


def plots(report: Report, directory: str | os.PathLike[str], kind: FigureFormat = "png") -> list[Path]:
    """Draw the distribution of RMSD, RMSD by size, worst reconstructions, jumps and map; return the paths of the files.

    A report without the figures of a picture goes without the picture.

    Raises:
        ConfigError: if matplotlib is not installed.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    reconstruction = report.sections.get("reconstruction", {}).get(report.model, {})
    pictures = []
    if "series" in reconstruction:
        pictures.append(_rmsd_distribution(report.model, reconstruction["series"], folder / f"rmsd.{kind}"))
        pictures.append(
            _rmsd_by_size(report.model, reconstruction["series"], folder / f"rmsd_by_size.{kind}")
        )
        pictures.append(_worst(reconstruction["worst"][:DRAWN], folder / f"worst.{kind}"))
    if "smoothness" in report.sections:
        pictures.append(_jumps(report.sections["smoothness"], folder / f"jumps.{kind}"))
    if "map" in report.sections:
        pictures.append(_map(report.model, report.sections["map"][report.model], folder / f"map.{kind}"))
    return pictures


def _rmsd_distribution(model: str, series: dict[str, list[float]], path: Path) -> Path:
    """Draw the share of conformers up to each RMSD."""
    x, y = "all-atom RMSD (Å)", "share of conformers up to it"
    with axes(path, xscale="log", xlabel=x, ylabel=y, title=model) as drawn:
        for key, label in (("rmsd", "as predicted"), ("solved_rmsd", "solved")):
            values = np.sort(np.maximum(series[key], 1e-6))
            drawn.plot(values, np.arange(1, len(values) + 1) / len(values), label=label)
        for limit in RMSD_LIMITS:
            drawn.axvline(limit, color="grey", linewidth=0.8, linestyle=":")
    return path


def _rmsd_by_size(model: str, series: dict[str, list[float]], path: Path) -> Path:
    """Draw the RMSD against the number of atoms: every conformer, and the median of each size."""
    n_atoms, rmsd = np.array(series["n_atoms"]), np.maximum(series["rmsd"], 1e-6)
    sizes, y = np.unique(n_atoms), "all-atom RMSD as predicted (Å)"
    with axes(path, yscale="log", xlabel="atoms", ylabel=y, title=model) as drawn:
        drawn.plot(n_atoms, rmsd, ".", markersize=2, alpha=0.3, label="conformers")
        drawn.plot(sizes, [np.median(rmsd[n_atoms == n]) for n in sizes], "o-", markersize=4, label="median")
    return path


def _jumps(smoothness: dict[str, dict[str, Any]], path: Path) -> Path:
    """Draw the share of jumps of each descriptor, a bar for each strength of noise."""
    names = list(smoothness)
    sigmas = sorted({sigma for figures in smoothness.values() for sigma in figures}, key=float)
    rows, thickness = np.arange(len(names)), 0.8 / len(sigmas)
    x = "embeddings that change by more than a tenth of the typical distance (%)"
    with axes(path, 7, 1 + 0.4 * len(names), xlabel=x, yticks=rows, yticklabels=names) as drawn:
        drawn.invert_yaxis()
        for k, sigma in enumerate(sigmas):
            jumps = [100 * smoothness[name].get(sigma, {"jumps": np.nan})["jumps"] for name in names]
            middle = rows + (k - (len(sigmas) - 1) / 2) * thickness
            bars = drawn.barh(
                middle, jumps, thickness, color=f"C{k}", label=f"{sigma} Å of noise on every coordinate"
            )
            drawn.bar_label(bars, fmt="%.1f", fontsize=6, padding=2)
        drawn.margins(x=0.08)
    return path


def _worst(worst: list[dict[str, Any]], path: Path) -> Path:
    """Draw conformers, each along its shortest axis, and how far every atom comes back from where it was."""
    rows, columns = math.ceil(len(worst) / PANELS_IN_A_ROW), min(len(worst), PANELS_IN_A_ROW)
    figure = blank(3.2 * columns, 3.2 * rows + 0.4)
    panels = np.atleast_1d(figure.subplots(rows, columns)).flatten()
    shown: dict[str, Any] = {}
    for panel in panels:
        panel.set_axis_off()
    for panel, one in zip(panels, worst, strict=False):
        z, x, decoded = (
            np.array(one[key]) for key in ("atomic_number", "position", "reconstructed_position")
        )
        flat = shortest_last(x)[:, :2]
        given, found = (x - x.mean(axis=0)) @ flat, (decoded - x.mean(axis=0)) @ flat
        shown |= draw_molecule(panel, z, given, perceived_bonds(z, x))
        for start, end in zip(given, found, strict=True):
            (shown["where it comes back"],) = panel.plot(
                *np.stack([start, end]).T, color="crimson", linewidth=1
            )
        wrong = z != np.array(one["reconstructed_atomic_number"])
        if wrong.any():
            shown["as another element"] = panel.scatter(
                *found[wrong].T, s=40, marker="x", color="crimson", zorder=4
            )
        panel.set_title(f"{one['title']}: {one['rmsd']:.4f} Å", fontsize=10)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=len(shown), frameon=False)
    return saved(figure, path)


def _map(model: str, figures: dict[str, Any], path: Path) -> Path:
    """Draw embeddings in the plane, coloured by composition and, if there is one, by a property."""
    kinds = {"hetero": "heteroatoms among heavy atoms"}
    if "colour" in figures:
        kinds["colour"] = figures["colour_label"]
    figure = blank(5.5 * len(kinds), 4.6)
    for panel, (key, label) in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds.items(), strict=True):
        colour = np.array(figures[key], dtype=float)
        known = np.isfinite(colour)
        x, y = np.array(figures["x"]), np.array(figures["y"])
        if not known.all():
            panel.scatter(x[~known], y[~known], s=3, color="lightgrey", label="without a value")
            panel.legend(fontsize=8, loc="lower right")
        low, high = np.percentile(colour[known], [OUTLYING, 100 - OUTLYING]) if known.any() else (0, 1)
        points = panel.scatter(x[known], y[known], s=4, c=colour[known], cmap="viridis", vmin=low, vmax=high)
        figure.colorbar(points, ax=panel, label=label, extend="both")
        panel.set(title=f"{model}, {figures['method']}", xticks=[], yticks=[])
    return saved(figure, path)
