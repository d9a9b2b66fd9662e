"""Matching within elements: a first solution from several starts, then a proof that there is none better.

From a start, the exact assignment within elements and the rotation of Kabsch alternate until nothing changes, which
leads to a local optimum. `atom_search` proves that the best one is the global one, or finds a better one; where its
work is up, more starts are tried: rotations that bring two atoms of rare elements onto two like them, and an even
sample of all rotations, those that match every atom with its nearest of the same element at the least cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.assignment import Best, Blocks, alternate, nothing_yet
from molgiae.matching.atom_search import search_atoms
from molgiae.matching.kabsch import Floats, Ints, kabsch, sufficient
from molgiae.matching.starts import best_starts, principal_rotations, sampled_rotations

EXACT = 1e-6
"""RMSD in angstrom that cannot be told from zero."""
BUDGET = 1_500_000
"""Pairs of atoms looked at, after which a proof is given up: about 5 ms."""
REFINED = 8
"""Starts beside those given that are refined."""


def superpose(
    z_reference: Ints,
    reference: Floats,
    z_probe: Ints,
    probe: Floats,
    starts: Sequence[tuple[Floats, Floats]],
) -> tuple[Ints, float]:
    """Alternate assignment and Kabsch from several starts until nothing changes; the best end wins.

    Args:
        z_reference: (n,) atomic numbers.
        reference: (n, 3) angstrom.
        z_probe: (n,) the same elements in any order.
        probe: (n, 3) angstrom.
        starts: rotations (3, 3) and translations (3,) of the probe, at least one.

    Returns:
        (n,) atom of the probe for each of the reference; the RMSD after the best proper rotation, angstrom.
    """
    mine, theirs = (np.argsort(z, kind="stable") for z in (z_reference, z_probe))
    to, start = reference.mean(axis=0), probe.mean(axis=0)
    x, y = np.array(reference[mine] - to, np.float64), np.array(probe[theirs] - start, np.float64)
    best = nothing_yet(x, y, 0)
    lying = [(y + start) @ np.asarray(rotation).T + translation - to for rotation, translation in starts]
    alternate(blocks_of(z_reference[mine]), x, y, np.array(lying), best)
    order = np.empty_like(mine)
    order[mine] = theirs[best.order]
    return order, float(kabsch(reference, probe[order])[2])


def principal_starts(reference: Floats, probe: Floats) -> list[tuple[Floats, Floats]]:
    """Return the four proper motions that bring principal axes onto principal axes, centroids onto each other."""
    to, start = reference.mean(axis=0), probe.mean(axis=0)
    return [(turn, to - turn @ start) for turn in principal_rotations(reference - to, probe - start)]


def blocks_of(z: NDArray[np.integer]) -> Blocks:
    """Return the blocks of equal elements (n,), which are sorted."""
    return np.append(np.flatnonzero(np.diff(z, prepend=-1)), len(z)), np.arange(len(z))


def match_atoms(blocks: Blocks, x: Floats, y: Floats, starts: Floats, best: Best) -> bool:
    """Replace the best solution by better ones; return whether none is left.

    Args:
        blocks: of equal elements.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        starts: (S, 3, 3) rotations of the probe to start from, those by principal axes where there are none and
            nothing is known of the best solution.
        best: the best solution so far.
    """
    if not len(starts) and best.overlap[0] == -np.inf:
        starts = principal_rotations(x, y)
    alternate(blocks, x, y, turned(y, starts), best)
    if search_atoms(blocks, x, y, best):
        return True
    before = float(best.overlap[0])
    alternate(blocks, x, y, turned(y, principal_rotations(x, y)), best)
    alternate(blocks, x, y, turned(y, best_starts(blocks, x, y, sampled_rotations(), REFINED)), best)
    if best.overlap[0] <= sufficient(before, best.square, len(x)):
        return False
    best.work[0] = 0
    return search_atoms(blocks, x, y, best)


def turned(y: Floats, rotations: Floats) -> Floats:
    """Return positions (n, 3) after each of some rotations, (S, 3, 3) or (S, 9), as (S, n, 3)."""
    return y @ rotations.reshape(-1, 3, 3).transpose(0, 2, 1)
