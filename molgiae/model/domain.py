"""Whether a conformer lies within what training data covered; if it does not, why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Domain, ModelConfig
from molgiae.data.bond_geometry import Bonding, length_bounds, remedy, shares, unit_of
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import COVALENT_RADIUS, SYMBOLS
from molgiae.data.near_atoms import nearest
from molgiae.data.training_ranges import LARGEST_SHARES

ROUNDING = 1e-3
"""Angstrom by which the radius may be missed: coordinates have been rounded in files."""
SHARE_ROUNDING = 1e-9
"""Difference of two shares of elements that round-off explains."""
ADD_HYDROGENS = "if they were left out, add them in 3D, with obabel -h or RDKit's AddHs(mol, addCoords=True)"
OUT_OF_REACH = 2.0
"""Distance over the sum of covalent radii from which on two atoms are two pieces, and no bond that is too long."""

Mask = NDArray[np.bool_]

_RADIUS = np.array(COVALENT_RADIUS)


def radii(block: ConformerBlock) -> NDArray[np.float64]:
    """Return (M,) the largest distance of an atom from the centroid, angstrom."""
    start, owner = block.offset[:-1], block.owner
    centroid = np.add.reduceat(block.position, start) / block.n_atoms[:, None]
    return np.maximum.reduceat(np.linalg.norm(block.position - centroid[owner], axis=1), start)


class Judged:
    """Conformers, and what the rules of a domain look at; their bonds are given where they are known already."""

    def __init__(self, domain: Domain, block: ConformerBlock, bonding: Bonding | None = None) -> None:
        self.domain, self.block, self._bonding = domain, block, bonding

    @cached_property
    def bonding(self) -> Bonding:
        """Their bonds."""
        return self._bonding or Bonding(self.block)

    @cached_property
    def strange(self) -> Mask:
        """(N,) atoms of elements that are not covered."""
        return ~_is_one_of(self.domain.elements)[self.block.atomic_number]

    @cached_property
    def heavy(self) -> NDArray[np.int64]:
        """(M,) atoms that are no hydrogen."""
        return self.block.count(self.block.atomic_number > 1)

    @cached_property
    def excess(self) -> NDArray[np.bool_]:
        """(M, Z) elements whose share exceeds that of all training data."""
        return np.asarray(shares(self.block) > _largest_shares(self.domain.shares) + SHARE_ROUNDING)

    @cached_property
    def odd_bonds(self) -> NDArray[np.int64]:
        """Rows of the bonds that are too short or too long."""
        return self.bonding.odd(*length_bounds(self.domain.bonds))

    @cached_property
    def lone(self) -> NDArray[np.int64]:
        """Atoms without a bond in conformers of several atoms, where training data had but one piece."""
        several = self.block.n_atoms[self.bonding.owner] > 1
        return np.flatnonzero((self.bonding.degree == 0) & several & (self.domain.fragments == 1))

    @cached_property
    def odd_lengths(self) -> Mask:
        """(M,) conformers with `odd_bonds` or `lone` atoms."""
        atoms = np.append(self.bonding.pair[self.odd_bonds, 0], self.lone)
        return np.isin(np.arange(len(self.block)), self.bonding.owner[atoms])

    @cached_property
    def apart(self) -> Mask:
        """(M,) conformers whose bonds are right, and whose `lone` atoms are `OUT_OF_REACH`: pieces."""
        owner, z = self.bonding.owner, self.block.atomic_number
        distance, neighbour = nearest(self.block.position, self.block.offset, 1)
        reach = OUT_OF_REACH * (_RADIUS[z] + _RADIUS[z[neighbour[:, 0]]])
        stretched = self.lone[distance[self.lone, 0] < reach[self.lone]]
        bad = np.append(self.bonding.pair[self.odd_bonds, 0], stretched)
        conformers = np.arange(len(self.block))
        return np.isin(conformers, owner[self.lone]) & ~np.isin(conformers, owner[bad])

    @cached_property
    def units(self) -> dict[int, str]:
        """Conformers that would be molecules if their coordinates were in another unit, and that unit."""
        odd = np.flatnonzero(self.odd_lengths)
        named = zip(odd.tolist(), unit_of(self.block.take(odd)), strict=True)
        return {m: unit for m, unit in named if unit}

    @cached_property
    def radii(self) -> NDArray[np.float64]:
        """(M,) as of `radii`."""
        return radii(self.block)

    @cached_property
    def flat(self) -> Mask:
        """(N,) atoms in a plane with their neighbours that should not be, where training data had none."""
        none = np.zeros(len(self.block.atomic_number), bool)
        return none if self.domain.flat_centres else self.bonding.flat_centres

    @cached_property
    def bare(self) -> Mask:
        """(N,) carbons without the hydrogens that they should have, where training data had none."""
        none = np.zeros(len(self.block.atomic_number), bool)
        return none if self.domain.bare_carbons else self.bonding.bare_carbons


@dataclass(frozen=True)
class Rule:
    """One bound of a domain.

    Attributes:
        name: what is out of bounds; the first word of a reason.
        broken: (M,) by which conformers.
        detail: what was found in one of these, by its number, and what was expected.
    """

    name: str
    broken: Callable[[Judged], Mask]
    detail: Callable[[Judged, int], str]


def _bounded(
    name: str, found: Callable[[Judged], NDArray[np.int64]], bounds: Callable[[Domain], tuple[int, int]]
) -> Rule:
    """Return the rule that whole numbers (M,) lie within bounds."""
    return Rule(
        name,
        lambda x: (found(x) < bounds(x.domain)[0]) | (found(x) > bounds(x.domain)[1]),
        lambda x, m: f"{found(x)[m]}, training had {_range(bounds(x.domain))}",
    )


def _element_detail(x: Judged, m: int) -> str:
    atoms = x.block.atoms_of(m)
    strange = np.unique(x.block.atomic_number[atoms][x.strange[atoms]])
    known = " ".join(SYMBOLS[z] for z in x.domain.elements)
    return f"{', '.join(SYMBOLS[z] for z in strange)} is not among {known}"


def _range(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]}" if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"


def _share_detail(x: Judged, m: int) -> str:
    z = int(x.excess[m].argmax())
    count = (x.block.atomic_number[x.block.atoms_of(m)] == z).sum()
    largest = _largest_shares(x.domain.shares)[z]
    return f"{count} of {x.heavy[m]} heavy atoms are {SYMBOLS[z]}, training had up to {largest:.0%}"


def _length_detail(x: Judged, m: int) -> str:
    z, position, bounds = x.block.atomic_number, x.block.position, length_bounds(x.domain.bonds)
    pair, length = x.bonding.pair, x.bonding.length
    mine = x.odd_bonds[x.bonding.owner[pair[x.odd_bonds, 0]] == m]
    if len(mine):
        ends = x.bonding.elements[mine].T
        beyond = np.maximum(bounds[0][*ends] - length[mine], length[mine] - bounds[1][*ends])
        worst = np.lexsort((*pair[mine].T, -beyond.round(6)))[0]
        first, second = pair[mine[worst]].tolist()
    else:
        first = int(x.lone[x.bonding.owner[x.lone] == m][0])
        others = np.setdiff1d(np.flatnonzero(x.bonding.owner == m), first)
        apart = np.linalg.norm(position[others] - position[first], axis=1)
        second = int(others[(apart / (_RADIUS[z[first]] + _RADIUS[z[others]])).argmin()])
    low, high = (bound[z[first], z[second]] for bound in bounds)
    expected = f"expected {low:.2f} to {high:.2f}" if low <= high else "training had no such bond"
    found = float(np.linalg.norm(position[first] - position[second]))
    return f"{x.block.name_of(first)}-{x.block.name_of(second)} is {found:.3f} A, {expected}"


def _flat_detail(x: Judged, m: int) -> str:
    atoms = x.block.atoms_of(m)
    centre = atoms.start + int(x.flat[atoms].argmax())
    return f"{x.block.name_of(centre)} and its neighbours lie in a plane"


def _bare_detail(x: Judged, m: int) -> str:
    atoms = x.block.atoms_of(m)
    carbon = atoms.start + int(x.bare[atoms].argmax())
    return f"no carbon has any, and {x.block.name_of(carbon)} should; {ADD_HYDROGENS}"


COMPOSITION = (
    Rule("element", lambda x: x.block.count(x.strange) > 0, _element_detail),
    _bounded("charge", lambda x: x.block.charge, lambda domain: domain.charge),
    _bounded("atoms", lambda x: x.block.n_atoms, lambda domain: domain.n_atoms),
    _bounded("heavy atoms", lambda x: x.heavy, lambda domain: domain.n_heavy),
    Rule("composition", lambda x: np.asarray(x.excess.any(axis=1)), _share_detail),
)
"""What needs no coordinates and costs next to nothing."""

UNITS = Rule(
    "units", lambda x: np.isin(np.arange(len(x.block)), list(x.units)), lambda x, m: remedy(x.units[m])
)
"""A better reason than any other; conformers that break it have odd bond lengths."""

GEOMETRY = (
    Rule("bond length", lambda x: x.odd_lengths & ~x.apart, _length_detail),
    Rule(
        "fragments",
        lambda x: x.bonding.pieces > x.domain.fragments,
        lambda x, m: (
            f"{x.bonding.pieces[m]} that no bond connects, training had {_range((1, x.domain.fragments))}"
        ),
    ),
    Rule("hydrogens", lambda x: x.block.count(x.bare) > 0, _bare_detail),
    Rule("flat centre", lambda x: x.block.count(x.flat) > 0, _flat_detail),
    Rule(
        "radius",
        lambda x: x.radii > x.domain.radius + ROUNDING,
        lambda x, m: (
            f"an atom is {x.radii[m]:.2f} A from the centroid, training had up to {x.domain.radius:.2f}"
        ),
    ),
)


def domain_reasons(domain: Domain, block: ConformerBlock) -> NDArray[np.object_]:
    """Return (M,) why conformers are outside of a domain: ``RULE: what was found``, empty for those inside.

    Of several reasons the first is given: `UNITS`, then those of `COMPOSITION`, then those of `GEOMETRY`.
    """
    reasons = np.full(len(block), "", dtype=object)
    if not len(block):
        return reasons
    x, inside = Judged(domain, block), np.ones(len(block), bool)
    for rule in (UNITS, *COMPOSITION, *GEOMETRY):
        broken = rule.broken(x) & inside
        for m in np.flatnonzero(broken).tolist():
            reasons[m] = f"{rule.name}: {rule.detail(x, m)}"
        inside &= ~broken
    return reasons


def rule_of(reason: str) -> str:
    """Return the name of the rule that a reason from `domain_reasons` is about."""
    return reason.partition(":")[0]


def in_domain(
    domain: Domain,
    block: ConformerBlock,
    bonding: Bonding | None = None,
    rules: Sequence[Rule] = (*COMPOSITION, *GEOMETRY),
) -> Mask:
    """Return (M,) whether conformers break none of the rules; their bonds are given where they are known already."""
    x = Judged(domain, block, bonding)
    return ~np.any([rule.broken(x) for rule in rules], axis=0) if len(block) else np.zeros(0, bool)


def accepted(config: ModelConfig, block: ConformerBlock) -> Mask:
    """Return (M,) whether a network takes the conformers at all: knows their elements and has room for their atoms."""
    strange = ~_is_one_of(config.elements)[block.atomic_number]
    return (block.count(strange) == 0) & (block.n_atoms <= config.max_atoms)


@lru_cache(maxsize=64)
def _largest_shares(larger: tuple[tuple[int, float], ...]) -> NDArray[np.float64]:
    """Return (Z,) the largest share of each element in training data."""
    shares = np.zeros(len(SYMBOLS))
    for z, share in (*LARGEST_SHARES.items(), *larger):
        shares[z] = max(shares[z], share)
    return shares


def _is_one_of(elements: Sequence[int]) -> Mask:
    """Return (256,) whether an atomic number is among the elements."""
    return np.isin(np.arange(256), elements)
