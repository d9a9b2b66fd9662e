"""What training data covered, and whether a conformer lies within; if it does not, why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Domain, ModelConfig
from molgiae.data.bonding import Bonding, length_bounds, nearest, owners, remedy, shares, unit_of
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import COVALENT_RADIUS, SYMBOLS
from molgiae.data.training_ranges import LARGEST_SHARES

SLACK = 1e-3
"""Angstrom by which the radius may be missed: coordinates have been rounded in files."""
CHUNK = 4096
"""Conformers whose bonds are held at once."""

Mask = NDArray[np.bool_]

_RADIUS = np.array(COVALENT_RADIUS)


def measure_domain(block: ConformerBlock) -> Domain:
    """Return what a set of conformers covers."""
    conformers = owners(block)
    elements = [
        element
        for element in np.unique(block.atomic_number).tolist()
        if len(np.unique(conformers[block.atomic_number == element])) >= len(block) / 1000
    ]
    heavy = _per_conformer(block.atomic_number > 1, block)
    radius, near, far, fragments, flat = 0.0, math.inf, 0.0, 1, False
    lengths: dict[tuple[int, int], tuple[float, float]] = {}
    largest = np.zeros(len(SYMBOLS))
    for start in range(0, len(block), CHUNK):
        part = block.take(np.arange(start, min(start + CHUNK, len(block))))
        radius = max(radius, float(radii(part).max()))
        distance = nearest(part.position, owners(part), 1)[0][:, 0]
        distance = np.where(np.isinf(distance), 0.0, distance)
        near, far = min(near, float(distance.min())), max(far, float(distance.max()))
        bonding = Bonding.of(part)
        fragments, flat = max(fragments, int(bonding.pieces.max())), flat or bool(bonding.flat_centres.any())
        np.maximum(largest, shares(part).max(axis=0), out=largest)
        for row in bonding.odd(*length_bounds()):
            pair, length = tuple(bonding.elements[row].tolist()), float(bonding.length[row])
            low, high = lengths.get(pair, (length, length))
            lengths[pair] = min(low, length), max(high, length)
    return Domain(
        elements=tuple(elements),
        n_atoms=(int(block.n_atoms.min()), int(block.n_atoms.max())),
        radius=radius,
        nearest=(near, far),
        charge=(int(block.charge.min()), int(block.charge.max())),
        n_heavy=(int(heavy.min()), int(heavy.max())),
        fragments=fragments,
        flat_centres=flat,
        bonds=tuple((*pair, *ends) for pair, ends in sorted(lengths.items())),
        shares=tuple(
            (z, float(largest[z]))
            for z in np.flatnonzero(largest).tolist()
            if largest[z] > LARGEST_SHARES.get(z, 0.0)
        ),
    )


def radii(block: ConformerBlock) -> NDArray[np.float64]:
    """Return (M,) the largest distance of an atom from the centroid, angstrom."""
    start, owner = block.offset[:-1], owners(block)
    centroid = np.add.reduceat(block.position, start) / block.n_atoms[:, None]
    return np.maximum.reduceat(np.linalg.norm(block.position - centroid[owner], axis=1), start)


class Judged:
    """Conformers before the bounds of a domain.

    Args:
        domain: of a model.
        block: M conformers.
        bonding: their bonds, where these are known already.
    """

    def __init__(self, domain: Domain, block: ConformerBlock, bonding: Bonding | None = None) -> None:
        self.domain, self.block, self._bonding = domain, block, bonding

    @cached_property
    def bonding(self) -> Bonding:
        """Their bonds."""
        return self._bonding or Bonding.of(self.block)

    @cached_property
    def heavy(self) -> NDArray[np.int64]:
        """(M,) atoms that are no hydrogen."""
        return _per_conformer(self.block.atomic_number > 1, self.block)

    @cached_property
    def excess(self) -> NDArray[np.bool_]:
        """(M, Z) elements whose share exceeds that of all training data."""
        return np.asarray(shares(self.block) > _largest_shares(self.domain.shares) + 1e-9)

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
        found = np.zeros(len(self.block), bool)
        found[self.bonding.owner[self.bonding.pair[self.odd_bonds, 0]]] = True
        found[self.bonding.owner[self.lone]] = True
        return found

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

    def atom(self, row: int) -> str:
        """Return what an atom is called, as in C3: its element, and its number in the conformer from 1."""
        z, m = int(self.block.atomic_number[row]), int(self.bonding.owner[row])
        return f"{SYMBOLS[z]}{row - int(self.block.offset[m]) + 1}"


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


def _strange_elements(x: Judged) -> Mask:
    return ~_only(x.domain.elements, x.block)


def _element_detail(x: Judged, m: int) -> str:
    strange = sorted(set(x.block[m].atomic_number.tolist()) - set(x.domain.elements))
    known = " ".join(SYMBOLS[z] for z in x.domain.elements)
    return f"{', '.join(SYMBOLS[z] for z in strange)} is not among {known}"


def _range(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]}" if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"


def _share_detail(x: Judged, m: int) -> str:
    z = int(x.excess[m].argmax())
    count, largest = int((x.block[m].atomic_number == z).sum()), _largest_shares(x.domain.shares)[z]
    return f"{count} of {x.heavy[m]} heavy atoms are {SYMBOLS[z]}, training had up to {largest:.0%}"


def _in_other_units(x: Judged) -> Mask:
    found = np.zeros(len(x.block), bool)
    found[list(x.units)] = True
    return found


def _length_detail(x: Judged, m: int) -> str:
    bonding, bounds = x.bonding, length_bounds(x.domain.bonds)
    mine = x.odd_bonds[bonding.owner[bonding.pair[x.odd_bonds, 0]] == m]
    if len(mine):
        length, ends = bonding.length[mine], bonding.elements[mine].T
        beyond = np.maximum(bounds[0][*ends] - length, length - bounds[1][*ends])
        worst = np.lexsort((*bonding.pair[mine].T, -beyond.round(6)))[0]
        first, second = bonding.pair[mine[worst]].tolist()
    else:
        first = int(x.lone[bonding.owner[x.lone] == m][0])
        atoms = np.arange(x.block.offset[m], x.block.offset[m + 1])
        atoms = atoms[atoms != first]
        apart = np.linalg.norm(x.block.position[atoms] - x.block.position[first], axis=1)
        second = int(
            atoms[
                (
                    apart / (_RADIUS[x.block.atomic_number[[first]]] + _RADIUS[x.block.atomic_number[atoms]])
                ).argmin()
            ]
        )
    length = float(np.linalg.norm(x.block.position[first] - x.block.position[second]))
    low, high = (bound[*x.block.atomic_number[[first, second]]] for bound in bounds)
    expected = f"expected {low:.2f} to {high:.2f}" if low <= high else "training had no such bond"
    return f"{x.atom(first)}-{x.atom(second)} is {length:.3f} A, {expected}"


def _with_flat_centres(x: Judged) -> Mask:
    return (
        np.zeros(len(x.block), bool) if x.domain.flat_centres else x.bonding.count(x.bonding.flat_centres) > 0
    )


def _flat_detail(x: Judged, m: int) -> str:
    row = int(np.flatnonzero(x.bonding.flat_centres & (x.bonding.owner == m))[0])
    return f"{x.atom(row)} and its neighbours lie in a plane"


COMPOSITION = (
    Rule("element", _strange_elements, _element_detail),
    Rule(
        "charge",
        lambda x: ~_between(x.block.charge, x.domain.charge),
        lambda x, m: f"{x.block.charge[m]}, training had {_range(x.domain.charge)}",
    ),
    Rule(
        "atoms",
        lambda x: ~_between(x.block.n_atoms, x.domain.n_atoms),
        lambda x, m: f"{x.block.n_atoms[m]}, training had {_range(x.domain.n_atoms)}",
    ),
    Rule(
        "heavy atoms",
        lambda x: ~_between(x.heavy, x.domain.n_heavy),
        lambda x, m: f"{x.heavy[m]}, training had {_range(x.domain.n_heavy)}",
    ),
    Rule("composition", lambda x: np.asarray(x.excess.any(axis=1)), _share_detail),
)
"""What needs no coordinates and costs next to nothing."""

UNITS = Rule("units", _in_other_units, lambda x, m: remedy(x.units[m]))
"""A better reason than any other; conformers that break it have odd bond lengths."""

GEOMETRY = (
    Rule("bond length", lambda x: x.odd_lengths, _length_detail),
    Rule(
        "fragments",
        lambda x: x.bonding.pieces > x.domain.fragments,
        lambda x, m: (
            f"{x.bonding.pieces[m]} that no bond connects, training had {_range((1, x.domain.fragments))}"
        ),
    ),
    Rule("flat centre", _with_flat_centres, _flat_detail),
    Rule(
        "radius",
        lambda x: x.radii > x.domain.radius + SLACK,
        lambda x, m: (
            f"an atom is {x.radii[m]:.2f} A from the centroid, training had up to {x.domain.radius:.2f}"
        ),
    ),
)


def domain_reasons(domain: Domain, block: ConformerBlock) -> NDArray[np.object_]:
    """Return (M,) why conformers are outside of a domain: ``RULE: what was found``, empty for those inside.

    Of several reasons the first is given: `UNITS`, then those of `COMPOSITION`, then those of `GEOMETRY`.

    Args:
        domain: of a model.
        block: M conformers.
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


def in_domain(domain: Domain, block: ConformerBlock, bonding: Bonding | None = None) -> Mask:
    """Return (M,) whether elements, size, charge, bonds and extent are within those of the training data.

    Args:
        domain: of a model.
        block: M conformers.
        bonding: their bonds, where these are known already.
    """
    if not len(block):
        return np.zeros(0, bool)
    return ~_any_broken((*COMPOSITION, *GEOMETRY), Judged(domain, block, bonding))


def composition_in_domain(domain: Domain, block: ConformerBlock) -> Mask:
    """Return (M,) whether elements, size and charge are within: the part of `in_domain` that costs next to nothing.

    Args:
        domain: of a model.
        block: M conformers.
    """
    return ~_any_broken(COMPOSITION, Judged(domain, block))


def accepted(config: ModelConfig, block: ConformerBlock) -> Mask:
    """Return (M,) whether a network takes the conformers at all: knows their elements and has room for their atoms."""
    return _only(config.elements, block) & (block.n_atoms <= config.max_atoms)


def _any_broken(rules: Sequence[Rule], x: Judged) -> Mask:
    broken = np.zeros(len(x.block), bool)
    for rule in rules:
        broken |= rule.broken(x)
    return broken


@lru_cache(maxsize=64)
def _largest_shares(larger: tuple[tuple[int, float], ...]) -> NDArray[np.float64]:
    """(Z,) largest share of each element in training data."""
    shares = np.zeros(len(SYMBOLS))
    for z, share in (*LARGEST_SHARES.items(), *larger):
        shares[z] = max(shares[z], share)
    return shares


def _only(elements: Sequence[int], block: ConformerBlock) -> Mask:
    known = np.zeros(256, dtype=bool)
    known[list(elements)] = True
    return _per_conformer(~known[block.atomic_number], block) == 0


def _per_conformer(atoms: Mask, block: ConformerBlock) -> NDArray[np.int64]:
    """(M,) how many atoms of each conformer are marked."""
    marked = np.concatenate([[0], np.cumsum(atoms, dtype=np.int64)])
    return np.diff(marked[block.offset])


def _between(values: NDArray[np.int64], bounds: tuple[int, int]) -> Mask:
    return (values >= bounds[0]) & (values <= bounds[1])
