"""Matching within elements: assignment and rotation in turn, from many starts.

From a start, the exact assignment within elements and the rotation of Kabsch alternate until nothing changes. Each
round lowers the RMSD or ends, so every start leads to a local optimum; that the best of these is the global one is
proven only where it is zero, equal to a lower bound, or one of so few matchings that all were tried. Starts are
rotations that bring principal axes onto principal axes, two atoms of rare elements onto two like them, and an even
sample of all rotations; those are refined that match every atom with its nearest of the same element at the least
cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from molgiae.matching.automorphisms import all_permutations
from molgiae.matching.kabsch import best_overlap, kabsch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT = 1e-6
"""RMSD in angstrom that cannot be told from zero."""
MAX_TRIED = 5040
"""Matchings that are tried one by one, which costs no more than the search: seven atoms of one element, or ethanol."""
SAMPLES = 64
"""Rotations that sample all of them."""
FRAMES = 48
"""Rotations by two atoms."""
REFINED = 8
"""Starts that are refined."""
MAX_ROUNDS = 50
MIN_OFF_AXIS = 0.3
"""Least distance, in angstrom, of an atom from the centroid or from an axis that defines a direction."""


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
    rotations = np.array([rotation for rotation, _ in starts])
    shifts = np.array([rotation @ start + translation - to for rotation, translation in starts])
    found, _ = _refined(
        blocks_of(z_reference[mine]),
        (reference - to)[mine],
        (probe - start)[theirs],
        rotations,
        shifts[:, None],
    )
    order = np.empty_like(found)
    order[mine] = theirs[found]
    return order, float(kabsch(reference, probe[order])[2])


def principal_starts(reference: Floats, probe: Floats) -> list[tuple[Floats, Floats]]:
    """Return the four proper motions that bring principal axes onto principal axes, centroids onto each other."""
    to, start = reference.mean(axis=0), probe.mean(axis=0)
    return [(turn, to - turn @ start) for turn in principal_rotations(reference - to, probe - start)]


def match_atoms(z: Ints, x: Floats, y: Floats, starts: list[Floats]) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the best matchings found.

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
    blocks = blocks_of(z)
    if math.prod(math.factorial(block.stop - block.start) for block in blocks) <= MAX_TRIED:
        return np.array([_best_of_all(blocks, *pair) for pair in zip(x, y, strict=True)]), np.ones(p, bool)
    orders, proven = np.empty((p, n), np.int64), np.zeros(p, bool)
    for k in range(p):
        known = [start[k][None] for start in starts]
        made = principal_rotations(x[k], y[k]), frame_rotations(z, x[k], y[k]), sampled_rotations()
        rotations = np.concatenate([*known, *made])
        merit = _merits(blocks, x[k], y[k], rotations)
        merit[: len(known)] = -1  # these are refined whatever their merit
        chosen = rotations[np.argsort(merit, kind="stable")[:REFINED]]
        orders[k], found = _refined(blocks, x[k], y[k], chosen)
        bound = float(np.linalg.norm(radial_bound(z, x[k]) - radial_bound(z, y[k])))
        proven[k] = found <= max(EXACT, bound + EXACT)
    return orders, proven


def radial_bound(z: NDArray[np.integer], pos: NDArray[np.floating]) -> Floats:
    """Return a fingerprint whose Euclidean distance is a lower bound of the RMSD of two conformers of one formula.

    Whatever the matching within elements and the rotation, proper or not, ``||x_i| - |y_j|| <= |x_i - R y_j|``
    for positions from the centroid, which the best translation superposes; sorted values are matched best.

    Args:
        z: (n,) atomic numbers, or (P, n).
        pos: (n, 3) angstrom, or (P, n, 3).

    Returns:
        (n,) or (P, n) angstrom: distances to the centroid, sorted within each element, elements in turn, divided
        by the root of n.
    """
    n = pos.shape[-2]
    radius = np.linalg.norm(pos - pos.mean(axis=-2, keepdims=True), axis=-1)
    order = np.lexsort((radius, np.broadcast_to(z, radius.shape)), axis=-1)
    return np.take_along_axis(radius, order, axis=-1) / np.sqrt(n)


def blocks_of(z: Ints) -> list[slice]:
    """Return the stretches of equal elements, which are sorted (n,)."""
    starts = np.flatnonzero(np.diff(z, prepend=-1)).tolist()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(z)], strict=True)]


def _best_of_all(blocks: list[slice], x: Floats, y: Floats) -> Ints:
    """Return the order (n,) with the largest overlap."""
    c = np.zeros((9, 1))
    tables = [all_permutations(block.stop - block.start) for block in blocks]
    for block, table in zip(blocks, tables, strict=True):
        added = np.einsum("ki,fkj->ijf", x[block], y[block][table]).reshape(9, 1, -1)
        c = (c[:, :, None] + added).reshape(9, -1)
    chosen = np.unravel_index(best_overlap(c).argmax(), [len(table) for table in tables])
    return np.concatenate([t[k] + b.start for t, k, b in zip(tables, chosen, blocks, strict=True)])


def principal_rotations(x: Floats, y: Floats) -> Floats:
    """Return the proper rotations (4, 3, 3) of principal axes onto principal axes, of centered positions (n, 3)."""
    axes_x, axes_y = (np.linalg.eigh(a.T @ a)[1] for a in (x, y))
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    signs[:, 2] *= np.sign(np.linalg.det(axes_x @ axes_y.T)) or 1.0
    return (axes_x * signs[:, None]) @ axes_y.T


@lru_cache(maxsize=1)
def sampled_rotations() -> Floats:
    """Return rotations (SAMPLES, 3, 3), the same every time."""
    return np.asarray(Rotation.random(SAMPLES, random_state=0).as_matrix())


def frame_rotations(z: Ints, x: Floats, y: Floats) -> Floats:
    """Return rotations (F, 3, 3) that bring two atoms of the probe onto two of the reference, the best fitting first.

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
    frame = np.broadcast_to(_triad(x[first], x[second]), (len(best), 3, 3))
    return kabsch(frame, _triad(y[i[best]], y[j[best]]))[0]


def _triad(a: Floats, b: Floats) -> Floats:
    """Return the unit vectors along a and b and their cross product, about their mean (..., 3, 3)."""
    a, b = (v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12) for v in (a, b))
    points = np.stack([a, b, np.cross(a, b)], axis=-2)
    return points - points.mean(axis=-2, keepdims=True)


def _two_atoms(z: Ints, x: Floats) -> tuple[int, int]:
    """Return two atoms that fix a frame, of the rarest elements; -1 where there is none."""
    values, count = np.unique(z, return_counts=True)
    rarity = count[np.searchsorted(values, z)]
    length = np.linalg.norm(x, axis=1)
    ranked = np.lexsort((-length, rarity))
    first = next((int(k) for k in ranked if length[k] > MIN_OFF_AXIS), -1)
    if first < 0:
        return -1, -1
    axis = x[first] / length[first]
    off = np.linalg.norm(x - (x @ axis)[:, None] * axis, axis=1)
    return first, next((int(k) for k in ranked if off[k] > MIN_OFF_AXIS), -1)


def _merits(blocks: list[slice], x: Floats, y: Floats, rotations: Floats) -> Floats:
    """Return the cost (S,) of matching each atom with the nearest of its element, in the worse direction."""
    turned = y @ np.swapaxes(rotations, 1, 2)
    total = np.zeros(len(rotations))
    for block in blocks:
        square = _squares(x[block], turned[:, block])
        total += np.maximum(square.min(axis=1).sum(axis=1), square.min(axis=2).sum(axis=1))
    return total


def _squares(x: Floats, y: Floats) -> Floats:
    """Return the squared distances (S, m, m) of points (m, 3) from points (S, m, 3)."""
    square_x, square_y = np.square(x).sum(axis=-1), np.square(y).sum(axis=-1)
    return square_x[:, None] + square_y[:, None] - 2 * x @ np.swapaxes(y, 1, 2)


def assigned(blocks: list[slice], x: Floats, y: Floats) -> Ints:
    """Return the matchings (S, n) of probes (S, n, 3) with a reference (n, 3), within blocks, of least squares.

    They are found by the Hungarian method.
    """
    found = np.empty(y.shape[:2], np.int64)
    for block in blocks:
        cost = _squares(x[block], y[:, block])
        found[:, block] = [linear_sum_assignment(c)[1] + block.start for c in cost]
    return found


def _refined(
    blocks: list[slice], x: Floats, y: Floats, rotations: Floats, shifts: Floats | float = 0.0
) -> tuple[Ints, float]:
    """Return the order (n,) with the least RMSD that assignment and Kabsch in turn lead to, and this RMSD.

    Reference and probe (n, 3) have their centroids at the origin. The rotations (S, 3, 3), which are changed, and
    shifts (S, 1, 3) of the probe are those to start from.
    """
    orders = np.full((len(rotations), len(x)), -1)
    distance = np.full(len(rotations), np.inf)
    active = np.arange(len(rotations))
    for _ in range(MAX_ROUNDS):
        found = assigned(blocks, x, y @ np.swapaxes(rotations[active], 1, 2) + shifts)
        shifts = 0.0
        changed = (found != orders[active]).any(axis=1)
        active, found = active[changed], found[changed]
        if not len(active):
            break
        orders[active] = found
        rotations[active], _, distance[active] = kabsch(np.broadcast_to(x, (len(active), *x.shape)), y[found])
        if distance.min() < EXACT:
            break
        _, first = np.unique(found, axis=0, return_index=True)
        active = active[first]
    best = int(distance.argmin())
    return orders[best], float(distance[best])
