"""What is said of HDF5 files that are damaged, missing or something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from molgiae.errors import MolgiaeError

REMEDY = "make the file again with the command that wrote it"
_OF_H5PY = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


class DamagedError(Exception):
    """Something in a file that is not as it should be."""

    def __init__(self, what: str, found: str, expected: str) -> None:
        super().__init__(f"{what} {found}, expected {expected}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong while it is read.

    Raises:
        MolgiaeError: in place of a `DamagedError`, and of what h5py raises over damaged files.
    """
    try:
        yield
    except DamagedError as error:
        raise MolgiaeError(f"{path}: is damaged: {error}; {REMEDY}") from error
    except _OF_H5PY as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MolgiaeError(
            f"{path}: cannot be read as HDF5; it is damaged or another format ({reason})"
        ) from error


def opened(path: Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        MolgiaeError: if it is missing, or not HDF5.
    """
    if path.exists() and not path.is_file():
        raise MolgiaeError(f"{path}: is no file; give an HDF5 file of molgiae")
    try:
        return h5py.File(path, "r", locking="best-effort")
    except FileNotFoundError as error:
        raise MolgiaeError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise MolgiaeError(f"{path}: no permission to read it") from error
    except (OSError, RuntimeError) as error:
        raise MolgiaeError(f"{path}: cannot be read as HDF5; it is damaged or another format") from error
