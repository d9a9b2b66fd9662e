"""What an HDF5 file and a directory of such files have in common: conformers and their columns, as they are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import BLOCK_ROWS, Result
from molgiae.data.conformer import NUMBERS, OBJECTS, Conformer, ConformerBlock, Rejected
from molgiae.data.hdf5.schema import INPUT_COLUMNS, KEPT, Column
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.parts import Part

if TYPE_CHECKING:
    from pandas import DataFrame


class Embeddings(ABC):
    """Conformers and their columns, open for reading; a context manager, len() is the conformers.

    A column is read by its name, ``stored["embedding"]``, a `Result` of some conformers by a slice, ``stored[10:20]``.

    Attributes:
        path: of the file or directory.
        attributes: the root attributes: schema_version, molgiae_version, model, model_sha256, command,
            created, convention.
        columns: names of the datasets present, those of `rejected` and `properties` aside; the predicted
            properties are ``predictions/SYMBOL``, their uncertainties ``predictions/SYMBOL_std``.
        dimension: D, the size of the embedding; 0 if there is none.
        parts: those of the embedding, one after the other; files of version 1 have shape, perhaps, and detail.
    """

    path: Path
    attributes: dict[str, Any]
    columns: tuple[str, ...]
    dimension: int
    parts: tuple[Part, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def n_atoms(self) -> int:
        """N, atoms of all conformers."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    @property
    def has_atoms(self) -> bool:
        """Whether there is more than columns per conformer."""
        return "atom_offset" in self.columns

    @property
    def kept(self) -> tuple[str, ...] | None:
        """Names of the columns, where some alone were written; else None."""
        names = self.attributes.get(KEPT)
        return None if names is None else tuple(str(names).split(","))

    @property
    def is_float16(self) -> bool:
        """Whether the embedding is kept in half precision."""
        return "embedding" in self.columns and self.schema("embedding").dtype == "f2"

    @abstractmethod
    def column(
        self, name: str, first: int = 0, last: int | None = None, columns: slice = slice(None)
    ) -> NDArray[Any]:
        """Return rows of one dataset for conformers ``first:last``; for columns per atom, the atoms of these.

        Variable-length strings come as objects of type str, the fixed ones as numpy text.

        Args:
            name: of the dataset.
            first: conformer, from 0.
            last: the conformer after the last; None for all.
            columns: of a dataset with axes behind the rows, what is read of the first of these, such as a part of the
                embedding.

        Raises:
            MolgiaeError: if there is no such column.
        """

    @abstractmethod
    def schema(self, name: str) -> Column:
        """Return the row of the schema of a column that is there, with the unit and description that it has here."""

    @abstractmethod
    def block(self, first: int, last: int) -> ConformerBlock:
        """Return conformers ``first:last`` as they were read, without the records' text and lines.

        Raises:
            MolgiaeError: if there are no atoms.
        """

    @abstractmethod
    def properties(self, first: int = 0, last: int | None = None) -> list[Mapping[str, str]]:
        """Return the properties of conformers ``first:last``; those that are absent or empty are left out."""

    @abstractmethod
    def rejected(self) -> Iterator[Rejected]:
        """Return the rejected records, one by one."""

    @abstractmethod
    def verify(self) -> None:
        """Read all there is, in bounded memory.

        Raises:
            MolgiaeError: for the first value that the schema forbids.
        """

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return what there is, as plain data.

        Keys: path, bytes, the root attributes, conformers, rejected, rejected_reasons (numbers in them
        replaced by ``#``), dimension, parts (of each name, start, stop, unit, meaning), columns, properties, atoms,
        atoms_smallest, atoms_largest, atomic_numbers (atoms of each element), and for embeddings pose_defined,
        order_defined, point_group and in_domain (conformers of each value), and where embeddings were checked decoded,
        how many come back to 0.1 angstrom with their formula (1) and how many do not (0).
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @overload
    def __getitem__(self, name: str) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, name: slice) -> Result: ...
    def __getitem__(self, name: str | slice) -> NDArray[Any] | Result:
        if isinstance(name, str):
            return self.column(name)
        start, stop, step = name.indices(len(self))
        if step < 1:
            raise ConfigError(f"{self.path}: steps of {step} conformers; take 1 or more")
        result = self.result(start, stop)
        return result if step == 1 else result.take(slice(None, None, step))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} conformers)"

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self.columns

    def notes(self) -> list[str]:
        """Return what a user should know of what is read, a line each."""
        return []

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

    def _named(self, name: str) -> str:
        """Return the name of a column.

        Raises:
            MolgiaeError: if there is no such column.
        """
        if name not in self.columns:
            raise MolgiaeError(f"{self.path}: has no column {name}; it has {', '.join(self.columns)}")
        return name

    def labels(self, first: int, last: int) -> ConformerBlock:
        """Return what `block` does, without atoms: for files that have none, and where names are enough."""
        start, stop, _ = slice(first, last).indices(len(self))
        known: dict[str, Any] = {}
        for name in (*NUMBERS, *OBJECTS):
            if name in self.columns:
                values = self.column(name, start, stop)
                known[name] = values.tolist() if values.dtype == object else values.astype(np.int64)
        known["properties"] = self.properties(start, stop)
        size = len(known["record"])
        z, position = np.empty(0, np.uint8), np.empty((0, 3))
        return ConformerBlock.from_arrays(z, position, np.zeros(size + 1, np.int64), **known)

    def blocks(self, block_size: int = BLOCK_ROWS) -> Iterator[ConformerBlock]:
        """Yield all conformers, `block_size` at a time."""
        for first in range(0, len(self), block_size):
            yield self.block(first, first + block_size)

    def result(self, first: int = 0, last: int | None = None) -> Result:
        """Return conformers ``first:last`` and the columns that were computed of them."""
        start, stop, _ = slice(first, last).indices(len(self))
        names = [name for name in self.columns if name not in INPUT_COLUMNS]
        columns = {name: self.column(name, start, stop) for name in names}
        block = (self.block if self.has_atoms else self.labels)(start, stop)
        return Result(block, columns, self.parts)

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
