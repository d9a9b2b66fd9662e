"""Figures; matplotlib comes with ase."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from molgiae.errors import ConfigError

FigureFormat = Literal["png", "svg", "pdf"]


def blank(width: float = 6, height: float = 4) -> Any:
    """Return an empty figure; sizes in inches.

    Raises:
        ConfigError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise ConfigError("plots need matplotlib; install it with pip install 'molgiae[plots]'") from error
    return Figure(figsize=(width, height), layout="constrained")


@contextmanager
def axes(
    path: Path, width: float = 6, height: float = 4, grid: bool = True, **settings: Any
) -> Iterator[Any]:
    """Give axes to draw into, written to a file afterwards, with a legend of what has a label; sizes in inches."""
    figure = blank(width, height)
    drawn = figure.subplots()
    if grid:
        drawn.grid(alpha=0.3)
    yield drawn
    drawn.set(**settings)
    if any(drawn.get_legend_handles_labels()):
        drawn.legend()
    saved(figure, path)


def saved(figure: Any, path: Path) -> Path:
    """Write a figure as PNG, SVG or PDF, as the name ends, and return the path."""
    figure.savefig(path, dpi=150)
    return path


def training_curve(table: Path, picture: Path) -> None:
    """Draw the validation error of a run, from its ``metrics.csv``, against its steps, to a PNG."""
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "autoencoder" and row.get("rmsd_mean")]
    steps = [int(row["step"]) for row in rows]
    with axes(picture, 7, 4, xlabel="step", yscale="log") as drawn:
        for key, label in (("rmsd_mean", "mean RMSD"), ("rmsd_p99", "99th percentile of RMSD")):
            drawn.plot(steps, [float(row[key]) for row in rows], ".-", label=f"{label}, validation (Å)")
        wrong = [max(1 - float(row["type_accuracy"]), 1e-6) for row in rows]
        drawn.plot(steps, wrong, ".-", label="share of atom types wrong, validation")
