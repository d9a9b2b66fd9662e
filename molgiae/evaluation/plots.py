"""Pictures of a report."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.data.bonds import perceived_bonds
from molgiae.data.elements import SYMBOLS
from molgiae.evaluation.report import Report
from molgiae.plots import axes, blank, saved
from molgiae.training.metrics import RMSD_LIMITS

DRAWN, PANELS_IN_A_ROW = 6, 3
"""Worst reconstructions that are drawn, and how many side by side."""

COLOURS = {1: "white", 6: "dimgrey", 7: "royalblue", 8: "red", 9: "limegreen", 16: "gold", 17: "green"}
"""Atomic number to the colour that an element is drawn in."""


def plots(report: Report, directory: str | os.PathLike[str]) -> list[Path]:
    """Write PNGs of the distribution of RMSD, RMSD by size, worst reconstructions, jumps and map; return their paths.

    A report without the figures of a picture goes without the picture.

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
        pictures.append(_worst(reconstruction["worst"][:DRAWN], folder))
    if "smoothness" in report.sections:
        pictures.append(_jumps(report.sections["smoothness"], folder))
    if "map" in report.sections:
        pictures.append(_map(report.model, report.sections["map"][report.model], folder))
    return pictures


def _rmsd_distribution(model: str, series: dict[str, list[float]], folder: Path) -> Path:
    """Draw the share of conformers up to each RMSD."""
    x, y, path = "all-atom RMSD (Å)", "share of conformers up to it", folder / "rmsd.png"
    with axes(path, xscale="log", xlabel=x, ylabel=y, title=model) as drawn:
        for key, label in (("rmsd", "as predicted"), ("solved_rmsd", "solved")):
            values = np.sort(np.maximum(series[key], 1e-6))
            drawn.plot(values, np.arange(1, len(values) + 1) / len(values), label=label)
        for limit in RMSD_LIMITS:
            drawn.axvline(limit, color="grey", linewidth=0.8, linestyle=":")
    return path


def _rmsd_by_size(model: str, series: dict[str, list[float]], folder: Path) -> Path:
    """Draw the RMSD against the number of atoms: every conformer, and the median of each size."""
    n_atoms, rmsd = np.array(series["n_atoms"]), np.maximum(series["rmsd"], 1e-6)
    sizes, y, path = np.unique(n_atoms), "all-atom RMSD as predicted (Å)", folder / "rmsd_by_size.png"
    with axes(path, yscale="log", xlabel="atoms", ylabel=y, title=model) as drawn:
        drawn.plot(n_atoms, rmsd, ".", markersize=2, alpha=0.3, label="conformers")
        drawn.plot(sizes, [np.median(rmsd[n_atoms == n]) for n in sizes], "o-", markersize=4, label="median")
    return path


def _jumps(smoothness: dict[str, dict[str, Any]], folder: Path) -> Path:
    """Draw the share of jumps against noise, a line for each descriptor."""
    x, y, path = "noise on every coordinate (Å)", "embeddings that jump (%)", folder / "jumps.png"
    with axes(path, xscale="log", xlabel=x, ylabel=y) as drawn:
        for name, figures in smoothness.items():
            sigmas = sorted(figures, key=float)
            jumps = [100 * figures[sigma]["jumps"] for sigma in sigmas]
            drawn.plot([float(sigma) for sigma in sigmas], jumps, "o-", label=name)
    return path


def _worst(worst: list[dict[str, Any]], folder: Path) -> Path:
    """Draw conformers, each along its shortest axis, and how far every atom comes back from where it was."""
    rows, columns = math.ceil(len(worst) / PANELS_IN_A_ROW), min(len(worst), PANELS_IN_A_ROW)
    figure = blank(3.2 * columns, 3.4 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns)).flatten()
    for panel in panels:
        panel.set_axis_off()
    for panel, one in zip(panels, worst, strict=False):
        z, x, decoded = (
            np.array(one[key]) for key in ("atomic_number", "position", "reconstructed_position")
        )
        middle = x.mean(axis=0)
        flat = np.linalg.svd(x - middle, full_matrices=True)[2][:2].T
        given, found = (x - middle) @ flat, (decoded - middle) @ flat
        for a, b in perceived_bonds(z, x).tolist():
            panel.plot(*given[[a, b]].T, color="grey", linewidth=1.5, zorder=1)
        for start, end in zip(given, found, strict=True):
            panel.plot(*np.stack([start, end]).T, color="crimson", linewidth=1, zorder=2)
        wrong = z != np.array(one["reconstructed_atomic_number"])
        for element in np.unique(z).tolist():
            of_it = z == element
            panel.scatter(
                *given[of_it].T, s=20 if element == 1 else 60, color=COLOURS.get(element, "orchid"),
                edgecolor="black", linewidth=0.5, zorder=3, label=SYMBOLS[element],
            )  # fmt: skip
        panel.scatter(*found[wrong].T, s=40, marker="x", color="crimson", zorder=4)
        panel.set(title=f"{one['title']}: {one['rmsd']:.4f} Å", aspect="equal")
        panel.legend(fontsize=7, loc="lower right", frameon=False)
    return saved(figure, folder / "worst.png")


def _map(model: str, figures: dict[str, Any], folder: Path) -> Path:
    """Draw embeddings in the plane, coloured by composition and, if there is one, by a property."""
    kinds = {"hetero": "heteroatoms among heavy atoms"}
    if "colour" in figures:
        kinds["colour"] = figures["colour_label"]
    figure = blank(5.5 * len(kinds), 4.6)
    for panel, (key, label) in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds.items(), strict=True):
        colour = np.array(figures[key], dtype=float)
        known = np.isfinite(colour)
        x, y = np.array(figures["x"]), np.array(figures["y"])
        panel.scatter(x[~known], y[~known], s=3, color="lightgrey")
        points = panel.scatter(x[known], y[known], s=4, c=colour[known], cmap="viridis")
        figure.colorbar(points, ax=panel, label=label)
        panel.set(title=f"{model}, {figures['method']}", xticks=[], yticks=[])
    return saved(figure, folder / "map.png")
