"""The best matching within elements that can be found: many rotations, the promising ones refined.

Where the matchings are few, all are tried. Otherwise no bond restricts them, so there is no exhaustive search of
reasonable cost. Starts are rotations that bring
principal axes onto principal axes, two atoms of rare elements onto two like them, and an even sample of all
rotations; their merit is the cost of matching every atom with its nearest of the same element. The best of them
alternate between exact assignment and Kabsch until nothing changes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from molgiae.matching.automorphisms import all_permutations
from molgiae.matching.bounds import radial_bound
from molgiae.matching.kabsch import best_overlap, kabsch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT = 1e-6
"""RMSD in angstrom that cannot be told from zero, the least there is."""
FEW = 5040
"""Matchings that are tried one by one, which costs no more than the search: seven atoms of one element, or ethanol."""
SAMPLES = 64
"""Rotations that sample all of them."""
FRAMES = 48
"""Rotations by two atoms."""
REFINED = 8
"""Starts that are refined."""
ROUNDS = 50
ENTRIES = 1 << 21
"""Squared distances held at once."""
OFF_AXIS = 0.3
"""Least distance, in angstrom, of an atom from the centroid or from an axis that defines a direction."""


def match_atoms(z: Ints, x: Floats, y: Floats, starts: list[Floats]) -> tuple[Ints, NDArray[np.bool_]]:
    """The best matchings found.

    Args:
        z: (n,) elements and isotopes of both, sorted.
        x: (P, n, 3) references, centroids at the origin, angstrom.
        y: (P, n, 3) probes, the same.
        starts: each (P, 3, 3), further rotations of the probes to start from.

    Returns:
        (P, n) atom of y for each of x; (P,) whether no other matching has a lesser RMSD, which is known where it is
        zero or equal to the bound by distances from the centroid, or all were tried.
    """
    p, n = x.shape[:2]
    blocks = [slice(*np.flatnonzero(z == element)[[0, -1]] + (0, 1)) for element in np.unique(z)]
    if math.prod(math.factorial(block.stop - block.start) for block in blocks) <= FEW:
        return np.array([_best_of_all(blocks, *pair) for pair in zip(x, y, strict=True)]), np.ones(p, bool)
    orders, proven = np.empty((p, n), np.int64), np.zeros(p, bool)
    for k in range(p):
        rotations = np.concatenate(
            [*(start[k][None] for start in starts), principal_rotations(x[k], y[k]),
             frame_rotations(z, x[k], y[k]), sampled_rotations()]
        )  # fmt: skip
        merit = _merits(blocks, x[k], y[k], rotations)
        merit[: len(starts)] = -1  # these are refined whatever their merit
        chosen = rotations[np.argsort(merit, kind="stable")[:REFINED]]
        orders[k], found = _refined(blocks, x[k], y[k], chosen)
        bound = float(np.linalg.norm(radial_bound(z, x[k]) - radial_bound(z, y[k])))
        proven[k] = found <= max(EXACT, bound + EXACT)
    return orders, proven


def _best_of_all(blocks: list[slice], x: Floats, y: Floats) -> Ints:
    """(n,) the order with the largest overlap."""
    c = np.zeros((9, 1))
    tables = [all_permutations(block.stop - block.start) for block in blocks]
    for block, table in zip(blocks, tables, strict=True):
        added = np.einsum("ki,fkj->ijf", x[block], y[block][table]).reshape(9, 1, -1)
        c = (c[:, :, None] + added).reshape(9, -1)
    chosen = np.unravel_index(best_overlap(c).argmax(), [len(table) for table in tables])
    return np.concatenate([t[k] + b.start for t, k, b in zip(tables, chosen, blocks, strict=True)])


def principal_rotations(x: Floats, y: Floats) -> Floats:
    """(4, 3, 3) the proper rotations of principal axes onto principal axes, of centred positions (n, 3)."""
    axes_x, axes_y = (np.linalg.eigh(a.T @ a)[1] for a in (x, y))
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    signs[:, 2] *= np.sign(np.linalg.det(axes_x @ axes_y.T)) or 1.0
    return (axes_x * signs[:, None]) @ axes_y.T


@lru_cache(maxsize=1)
def sampled_rotations() -> Floats:
    """(SAMPLES, 3, 3) rotations, the same every time."""
    return np.asarray(Rotation.random(SAMPLES, random_state=0).as_matrix())


def frame_rotations(z: Ints, x: Floats, y: Floats) -> Floats:
    """(F, 3, 3) rotations that bring two atoms of the probe onto two of the reference, the best fitting first.

    The two of the reference are of the rarest elements, off the centroid and off each other's axis: copies have their
    image among the pairs of the probe.
    """
    first, second = _two_atoms(z, x)
    if second < 0:
        return np.empty((0, 3, 3))
    i, j = (a.ravel() for a in np.meshgrid(*(np.flatnonzero(z == z[k]) for k in (first, second))))
    length_x, length_y = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    misfit = np.abs(length_y[i] - length_x[first]) + np.abs(length_y[j] - length_x[second])
    misfit += np.abs(np.linalg.norm(y[i] - y[j], axis=1) - np.linalg.norm(x[first] - x[second]))
    misfit[i == j] = np.inf
    best = np.argsort(misfit, kind="stable")[:FRAMES]
    best = best[np.isfinite(misfit[best])]
    return kabsch(
        np.broadcast_to(_triad(x[first], x[second]), (len(best), 3, 3)), _triad(y[i[best]], y[j[best]])
    )[0]


def _triad(a: Floats, b: Floats) -> Floats:
    """(..., 3, 3) sum, difference and normal of unit vectors along a and b."""
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-12)
    points = np.stack([a, b, np.cross(a, b)], axis=-2)
    return points - points.mean(axis=-2, keepdims=True)


def _two_atoms(z: Ints, x: Floats) -> tuple[int, int]:
    """Two atoms that fix a frame, of the rarest elements; -1 where there is none."""
    values, count = np.unique(z, return_counts=True)
    rarity = count[np.searchsorted(values, z)]
    length = np.linalg.norm(x, axis=1)
    ranked = np.lexsort((-length, rarity))
    first = next((int(k) for k in ranked if length[k] > OFF_AXIS), -1)
    if first < 0:
        return -1, -1
    axis = x[first] / length[first]
    off = np.linalg.norm(x - (x @ axis)[:, None] * axis, axis=1)
    return first, next((int(k) for k in ranked if off[k] > OFF_AXIS), -1)


def _merits(blocks: list[slice], x: Floats, y: Floats, rotations: Floats) -> Floats:
    """(S,) cost of matching each atom with the nearest of its element, in the worse direction, angstrom squared."""
    turned = y @ np.swapaxes(rotations, 1, 2)
    total = np.zeros(len(rotations))
    for block in blocks:
        square = _squares(x[None, block], turned[:, block])
        total += np.maximum(square.min(axis=1).sum(axis=1), square.min(axis=2).sum(axis=1))
    return total


def _squares(x: Floats, y: Floats) -> Floats:
    """(S, m, m) squared distances of points (S, m, 3)."""
    return (
        np.square(x).sum(axis=-1)[:, :, None]
        + np.square(y).sum(axis=-1)[:, None]
        - 2 * x @ np.swapaxes(y, 1, 2)
    )


def _refined(blocks: list[slice], x: Floats, y: Floats, rotations: Floats) -> tuple[Ints, float]:
    """The order (n,) with the least RMSD that assignment and Kabsch in turn lead to, and this RMSD."""
    s, n = len(rotations), len(x)
    orders = np.full((s, n), -1)
    distance = np.full(s, np.inf)
    active = np.arange(s)
    for _ in range(ROUNDS):
        turned = y @ np.swapaxes(rotations[active], 1, 2)
        found = np.empty((len(active), n), np.int64)
        for block in blocks:
            cost = _squares(x[None, block], turned[:, block])
            found[:, block] = [linear_sum_assignment(c)[1] + block.start for c in cost]
        changed = (found != orders[active]).any(axis=1)
        active, found = active[changed], found[changed]
        if not len(active):
            break
        orders[active] = found
        rotations[active], _, distance[active] = kabsch(np.broadcast_to(x, (len(active), n, 3)), y[found])
        if distance.min() < EXACT:
            break
        _, first = np.unique(found, axis=0, return_index=True)
        active = active[first]
    best = int(distance.argmin())
    return orders[best], float(distance[best])
