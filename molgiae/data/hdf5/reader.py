"""Reading molgiae's HDF5 files: columns on demand, conformers in blocks, a summary."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import BLOCK_ROWS
from molgiae.data.conformer import PER_ATOM, AtomData, ConformerBlock, Rejected, kind_of
from molgiae.data.hdf5.checks import SCAN_ROWS, layout_of
from molgiae.data.hdf5.damage import DamagedError, opened, reading
from molgiae.data.hdf5.decoded import DECODED_FORMULA, comes_back, decoded_rmsd_in
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.schema import INPUT_COLUMNS, LEAST_ROWS, OTHER_PROPERTIES, REJECTED_COLUMNS, Column
from molgiae.data.hdf5.stored import Stored
from molgiae.errors import MolgiaeError

NUMPY_TYPES = {"R": np.float64, "I": np.int64, "L": np.bool_, "S": np.str_}
"""Kinds of columns of extended XYZ."""


class EmbeddingFile(Embeddings):
    """An HDF5 file of schema version 1 or 2, open for reading; methods and attributes are those of `Embeddings`.

    Read by its columns, ``file["embedding"]``, which `iter_blocks` and `to_pandas` join with the conformers.

    Args:
        path: the file.

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
        self._file = opened(self.path)
        try:
            self._layout = layout_of(self._file, self.path)
        except MolgiaeError:
            self._file.close()
            raise
        self.attributes = self._layout.attributes
        self._last_offset: dict[str, tuple[tuple[int, int], NDArray[np.int64]]] = {}
        self.columns = tuple(name for name in self._layout.datasets if not name.startswith("rejected/"))
        self.dimension = self._layout.dimension
        self.parts = self._layout.parts

    def __len__(self) -> int:
        return self._layout.rows["conformer"]

    @property
    def n_atoms(self) -> int:
        """N, atoms of all conformers."""
        return self._layout.rows.get("atom", 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def column(
        self, name: str, first: int = 0, last: int | None = None, columns: slice = slice(None)
    ) -> NDArray[Any]:
        """Return rows of one dataset, see `Embeddings.column`."""
        stored = self._layout.datasets[self._named(name)]
        start, stop, _ = slice(first, last).indices(len(self))
        with reading(self.path):
            return self._read(stored, start, max(start, stop), columns)

    def _read(self, stored: Stored, start: int, stop: int, columns: slice = slice(None)) -> NDArray[Any]:
        """Return what a dataset has for conformers ``start:stop``."""
        column = stored.column
        if column.per not in LEAST_ROWS:
            return stored.read(start, stop + (column.per == "boundary"), columns=columns)
        offset = self._offset(column.per, start, stop)
        boundaries = (offset, np.diff(self._offset("atom", start, stop))) if column.numbers_atoms else None
        return stored.read(int(offset[0]), int(offset[-1]), boundaries, columns)

    def _offset(self, axis: str, start: int, stop: int) -> NDArray[np.int64]:
        """Return where rows of atoms or bonds of conformers ``start:stop`` start and end; columns ask in turn."""
        known, offset = self._last_offset.get(axis, ((-1, -1), None))
        if offset is None or known != (start, stop):
            offset = self._layout.datasets[f"{axis}_offset"].read(start, stop + 1)
            self._last_offset[axis] = (start, stop), offset
        return offset

    def schema_row(self, name: str) -> Column:
        """Return the row of the schema of a column, as it stands there."""
        return self._layout.datasets[self._named(name)].column

    def schema(self, name: str) -> Column:
        """Return the row of the schema of a column, see `Embeddings.schema`."""
        stored = self._layout.datasets[self._named(name)]
        rows, *sizes = (stored.column.axes.split()[0], *map(str, stored.dataset.shape[1:]))
        with reading(self.path):
            unit, description = (str(stored.dataset.attrs.get(key, "")) for key in ("unit", "description"))
        half = stored.column.dtype == "f4" and stored.dataset.dtype == np.float16
        dtype = "f2" if half else stored.column.dtype
        return replace(
            stored.column,
            name=name,
            dtype=dtype,
            axes=" ".join((rows, *sizes)),
            unit=unit,
            description=description,
        )

    def block(self, first: int, last: int) -> ConformerBlock:
        """Return conformers ``first:last`` as they were read, without the records' text and lines."""
        start, stop, _ = slice(first, last).indices(len(self))
        if not self.has_atoms:
            raise MolgiaeError(
                f"{self.path}: holds no atoms, only {', '.join(self.columns)}; make it again without --columns"
            )
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
            (self.block if self.has_atoms else self.labels)(first, first + BLOCK_ROWS)
            for name in self.columns:
                self.column(name, first, first + BLOCK_ROWS)
        for _ in self.rejected():
            pass

    def summary(self) -> dict[str, Any]:
        """Return what is in the file, see `Embeddings.summary`."""
        sizes = np.diff(self.column("atom_offset")) if self.has_atoms else np.empty(0, np.int64)
        reasons = Counter(kind_of(rejected.reason) for rejected in self.rejected())
        properties = self._layout.properties.items()
        tallied = ("pose_defined", "order_defined", "point_group", "in_domain")
        return {
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            "bytes_per_conformer": round(self.path.stat().st_size / max(len(self), 1)),
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
            "atomic_numbers": self._tally("atomic_number") if self.has_atoms else {},
            **{name: self._tally(name) for name in tallied if name in self.columns},
            **self._decoded(),
        }

    def _decoded(self) -> dict[str, dict[str, int]]:
        """Return how many conformers come back from their embeddings, if the file says so."""
        if (name := decoded_rmsd_in(self.columns)) is None:
            return {}
        counts: Counter[str] = Counter()
        for start in range(0, len(self), SCAN_ROWS):
            rows = start, start + SCAN_ROWS
            back = comes_back(self.column(name, *rows), self.column(DECODED_FORMULA, *rows))
            counts.update({"0": int((~back).sum()), "1": int(back.sum())})
        return {"decoded": {value: count for value, count in counts.items() if count}}

    def _tally(self, name: str) -> dict[str, int]:
        """Return how often each value occurs."""
        counts: Counter[str] = Counter()
        stored = self._layout.datasets[name]
        with reading(self.path):
            for start in range(0, len(stored.dataset), SCAN_ROWS):
                values, times = np.unique(stored.read(start, start + SCAN_ROWS), return_counts=True)
                counts.update(dict(zip(map(str, values.tolist()), times.tolist(), strict=True)))
        return dict(counts)


def _pairs(text: str) -> dict[str, str]:
    """Return the keys and values that share one dataset."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DamagedError(f"properties/{OTHER_PROPERTIES}", f"has {text[:60]!r}", "texts by key as JSON")
    return found
