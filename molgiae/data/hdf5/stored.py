"""Datasets of HDF5 files that are what their column of the schema says; their values are checked as they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae.data.hdf5.attributes import legible
from molgiae.data.hdf5.damage import DamagedError
from molgiae.data.hdf5.schema import STRING, Column

MAX_CHUNK_BYTES = 1 << 26
"""A chunk is read as a whole; those of molgiae have 128 KiB, those of programs that rewrite files up to some MiB."""
KINDS = {"f": "f", "i": "iu", "u": "iu"}
"""Kind of a type in the schema to the kinds that may stand for it; values that do not fit are rejected when read."""
Boundaries = tuple[NDArray[Any], NDArray[Any]]
"""(m + 1,) rows of m conformers, and (m,) atoms of them."""


@dataclass(frozen=True)
class Stored:
    """A dataset of an open file that is laid out as its column says.

    Attributes:
        name: path in the file.
        dataset: one row for each conformer, atom and so on.
        column: its row of the schema.
        key: what a property or a further column of the atoms is called in the input.
        kind: R, I, L or S, as in extended XYZ, of a further column of the atoms.
    """

    name: str
    dataset: h5py.Dataset
    column: Column
    key: str = ""
    kind: str = ""

    def read(
        self,
        start: int,
        stop: int,
        boundaries: Boundaries | None = None,
        columns: slice = slice(None),
    ) -> NDArray[Any]:
        """Return rows, checked and in the type of the schema; strings as objects of type str or numpy text.

        Args:
            start: first row.
            stop: row after the last.
            boundaries: of the conformers from `start` on; only for columns that number atoms.
            columns: what is read of the axis behind the rows, if there is one.

        Raises:
            DamagedError: for the first value that the schema forbids.
        """
        text = h5py.check_string_dtype(self.dataset.dtype) is not None
        where = slice(start, stop) if columns == slice(None) else (slice(start, stop), columns)
        stored = (self.dataset.asstr(errors="replace") if text else self.dataset)[where]
        if self.column.dtype == STRING:
            return np.asarray(stored, dtype=object)
        with np.errstate(over="ignore"):
            found = np.asarray(stored).astype(str if text else self.column.dtype, copy=False)
        # whole numbers that do not fit are another number in the narrower type
        right, expected = self.column.allowed(stored if found.dtype.kind in "iu" else found)
        self._check(stored, right, expected, start)
        if self.column.numbers_atoms and boundaries is not None:
            self._check_atoms(found, start, *boundaries)
        return found

    def _check(self, found: NDArray[Any], right: ArrayLike, expected: str, start: int) -> None:
        if not np.all(right):
            place = tuple(int(i) for i in np.argwhere(~np.asarray(right))[0])
            raise DamagedError(self.name, f"has {found[place]} in row {start + place[0]}", expected)

    def _check_atoms(
        self, found: NDArray[Any], start: int, offset: NDArray[Any], sizes: NDArray[Any]
    ) -> None:
        """Check that atoms are within their conformers, none comes twice where each has a row, and pairs rise."""
        rows = np.diff(offset)
        size = np.repeat(sizes, rows).reshape(-1, *[1] * (found.ndim - 1))
        self._check(found, (found >= 0) & (found < size), "atoms of its conformer, from 0", start)
        owner = np.repeat(np.arange(len(rows)), rows)
        if self.column.per == "atom":
            first = offset[owner] - offset[0]
            times = np.bincount(first + found, minlength=len(found))
            self._check(found, times[first + found] == 1, "every atom of its conformer once", start)
        elif len(found):
            low, high = found.T
            self._check(found, (low < high)[:, None], "the lesser atom first", start)
            starts = owner[1:] > owner[:-1]
            rises = (low[1:] > low[:-1]) | ((low[1:] == low[:-1]) & (high[1:] > high[:-1]))
            self._check(found[1:], (starts | rises)[:, None], "pairs in rising order, none twice", start + 1)


def member(group: h5py.Group, name: str, kind: type) -> Any:
    """Return what has a name in a group; None if nothing has.

    Links are not followed, not even within the file: molgiae writes none, and they may lead to any file.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    shown = legible(f"{group.name}/{name}".lstrip("/"))
    if not isinstance(link, h5py.HardLink):
        raise DamagedError(shown, "is a link", "data in the file itself")
    item = group[name]
    if not isinstance(item, kind):
        raise DamagedError(shown, f"is a {type(item).__name__.lower()}", f"a {kind.__name__.lower()}")
    return item


def check_dataset(stored: Stored) -> None:
    """Check type, trailing shape and storage."""
    name, dataset, column = stored.name, stored.dataset, stored.column
    if dataset.is_virtual or dataset.external:
        raise DamagedError(name, "keeps its data in other files", "data in the file itself")
    shape = dataset.shape or ()
    wanted = [
        axis if isinstance(want, str) else want for axis, want in zip(shape[1:], column.shape, strict=False)
    ]
    if len(shape) != 1 + len(column.shape) or list(shape[1:]) != wanted or 0 in wanted:
        expected = ", ".join(map(str, ("rows", *column.shape)))
        raise DamagedError(name, f"has shape {dataset.shape}", f"({expected})")
    kind, found = column.stored_dtype().kind, dataset.dtype
    if kind in "SO":
        fits = h5py.check_string_dtype(found) is not None
    else:
        fits = found.kind in KINDS[kind] and found.itemsize <= 8
    if not fits:
        raise DamagedError(name, f"is of type {found}", column.type_name)
    _check_storage(name, dataset)


def _check_storage(name: str, dataset: h5py.Dataset) -> None:
    """Check that a file holds the rows that a dataset says it has."""
    size = dataset.file.id.get_filesize()
    expected = f"storage for all {math.prod(dataset.shape)} values"
    if dataset.chunks is None:
        held = dataset.id.get_storage_size()
        if not dataset.nbytes <= held <= size:
            raise DamagedError(name, f"holds {held} of {dataset.nbytes} bytes", expected)
        return
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > MAX_CHUNK_BYTES:
        raise DamagedError(name, f"has chunks of {chunk} bytes", f"at most {MAX_CHUNK_BYTES}")
    wanted = math.prod(-(-rows // step) for rows, step in zip(dataset.shape, dataset.chunks, strict=True))
    if wanted > size or dataset.id.get_num_chunks() < wanted:  # none is stored in less than a byte
        raise DamagedError(name, f"lacks some of its {wanted} chunks", expected)
