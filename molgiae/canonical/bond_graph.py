"""The bond graph of conformers: bonds as distances show them, and the classes of atoms that it tells apart.

Conformers stand in padded arrays, B of up to n atoms; z is 0 where a row is padded, which is at its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import perceived_bonds_of_block

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
    """Return the bond graph of conformers, by `molgiae.data.bonds.perceived_bonds_of_block`.

    Args:
        z: (B, n) atomic numbers.
        pos: (B, n, 3) angstrom.
    """
    atoms = z > 0
    offset = np.concatenate([[0], atoms.sum(axis=1).cumsum()])
    bonds, margin = perceived_bonds_of_block(z[atoms], pos[atoms], offset)
    conformer, place = atoms.nonzero()
    first, second = bonds.T
    adjacency = np.zeros((*z.shape, z.shape[1]), dtype=bool)
    adjacency[conformer[first], place[first], place[second]] = True
    adjacency |= adjacency.transpose(0, 2, 1)
    return BondGraph(adjacency, refined(ranks(np.where(atoms, -z, 1)), adjacency), margin)


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
