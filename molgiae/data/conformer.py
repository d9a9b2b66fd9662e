"""One conformer, a block of conformers, and a rejected record: plain numpy, no chemistry toolkit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import SYMBOLS
from molgiae.errors import ConformerError, ShapeError

NATURAL: NDArray[np.uint16] = np.empty(0, np.uint16)
"""Stands for natural isotopes of all atoms where a conformer is made."""

NUCLIDES = 1 << 8
"""More than there are elements: the step between the species of two isotopes."""

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


Bonds = NDArray[np.int64]
"""(K, 2) atoms of each bond, counted from 0, the lesser first, sorted, none twice."""

AtomData = Mapping[str, NDArray[Any]]
"""Further data of the atoms by name, each (n,) or (n, w): numbers, booleans or text."""

NO_BONDS: Bonds = np.empty((0, 2), np.int64)
NO_BONDS.flags.writeable = False


def normalised(bonds: Bonds) -> Bonds:
    """Return bonds in the form that `Bonds` describes."""
    low, high = np.minimum(*bonds.T), np.maximum(*bonds.T)
    size = int(high.max(initial=0)) + 1
    pair = np.sort(low * size + high)
    return np.stack(np.divmod(pair[np.diff(pair, prepend=-1) > 0], size), axis=1)


def _check_bonds(bonds: Bonds, n: int | NDArray[np.int64]) -> None:
    """Raise a ShapeError for bonds that are not between two atoms of n, or of as many as n says of each bond.

    Compiled loops do not look.
    """
    if bonds.ndim != 2 or bonds.shape[1] != 2 or not np.issubdtype(bonds.dtype, np.integer):
        raise ShapeError(
            f"bonds have shape {bonds.shape} and type {bonds.dtype}, expected (K, 2) whole numbers"
        )
    if not len(bonds):
        return
    size = np.broadcast_to(n, len(bonds))
    bad = (bonds.min(axis=1) < 0) | (bonds.max(axis=1) >= size) | (bonds[:, 0] == bonds[:, 1])
    if bad.any():
        k = int(bad.argmax())
        raise ShapeError(
            f"bond {k} is between atoms {bonds[k, 0]} and {bonds[k, 1]}, expected two of the {size[k]} atoms, "
            "counted from 0"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Conformer:
    """One molecule in one geometry, as it stood in its file.

    Attributes:
        atomic_number: (n,) uint8.
        position: (n, 3) float64, angstrom.
        title: first line of an SDF record, comment line of an XYZ frame.
        charge: total charge, elementary charges.
        multiplicity: spin multiplicity; 0 where the record does not say, see `Conformer.state`.
        isotope: (n,) uint16 mass numbers; 0 for the natural mixture.
        bonds: `Bonds`; none where the record lists none, which says nothing about bonds.
        source: file name, or ``-`` for standard input; empty for conformers made in Python.
        record: number of the record in its source, from 1.
        line: line in the source where the record starts, from 1.
        properties: SD data, or the key=value pairs of an extended XYZ comment line; values as written.
        atom_data: further columns of an extended XYZ frame.
        text: the record as it was read, for writers that keep what is not among the fields; empty if there is none.

    Examples:
        >>> oxide = molgiae.Conformer(np.array([6, 8], np.uint8), np.array([[0, 0, 0], [0, 0, 1.13]]), title="CO")
        >>> oxide, len(oxide), oxide.state
        (Conformer('CO', C1 O1), 2, (0, 1))
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    title: str = ""
    charge: int = 0
    multiplicity: int = 0
    isotope: NDArray[np.uint16] = field(default_factory=lambda: NATURAL)
    bonds: Bonds = field(default_factory=lambda: NO_BONDS)
    source: str = ""
    record: int = 0
    line: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    atom_data: AtomData = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        n = len(self.atomic_number)
        if self.position.shape != (n, 3):
            raise ShapeError(f"position has shape {self.position.shape}, expected ({n}, 3)")
        if self.isotope is NATURAL:
            object.__setattr__(self, "isotope", np.zeros(n, np.uint16))
        if self.isotope.shape != (n,):
            raise ShapeError(f"isotope has shape {self.isotope.shape}, expected ({n},)")
        if self.bonds is not NO_BONDS:
            _check_bonds(self.bonds, n)

    def __len__(self) -> int:
        return len(self.atomic_number)

    def __repr__(self) -> str:
        found = Counter(SYMBOLS[z] if z < len(SYMBOLS) else str(z) for z in self.atomic_number.tolist())
        return f"Conformer({self.title!r}, {' '.join(f'{s}{k}' for s, k in sorted(found.items()))})"

    @property
    def species(self) -> NDArray[np.int64]:
        """(n,) element and isotope in one number: equal for atoms of one nuclide, z for natural ones."""
        return species(self.atomic_number, self.isotope)

    @property
    def has_bonds(self) -> bool:
        """Whether the bonds are known: the record lists some, or there is one atom."""
        return len(self) == 1 or len(self.bonds) > 0

    @property
    def state(self) -> tuple[int, int]:
        """Charge and multiplicity; one that is not given is the lowest that the number of electrons allows."""
        electrons = int(self.atomic_number.sum(dtype=np.int64)) - self.charge
        return self.charge, self.multiplicity or 1 + electrons % 2


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was rejected, with the reason; fields as in `Conformer`."""

    source: str
    record: int
    title: str
    line: int
    reason: str

    def error(self, message: str = "") -> ConformerError:
        """Return the error that names the record, for its reason or with another message."""
        line = self.line if self.record else 0
        return ConformerError(
            message or self.reason, source=self.source, record=self.record, title=self.title, line=line
        )


def kind_of(reason: str) -> str:
    """Return a reason with ``#`` for every number, by which rejected records are counted together."""
    return _NUMBER.sub("#", reason)


def species(atomic_number: NDArray[np.uint8], isotope: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return one number for element and isotope of each atom, which is the atomic number of natural ones."""
    return atomic_number + NUCLIDES * isotope.astype(np.int64)


def rows_of(start: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows ``start[b] : start[b] + size[b]`` of each b, one after another."""
    ends = np.cumsum(size)
    return np.repeat(start - ends + size, size) + np.arange(ends[-1] if len(ends) else 0)


def rows_within(
    offset: NDArray[np.int64], which: NDArray[np.bool_] | NDArray[np.int64] | slice
) -> NDArray[np.int64] | slice:
    """Return the rows of some of the stretches that an offset divides."""
    if isinstance(which, slice):
        start, stop, step = which.indices(len(offset) - 1)
        if step != 1:  # stretches of the others lie between
            return rows_within(offset, np.arange(len(offset) - 1)[which])
        return slice(int(offset[start]), int(offset[max(start, stop)]))
    return rows_of(offset[:-1][which], np.diff(offset)[which])


def offset_of(size: NDArray[np.integer] | NDArray[np.bool_] | list[int]) -> NDArray[np.int64]:
    """Return where each of several stretches of these sizes starts, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(size, dtype=np.int64)])


@dataclass(frozen=True, slots=True, repr=False)
class ConformerBlock:
    """M conformers in compressed sparse rows: atoms of conformer m are ``offset[m]:offset[m + 1]``.

    Made by `of` from conformers and by `from_arrays`, which has defaults for what is not known.

    Attributes:
        atomic_number: (N,) uint8.
        position: (N, 3) float64, angstrom.
        isotope: (N,) uint16, 0 for the natural mixture.
        offset: (M + 1,) int64, starts with 0.
        bonds: (K, 2) int64, those of conformer m in rows ``bond_offset[m]:bond_offset[m + 1]``; its atoms from 0.
        bond_offset: (M + 1,) int64, starts with 0.
        charge, multiplicity, record, line: (M,) int64, as of `Conformer`.
        title, source, properties, atom_data, text: M of those of `Conformer`.
        rejected: rejected records of the same stretch of input.

    Examples:
        >>> block = molgiae.ConformerBlock.of(molgiae.from_rdkit(mol, "all"))
        >>> block, block.n_atoms.tolist(), block.take(block.n_atoms > 9)
        (ConformerBlock(3 conformers, 27 atoms), [9, 9, 9], ConformerBlock(0 conformers, 0 atoms))
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    isotope: NDArray[np.uint16]
    offset: NDArray[np.int64]
    bonds: Bonds
    bond_offset: NDArray[np.int64]
    charge: NDArray[np.int64]
    multiplicity: NDArray[np.int64]
    record: NDArray[np.int64]
    line: NDArray[np.int64]
    title: list[str]
    source: list[str]
    properties: list[Mapping[str, str]]
    atom_data: list[AtomData]
    text: list[str]
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.offset) - 1

    def __repr__(self) -> str:
        rejected = f", {len(self.rejected)} rejected" if self.rejected else ""
        return f"ConformerBlock({len(self)} conformers, {len(self.atomic_number)} atoms{rejected})"

    def __getitem__(self, m: int) -> Conformer:
        atoms = self.atoms_of(m)
        values: dict[str, Any] = {name: getattr(self, name)[atoms] for name in PER_ATOM}
        values |= {name: int(getattr(self, name)[m]) for name in NUMBERS}
        values |= {name: getattr(self, name)[m] for name in OBJECTS}
        values["bonds"] = self.bonds[int(self.bond_offset[m]) : int(self.bond_offset[m + 1])]
        return Conformer(**values)

    def atoms_of(self, m: int) -> slice:
        """Return the rows of the atoms of conformer m."""
        return slice(int(self.offset[m]), int(self.offset[m + 1]))

    def __iter__(self) -> Iterator[Conformer]:
        return (self[m] for m in range(len(self)))

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """(M,) atoms of each conformer."""
        return np.diff(self.offset)

    @property
    def owner(self) -> NDArray[np.int64]:
        """(N,) conformer of each atom."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    def name_of(self, atom: int) -> str:
        """Return what the atom of a row is called, as in C3: its element, and its number in the conformer from 1."""
        m = int(np.searchsorted(self.offset, atom, side="right")) - 1
        return f"{SYMBOLS[self.atomic_number[atom]]}{atom - int(self.offset[m]) + 1}"

    def count(self, atoms: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return (M,) how many of the atoms that a mask (N,) marks each conformer has."""
        return np.diff(offset_of(atoms)[self.offset])

    @property
    def species(self) -> NDArray[np.int64]:
        """(N,) as of `Conformer`."""
        return species(self.atomic_number, self.isotope)

    @classmethod
    def from_arrays(
        cls,
        atomic_number: NDArray[np.uint8],
        position: NDArray[np.float64],
        offset: NDArray[np.int64],
        **known: Any,
    ) -> Self:
        """Return a block of these atoms: neutral, of natural isotopes, without bonds, titles and the rest.

        Args:
            atomic_number: (N,).
            position: (N, 3) angstrom.
            offset: (M + 1,).
            **known: attributes by name, in place of those defaults.

        Raises:
            ShapeError: if a bond is of atoms that its conformer does not have.
        """
        size = len(offset) - 1
        values: dict[str, Any] = {
            "isotope": np.zeros(len(atomic_number), np.uint16),
            "bonds": NO_BONDS,
            "bond_offset": np.zeros(size + 1, np.int64),
            **{name: np.zeros(size, np.int64) for name in NUMBERS},
            **{name: [""] * size for name in ("title", "source", "text")},
            **{name: [{}] * size for name in ("properties", "atom_data")},
        }
        values |= known
        _check_bonds(values["bonds"], np.repeat(np.diff(offset), np.diff(values["bond_offset"])))
        return cls(atomic_number, position, offset=offset, **values)

    @classmethod
    def of(cls, conformers: Iterable[Conformer], rejected: Iterable[Rejected] = ()) -> Self:
        """Pack conformers into one block."""
        items = list(conformers)
        values: dict[str, Any] = {
            name: np.concatenate([none, *(getattr(c, name) for c in items)]) for name, none in _NONE.items()
        }
        values |= {name: np.array([getattr(c, name) for c in items], np.int64) for name in NUMBERS}
        values |= {name: [getattr(c, name) for c in items] for name in OBJECTS}
        return cls(
            **values,
            offset=offset_of([len(c) for c in items]),
            bond_offset=offset_of([len(c.bonds) for c in items]),
            rejected=list(rejected),
        )

    def take(
        self, which: NDArray[np.bool_] | NDArray[np.int64] | slice, rejected: Iterable[Rejected] = ()
    ) -> ConformerBlock:
        """Return some conformers; rejected records are added to those already here.

        Args:
            which: a mask, or rows in any order, or a slice, which shares the arrays where it has no step.
            rejected: records to add.
        """
        atoms, bonds = rows_within(self.offset, which), rows_within(self.bond_offset, which)
        rows = np.arange(len(self))[which].tolist()
        values: dict[str, Any] = {name: getattr(self, name)[atoms] for name in PER_ATOM}
        values |= {name: getattr(self, name)[which] for name in NUMBERS}
        values |= {name: [getattr(self, name)[m] for m in rows] for name in OBJECTS}
        return ConformerBlock(
            **values,
            offset=offset_of(np.diff(self.offset)[which]),
            bonds=self.bonds[bonds],
            bond_offset=offset_of(np.diff(self.bond_offset)[which]),
            rejected=[*self.rejected, *rejected],
        )

    def reject(self, reasons: Mapping[int, str]) -> ConformerBlock:
        """Return the block without the conformers of these indices, which are rejected for these reasons."""
        if not reasons:
            return self
        keep = np.ones(len(self), bool)
        keep[list(reasons)] = False
        return self.take(keep, [self.rejection(m, reasons[m]) for m in sorted(reasons)])

    def rejection(self, m: int, reason: str) -> Rejected:
        """Return the record of a conformer that is rejected for a reason."""
        return Rejected(self.source[m], int(self.record[m]), self.title[m], int(self.line[m]), reason)


PER_ATOM = ("atomic_number", "position", "isotope")
NUMBERS = ("charge", "multiplicity", "record", "line")
OBJECTS = ("title", "source", "properties", "atom_data", "text")
"""Attributes of a block: rows per atom, numbers per conformer, other things per conformer."""

_NONE = {
    "atomic_number": np.empty(0, np.uint8),
    "position": np.empty((0, 3)),
    "isotope": NATURAL,
    "bonds": NO_BONDS,
}
