"""What a set of training data covers: the domain of a model that learns from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Domain
from molgiae.data.bond_geometry import Bonding, length_bounds, shares
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.near_atoms import nearest
from molgiae.data.training_ranges import LARGEST_SHARES
from molgiae.model.domain import radii

RAREST = 1000
"""What fewer than one of so many training conformers have does not count as covered: an element, a carbon without its
hydrogens as in CCl2, a flat centre, pieces. A few such conformers do not teach a network what they are."""
TRIMMED = 1e-4
"""Share of the bonds between two elements that is left out at either end of their range."""
CONFORMERS_AT_A_TIME = 4096
"""Conformers whose bonds are held at once."""


def measure_domain(block: ConformerBlock) -> Domain:
    """Return what a set of conformers covers."""
    conformers, fewest = block.owner, len(block) / RAREST
    elements = [
        element
        for element in np.unique(block.atomic_number).tolist()
        if len(np.unique(conformers[block.atomic_number == element])) >= fewest
    ]
    apart: list[float] = []
    flat, bare, bonds = 0, 0, np.zeros((256, 256), np.int64)
    pieces: list[NDArray[np.int64]] = []
    lengths: dict[tuple[int, int], list[float]] = {}
    largest = np.zeros(len(SYMBOLS))
    for start in range(0, len(block), CONFORMERS_AT_A_TIME):
        part = block.take(np.arange(start, min(start + CONFORMERS_AT_A_TIME, len(block))))
        distance = nearest(part.position, part.offset, 1)[0]
        apart += _extremes(np.where(np.isinf(distance), 0.0, distance))
        bonding = Bonding(part)
        pieces.append(bonding.pieces)
        flat += int((part.count(bonding.flat_centres) > 0).sum())
        bare += int((part.count(bonding.bare_carbons) > 0).sum())
        np.maximum(largest, shares(part).max(axis=0), out=largest)
        np.add.at(bonds, tuple(bonding.elements.T), 1)
        for row in bonding.odd(*length_bounds()):
            lengths.setdefault(tuple(bonding.elements[row].tolist()), []).append(float(bonding.length[row]))
    trimmed = ((pair, _trimmed(pair, found, int(bonds[pair]))) for pair, found in sorted(lengths.items()))
    return Domain(
        elements=tuple(elements),
        n_atoms=_extremes(block.n_atoms),
        radius=float(radii(block).max()),
        nearest=(min(apart), max(apart)),
        charge=_extremes(block.charge),
        n_heavy=_extremes(block.count(block.atomic_number > 1)),
        fragments=_most_common(np.concatenate(pieces), fewest),
        flat_centres=flat > 0 and flat >= fewest,
        bare_carbons=bare > 0 and bare >= fewest,
        bonds=tuple((*pair, min(kept), max(kept)) for pair, kept in trimmed if kept),
        shares=tuple(
            (z, float(largest[z]))
            for z in np.flatnonzero(largest).tolist()
            if largest[z] > LARGEST_SHARES.get(z, 0.0)
        ),
    )


def _trimmed(pair: tuple[int, int], odd: list[float], number: int) -> list[float]:
    """Return the lengths beyond the table that are left when `TRIMMED` of all at either end are left out.

    Args:
        pair: the elements.
        odd: lengths beyond the table, all of them if the table has no such bond.
        number: of all bonds between these elements.
    """
    low, high = (bound[pair] for bound in length_bounds())
    cut, found = int(TRIMMED * number), sorted(odd)
    if low > high:
        return found[cut : len(found) - cut]
    below, above = [x for x in found if x < low], [x for x in found if x > high]
    return below[cut:] + above[: max(len(above) - cut, 0)]


def _most_common(values: NDArray[np.int64], fewest: float) -> int:
    """Return the largest value that, or more than it, `fewest` have."""
    ordered = np.sort(values)[::-1]
    return int(ordered[max(int(np.ceil(fewest)) - 1, 0)])


def _extremes(values: NDArray[Any]) -> tuple[Any, Any]:
    """Return the least and the largest value, as a number of Python."""
    return values.min().item(), values.max().item()
