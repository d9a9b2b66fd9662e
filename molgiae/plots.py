"""Figures; matplotlib comes with ase."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from molgiae.errors import ConfigError


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


def canvas(width: float = 6, height: float = 4) -> tuple[Any, Any]:
    """Return an empty figure and its axes with a faint grid; sizes in inches."""
    figure = blank(width, height)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def saved(figure: Any, path: Path) -> Path:
    """Write a figure as PNG, and return the path."""
    figure.savefig(path, dpi=120)
    return path


def training_curve(table: Path, picture: Path) -> None:
    """Draw the validation error of a run against its steps.

    Args:
        table: ``metrics.csv`` of a run.
        picture: PNG to write.
    """
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "autoencoder" and row.get("rmsd_mean")]
    figure, axes = canvas(7, 4)
    steps = [int(row["step"]) for row in rows]
    for key, label in (("rmsd_mean", "mean RMSD"), ("rmsd_p99", "99th percentile of RMSD")):
        axes.plot(steps, [float(row[key]) for row in rows], label=f"{label}, validation (Å)")
    wrong = [max(1 - float(row["type_accuracy"]), 1e-6) for row in rows]
    axes.plot(steps, wrong, label="share of atom types wrong, validation")
    axes.set(xlabel="step", yscale="log")
    axes.legend()
    saved(figure, picture)
