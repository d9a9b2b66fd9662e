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

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import MolgiaeError

SPLITS = ("train", "validation", "test")


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
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise MolgiaeError(f"{path}: cannot be read as npz, or lacks an array ({error})") from error


def read_qm9(path: Path, split: str | None = None) -> ConformerBlock:
    """One split of the file, or all of it.

    Args:
        path: the npz file.
        split: name in `SPLITS`; None for every molecule.

    Raises:
        MolgiaeError: if the file is missing or lacks a key.
    """
    with open_npz(path) as file:
        index, n_atoms, number = file["gdb_index"], file["n_atoms"].astype(np.int64), file["atomic_number"]
        high, low, splits = file["position_high"], file["position_low"], file["split"]
    size = len(index)
    block = ConformerBlock.from_arrays(
        atomic_number=number.astype(np.uint8),
        position=((high.astype(np.int32) << 8) | low) * 1e-4,
        offset=np.concatenate([[0], np.cumsum(n_atoms)]),
        title=[f"gdb {i}" for i in index],
        source=[str(path)] * size,
        record=np.arange(1, size + 1),
    )
    return block if split is None else block.take(splits == SPLITS.index(split))
