"""What a part of a directory of results says of itself, read without looking at the rest of the file."""

from __future__ import annotations

from pathlib import Path

import h5py

from molgiae.data.pieces import Share


def share_of(path: Path) -> Share:
    """Return what a file was made from; a share without a key if it is no finished part."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            pieces = tuple(str(name) for name in file.attrs["pieces"])
            return Share(str(file.attrs["shard_key"]), pieces, "")
    except (OSError, RuntimeError, KeyError, ValueError):
        return Share("", (), "")


def counts_of(path: Path) -> tuple[int, int]:
    """Return the conformers and the rejected records of a file of molgiae."""
    with h5py.File(path, "r", locking="best-effort") as file:
        return len(file["atom_offset"]) - 1, len(file["rejected/record"])
