"""HDF5 output in blocks of rows: flat arrays, compressed rows for atoms, complete or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae import __version__
from molgiae.data.conformer import AtomData, ConformerBlock, Rejected
from molgiae.data.hdf5.reader import EmbeddingFile, read_hdf5_blocks
from molgiae.data.hdf5.schema import (
    ATOM_DATA,
    CONVENTION,
    EMBEDDING_COLUMNS,
    INPUT_COLUMNS,
    OTHER_PROPERTIES,
    PROPERTY,
    REJECTED_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    STRING,
    Column,
    property_name,
    schema_table,
)
from molgiae.data.partial import PartialFile, SteadyFile
from molgiae.data.xyz.comment import KINDS
from molgiae.errors import ConfigError, ShapeError

__all__ = ["EmbeddingFile", "Hdf5Writer", "read_hdf5_blocks", "schema_table"]

COPIED = ("atomic_number", "isotope", "position", "bonds", "record", "charge", "multiplicity")
"""Columns that are attributes of a block under the same name."""

FLUSH_ROWS = 4096
FLUSH_ATOMS = 1 << 20
CHUNK_BYTES = 1 << 17
MAX_CHUNK_ROWS = 4096
MAX_PROPERTIES = 256
"""Keys with a dataset of their own; the pairs of later keys go to ``properties/%other`` as JSON."""
MAX_KEY_LENGTH = 1024

# The oldest format, so that HDF5 1.8 and everything built on it can read the file.
LIBVER = ("earliest", "v108")


class Hdf5Writer:
    """Append blocks of conformers to a file of schema version 1.

    Use as a context manager: the file gets its name on a clean exit and is removed otherwise.

    Args:
        path: the file to be.
        dimension: D, the size of the embedding.
        shape_dimension: how many columns of the embedding, from the first, are its shape part.
        columns: the columns that every `append` brings, of those in `SCHEMA` that are not copied from the
            input; none makes a plain file of conformers.
        predictions: columns of predicted properties, which every `append` brings, too.
        model: name of the model.
        model_sha256: digest of its weights.
        model_choice: why this model, if it was chosen by itself.
        command: command line, for the record.
        overwrite: replace an existing file when the new one is complete.

    Attributes:
        rows: conformers appended.
        rejected: refused records appended.

    Raises:
        MolgiaeError: if the file cannot be written, or exists and `overwrite` is false.
        ConfigError: if a column is not in the schema.
    """

    _disk: SteadyFile
    _file: h5py.File

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        dimension: int = 0,
        shape_dimension: int = 0,
        columns: Sequence[str] = EMBEDDING_COLUMNS,
        predictions: Sequence[Column] = (),
        model: str = "none",
        model_sha256: str = "none",
        model_choice: str = "",
        command: str = "none",
        overwrite: bool = False,
    ) -> None:
        unknown = [c for c in columns if c not in SCHEMA or SCHEMA[c].origin == "input"]
        if unknown:
            raise ConfigError(f"no column {', '.join(unknown)} in HDF5 schema version {SCHEMA_VERSION}")
        if "embedding" in columns and dimension < 1:
            raise ConfigError(f"dimension of the embedding is {dimension}, expected at least 1")
        self._schema = {**SCHEMA, **{column.name: column for column in predictions}}
        self.columns = (*columns, *(column.name for column in predictions))
        self.rows = self.atoms = self.bonds = self.rejected = 0
        self._dimension, self._shape_dimension = dimension, shape_dimension
        self._attributes = {"model": model, "model_sha256": model_sha256, "command": command}
        if model_choice:
            self._attributes["model_choice"] = model_choice
        self._partial = PartialFile(path, overwrite=overwrite)
        self._pending: dict[str, list[NDArray[Any]]] = {}
        self._pending_properties: list[Mapping[str, str]] = []
        self._pending_atom_data: list[tuple[AtomData, int]] = []
        self._pending_rejected: list[Rejected] = []
        self._pending_atoms = 0

    def __enter__(self) -> Self:
        with self._partial.reporting():
            self._disk = SteadyFile(self._partial.temporary, "w+")
            self._file = h5py.File(self._disk, "w", libver=LIBVER)
        with self._discarding_on_error(), self._partial.reporting():
            self._create()
            self._disk.check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._abandon()
            return
        with self._discarding_on_error():
            self.flush()
            with self._partial.reporting():
                self._file.close()
                self._disk.check()
                self._disk.close()
            self._partial.publish()

    def append(self, block: ConformerBlock, columns: Mapping[str, ArrayLike] | None = None) -> None:
        """Add M conformers with N atoms, and the refused records of the block.

        Args:
            block: conformers in the order and pose of the input.
            columns: one array for each column named at the start: M rows, or N rows for those per atom.

        Raises:
            ShapeError: if a column is missing, unexpected or has another shape.
            ConfigError: if a value is not among those the schema allows.
            MolgiaeError: if the disk refuses.
        """
        given = columns or {}
        if set(given) != set(self.columns):
            raise ShapeError(f"columns {sorted(given)} were given, expected {sorted(self.columns)}")
        arrays = self._input_arrays(block)
        for name in self.columns:
            column = self._schema[name]
            rows = len(block) if column.per == "conformer" else len(block.atomic_number)
            arrays[name] = _checked(column, given[name], (rows, *column.trailing(self._dimension)))
        for name, array in arrays.items():
            self._pending.setdefault(name, []).append(array)
        self._pending_properties += block.properties
        self._pending_atom_data += zip(block.atom_data, block.n_atoms.tolist(), strict=True)
        self._pending_rejected += block.rejected
        self._pending_atoms += len(block.atomic_number)
        self.rows += len(block)
        self.atoms += len(block.atomic_number)
        self.bonds += len(block.bonds)
        self.rejected += len(block.rejected)
        waiting = max(len(self._pending_properties), len(self._pending_rejected))
        if waiting >= FLUSH_ROWS or self._pending_atoms >= FLUSH_ATOMS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            MolgiaeError: if the disk refuses.
        """
        with self._partial.reporting():
            for name, parts in self._pending.items():
                _extend(self._file[name], np.concatenate(parts))
            self._properties.write(self._pending_properties)
            self._atom_data.write(self._pending_atom_data)
            for name in REJECTED_COLUMNS:
                values = [getattr(r, name.removeprefix("rejected/")) for r in self._pending_rejected]
                text = SCHEMA[name].dtype == STRING
                _extend(self._file[name], _strings(values) if text else np.array(values))
            self._disk.check()
        self._pending, self._pending_properties, self._pending_rejected = {}, [], []
        self._pending_atom_data, self._pending_atoms = [], 0

    def _input_arrays(self, block: ConformerBlock) -> dict[str, NDArray[Any]]:
        return {
            "atom_offset": block.offset[1:] + self.atoms,
            "bond_offset": block.bond_offset[1:] + self.bonds,
            **{name: _strings(getattr(block, name)) for name in ("title", "source")},
            **{name: getattr(block, name) for name in COPIED},
        }

    def _create(self) -> None:
        attributes = self._file.attrs
        attributes["schema_version"] = SCHEMA_VERSION
        attributes["molgiae_version"] = __version__
        for name, value in self._attributes.items():
            attributes[name] = _clean(value) or "none"
        attributes["created"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        attributes["convention"] = CONVENTION
        if self._shape_dimension:
            attributes["shape_dimension"] = self._shape_dimension
        wanted = {*self.columns, *INPUT_COLUMNS, *REJECTED_COLUMNS}
        for name, column in self._schema.items():
            if name in wanted:
                _create_dataset(self._file, name, column, column.trailing(self._dimension))
        for name in ("atom_offset", "bond_offset"):
            _extend(self._file[name], np.zeros(1, np.int64))
        self._properties = _PropertyColumns(self._file.create_group("properties"))
        self._atom_data = _AtomDataColumns(self._file)

    @contextlib.contextmanager
    def _discarding_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()
        self._disk.close()
        self._partial.discard()


class _PropertyColumns:
    """One dataset of strings for each property key, all of them as long as the conformers are many."""

    def __init__(self, group: h5py.Group) -> None:
        self._group = group
        self._datasets: dict[str, h5py.Dataset] = {}
        self._rows = 0

    def write(self, mappings: Sequence[Mapping[str, str]]) -> None:
        """Add one row for each mapping to every dataset; keys met for the first time get theirs."""
        values: dict[str, NDArray[np.object_]] = {}
        for row, mapping in enumerate(mappings):
            other: dict[str, str] = {}
            for key, value in mapping.items():
                name = property_name(key)
                if name not in self._datasets and not self._add(name, key):
                    other[key] = str(value)
                    continue
                if name not in values:
                    values[name] = _empty_strings(len(mappings))
                values[name][row] = _clean(str(value))
            if other:
                values.setdefault(OTHER_PROPERTIES, _empty_strings(len(mappings)))[row] = json.dumps(other)
        if OTHER_PROPERTIES in values and OTHER_PROPERTIES not in self._datasets:
            self._create(OTHER_PROPERTIES, "")
        # Rows without a value are written as "" too: rhdf5 crashes on strings that were never written.
        empty = _empty_strings(len(mappings))
        for name, dataset in self._datasets.items():
            _extend(dataset, values.get(name, empty))
        self._rows += len(mappings)

    def _add(self, name: str, key: str) -> bool:
        if len(self._datasets) >= MAX_PROPERTIES or len(name) > MAX_KEY_LENGTH:
            return False
        self._create(name, key)
        return True

    def _create(self, name: str, key: str) -> None:
        dataset = _create_dataset(self._group, name, PROPERTY, ())
        dataset.attrs["key"] = _clean(key)
        for start in range(0, self._rows, FLUSH_ROWS):
            _extend(dataset, _empty_strings(min(FLUSH_ROWS, self._rows - start)))
        self._datasets[name] = dataset


class _AtomDataColumns:
    """One dataset for each further column of the atoms, made when the first record has it; as long as the atoms."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._datasets: dict[str, h5py.Dataset] = {}
        self._rows = 0

    def write(self, records: Sequence[tuple[AtomData, int]]) -> None:
        """Add the rows of records, each with its data and number of atoms, to every dataset."""
        size = sum(n for _, n in records)
        start, values = 0, dict[str, NDArray[Any]]()
        for data, n in records:
            for key, column in data.items():
                name = self._dataset(key, column)
                if name is not None:
                    rows = values.setdefault(name, self._missing(name, size))
                    rows[start : start + n] = column
            start += n
        for name, dataset in self._datasets.items():
            _extend(dataset, values[name] if name in values else self._missing(name, size))
        self._rows += size

    def _dataset(self, key: str, column: NDArray[Any]) -> str | None:
        """Name of the dataset of a column; None if there are too many."""
        kind, trailing = KINDS[column.dtype.kind], column.shape[1:]
        name = property_name(key)
        found = self._datasets.get(name)
        if found is not None and (found.attrs["kind"], found.shape[1:]) != (kind, trailing):
            name = f"{name}%{kind}{'x'.join(map(str, trailing))}"  # as no escaped name ends
        if name not in self._datasets:
            if len(self._datasets) >= MAX_PROPERTIES or len(name) > MAX_KEY_LENGTH:
                return None
            group = self._file.require_group("atom_data")
            dtype = STRING if kind == "S" else ATOM_DATA.dtype
            dataset = _create_dataset(group, name, replace(ATOM_DATA, dtype=dtype), trailing)
            dataset.attrs["key"], dataset.attrs["kind"] = _clean(key), kind
            self._datasets[name] = dataset
            for start in range(0, self._rows, FLUSH_ATOMS):
                _extend(dataset, self._missing(name, min(FLUSH_ATOMS, self._rows - start)))
        return name

    def _missing(self, name: str, rows: int) -> NDArray[Any]:
        dataset = self._datasets[name]
        shape = (rows, *dataset.shape[1:])
        return np.full(shape, "", object) if dataset.attrs["kind"] == "S" else np.full(shape, np.nan)


def _create_dataset(group: h5py.Group, name: str, column: Column, trailing: tuple[int, ...]) -> h5py.Dataset:
    dtype = column.stored_dtype()
    row_bytes = max(1, dtype.itemsize * int(np.prod(trailing)))
    chunk_rows = min(max(1, CHUNK_BYTES // row_bytes), MAX_CHUNK_ROWS)
    dataset = group.create_dataset(
        name,
        shape=(0, *trailing),
        dtype=dtype,
        maxshape=(None, *trailing),
        chunks=(chunk_rows, *(max(1, axis) for axis in trailing)),
    )
    dataset.attrs["unit"] = column.unit
    dataset.attrs["description"] = column.description
    return dataset


def _extend(dataset: h5py.Dataset, rows: NDArray[Any]) -> None:
    if len(rows):
        start = len(dataset)
        dataset.resize(start + len(rows), axis=0)
        dataset[start:] = rows


def _checked(column: Column, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A copy of the values in the type of the column, so that the caller may use its buffer again."""
    array = np.asarray(values)
    if array.shape != shape:
        raise ShapeError(f"column {column.name} has shape {array.shape}, expected {shape}")
    if column.values and len(array):
        allowed = np.array(column.values)
        found = array.astype(str) if allowed.dtype.kind == "U" else array
        if not np.isin(found, allowed).all():
            expected = ", ".join(map(str, column.values))
            raise ConfigError(f"column {column.name} has values {set(found.tolist())}, expected {expected}")
    return array.astype(column.stored_dtype())


def _strings(values: Sequence[str]) -> NDArray[np.object_]:
    array = _empty_strings(len(values))
    array[:] = [_clean(value) for value in values]
    return array


def _empty_strings(count: int) -> NDArray[np.object_]:
    return np.full(count, "", dtype=object)


def _clean(text: str) -> str:
    """HDF5 strings end at NUL and must be valid UTF-8; both are replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
