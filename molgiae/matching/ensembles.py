"""Conformers grouped by molecule, the atoms of each group in one order.

Conformers are of one molecule where they have the same atoms and, where bonds are known, the same bond graph. The
refined colours of the graph (Weisfeiler and Leman 1968) name atoms that no isomorphism can exchange; without bonds the
elements do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import NO_BONDS, Conformer, normalised
from molgiae.matching.graphs import refine
from molgiae.matching.molecules import Formula, formula_of, molecules_of
from molgiae.matching.pairs import Match

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Molecule:
    """Conformers that may be copies of each other, their atoms in one order.

    Attributes:
        rows: (m,) which of all conformers these are, in the order in which they are gone through.
        position: (m, n, 3) angstrom, centered.
        first: the first of them, its atoms in this order; without bonds where these do not matter.
        match: how the atoms are matched.
        colour: (n,) ascending; atoms of different colours are never matched.
    """

    rows: Ints
    position: Floats
    first: Conformer
    match: Match
    colour: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def conformers(self, chosen: Ints) -> list[Conformer]:
        """Return some of the m."""
        return [replace(self.first, position=self.position[k]) for k in chosen.tolist()]

    def without_hydrogens(self) -> Molecule:
        """Return the same conformers without their hydrogens, where they have other atoms.

        Matchings stay those of the whole molecule: isotopes stand for colours, which tell by their hydrogens atoms
        apart that the bonds of the others alone would not.
        """
        kept = np.flatnonzero(self.first.atomic_number > 1)
        if len(kept) in (0, len(self.colour)):
            return self
        place, bonds = np.full(len(self.colour), -1), self.first.bonds
        place[kept] = np.arange(len(kept))
        bonds = place[bonds[(place[bonds] >= 0).all(axis=1)]]
        position, colour = self.position[:, kept], self.colour[kept]
        first = Conformer(
            self.first.atomic_number[kept], position[0], isotope=colour.astype(np.uint16), bonds=bonds
        )
        return replace(
            self,
            position=position - position.mean(axis=1, keepdims=True),
            first=first,
            colour=np.unique(colour, return_inverse=True)[1],
        )


def molecules(
    conformers: SupportsLenAndGetItem[Conformer], match: Match | None = None, order: Ints | None = None
) -> Iterator[Molecule]:
    """Group conformers by formula, charge and multiplicity and, where atoms are matched by bonds, by their bond graph.

    How atoms are matched, and the order (M,) in which conformers are gone through, are those of `Rule` and
    `find_duplicates` of `molgiae.matching.copies`.
    """
    formulas: dict[Formula, list[int]] = {}
    for row in range(len(conformers)) if order is None else order.tolist():
        formulas.setdefault(formula_of(conformers[row]), []).append(row)
    for rows in formulas.values():
        members = [conformers[row] for row in rows]
        by_bonds = match == "bonds" or (match is None and all(c.has_bonds for c in members))
        for chosen, orders, colour in _by_bonds(members) if by_bonds else _by_atoms(members):
            first, atoms = members[chosen[0]], orders[0]
            bonds = normalised(np.argsort(atoms)[known_bonds(first)]) if by_bonds else NO_BONDS
            position = np.array([members[m].position[o] for m, o in zip(chosen, orders, strict=True)])
            yield Molecule(
                rows=np.array(rows)[chosen],
                position=position - position.mean(axis=1, keepdims=True),
                first=Conformer(
                    first.atomic_number[atoms], position[0], isotope=first.isotope[atoms], bonds=bonds
                ),
                match="bonds" if by_bonds else "atoms",
                colour=np.unique(colour, return_inverse=True)[1],
            )


Group = tuple[list[int], list[Ints], NDArray[np.integer] | Floats]
"""Members of one molecule, the order of the atoms of each, and the colours (n,) in this order, ascending."""


def _by_atoms(members: list[Conformer]) -> Iterator[Group]:
    orders = [np.argsort(c.species, kind="stable") for c in members]
    yield list(range(len(members))), orders, members[0].species[orders[0]]


def _by_bonds(members: list[Conformer]) -> Iterator[Group]:
    labelled = molecules_of(members)
    of_molecule: list[list[int]] = [[] for _ in labelled.graph]
    for m, number in enumerate(labelled.molecule):
        of_molecule[number].append(m)
    for graph, chosen in zip(labelled.graph, of_molecule, strict=True):
        colour = refine(graph)
        by_colour = np.argsort(colour, kind="stable")
        yield chosen, [labelled.order[m][by_colour] for m in chosen], colour[by_colour]
