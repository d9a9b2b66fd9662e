"""One conformer, a block of conformers, and a record that had to be refused: plain numpy, no chemistry toolkit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ShapeError

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Conformer:
    """One molecule in one geometry, as it stood in its file.

    Attributes:
        atomic_number: (n,) uint8.
        position: (n, 3) float64, angstrom.
        title: first line of an SDF record, comment line of an XYZ frame.
        charge: total charge, elementary charges.
        source: file name, or ``-`` for standard input; empty for conformers made in Python.
        record: number of the record in its source, from 1.
        line: line in the source where the record starts, from 1.
        properties: SD data, or the key=value pairs of an extended XYZ comment line; values as written.
        text: the record as it was read, for writers that keep bonds; empty if there is none.
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    title: str = ""
    charge: int = 0
    source: str = ""
    record: int = 0
    line: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        if self.position.shape != (len(self.atomic_number), 3):
            raise ShapeError(
                f"position has shape {self.position.shape}, expected ({len(self.atomic_number)}, 3)"
            )

    def __len__(self) -> int:
        return len(self.atomic_number)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was refused, with the reason; fields as in `Conformer`."""

    source: str
    record: int
    title: str
    line: int
    reason: str

    @property
    def kind(self) -> str:
        """The reason with ``#`` for every number, by which refused records are counted together."""
        return _NUMBER.sub("#", self.reason)


@dataclass(frozen=True, slots=True)
class ConformerBlock:
    """M conformers in compressed sparse rows: atoms of conformer m are ``offset[m]:offset[m + 1]``.

    Attributes:
        atomic_number: (N,) uint8.
        position: (N, 3) float64, angstrom.
        offset: (M + 1,) int64, starts with 0.
        title: M titles.
        charge: (M,) int64.
        source: M file names.
        record: (M,) int64, from 1.
        line: (M,) int64, from 1.
        properties: M mappings.
        text: M records as read.
        rejected: records of the same stretch of input that were refused.
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    offset: NDArray[np.int64]
    title: list[str]
    charge: NDArray[np.int64]
    source: list[str]
    record: NDArray[np.int64]
    line: NDArray[np.int64]
    properties: list[Mapping[str, str]]
    text: list[str]
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offset) - 1

    def __getitem__(self, m: int) -> Conformer:
        atoms = slice(int(self.offset[m]), int(self.offset[m + 1]))
        return Conformer(
            atomic_number=self.atomic_number[atoms],
            position=self.position[atoms],
            title=self.title[m],
            charge=int(self.charge[m]),
            source=self.source[m],
            record=int(self.record[m]),
            line=int(self.line[m]),
            properties=self.properties[m],
            text=self.text[m],
        )

    def __iter__(self) -> Iterator[Conformer]:
        return (self[m] for m in range(len(self)))

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """(M,) atoms of each conformer."""
        return np.diff(self.offset)

    @classmethod
    def of(cls, conformers: Iterable[Conformer], rejected: Iterable[Rejected] = ()) -> ConformerBlock:
        """Pack conformers into one block."""
        items = list(conformers)
        sizes = np.array([len(c) for c in items], dtype=np.int64)
        return cls(
            atomic_number=np.concatenate([c.atomic_number for c in items] or [np.empty(0, np.uint8)]),
            position=np.concatenate([c.position for c in items] or [np.empty((0, 3))]),
            offset=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            title=[c.title for c in items],
            charge=np.array([c.charge for c in items], dtype=np.int64),
            source=[c.source for c in items],
            record=np.array([c.record for c in items], dtype=np.int64),
            line=np.array([c.line for c in items], dtype=np.int64),
            properties=[c.properties for c in items],
            text=[c.text for c in items],
            rejected=list(rejected),
        )

    def take(
        self, keep: NDArray[np.bool_] | NDArray[np.int64], rejected: Iterable[Rejected] = ()
    ) -> ConformerBlock:
        """The chosen conformers, in the order given, and these rejections beside those already here."""
        index = np.flatnonzero(keep) if keep.dtype == np.bool_ else keep
        sizes = self.n_atoms[index]
        offset = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        atoms = np.repeat(self.offset[index] - offset[:-1], sizes) + np.arange(offset[-1])
        return ConformerBlock(
            atomic_number=self.atomic_number[atoms],
            position=self.position[atoms],
            offset=offset,
            title=[self.title[m] for m in index],
            charge=self.charge[index],
            source=[self.source[m] for m in index],
            record=self.record[index],
            line=self.line[index],
            properties=[self.properties[m] for m in index],
            text=[self.text[m] for m in index],
            rejected=[*self.rejected, *rejected],
        )
