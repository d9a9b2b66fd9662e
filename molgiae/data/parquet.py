"""Parquet tables, by pyarrow (``pip install "molgiae[parquet]"``): a row for each conformer.

Columns are those of `COLUMNS`, one of texts for each property by its key, and ``atom.NAME`` with further data of the
atoms. Properties whose key is that of another column have `TAKEN` behind it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.data.checks import reject_faulty, reject_meaningless
from molgiae.data.conformer import ConformerBlock, Rejected, offset_of
from molgiae.data.partial import PartialFile
from molgiae.errors import ConfigError, MolgiaeError

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch

SUFFIX = ".parquet"
ROWS, GROUP_ROWS = 1024, 16384
"""Rows read at a time, and in a row group of embeddings."""
COLUMNS = {
    "title": "string",
    "source": "string",
    "record": "int64",
    "charge": "int64",
    "multiplicity": "int64",
    "atomic_number": "uint8 of atoms",
    "position": "double of atoms by 3",
    "isotope": "uint16 of atoms",
    "bonds": "int64 of bonds by 2",
}
OTHER_NAMES = {
    "atomic_number": ("atomic_numbers", "numbers", "z"),
    "position": ("positions", "coordinates", "pos", "xyz"),
}
"""Columns of tables of other programs."""
OF_ATOMS, TAKEN = "atom.", " (property)"
Kind = tuple[str, str, int]
"""Name, kind of numpy array and number of axes of further data of the atoms: what shares a column."""
MISFIT = "elements and coordinates are missing, or of different numbers of atoms"
_TYPES = {"f": "float64", "i": "int64", "b": "bool_", "U": "string"}


def pyarrow() -> Any:
    """Return the module, with Parquet.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError('Parquet needs pyarrow: pip install "molgiae[parquet]"') from error
    return pyarrow


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says Parquet."""
    return Path(path).suffix.lower() == SUFFIX


def read_parquet(path: str | os.PathLike[str]) -> Iterator[ConformerBlock]:
    """Yield the conformers of a table of molgiae, or of one with elements and coordinates as lists.

    Coordinates are in angstrom, (n, 3) or one after the other; other columns are properties.

    Raises:
        ConfigError: if pyarrow is not installed.
        MolgiaeError: if the file is no such table.
    """
    arrow, name, first = pyarrow(), os.fspath(path), 1
    try:
        with arrow.parquet.ParquetFile(name) as file:
            for batch in file.iter_batches(ROWS):
                yield reject_faulty(reject_meaningless(_block(batch, name, first)))
                first += batch.num_rows
    except (arrow.ArrowException, KeyError, OSError, TypeError, ValueError) as error:
        raise MolgiaeError(f"{name}: cannot be read as conformers in Parquet ({error})") from error


def write_parquet(path: Path, blocks: Iterable[ConformerBlock]) -> None:
    """Write conformers; `blocks` is gone through twice, for the columns have to be known before the rows."""
    arrow = pyarrow()
    keys: dict[str, None] = {}
    kinds: dict[Kind, str] = {}
    for block in blocks:
        keys |= dict.fromkeys(key for mapping in block.properties for key in mapping)
        for kind in (_kind(name, values) for data in block.atom_data for name, values in data.items()):
            clash = any(known[0] == kind[0] for known in kinds.keys() - {kind})
            kinds.setdefault(kind, f"{OF_ATOMS}{kind[0]}" + (f"%%{len(kinds)}" if clash else ""))
    types = {name: _type(arrow, text) for name, text in COLUMNS.items()}
    types |= {_column_of(key): arrow.string() for key in keys}
    for (_, kind_of_numpy, depth), column in kinds.items():
        types[column] = _nested(arrow, getattr(arrow, _TYPES[kind_of_numpy])(), depth)
    schema = arrow.schema(list(types.items()))
    with arrow.parquet.ParquetWriter(path, schema) as file:
        for block in blocks:
            columns = [_array(arrow, block, name, types[name]) for name in COLUMNS]
            for key in keys:
                columns.append(
                    arrow.array([mapping.get(key) for mapping in block.properties], arrow.string())
                )
            for kind, column in kinds.items():
                found = (data.get(kind[0]) for data in block.atom_data)
                rows = [v.tolist() if v is not None and _kind(kind[0], v) == kind else None for v in found]
                columns.append(arrow.array(rows, types[column]))
            file.write_batch(arrow.record_batch(columns, schema=schema))


class ColumnsWriter:
    """Writes a table in pieces; a context manager that gives the file its name on a clean exit.

    Args:
        path: the file.
        kinds: type of each column, as pyarrow names it.
        about: provenance, texts in the metadata of the schema.
        overwrite: replace an existing file.
    """

    def __init__(
        self, path: Path, kinds: Mapping[str, str], about: Mapping[str, str], *, overwrite: bool = False
    ) -> None:
        self._arrow = pyarrow()
        self._partial = PartialFile(path, overwrite=overwrite)
        fields = [(name, getattr(self._arrow, kind)()) for name, kind in kinds.items()]
        self._schema = self._arrow.schema(fields, metadata=dict(about))
        self._waiting: list[Any] = []

    def __enter__(self) -> Self:
        with self._partial.reporting():
            self._file = self._arrow.parquet.ParquetWriter(self._partial.temporary, self._schema)
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            with self._partial.reporting():
                self._flush()
                self._file.close()
            if exception[0] is None:
                self._partial.publish()
        finally:
            self._partial.discard()

    def append(self, columns: Mapping[str, Any]) -> None:
        """Add rows: as many values for every column."""
        arrays = [self._arrow.array(columns[field.name], field.type) for field in self._schema]
        self._waiting.append(self._arrow.record_batch(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= GROUP_ROWS:
            with self._partial.reporting():
                self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(self._arrow.Table.from_batches(self._waiting))
        self._waiting = []


def _kind(name: str, values: NDArray[Any]) -> Kind:
    return name, str(values.dtype.kind), values.ndim


def _column_of(key: str) -> str:
    return key + TAKEN if key in COLUMNS or key.startswith(OF_ATOMS) or key.endswith(TAKEN) else key


def _type(arrow: Any, text: str) -> DataType:
    kind, _, rows = text.partition(" of ")
    item = getattr(arrow, {"double": "float64"}.get(kind, kind))()
    if " by " in rows:
        item = arrow.list_(item, int(rows[-1]))
    return arrow.list_(item) if rows else item


def _nested(arrow: Any, kind: DataType, depth: int) -> DataType:
    return _nested(arrow, arrow.list_(kind), depth - 1) if depth else kind


def _array(arrow: Any, block: ConformerBlock, name: str, kind: DataType) -> Any:
    values = getattr(block, name)
    if not arrow.types.is_list(kind):
        return arrow.array(values, kind)
    if arrow.types.is_fixed_size_list(kind.value_type):
        flat = arrow.array(values.ravel(), kind.value_type.value_type)
        items = arrow.FixedSizeListArray.from_arrays(flat, kind.value_type.list_size)
    else:
        items = arrow.array(values, kind.value_type)
    offset = block.bond_offset if name == "bonds" else block.offset
    return arrow.ListArray.from_arrays(arrow.array(offset, arrow.int32()), items)


def _block(batch: RecordBatch, source: str, first: int) -> ConformerBlock:
    named = _named(batch.schema.names)
    number, position = (batch.column(named[name]) for name in ("atomic_number", "position"))
    sizes, rows = _lengths(number), 1 if _is_nested(position.type) else 3
    whole, elements = (sizes > 0) & (_lengths(position) == rows * sizes), _flat(number)
    strange = ~np.isin(elements, np.arange(MAX_ATOMIC_NUMBER + 1))
    owner = np.repeat(np.arange(len(sizes)), sizes)[strange].tolist()
    reasons = dict(zip(owner, (f"atomic number {z} is no element" for z in elements[strange]), strict=True))
    reasons |= dict.fromkeys(np.flatnonzero(~whole).tolist(), MISFIT)
    whole[owner] = False
    rejected = [Rejected(source, first + m, "", 0, reason) for m, reason in sorted(reasons.items())]
    record, batch = first + np.flatnonzero(whole), batch.filter(whole.tolist())
    known: dict[str, Any] = {"source": [source] * len(record), "record": record}
    for name in ("title", "source"):
        if name in named:
            known[name] = [str(value or "") for value in batch.column(named[name]).to_pylist()]
    for name in ("record", "charge", "multiplicity"):
        if name in named:
            values = batch.column(named[name]).to_pylist()
            known[name] = _cast(np.array([value or 0 for value in values]), np.int64)
    if "isotope" in named:
        known["isotope"] = _cast(_flat(batch.column(named["isotope"])), np.uint16)
    if "bonds" in named:
        known["bonds"] = _cast(_flat(batch.column(named["bonds"])), np.int64).reshape(-1, 2)
        known["bond_offset"] = offset_of(_lengths(batch.column(named["bonds"])))
        owner = np.repeat(sizes[whole], np.diff(known["bond_offset"]))[:, None]
        if ((known["bonds"] < 0) | (known["bonds"] >= owner)).any():
            raise ValueError("a bond of an atom that is not there")
    known["properties"], known["atom_data"] = _properties(batch, named), _atom_data(batch)
    return ConformerBlock.from_arrays(
        _flat(batch.column(named["atomic_number"])).astype(np.uint8),
        _flat(batch.column(named["position"])).astype(np.float64).reshape(-1, 3),
        offset_of(sizes[whole]),
        rejected=rejected,
        **known,
    )


def _named(names: Sequence[str]) -> dict[str, str]:
    """Return the column of the table for each of `COLUMNS` that it has."""
    found = {
        name: next((n for n in (name, *OTHER_NAMES.get(name, ())) if n in names), "") for name in COLUMNS
    }
    for name in OTHER_NAMES:
        if not found[name]:
            raise ValueError(f"no column {name}; it has {', '.join(names)}")
    return {name: column for name, column in found.items() if column}


def _properties(batch: RecordBatch, named: Mapping[str, str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = [{} for _ in range(batch.num_rows)]
    for name in batch.schema.names:
        if name in named.values() or name.startswith(OF_ATOMS):
            continue
        for mapping, value in zip(found, batch.column(name).to_pylist(), strict=True):
            if value is not None:
                mapping[name.removesuffix(TAKEN)] = str(value)
    return found


def _atom_data(batch: RecordBatch) -> list[dict[str, NDArray[Any]]]:
    found: list[dict[str, NDArray[Any]]] = [{} for _ in range(batch.num_rows)]
    for name in batch.schema.names:
        if not name.startswith(OF_ATOMS):
            continue
        key = re.sub(r"%%\d+$", "", name.removeprefix(OF_ATOMS))
        for data, rows in zip(found, batch.column(name).to_pylist(), strict=True):
            if rows is not None:
                data[key] = np.array(rows)
    return found


def _is_nested(kind: DataType) -> bool:
    return hasattr(kind, "value_type") and hasattr(kind.value_type, "value_type")


def _lengths(column: Any) -> NDArray[np.int64]:
    """Return (M,) lengths of lists, 0 for missing ones."""
    from pyarrow.compute import list_value_length  # noqa: PLC0415

    lengths = list_value_length(column).fill_null(0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def _flat(column: Any) -> NDArray[Any]:
    while hasattr(column.type, "value_type"):
        column = column.flatten()
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _cast(values: NDArray[Any], kind: type[np.integer]) -> NDArray[np.integer]:
    """Return numbers as integers of a kind that holds them all."""
    with np.errstate(invalid="ignore"):
        whole = values.astype(kind)
    if (wrong := whole != values).any():
        raise ValueError(
            f"{values[wrong][0]} is no whole number from {np.iinfo(kind).min} to {np.iinfo(kind).max}"
        )
    return whole
