"""QM9 as one npz file: minima at B3LYP/6-31G(2df,p) of molecules of up to nine heavy atoms.

Keys: gdb_index (M,), n_atoms (M,), atomic_number (N,), position_high int16 and position_low uint8 (N, 3) with
``position = ((high << 8) | low) * 1e-4`` angstrom, split (M,): 0 train, 1 validation, 2 test. Source:
Ramakrishnan, Dral, Rupp and von Lilienfeld, Sci. Data 1, 140022 (2014).
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.errors import ConfigError, MolgiaeError

SPLITS = ("train", "validation", "test")


Arrays = dict[str, NDArray[Any]]
Shape = tuple[str | int, ...]

ARRAYS: dict[str, tuple[str, Shape]] = {
    "gdb_index": ("iu", ("M",)),
    "n_atoms": ("iu", ("M",)),
    "atomic_number": ("iu", ("N",)),
    "position_high": ("i", ("N", 3)),
    "position_low": ("u", ("N", 3)),
    "split": ("iu", ("M",)),
}
"""Kinds of numbers and shape of each array: M conformers with N atoms in all."""


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[Any]:
    """The arrays of an npz file by name.

    Raises:
        MolgiaeError: if the file is missing, damaged or of another kind, or an array that is asked for is.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise MolgiaeError(f"{path}: no such file") from None
    except MemoryError as error:
        raise MolgiaeError(f"{path}: has an array that does not fit into memory ({error})") from error
    except (*_OF_NUMPY, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise MolgiaeError(f"{path}: cannot be read as npz, or lacks an array ({reason})") from error


_OF_NUMPY = (AttributeError, EOFError, KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError)
"""What numpy and zipfile raise over damaged files, encrypted ones and archives of other things."""


def check_arrays(path: Path, arrays: Arrays, expected: dict[str, tuple[str, Shape]]) -> None:
    """Look whether arrays are of the expected kinds, their shapes fit each other, and atoms are elements.

    Args:
        path: of their file.
        arrays: by name.
        expected: kinds and shape of each array; ``n_atoms`` (M,) and ``atomic_number`` (N,) are among them.

    Raises:
        MolgiaeError: naming the array, what was found and what was expected.
    """
    sizes, elements = arrays["n_atoms"], arrays["atomic_number"]
    for name in ("n_atoms", "atomic_number"):
        if (
            not isinstance(arrays[name], np.ndarray)
            or arrays[name].ndim != 1
            or arrays[name].dtype.kind not in "iu"
        ):
            raise MolgiaeError(
                f"{path}: {name} is {_described(arrays[name])}, expected a row of whole numbers"
            )
    if not len(sizes) or sizes.min() < 1:
        raise MolgiaeError(f"{path}: n_atoms needs at least one conformer, each of at least one atom")
    atoms = sum(sizes.tolist())  # in numbers that do not overflow
    for name, (kinds, pattern) in expected.items():
        array, letters = arrays[name], {"M": len(sizes), "N": atoms}
        shape = tuple(letters[axis] if isinstance(axis, str) else axis for axis in pattern)
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind not in kinds:
            words = "numbers" if "f" in kinds else "whole numbers"
            raise MolgiaeError(
                f"{path}: {name} is {_described(array)}, expected {words} of shape {shape}: n_atoms has "
                f"{len(sizes)} conformers with {atoms} atoms"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            wrong = int(np.argwhere(~np.isfinite(array))[0][0])
            of = "atom" if pattern[0] == "N" else "conformer"
            raise MolgiaeError(f"{path}: {name} of {of} {wrong} is not a finite number")
    if elements.min() < 1 or elements.max() >= len(SYMBOLS):
        wrong = int(np.flatnonzero((elements < 1) | (elements >= len(SYMBOLS)))[0])
        raise MolgiaeError(f"{path}: atomic_number {elements[wrong]} of atom {wrong} is no element")


def _described(array: object) -> str:
    return f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "no array"


def read_qm9(path: Path, split: str | None = None) -> ConformerBlock:
    """One split of the file, or all of it.

    Args:
        path: the npz file.
        split: name in `SPLITS`; None for every molecule.

    Raises:
        MolgiaeError: if the file is missing, lacks a key, or its arrays do not fit each other.
        ConfigError: if there is no such split.
    """
    if split is not None and split not in SPLITS:
        raise ConfigError(f"split {split!r}: expected one of {', '.join(SPLITS)}")
    with open_npz(path) as file:
        arrays = {name: file[name] for name in ARRAYS}
    check_arrays(path, arrays, ARRAYS)
    size = len(arrays["n_atoms"])
    high, low = arrays["position_high"].astype(np.int32), arrays["position_low"].astype(np.uint8)
    block = ConformerBlock.from_arrays(
        atomic_number=arrays["atomic_number"].astype(np.uint8),
        position=((high << 8) | low) * 1e-4,
        offset=np.concatenate([[0], np.cumsum(arrays["n_atoms"], dtype=np.int64)]),
        title=[f"gdb {i}" for i in arrays["gdb_index"]],
        source=[str(path)] * size,
        record=np.arange(1, size + 1),
    )
    return block if split is None else block.take(arrays["split"] == SPLITS.index(split))
