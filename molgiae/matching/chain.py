"""Core automorphisms worth a look where there are too many to try: branch and bound down a chain of stabilizers.

Every automorphism is a product t1 t2 ... tm of one element of each transversal. The first j of them say which orbit
of the stabilizer of the first j base atoms is sent where, not which atom of it. The overlap is then at most
that of the orbit means plus, for each orbit, the product of the norms of the deviations from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from molgiae.matching.kabsch import best_overlap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Level:
    """One step down the chain.

    Attributes:
        transversal: (m, n) automorphisms that leave earlier base atoms alone, one for each image of the next.
        member: (n, O) float, 1 where an atom is in an orbit of what leaves this base atom alone, too.
        mean: (n, n) takes positions to the means of their orbits.
    """

    transversal: Ints
    member: Floats
    mean: Floats


def levels_of(transversals: list[Ints], bunches: list[Ints]) -> list[Level]:
    """Return the chain of transversals, the orbits enlarged by bunches (k,) of atoms that are permuted anyway."""
    n = transversals[0].shape[1]
    bonds = [np.stack([np.full(len(atoms) - 1, atoms[0]), atoms[1:]]) for atoms in bunches]
    levels = []
    for transversal in reversed(transversals):
        ends = np.concatenate([np.arange(n)[:0].reshape(2, 0), *bonds], axis=1)
        _, orbit = connected_components(
            coo_array((np.ones(ends.shape[1]), ends), shape=(n, n)), directed=False
        )
        member = (orbit[:, None] == np.arange(orbit.max() + 1)).astype(np.float64)
        levels.append(Level(transversal, member, member @ (member / member.sum(axis=0)).T))
        bonds.append(np.stack([np.tile(np.arange(n), len(transversal)), transversal.ravel()]))
    return levels[::-1]


def promising(levels: list[Level], x: Floats, y: Floats, least: float, width: int) -> tuple[Ints, bool]:
    """Return core automorphisms that may lead to a larger overlap than one that is known.

    Args:
        levels: the chain.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        least: the known overlap, angstrom squared.
        width: at each step so many with the largest bounds are kept.

    Returns:
        (K, n) those with the largest bounds first; whether none that may lead to a larger overlap was left out.
    """
    found, complete = np.arange(len(x))[None], True
    for level in levels:
        found = found[:, level.transversal].reshape(-1, len(x))
        bound = _bounds(level, x, y[found])
        order = np.argsort(-bound, kind="stable")
        order = order[bound[order] > least]
        complete &= len(order) <= width
        found = found[order[:width]]
    return found, complete


def _bounds(level: Level, x: Floats, y: Floats) -> Floats:
    """Return the largest overlaps (N,) that partial automorphisms lead to, of positions y (N, n, 3) in their order."""
    mean_x, mean_y = level.mean @ x, level.mean @ y
    c = np.einsum("ki,nkj->ijn", mean_x, y).reshape(9, -1)
    norm_x = np.sqrt(np.square(x - mean_x).sum(axis=1) @ level.member)
    norm_y = np.sqrt(np.square(y - mean_y).sum(axis=2) @ level.member)
    return best_overlap(c) + norm_y @ norm_x
