"""Whether an HDF5 file is what the schema says.

Links, types, shapes, lengths, offsets and attributes are looked at once, when a file is opened; values whenever they
are read, so that no more of a large file is read than is used. What a file says of its own size is not believed before
the storage for it was seen. Flipped bytes in inner tables can crash the HDF5 library itself, which nothing here can
see coming.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae.data.hdf5.schema import (
    ALWAYS_KEPT,
    ATOM_DATA,
    ATTRIBUTES,
    KEPT,
    LEAST_ROWS,
    PART_ATTRIBUTES,
    PIECE_ATTRIBUTES,
    PREDICTION,
    PROJECTION,
    PROPERTY,
    REQUIRED_ATTRIBUTES,
    SCHEMA,
    SCHEMA_VERSION,
    STRING,
    Column,
)
from molgiae.data.xyz.comment import KINDS as XYZ_KINDS
from molgiae.errors import MolgiaeError
from molgiae.parts import PARTS, Part, parts_of

SCAN_ROWS = 1 << 16
MAX_CHUNK_BYTES = 1 << 26
"""A chunk is read as a whole; those of molgiae have 128 KiB, those of programs that rewrite files up to some MiB."""

GROUPS = ("rejected", "properties", "predictions", "atom_data")
REMEDY = "make the file again with the command that wrote it"
KINDS = {"f": "f", "i": "iu", "u": "iu"}
"""Kind of a type in the schema to the kinds that may stand for it; values that do not fit are rejected when read."""

_OF_H5PY = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)

Boundaries = tuple[NDArray[Any], NDArray[Any]]
"""(m + 1,) rows of m conformers, and (m,) atoms of them."""


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


@dataclass(frozen=True)
class Layout:
    """What is in a file.

    Attributes:
        attributes: those of the root that the schema knows.
        parts: those of the embedding; none if there is none.
        datasets: by path in the file, those of the schema and of the group ``predictions``.
        properties: the datasets of this group by name.
        atom_data: the datasets of this group by name.
        rows: M conformers, M + 1 boundaries and so on, by what they belong to.
    """

    attributes: dict[str, Any]
    parts: tuple[Part, ...]
    datasets: dict[str, Stored]
    properties: dict[str, Stored]
    atom_data: dict[str, Stored]
    rows: dict[str, int]

    @property
    def dimension(self) -> int:
        """Size of the embedding; 0 if there is none."""
        return int(self.datasets["embedding"].dataset.shape[1]) if "embedding" in self.datasets else 0


@dataclass(frozen=True)
class Head:
    """What a part of a dataset says of itself before its columns are looked at.

    Attributes:
        attributes: as of `Layout`.
        conformers: their number.
        rejected: number of the rejected records.
        pieces: of the input, and how many records each gave, written and rejected.
    """

    attributes: dict[str, Any]
    conformers: int
    rejected: int
    pieces: tuple[tuple[str, int], ...]


def head_of(path: Path) -> Head:
    """Read the head of a file, in a tenth of the time that its layout takes.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with opened(path) as file, reading(path):
        attributes = _attributes(file, path)
        conformers, rejected = (
            len(_member(group, "record", h5py.Dataset))
            for group in (file, _member(file, "rejected", h5py.Group))
        )
        pieces: tuple[tuple[str, int], ...] = ()
        if "pieces" in file.attrs:
            names, records = (_list_of(file, name, kind, name) for name, kind in PIECE_ATTRIBUTES.items())
            if len(names) != len(records) or min(records, default=0) < 0:
                raise DamagedError("attribute piece_records", f"has {records}", "a number for each piece")
            pieces = tuple(zip(names, records, strict=True))
        return Head(attributes, conformers, rejected, pieces)


def one_column(file: h5py.File, path: Path, name: str, column: Column, conformers: int) -> Stored:
    """Return a dataset with a row for each conformer, when nothing else of the file is wanted.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with reading(path):
        folder, _, last = name.rpartition("/")
        group = _member(file, folder, h5py.Group) if folder else file
        dataset = None if group is None else _member(group, last, h5py.Dataset)
        if dataset is None:
            raise DamagedError(name, "missing", "the same columns in all parts")
        stored = Stored(name, dataset, column)
        _check_dataset(stored)
        _check_rows(stored, {column.per: conformers})
        return stored


def parts_in_file(embedding: h5py.Dataset, version: int) -> tuple[Part, ...]:
    """Return the parts of the embedding of a file of a schema version."""
    return (_parts_of_version_1 if version == 1 else _parts)(embedding)


def last_offsets(path: Path) -> dict[str, int]:
    """Return the rows of atoms and so on by what they are, as the offsets of a file end.

    Raises:
        MolgiaeError: as of `layout_of`.
    """
    with opened(path) as file, reading(path):
        names = {axis: f"{axis}_offset" for axis in LEAST_ROWS}
        return {axis: int(file[name][-1]) for axis, name in names.items() if name in file}


def layout_of(file: h5py.File, path: Path) -> Layout:
    """Look at everything in a file but the values.

    Raises:
        MolgiaeError: naming file, dataset, what was found, what was expected and what to do.
    """
    with reading(path):
        attributes = _attributes(file, path)
        groups = {name: _member(file, name, h5py.Group) for name in GROUPS}
        missing = [name for name in ("rejected", "properties") if groups[name] is None]
        datasets: dict[str, Stored] = {}
        for name, column in SCHEMA.items():
            folder, _, last = name.rpartition("/")
            group = groups[folder] if folder else file
            dataset = None if group is None else _member(group, last, h5py.Dataset)
            if dataset is not None:
                datasets[name] = Stored(name, dataset, column)
            elif KEPT in attributes:
                missing += [name] if name in ALWAYS_KEPT else []
            elif column.origin == "input" and column.required:
                missing.append(name)
        if missing:
            raise DamagedError(", ".join(missing), "missing", "all that the schema requires")
        for name in groups["predictions"] or ():
            shown = f"predictions/{_legible(name)}"
            datasets[shown] = Stored(shown, _member(groups["predictions"], name, h5py.Dataset), PREDICTION)
        if (projection := _member(file, PROJECTION.name, h5py.Dataset)) is not None:
            datasets[PROJECTION.name] = Stored(PROJECTION.name, projection, PROJECTION)
        for one in datasets.values():
            _check_dataset(one)
        rows = _rows(datasets)
        properties = {name: _property(groups["properties"], name) for name in groups["properties"]}
        atom_data = {name: _atom_column(groups["atom_data"], name) for name in groups["atom_data"] or ()}
        for one in (*datasets.values(), *properties.values(), *atom_data.values()):
            _check_rows(one, rows)
        parts: tuple[Part, ...] = ()
        if "embedding" in datasets:
            parts = parts_in_file(datasets["embedding"].dataset, attributes["schema_version"])
        return Layout(attributes, parts, datasets, properties, atom_data, rows)


def _parts_of_version_1(embedding: h5py.Dataset) -> tuple[Part, ...]:
    """Return the parts of a file of version 1, the first of which the root gives the size of."""
    file, dimension, name = embedding.file, embedding.shape[1], "shape_dimension"
    size = _attribute(file, name, int) if name in file.attrs else 0
    if not 0 <= size <= dimension:
        expected = f"0 to {dimension}, the size of the embedding"
        raise DamagedError(f"attribute {name}", f"is {size}", expected)
    return parts_of({"shape": size, "detail": dimension - size})


def _parts(embedding: h5py.Dataset) -> tuple[Part, ...]:
    """Return the parts that the attributes of an embedding name: known ones, each column in one of them."""
    names, starts, stops, units, _ = (
        _of_parts(embedding, name, kind) for name, kind in PART_ATTRIBUTES.items()
    )
    end = 0
    for name, start, stop, unit in zip(names, starts, stops, units, strict=True):
        if name not in PARTS or names.count(name) > 1:
            raise _bad_part("parts", f"has {name:.60}", f"each of {', '.join(PARTS)} at most once")
        if start != end:
            raise _bad_part("part_start", f"is {start} for {name}", f"{end}, where the part before it ends")
        if not start < stop <= embedding.shape[1]:
            expected = f"{start + 1} to {embedding.shape[1]}, the size of the embedding"
            raise _bad_part("part_stop", f"is {stop} for {name}", expected)
        if unit != PARTS[name][0]:
            raise _bad_part("part_unit", f"is {unit:.60} for {name}", PARTS[name][0])
        end = stop
    if end != embedding.shape[1]:
        raise _bad_part("part_stop", f"ends with {end}", f"{embedding.shape[1]}, the size of the embedding")
    return tuple(map(Part, names, starts, stops))


def _bad_part(attribute: str, found: str, expected: str) -> DamagedError:
    return DamagedError(f"attribute {attribute} of embedding", found, expected)


def _of_parts(embedding: h5py.Dataset, name: str, kind: type) -> list[Any]:
    """Return an attribute that lists a text or a whole number for each part of the embedding."""
    expected = {str: "a list of texts", int: "a list of whole numbers"}[kind]
    if name not in embedding.attrs:
        raise _bad_part(name, "is missing", f"{expected}, one for each part")
    size = embedding.attrs.get_id("parts").shape
    shape = embedding.attrs.get_id(name).shape
    if len(shape or ()) != 1 or shape != size or size[0] > len(PARTS):
        raise _bad_part(name, f"has shape {shape}", "(P,), the same for all, of P parts")
    return _list_of(embedding, name, kind, f"{name} of embedding")


def _list_of(item: h5py.HLObject, name: str, kind: type, what: str) -> list[Any]:
    """Return an attribute that lists texts or whole numbers."""
    expected = {str: "a list of texts", int: "a list of whole numbers"}[kind]
    if name not in item.attrs:
        raise DamagedError(f"attribute {what}", "is missing", expected)
    attribute = item.attrs.get_id(name)
    text = h5py.check_string_dtype(attribute.dtype) is not None
    if not text if kind is str else attribute.dtype.kind not in "iu":
        raise DamagedError(f"attribute {what}", f"is of type {attribute.dtype}", expected)
    if len(attribute.shape or ()) != 1:
        raise DamagedError(f"attribute {what}", f"has shape {attribute.shape}", expected)
    found = item.attrs[name].tolist()
    return [_text(value) for value in found] if text else found


def _attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    found = {name: _attribute(file, name, kind) for name, kind in ATTRIBUTES.items() if name in file.attrs}
    if "schema_version" not in found or "molgiae_version" not in found:
        raise MolgiaeError(f"{path}: is HDF5, but was not written by molgiae: no schema_version")
    version = found["schema_version"]
    if version > SCHEMA_VERSION:
        raise MolgiaeError(
            f"{path}: has schema version {version}, this molgiae reads up to {SCHEMA_VERSION}; "
            f"install molgiae {found['molgiae_version']}, which wrote it, or a newer one"
        )
    if version < 1:
        raise DamagedError("attribute schema_version", f"is {version}", f"1 to {SCHEMA_VERSION}")
    if missing := [name for name in REQUIRED_ATTRIBUTES if name not in found]:
        raise DamagedError(f"attribute {', '.join(missing)}", "missing", "all that the schema requires")
    return found


def _attribute(item: h5py.HLObject, name: str, kind: type) -> Any:
    """Return an attribute as str or int."""
    what, expected = f"attribute {name}", {str: "a text", int: "a whole number"}[kind]
    shape = item.attrs.get_id(name).shape
    if shape != ():
        raise DamagedError(what, f"has shape {shape}", expected)
    value = item.attrs[name]
    if isinstance(value, str | bytes):
        value = _text(value)
    if isinstance(value, np.integer):
        value = int(value)
    if not isinstance(value, kind):
        raise DamagedError(what, f"is {type(value).__name__}", expected)
    return value


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else _legible(value)


def _legible(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _member(group: h5py.Group, name: str, kind: type) -> Any:
    """Return what has a name in a group; None if nothing has.

    Links are not followed, not even within the file: molgiae writes none, and they may lead to any file.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    shown = _legible(f"{group.name}/{name}".lstrip("/"))
    if not isinstance(link, h5py.HardLink):
        raise DamagedError(shown, "is a link", "data in the file itself")
    item = group[name]
    if not isinstance(item, kind):
        raise DamagedError(shown, f"is a {type(item).__name__.lower()}", f"a {kind.__name__.lower()}")
    return item


def _check_dataset(stored: Stored) -> None:
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


def _rows(datasets: dict[str, Stored]) -> dict[str, int]:
    """Return the rows of every axis; those of atoms and the like are where their offsets end."""
    conformers, rejected = (len(datasets[name].dataset) for name in ("record", "rejected/record"))
    rows = {"conformer": conformers, "boundary": conformers + 1, "rejected": rejected}
    for axis, least in LEAST_ROWS.items():
        name = f"{axis}_offset"
        if name in datasets:
            if all(one.column.per != axis for one in datasets.values()):
                raise DamagedError(name, "stands alone", f"data of each {axis} beside it")
            _check_rows(datasets[name], rows)
            rows[axis] = _last_of(datasets[name], least)
    return rows


def _check_rows(stored: Stored, rows: dict[str, int]) -> None:
    axis, found = stored.column.per, len(stored.dataset)
    if axis not in rows:
        raise DamagedError(stored.name, "stands alone", f"{axis}_offset beside it")
    if found != rows[axis]:
        of = {"conformer": "record", "boundary": "record and one more", "rejected": "rejected/record"}
        expected = f"{rows[axis]} as {of.get(axis, f'{axis}_offset')} says"
        raise DamagedError(stored.name, f"has {found} rows", expected)


def _last_of(offsets: Stored, least: int) -> int:
    """Return the last offset, if they start at 0 and rise."""
    last = -least
    for start in range(0, len(offsets.dataset), SCAN_ROWS):
        values = offsets.read(start, start + SCAN_ROWS)
        before = np.concatenate([[last], values[:-1]])
        rises = values >= before if least == 0 else values > before
        if start == 0 and values[0] != 0:
            raise DamagedError(offsets.name, f"starts with {values[0]}", "0")
        if not rises.all():
            row = int(np.flatnonzero(~rises)[0])
            found = f"goes from {before[row]} to {values[row]} at row {start + row}"
            raise DamagedError(offsets.name, found, "it to rise")
        last = int(values[-1])
    return last


def _property(group: h5py.Group, name: str) -> Stored:
    """Return a dataset of the group ``properties``."""
    stored = Stored(f"properties/{_legible(name)}", _member(group, name, h5py.Dataset), PROPERTY)
    _check_dataset(stored)
    return replace(stored, key=_own(stored, "key"))


def _atom_column(group: h5py.Group, name: str) -> Stored:
    """Return a dataset of the group ``atom_data``; there text has a type, and a second axis is optional."""
    stored = Stored(f"atom_data/{_legible(name)}", _member(group, name, h5py.Dataset), ATOM_DATA)
    key, kind = _own(stored, "key"), _own(stored, "kind")
    if kind not in XYZ_KINDS.values():
        raise DamagedError(f"attribute kind of {stored.name}", f"is {kind}", ", ".join(XYZ_KINDS.values()))
    dtype = STRING if kind == "S" else ATOM_DATA.dtype
    axes = ATOM_DATA.axes if len(stored.dataset.shape or ()) > 1 else "N"
    stored = replace(stored, column=replace(ATOM_DATA, dtype=dtype, axes=axes), key=key, kind=kind)
    _check_dataset(stored)
    return stored


def _own(stored: Stored, attribute: str) -> str:
    """Return an attribute of a dataset."""
    if attribute not in stored.dataset.attrs:
        raise DamagedError(f"attribute {attribute} of {stored.name}", "is missing", "what the input has")
    return str(_attribute(stored.dataset, attribute, str))
