"""Figures that are kept in a JSON file as they are measured, so that none is measured twice, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Results:
    """Rows of plain data in a JSON file, written anew with each that is added.

    Args:
        path: read if it is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def where(self, **key: object) -> list[dict[str, Any]]:
        """Return the rows that have these values."""
        return [row for row in self.rows if all(row[name] == value for name, value in key.items())]

    def has(self, **key: object) -> bool:
        """Return whether there is a row with these values."""
        return bool(self.where(**key))

    def add(self, **row: object) -> None:
        """Keep a row, and say so."""
        self.rows.append({**row, "torch_threads": torch.get_num_threads()})
        self.path.write_text(json.dumps(self.rows, indent=1) + "\n")
        print(", ".join(f"{name} {short(value)}" for name, value in row.items()), flush=True)

    def distinct(self, name: str) -> list[Any]:
        """Return the values that rows have, in the order in which they came."""
        return list(dict.fromkeys(row[name] for row in self.rows))


def short(value: object) -> str:
    """Return a value as text, floats with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ranged(values: Sequence[float], digits: int = 4) -> str:
    """Return the mean of some values, and their range; empty of none."""
    if not values:
        return ""
    mean, low, high = (f"{value:.{digits}f}" for value in (np.mean(values), min(values), max(values)))
    return mean + (f" ({low} to {high})" if len(values) > 1 else "")


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows))
