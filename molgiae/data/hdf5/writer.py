"""HDF5 output in blocks of rows: flat arrays, compressed rows for atoms, complete or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae import __version__
from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.schema import (
    ALWAYS_KEPT,
    ATOM_DATA,
    CONVENTION,
    EMBEDDING_COLUMNS,
    INPUT_COLUMNS,
    KEPT,
    LIBVER,
    OTHER_PROPERTIES,
    PROPERTY,
    REJECTED_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    STRING,
    Column,
    part_attributes,
    property_name,
)
from molgiae.data.partial import PartialFile, SteadyFile
from molgiae.data.pieces import Share
from molgiae.data.xyz.comment import KINDS
from molgiae.errors import ConfigError, ShapeError
from molgiae.parts import Part

FLUSH_ROWS = 4096
FLUSH_ATOMS = 1 << 20
"""Conformers and atoms that are kept before they are written."""
CHUNK_BYTES = 1 << 17
MAX_CHUNK_ROWS = 4096
"""Size of the pieces in which HDF5 keeps a dataset."""
CHUNK_COLUMNS = 32
"""Columns of a piece of a matrix with many, so that a part of the embedding is read without the others."""
MAX_PROPERTIES = 256
"""Keys with a dataset of their own; the pairs of later keys go to ``properties/%other`` as JSON."""
MAX_KEY_LENGTH = 1024


class Hdf5Writer:
    """Append blocks of conformers to a file of schema version 2.

    Use as a context manager: the file gets its name on a clean exit and is removed otherwise.

    Args:
        path: the file to be.
        parts: those of the embedding, one beginning where the one before it ends.
        columns: the columns that every `append` brings, of those in `SCHEMA` that are not copied from the
            input; none makes a plain file of conformers.
        predictions: columns of predicted properties, which every `append` brings, too.
        overwrite: replace an existing file when the new one is complete.
        share: where the file is one part of a directory of results, what it is made from; such a file says nothing
            of when it was made, so that the same conformers make the same bytes.
        keep: columns with a row for each conformer, or "properties"; only these are written, and source and record.
            None for all.
        float16: keep the embedding in half precision; it is read as float32.
        **about: provenance by name, of `ATTRIBUTES`: model, model_sha256, command.

    Attributes:
        rounding: largest error of a number of the embedding that float16 made so far, and the largest number.

    Raises:
        MolgiaeError: if the file cannot be written, or exists and `overwrite` is false.
        ConfigError: if a column is not in the schema, or an embedding has no parts.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        parts: Sequence[Part] = (),
        columns: Sequence[str] = EMBEDDING_COLUMNS,
        predictions: Sequence[Column] = (),
        overwrite: bool = False,
        share: Share | None = None,
        keep: Sequence[str] | None = None,
        float16: bool = False,
        **about: str,
    ) -> None:
        unknown = [c for c in columns if c not in SCHEMA or SCHEMA[c].origin == "input"]
        if unknown:
            raise ConfigError(f"no column {', '.join(unknown)} in HDF5 schema version {SCHEMA_VERSION}")
        if "embedding" in columns and not parts:
            raise ConfigError("no parts of the embedding were given, expected at least 1")
        self._schema = {**SCHEMA, **{column.name: column for column in predictions}}
        self.columns = (*columns, *(column.name for column in predictions))
        if float16:
            self._schema["embedding"] = replace(SCHEMA["embedding"], dtype="f2")
        self._float16, self.rounding = float16, (0.0, 0.0)
        self._keep = None if keep is None else self._kept(keep)
        self._atoms = self._bonds = self._pending_rows = self._pending_atoms = 0
        self._pending: list[tuple[ConformerBlock, dict[str, NDArray[Any]]]] = []
        self._parts, self._dimension = parts, sum(part.size for part in parts)
        self._about = dict.fromkeys(("model", "model_sha256", "command"), "none")
        self._about |= {name: text for name, text in about.items() if text}
        self._share = share
        self._records = dict.fromkeys(share.pieces if share else (), 0)
        if keep is not None:
            self._about[KEPT] = ",".join(self._keep or ())
        self._partial = PartialFile(path, overwrite=overwrite)

    def _kept(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that are written, in the order of the schema."""
        there = [name for name in self._schema if name in (*self.columns, *INPUT_COLUMNS)]
        per_conformer = [name for name in there if self._schema[name].per == "conformer"] + ["properties"]
        if odd := [name for name in names if name not in per_conformer]:
            raise ConfigError(
                f"{odd[0]} is not a column per conformer; keep some of {', '.join(per_conformer)}"
            )
        return tuple(name for name in per_conformer if name in (*names, *ALWAYS_KEPT))

    def _is_written(self, name: str) -> bool:
        return self._keep is None or name in self._keep or name in REJECTED_COLUMNS

    def __enter__(self) -> Self:
        with self._partial.reporting(), contextlib.ExitStack() as closing:
            closing.callback(self._partial.discard)
            self._disk = closing.enter_context(SteadyFile(self._partial.temporary, "w+"))
            self._file = h5py.File(self._disk, "w", libver=LIBVER)
            closing.callback(self._abandon)
            self._create()
            self._disk.check()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._closing:
            if exception[0] is None:
                self.flush()
                with self._partial.reporting():
                    if self._share is not None:
                        self._file.attrs["piece_records"] = np.array(list(self._records.values()), "i8")
                    self._file.close()
                    self._disk.check()
                    self._disk.close()
                self._partial.publish()

    def _abandon(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()

    def append(self, block: ConformerBlock, columns: Mapping[str, ArrayLike] | None = None) -> None:
        """Add M conformers with N atoms, and the rejected records of the block.

        Args:
            block: conformers in the order and pose of the input.
            columns: one array for each column named at the start: M rows, or N rows for those per atom.

        Raises:
            ShapeError: if a column is missing, unexpected or has another shape.
            ConfigError: if a value is not among those the schema allows.
            MolgiaeError: if the disk is full or fails.
        """
        given = columns or {}
        if set(given) != set(self.columns):
            raise ShapeError(f"columns {sorted(given)} were given, expected {sorted(self.columns)}")
        for source, record in chain(
            zip(block.source, block.record.tolist(), strict=True),
            ((bad.source, bad.record) for bad in block.rejected),
        ):
            if self._records.get(source, record) < record:
                self._records[source] = record
        size = len(block), len(block.atomic_number), self._dimension
        if self._float16:
            self._note_rounding(np.asarray(given["embedding"]))
        schema = ((name, self._schema[name]) for name in self.columns if self._is_written(name))
        arrays = {name: _checked(column, given[name], column.size(*size)) for name, column in schema}
        self._pending.append((block, arrays))
        self._pending_rows += max(len(block), len(block.rejected))
        self._pending_atoms += len(block.atomic_number)
        if self._pending_rows >= FLUSH_ROWS or self._pending_atoms >= FLUSH_ATOMS:
            self.flush()

    def _note_rounding(self, embedding: NDArray[Any]) -> None:
        """Measure what float16 does to numbers."""
        largest = float(np.abs(embedding).max(initial=0.0))
        if largest > float(np.finfo(np.float16).max):
            raise ConfigError(f"the embedding has {largest:.4g}, beyond float16; write it without")
        error = float(np.abs(embedding.astype(np.float16).astype(np.float32) - embedding).max(initial=0.0))
        self.rounding = max(self.rounding[0], error), max(self.rounding[1], largest)

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            MolgiaeError: if the disk is full or fails.
        """
        block = concatenate([block for block, _ in self._pending])
        arrays = self._of_input(block)
        for name in filter(self._is_written, self.columns if self._pending else ()):
            arrays[name] = np.concatenate([columns[name] for _, columns in self._pending])
        with self._partial.reporting():
            for name, array in arrays.items():
                _extend(self._datasets[name], array)
            if self._is_written("properties"):
                cells = _property_cells(self._properties, block.properties)
                self._properties.write(cells, len(block))
            if self._keep is None:
                self._atom_data.write(_atom_cells(self._atom_data, block), len(block.atomic_number))
            self._disk.check()
        self._pending, self._pending_rows, self._pending_atoms = [], 0, 0
        self._atoms += len(block.atomic_number)
        self._bonds += len(block.bonds)

    def _of_input(self, block: ConformerBlock) -> dict[str, NDArray[Any]]:
        """Return the columns that are copied from the input, offsets as they are in the file."""
        values: dict[str, Any] = {
            "atom_offset": block.offset[1:] + self._atoms,
            "bond_offset": block.bond_offset[1:] + self._bonds,
        }
        for name in REJECTED_COLUMNS:
            values[name] = [getattr(record, name.removeprefix("rejected/")) for record in block.rejected]
        for name in filter(self._is_written, (*INPUT_COLUMNS, *REJECTED_COLUMNS)):
            found = values[name] if name in values else getattr(block, name)
            is_text = SCHEMA[name].dtype == STRING
            values[name] = np.array([_clean(one) for one in found], object) if is_text else np.asarray(found)
        return {name: found for name, found in values.items() if self._is_written(name)}

    def _create(self) -> None:
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._file.attrs.update(schema_version=SCHEMA_VERSION, molgiae_version=__version__)
        self._file.attrs.update({name: _clean(value) for name, value in self._about.items()})
        if self._share is not None:
            pieces = np.array(self._share.pieces, h5py.string_dtype())
            self._file.attrs.update(shard_key=self._share.key, pieces=pieces)
            created = "none"
        self._file.attrs.update(created=created, convention=CONVENTION)
        # Datasets stay open to the end: each is given room in the file when it is closed, and when that would happen
        # by itself depends on who else looks at the stack, as profilers do.
        self._datasets = {
            name: _create_dataset(self._file, name, column, column.trailing(self._dimension))
            for name, column in self._schema.items()
            if name in (*self.columns, *INPUT_COLUMNS, *REJECTED_COLUMNS) and self._is_written(name)
        }
        if "embedding" in self._datasets:
            self._datasets["embedding"].attrs.update(part_attributes(self._parts))
        for name in filter(self._is_written, ("atom_offset", "bond_offset")):
            _extend(self._datasets[name], np.zeros(1, np.int64))
        self._file.create_group("properties")
        self._properties = _OpenGroup(self._file, "properties")
        self._atom_data = _OpenGroup(self._file, "atom_data")


class _OpenGroup:
    """A group whose datasets are made when the first record has them: all as long as the rows so far.

    Rows without a value are written, too, as "" or NaN: rhdf5 crashes on strings that were never written.

    Args:
        file: to write to.
        group: path of the group, which is made with its first dataset.
    """

    def __init__(self, file: h5py.File, group: str) -> None:
        self._file, self._group = file, group
        self.datasets: dict[str, h5py.Dataset] = {}
        self._rows = 0

    def has_room_for(self, name: str) -> bool:
        """Return whether there is a dataset of this name, or may be one."""
        if name in self.datasets:
            return True
        own = len(self.datasets) - (OTHER_PROPERTIES in self.datasets)
        return own < MAX_PROPERTIES and len(name) <= MAX_KEY_LENGTH

    def require(self, name: str, column: Column, trailing: tuple[int, ...], **attributes: str) -> None:
        """Make a dataset unless there is one of this name."""
        if name not in self.datasets:
            dataset = _create_dataset(self._file, f"{self._group}/{name}", column, trailing)
            dataset.attrs.update(attributes)
            for start in range(0, self._rows, FLUSH_ATOMS):
                _extend(dataset, _missing(dataset, min(FLUSH_ATOMS, self._rows - start)))
            self.datasets[name] = dataset

    def write(self, cells: Iterable[tuple[str, int | slice, Any]], rows: int) -> None:
        """Add rows to every dataset: values of cells by dataset and place among these rows, the others missing."""
        values: dict[str, NDArray[Any]] = {}
        for name, place, value in cells:
            if name not in values:
                values[name] = _missing(self.datasets[name], rows)
            values[name][place] = value
        for name, dataset in self.datasets.items():
            _extend(dataset, values[name] if name in values else _missing(dataset, rows))
        self._rows += rows


def _property_cells(
    group: _OpenGroup, mappings: Sequence[Mapping[str, str]]
) -> Iterator[tuple[str, int, str]]:
    """Yield the cells of properties, a dataset for each key."""
    for row, mapping in enumerate(mappings):
        other: dict[str, str] = {}
        for key, value in mapping.items():
            name = property_name(key)
            if group.has_room_for(name):
                group.require(name, PROPERTY, (), key=_clean(key))
                yield name, row, _clean(str(value))
            else:
                other[key] = str(value)
        if other:
            group.require(OTHER_PROPERTIES, PROPERTY, (), key="")
            yield OTHER_PROPERTIES, row, json.dumps(other)


def _atom_cells(group: _OpenGroup, block: ConformerBlock) -> Iterator[tuple[str, slice, NDArray[Any]]]:
    """Yield the cells of further columns of the atoms, a dataset for each key, kind and width."""
    for m, data in enumerate(block.atom_data):
        for key, values in data.items():
            kind, trailing, name = KINDS[values.dtype.kind], values.shape[1:], property_name(key)
            found = group.datasets.get(name)
            if found is not None and (found.attrs["kind"], found.shape[1:]) != (kind, trailing):
                name = f"{name}%{kind}{'x'.join(map(str, trailing))}"  # as no escaped name ends
            if group.has_room_for(name):
                column = replace(ATOM_DATA, dtype=STRING if kind == "S" else ATOM_DATA.dtype)
                group.require(name, column, trailing, key=_clean(key), kind=kind)
                yield name, block.atoms_of(m), values


def _create_dataset(group: h5py.Group, name: str, column: Column, trailing: tuple[int, ...]) -> h5py.Dataset:
    dtype = column.stored_dtype()
    piece = trailing if len(trailing) != 1 else (min(trailing[0], CHUNK_COLUMNS),)
    row_bytes = max(1, dtype.itemsize * int(np.prod(piece)))
    chunk_rows = min(max(1, CHUNK_BYTES // row_bytes), MAX_CHUNK_ROWS)
    dataset = group.create_dataset(
        name,
        shape=(0, *trailing),
        dtype=dtype,
        maxshape=(None, *trailing),
        chunks=(chunk_rows, *(max(1, axis) for axis in piece)),
    )
    dataset.attrs["unit"] = column.unit
    dataset.attrs["description"] = column.description
    return dataset


def _extend(dataset: h5py.Dataset, rows: NDArray[Any]) -> None:
    if len(rows):
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows


def _missing(dataset: h5py.Dataset, rows: int) -> NDArray[Any]:
    """Return rows of a dataset for records without a value."""
    text = h5py.check_string_dtype(dataset.dtype) is not None
    return np.full((rows, *dataset.shape[1:]), "" if text else np.nan, object if text else np.float64)


def _checked(column: Column, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a copy of the values in the type of the column, so that the caller may use its buffer again."""
    array = np.asarray(values)
    if array.shape != shape:
        raise ShapeError(f"column {column.name} has shape {array.shape}, expected {shape}")
    if column.values and len(array):
        right, expected = column.allowed(array)
        if not np.all(right):
            found = set(array.tolist())
            raise ConfigError(f"column {column.name} has values {found}, expected {expected}")
    return array.astype(column.stored_dtype())


def _clean(text: str) -> str:
    """HDF5 strings end at NUL and must be valid UTF-8; both are replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
