"""Files of a run: what it is resumed from, and its log."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from molgiae.data.partial import PartialFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.header import FAULTS


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Save under a temporary name until it is complete."""
    with PartialFile(path, overwrite=True).writing() as temporary:
        torch.save(state, temporary)


def read_state(path: Path, device: str) -> dict[str, Any]:
    """Return what a run saved to be resumed from.

    Raises:
        CheckpointError: if it is damaged or something else.
    """
    with restoring(path):
        state = torch.load(path, map_location=device, weights_only=True) if is_zipfile(path) else None
        if not isinstance(state, dict) or "training" not in state:
            raise ValueError("no state of a run")
    return state


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Raise a CheckpointError that names the file in place of what damaged files raise while they are read."""
    try:
        yield
    except (ConfigError, EOFError, IndexError, OSError, pickle.UnpicklingError, *FAULTS) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(
            f"{path}: is damaged or not from a run ({reason}); start again in another directory"
        ) from error


def log(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV file; columns are those of the longest row, empty where a row lacks them."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, max(map(list, rows), key=len), restval="")
        writer.writeheader()
        writer.writerows(rows)
