"""Reading molgiae's HDF5 files: columns on demand, conformers in blocks, a summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import BLOCK_ROWS, Result
from molgiae.data.conformer import PER_ATOM, AtomData, Conformer, ConformerBlock, Rejected, kind_of
from molgiae.data.hdf5.checks import SCAN_ROWS, DamagedError, Stored, layout_of, reading
from molgiae.data.hdf5.schema import INPUT_COLUMNS, LEAST_ROWS, OTHER_PROPERTIES, REJECTED_COLUMNS
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.parts import Part

if TYPE_CHECKING:
    from pandas import DataFrame

NUMPY_TYPES = {"R": np.float64, "I": np.int64, "L": np.bool_, "S": np.str_}
"""Kinds of columns of extended XYZ."""


class EmbeddingFile:
    """An HDF5 file of schema version 1 or 2, open for reading; a context manager, len() is its conformers.

    Read by its columns, ``file["embedding"]``, which `iter_blocks` and `to_pandas` join with the conformers.

    Args:
        path: the file.

    Attributes:
        attributes: the root attributes: schema_version, molgiae_version, model, model_sha256, command,
            created, convention.
        columns: names of the datasets present, those of `rejected` and `properties` aside; the predicted
            properties are ``predictions/SYMBOL``, their uncertainties ``predictions/SYMBOL_std``.
        dimension: D, the size of the embedding; 0 if the file holds none.
        parts: those of the embedding, one after the other; files of version 1 have shape, perhaps, and detail.
        n_atoms: N, atoms of all conformers.

    Raises:
        MolgiaeError: if the file is missing, not HDF5, not from molgiae, of a newer schema or not what the schema says;
            every method raises one, too, where it reads values that the schema forbids.

    Examples:
        >>> summary = molgiae.embed("conformers.sdf", output="conformers.h5", model="qm9", parts="shape")
        >>> with molgiae.EmbeddingFile("conformers.h5") as file:
        ...     file, file["embedding"].shape, "stability" in file
        (EmbeddingFile('conformers.h5', 74 conformers), (74, 128), True)
        >>> with molgiae.EmbeddingFile("conformers.h5") as file:
        ...     [len(block) for block in file.iter_blocks(50)], file.to_pandas()["title"][2]
        ([50, 24], 'methane')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise MolgiaeError(f"{path}: is no file; give an HDF5 file of molgiae")
        try:
            self._file = h5py.File(self.path, "r", locking="best-effort")
        except FileNotFoundError as error:
            raise MolgiaeError(f"{path}: there is no such file") from error
        except PermissionError as error:
            raise MolgiaeError(f"{path}: no permission to read it") from error
        except (OSError, RuntimeError) as error:
            raise MolgiaeError(f"{path}: cannot be read as HDF5; it is damaged or another format") from error
        try:
            self._layout = layout_of(self._file, self.path)
        except MolgiaeError:
            self._file.close()
            raise
        self.attributes = self._layout.attributes
        self.columns = tuple(name for name in self._layout.datasets if not name.startswith("rejected/"))
        self.dimension = self._layout.dimension
        self.parts = self._layout.parts
        self.n_atoms = self._layout.rows["atom"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._layout.rows["conformer"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.column(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} conformers)"

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self.columns

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def part(self, name: str) -> Part:
        """Return a part of the embedding, whose numbers are ``column("embedding")[:, part.columns]``.

        Raises:
            ConfigError: if the embedding has no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        has = (
            f"its parts are {', '.join(part.name for part in self.parts)}"
            if self.parts
            else "it has none at all"
        )
        raise ConfigError(
            f"{self.path}: the embedding has no part {name}; {has}: make the file again with molgiae embed and a model "
            "that has it, without --parts or with this part among them"
        )

    def column(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return rows of one dataset for conformers ``first:last``; for columns per atom, the atoms of these.

        Variable-length strings come as objects of type str, the fixed ones as numpy text.

        Raises:
            MolgiaeError: if the file has no such column.
        """
        if name not in self.columns:
            raise MolgiaeError(f"{self.path}: has no column {name}; it has {', '.join(self.columns)}")
        start, stop, _ = slice(first, last).indices(len(self))
        with reading(self.path):
            return self._read(self._layout.datasets[name], start, max(start, stop))

    def _read(self, stored: Stored, start: int, stop: int) -> NDArray[Any]:
        """Return what a dataset has for conformers ``start:stop``."""
        column = stored.column
        if column.per not in LEAST_ROWS:
            return stored.read(start, stop + (column.per == "boundary"))
        offset = self._layout.datasets[f"{column.per}_offset"].read(start, stop + 1)
        boundaries = None
        if column.numbers_atoms:
            atoms = self._layout.datasets["atom_offset"].read(start, stop + 1)
            boundaries = offset, np.diff(atoms)
        return stored.read(int(offset[0]), int(offset[-1]), boundaries)

    def block(self, first: int, last: int) -> ConformerBlock:
        """Return conformers ``first:last`` as they were read, without the records' text and lines."""
        start, stop, _ = slice(first, last).indices(len(self))
        known = {name: self.column(name, start, stop) for name in INPUT_COLUMNS if name in self.columns}
        offset = known.pop("atom_offset")
        for name, values in known.items():
            if name not in PER_ATOM:
                known[name] = values.tolist() if values.dtype == object else values.astype(np.int64)
        if "bond_offset" in known:
            known["bond_offset"] -= known["bond_offset"][:1]
        return ConformerBlock.from_arrays(
            offset=offset - offset[0],
            properties=self.properties(start, stop),
            atom_data=self._atom_data(start, stop),
            **known,
        )

    def blocks(self, block_size: int = BLOCK_ROWS) -> Iterator[ConformerBlock]:
        """Yield all conformers, `block_size` at a time."""
        for first in range(0, len(self), block_size):
            yield self.block(first, first + block_size)

    def result(self, first: int = 0, last: int | None = None) -> Result:
        """Return conformers ``first:last`` and the columns that were computed of them."""
        start, stop, _ = slice(first, last).indices(len(self))
        names = [name for name in self.columns if name not in INPUT_COLUMNS]
        columns = {name: self.column(name, start, stop) for name in names}
        return Result(self.block(start, stop), columns, self.parts)

    def iter_blocks(self, size: int = BLOCK_ROWS) -> Iterator[Result]:
        """Yield the conformers with their columns, `size` at a time."""
        for first in range(0, len(self), size):
            yield self.result(first, first + size)

    def to_pandas(self) -> DataFrame:
        """Return a data frame of all conformers, see `Result.to_pandas`."""
        return self.result().to_pandas()

    def conformer(self, m: int) -> Conformer:
        """Return conformer m as it was read, from 0; negative numbers count from the end.

        Raises:
            MolgiaeError: if there is none.
        """
        if not -len(self) <= m < len(self):
            raise MolgiaeError(f"{self.path}: has no conformer {m}; it has {len(self)}, counted from 0")
        row = m % len(self)
        return self.block(row, row + 1)[0]

    def properties(self, first: int = 0, last: int | None = None) -> list[Mapping[str, str]]:
        """Return the properties of conformers ``first:last``; those that are absent or empty are left out."""
        start, stop, _ = slice(first, last).indices(len(self))
        found: list[dict[str, str]] = [{} for _ in range(start, stop)]
        with reading(self.path):
            for name, stored in self._layout.properties.items():
                for mapping, value in zip(found, stored.read(start, stop), strict=True):
                    if value:
                        mapping.update(_pairs(value) if name == OTHER_PROPERTIES else {stored.key: value})
        return list(found)

    def _atom_data(self, start: int, stop: int) -> list[AtomData]:
        """Return further columns of the atoms of conformers ``start:stop``; those without a value are left out."""
        found: list[dict[str, NDArray[Any]]] = [{} for _ in range(start, stop)]
        if not self._layout.atom_data:
            return list(found)
        offset = self.column("atom_offset", start, stop)
        with reading(self.path):
            for stored in self._layout.atom_data.values():
                parts = np.split(self._read(stored, start, stop), offset[1:-1] - offset[0])
                for data, rows in zip(found, parts, strict=False):
                    absent = rows == "" if stored.kind == "S" else np.isnan(rows)
                    if absent.all():
                        continue
                    if stored.kind in "IL" and not np.isfinite(rows).all():
                        raise DamagedError(stored.name, "lacks values of some atoms", "values of all or none")
                    data[stored.key] = rows.astype(NUMPY_TYPES[stored.kind])
        return list(found)

    def rejected(self) -> Iterator[Rejected]:
        """Return the rejected records, one by one."""
        for start in range(0, self._layout.rows["rejected"], SCAN_ROWS):
            with reading(self.path):
                columns = [self._layout.datasets[name] for name in REJECTED_COLUMNS]
                rows = [stored.read(start, start + SCAN_ROWS).tolist() for stored in columns]
            yield from (Rejected(*row) for row in zip(*rows, strict=True))

    def verify(self) -> None:
        """Read all there is, in bounded memory.

        Raises:
            MolgiaeError: for the first value that the schema forbids.
        """
        for first in range(0, len(self), BLOCK_ROWS):
            self.block(first, first + BLOCK_ROWS)
            for name in self.columns:
                self.column(name, first, first + BLOCK_ROWS)
        for _ in self.rejected():
            pass

    def summary(self) -> dict[str, Any]:
        """Return what is in the file, as plain data.

        Keys: path, bytes, the root attributes, conformers, rejected, rejected_reasons (numbers in them
        replaced by ``#``), dimension, parts (of each name, start, stop, unit, meaning), columns, properties, atoms,
        atoms_smallest, atoms_largest, atomic_numbers (atoms of each element), and for embeddings pose_defined,
        order_defined, point_group and in_domain (conformers of each value).
        """
        sizes = np.diff(self.column("atom_offset"))
        reasons = Counter(kind_of(rejected.reason) for rejected in self.rejected())
        properties = self._layout.properties.items()
        tallied = ("pose_defined", "order_defined", "point_group", "in_domain")
        return {
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            **self.attributes,
            "conformers": len(self),
            "rejected": self._layout.rows["rejected"],
            "rejected_reasons": dict(reasons.most_common()),
            "dimension": self.dimension,
            "parts": [part.to_dict() for part in self.parts],
            "columns": list(self.columns),
            "properties": [stored.key for name, stored in properties if name != OTHER_PROPERTIES],
            "atoms": self.n_atoms,
            "atoms_smallest": int(sizes.min(initial=self.n_atoms)),
            "atoms_largest": int(sizes.max(initial=0)),
            "atomic_numbers": self._tally("atomic_number"),
            **{name: self._tally(name) for name in tallied if name in self.columns},
        }

    def _tally(self, name: str) -> dict[str, int]:
        """Return how often each value occurs."""
        counts: Counter[str] = Counter()
        stored = self._layout.datasets[name]
        with reading(self.path):
            for start in range(0, len(stored.dataset), SCAN_ROWS):
                values, times = np.unique(stored.read(start, start + SCAN_ROWS), return_counts=True)
                counts.update(dict(zip(map(str, values.tolist()), times.tolist(), strict=True)))
        return dict(counts)


def read_hdf5_blocks(path: str | os.PathLike[str], block_size: int = BLOCK_ROWS) -> Iterator[ConformerBlock]:
    """Yield the conformers of an `EmbeddingFile` as they were first read, at most `block_size` at a time."""
    with EmbeddingFile(path) as file:
        yield from file.blocks(block_size)


def _pairs(text: str) -> dict[str, str]:
    """Return the keys and values that share one dataset."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DamagedError(f"properties/{OTHER_PROPERTIES}", f"has {text[:60]!r}", "texts by key as JSON")
    return found
