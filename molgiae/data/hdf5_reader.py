"""Reading molgiae's HDF5 files: columns on demand, conformers in blocks, a summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.schema import INPUT_COLUMNS, OTHER_PROPERTIES, SCHEMA, SCHEMA_VERSION
from molgiae.errors import MolgiaeError

SCAN_ROWS = 1 << 16


class EmbeddingFile:
    """An HDF5 file of schema version 1, open for reading; a context manager, len() is its conformers.

    Args:
        path: the file.

    Attributes:
        attributes: the root attributes: schema_version, molgiae_version, model, model_sha256, command,
            created, convention, shape_dimension where there is a shape part, and model_choice where the model was
            chosen by itself.
        columns: names of the datasets present, those of `rejected` and `properties` aside; the predicted
            properties are ``predictions/SYMBOL``, their uncertainties ``predictions/SYMBOL_std``.
        dimension: D, the size of the embedding; 0 if the file holds none.
        shape_dimension: how many of its columns, from the first, are its shape part.
        n_atoms: N, atoms of all conformers.

    Raises:
        MolgiaeError: if the file is missing, not HDF5, incomplete, not from molgiae or of a newer schema.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r", locking="best-effort")
        except FileNotFoundError as error:
            raise MolgiaeError(f"{path}: there is no such file") from error
        except PermissionError as error:
            raise MolgiaeError(f"{path}: no permission to read it") from error
        except (OSError, RuntimeError) as error:
            raise MolgiaeError(f"{path}: cannot be read as HDF5; it is damaged or another format") from error
        try:
            self._check()
        except MolgiaeError:
            self._file.close()
            raise
        self.attributes: dict[str, Any] = {key: _plain(value) for key, value in self._file.attrs.items()}
        predictions = tuple(f"predictions/{name}" for name in self._file.get("predictions", ()))
        self.columns = tuple(name for name in SCHEMA if "/" not in name and name in self._file) + predictions
        self.dimension = int(self._file["embedding"].shape[1]) if "embedding" in self.columns else 0
        self.shape_dimension = int(self.attributes.get("shape_dimension", 0))
        self.n_atoms = len(self._file["position"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._file["record"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def column(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Rows of one dataset for conformers ``first:last``; for columns per atom, the atoms of these.

        Variable-length strings come as objects of type str, the fixed ones as numpy text.

        Raises:
            MolgiaeError: if the file has no such column.
        """
        if name not in self.columns:
            raise MolgiaeError(f"{self.path}: has no column {name}; it has {', '.join(self.columns)}")
        start, stop, _ = slice(first, last).indices(len(self))
        per = SCHEMA[name].per if name in SCHEMA else "conformer"
        if per in ("atom", "bond"):
            offset = self._file[f"{per}_offset"]
            start, stop = int(offset[start]), int(offset[max(start, stop)])
        elif per == "boundary":
            stop += 1
        return _values(self._file[name], start, stop)

    def block(self, first: int, last: int) -> ConformerBlock:
        """Conformers ``first:last`` as they were read, without the records' text and lines."""
        start, stop, _ = slice(first, last).indices(len(self))
        offset = self.column("atom_offset", start, stop)
        known: dict[str, Any] = {}
        if "bond_offset" in self.columns:
            bond_offset = self.column("bond_offset", start, stop)
            known["bond_offset"] = bond_offset - bond_offset[0]
        for name in ("isotope", "bonds", "charge", "multiplicity", "record"):
            if name in self.columns:
                values = self.column(name, start, stop)
                known[name] = values if name == "isotope" else values.astype(np.int64)
        return ConformerBlock.from_arrays(
            self.column("atomic_number", start, stop),
            self.column("position", start, stop),
            offset - offset[0],
            title=self.column("title", start, stop).tolist(),
            source=self.column("source", start, stop).tolist(),
            properties=self.properties(start, stop),
            **known,
        )

    def blocks(self, block_size: int = 1024) -> Iterator[ConformerBlock]:
        """All conformers, `block_size` at a time."""
        for first in range(0, len(self), block_size):
            yield self.block(first, first + block_size)

    def conformer(self, m: int) -> Conformer:
        """Conformer m as it was read, from 0; negative numbers count from the end.

        Raises:
            MolgiaeError: if there is none.
        """
        if not -len(self) <= m < len(self):
            raise MolgiaeError(f"{self.path}: has no conformer {m}; it has {len(self)}, counted from 0")
        row = m % len(self)
        return self.block(row, row + 1)[0]

    def properties(self, first: int = 0, last: int | None = None) -> list[Mapping[str, str]]:
        """The properties of conformers ``first:last``; those that are absent or empty are left out."""
        start, stop, _ = slice(first, last).indices(len(self))
        found: list[dict[str, str]] = [{} for _ in range(start, stop)]
        for name, dataset in self._file["properties"].items():
            key = str(dataset.attrs["key"])
            for mapping, value in zip(found, _values(dataset, start, stop), strict=True):
                if value and name == OTHER_PROPERTIES:
                    mapping.update(json.loads(value))
                elif value:
                    mapping[key] = value
        return list(found)

    def rejected(self) -> Iterator[Rejected]:
        """The refused records, one by one."""
        group = self._file["rejected"]
        fields = ("source", "record", "title", "line", "reason")
        for start in range(0, len(group["record"]), SCAN_ROWS):
            rows = (_values(group[field], start, start + SCAN_ROWS).tolist() for field in fields)
            yield from (Rejected(*row) for row in zip(*rows, strict=True))

    def summary(self) -> dict[str, Any]:
        """What is in the file, as plain data.

        Keys: path, bytes, the root attributes, conformers, rejected, rejected_reasons (numbers in them
        replaced by ``#``), dimension, columns, properties, atoms, atoms_smallest, atoms_largest,
        atomic_numbers (atoms of each element), and for embeddings pose_defined, order_defined, point_group and
        in_domain (conformers of each value).
        """
        sizes = np.diff(self.column("atom_offset"))
        reasons = Counter(refused.kind for refused in self.rejected())
        keys = {name: str(dataset.attrs["key"]) for name, dataset in self._file["properties"].items()}
        tallies: dict[str, Any] = {
            name: self._tally(name)
            for name in ("pose_defined", "order_defined", "point_group", "in_domain")
            if name in self.columns
        }
        return {
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            **self.attributes,
            "conformers": len(self),
            "rejected": len(self._file["rejected/record"]),
            "rejected_reasons": dict(reasons.most_common()),
            "dimension": self.dimension,
            "columns": list(self.columns),
            "properties": [key for name, key in keys.items() if name != OTHER_PROPERTIES],
            "atoms": self.n_atoms,
            "atoms_smallest": int(sizes.min(initial=self.n_atoms)),
            "atoms_largest": int(sizes.max(initial=0)),
            "atomic_numbers": self._tally("atomic_number"),
            **tallies,
        }

    def _tally(self, name: str) -> dict[str, int]:
        counts: Counter[str] = Counter()
        dataset = self._file[name]
        for start in range(0, len(dataset), SCAN_ROWS):
            values, times = np.unique(_values(dataset, start, start + SCAN_ROWS), return_counts=True)
            counts.update(dict(zip(map(str, values.tolist()), times.tolist(), strict=True)))
        return dict(counts)

    def _check(self) -> None:
        version = self._file.attrs.get("schema_version")
        if version is None or "molgiae_version" not in self._file.attrs:
            raise MolgiaeError(f"{self.path}: is HDF5, but was not written by molgiae: no schema_version")
        if int(version) > SCHEMA_VERSION:
            raise MolgiaeError(
                f"{self.path}: has schema version {int(version)}, this molgiae reads up to {SCHEMA_VERSION}; "
                f"install molgiae {self._file.attrs['molgiae_version']}, which wrote it, or a newer one"
            )
        required = (name for name in INPUT_COLUMNS if SCHEMA[name].required)
        missing = [name for name in (*required, "properties", "rejected") if name not in self._file]
        if missing:
            raise MolgiaeError(f"{self.path}: is damaged: {', '.join(missing)} missing")
        offset = self._file["atom_offset"]
        atoms = int(offset[-1]) if len(offset) else -1
        if len(offset) != len(self) + 1 or atoms != len(self._file["position"]):
            raise MolgiaeError(f"{self.path}: is damaged: atom_offset does not fit record and position")


def read_hdf5_blocks(path: str | os.PathLike[str], block_size: int = 1024) -> Iterator[ConformerBlock]:
    """Conformers of a molgiae HDF5 file, in the order and pose they were first read in.

    Args:
        path: a file of schema version 1.
        block_size: conformers in a block; the last one may be smaller.

    Yields:
        Blocks whose `source` and `record` are those of the original file; bonds are not kept in HDF5.

    Raises:
        MolgiaeError: as `EmbeddingFile`.
    """
    with EmbeddingFile(path) as file:
        yield from file.blocks(block_size)


def _values(dataset: h5py.Dataset, start: int, stop: int) -> NDArray[Any]:
    dtype = h5py.check_string_dtype(dataset.dtype)
    if dtype is None:
        return np.asarray(dataset[start:stop])
    if dtype.length is None:
        return np.asarray(dataset.asstr(errors="replace")[start:stop], dtype=object)
    return np.asarray(dataset[start:stop]).astype(str)


def _plain(value: Any) -> Any:
    """A root attribute as str, int or float."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
