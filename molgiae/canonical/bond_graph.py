"""The bond graph of conformers: bonds as distances show them, and the classes of atoms that it tells apart.

Conformers stand in padded arrays, B of up to n atoms; z is 0 where a row is padded, which is at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import BOND_LENGTH_FACTOR, FOUR_BONDS, SURE_FACTOR, perceived_bonds
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.gaps import SAME_LENGTH

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_RADIUS = np.array(COVALENT_RADIUS)
_SAME_SUM = 1e-9
"""Sums of hashes over neighbours that differ by less are of the same neighbours."""


@dataclass(frozen=True, eq=False)
class BondGraph:
    """The bonds of B conformers.

    Attributes:
        adjacency: (B, n, n) bool.
        classes: (B, n) of the atoms, by element, heavy ones first, and by bonds; numbered from 0, padding last.
        margin: (B,) how far the distance that is nearest to its limit is from it, angstrom; infinite for one atom.
    """

    adjacency: Bools
    classes: Ints
    margin: Floats


def bond_graph(z: Ints, pos: Floats) -> BondGraph:
    """Return the bond graph of conformers.

    Args:
        z: (B, n) atomic numbers.
        pos: (B, n, 3) angstrom.
    """
    adjacency, margin = bonded(z, pos)
    return BondGraph(adjacency, refined(ranks(np.where(z > 0, -z, 1)), adjacency), margin)


def bonded(z: Ints, pos: Floats) -> tuple[Bools, Floats]:
    """Return the bonds by the rule of `molgiae.data.bonds.perceived_bonds`, and the margins of `BondGraph`.

    That rule itself decides where a hydrogen has no bond or where lengths are too near to a limit, or to each other,
    to be judged one by one.

    Args:
        z: (B, n) atomic numbers.
        pos: (B, n, 3) angstrom.
    """
    atoms = z > 0
    pair = atoms[:, :, None] & atoms[:, None] & ~np.eye(z.shape[1], dtype=bool)
    radius = _RADIUS[z]
    radii, distance = radius[:, :, None] + radius[:, None], distances(pos)
    beyond_sure = np.where(pair, distance - SURE_FACTOR * radii, np.inf)
    full = (z == FOUR_BONDS) & ((beyond_sure < 0).sum(axis=2) >= 4)
    # a carbon with four neighbours has no bond beyond the lower limit
    barred = (full[:, :, None] | full[:, None]) & (beyond_sure > 0)
    excess = np.where(barred, beyond_sure, distance - BOND_LENGTH_FACTOR * radii)
    bonds = (excess < 0) & pair
    margin = np.abs(excess, where=pair, out=np.full_like(excess, np.inf)).min(axis=(1, 2), initial=np.inf)
    tied = np.abs(beyond_sure).min(axis=(1, 2), initial=np.inf) <= SAME_LENGTH
    lone = ((z == 1) & ~bonds.any(axis=2)).any(axis=1)
    for b in np.flatnonzero(lone | tied | (margin <= SAME_LENGTH)).tolist():
        n = int(atoms[b].sum())
        first, second = perceived_bonds(z[b, :n], pos[b, :n]).T
        bonds[b] = False
        bonds[b, first, second] = bonds[b, second, first] = True
    return bonds, margin


def distances(pos: Floats) -> Floats:
    """(B, n, n) distances between the points of each set (B, n, 3)."""
    square = np.zeros((*pos.shape[:2], pos.shape[1]))
    for k in range(3):
        square += (pos[:, :, None, k] - pos[:, None, :, k]) ** 2
    return np.sqrt(square, out=square)


def refined(classes: Ints, adjacency: Bools) -> Ints:
    """Return the classes, split until atoms of one have neighbours of the same classes (Weisfeiler and Leman, 1968).

    Args:
        classes: (B, n) from 0, last where padded.
        adjacency: (B, n, n).

    Returns:
        (B, n) numbered from 0 without gaps, in the order of the classes given.
    """
    n = classes.shape[1]
    hashes, neighbours = _hashes(n + 1), adjacency.astype(np.float64)
    while True:
        around = (neighbours @ hashes[classes][..., None])[..., 0]
        split = ranks(classes * (n + 1) + ranks(around, _SAME_SUM))
        if np.array_equal(split, classes):
            return classes
        classes = split


def refined_by_isotope(classes: Ints, isotope: Ints | None, adjacency: Bools) -> Ints:
    """Return the classes with atoms of unlike isotopes apart, and those that this tells apart.

    The order among the classes given stays, so that isotopes decide between atoms that are else alike.

    Args:
        classes: (B, n), refined.
        isotope: (B, n) mass numbers, 0 for natural atoms; None if all are.
        adjacency: (B, n, n).
    """
    if isotope is None:
        return classes
    return refined(ranks(classes * (int(isotope.max()) + 1) + isotope), adjacency)


def ranks(values: NDArray[np.generic], tolerance: float = 0.0) -> Ints:
    """Return the ranks (B, n) of values (B, n) in their rows; values that follow each other closer share one.

    So ranks depend on gaps between values, never on a grid that round-off could cross. Infinite values share one.

    Args:
        values: finite or infinite numbers.
        tolerance: the largest gap between values of one rank.
    """
    order = values.argsort(axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    with np.errstate(invalid="ignore"):  # infinity less infinity is no gap
        apart = np.diff(ordered, axis=-1) > tolerance
    rank = np.zeros(values.shape, dtype=np.int64)
    np.cumsum(apart, axis=-1, out=rank[..., 1:])
    found = np.empty_like(rank)
    np.put_along_axis(found, order, rank, axis=-1)
    return found


def _hashes(size: int) -> Floats:
    """Return the same random numbers in [0, 1) at every call, of 53 bits each.

    They decide the order of classes, so a change of this stream changes canonical forms and embeddings.
    """
    stream = np.random.MT19937()
    stream._legacy_seeding(0)
    high, low = stream.random_raw(2 * size).astype(np.uint64).reshape(-1, 2).T
    bits = ((high << np.uint64(32)) | low) & np.uint64((1 << 53) - 1)
    return bits.astype(np.float64) * 2.0**-53
