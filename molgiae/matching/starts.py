"""Rotations to start from: principal axes onto principal axes, two atoms onto two like them, and samples of all."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from molgiae.matching.assignment import square_apart, turn_all
from molgiae.matching.kabsch import Floats, Ints, best_rotation
from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

SAMPLES = 64
"""Rotations that sample all of them."""
FRAMES = 48
"""Rotations by two atoms."""
MIN_OFF_AXIS = 0.3
"""Least distance, in angstrom, of an atom from the centroid or from an axis that defines a direction."""
SIGNS = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])


@cache
def sampled_rotations() -> Floats:
    """Return rotations (SAMPLES, 9), the same every time, evenly over all (Shoemake, Graphics Gems III, 1992)."""
    q = np.random.default_rng(0).normal(size=(SAMPLES, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.ascontiguousarray(np.array(rows).reshape(9, SAMPLES).T)


@kernel
def principal_rotations(x: Floats, y: Floats) -> Floats:
    """Return the proper rotations (4, 9) of principal axes onto principal axes, of positions (n, 3) from centroids."""
    axes_x, axes_y, found = _axes(x), _axes(y), np.zeros((4, 9))
    for s in range(4):
        for i in range(3):
            for j in range(3):
                for k in range(3):
                    found[s, 3 * i + j] += SIGNS[s, k] * axes_x[i, k] * axes_y[j, k]
    return found


@kernel
def _axes(x: Floats) -> Floats:
    """Return the principal axes (3, 3) of positions (n, 3), as columns that are a right-handed frame."""
    square = np.zeros((3, 3))
    for k in range(len(x)):
        for i in range(3):
            for j in range(3):
                square[i, j] += x[k, i] * x[k, j]
    axes = eigen(square)[1]
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        axes[i, 2] = axes[a, 0] * axes[b, 1] - axes[b, 0] * axes[a, 1]
    return axes


@kernel
def frame_rotations(block: Ints, x: Floats, y: Floats) -> Floats:
    """Return rotations (F, 9) that bring two atoms of the probe onto two of the reference, the best fitting first.

    The two of the reference are of the rarest elements, off the centroid and off each other's axis: copies have their
    image among the pairs of the probe. At most `FRAMES`.

    Args:
        block: (B + 1,) where the atoms of each element start.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
    """
    first, of = _rarest(block, x, -1)
    if first < 0:
        return np.empty((0, 9))
    second, like = _rarest(block, x, first)
    if second < 0:
        return np.empty((0, 9))
    rows, columns = block[of + 1] - block[of], block[like + 1] - block[like]
    misfit = np.empty(rows * columns)
    for k in range(len(misfit)):
        i, j = block[of] + k // columns, block[like] + k % columns
        misfit[k] = np.inf
        if i != j:
            misfit[k] = abs(_norm(x, first) - _norm(y, i)) + abs(_norm(x, second) - _norm(y, j))
            misfit[k] += abs(
                math.sqrt(square_apart(x, x, first, second)) - math.sqrt(square_apart(y, y, i, j))
            )
    order, number = argsort(misfit), 0
    while number < min(len(order), FRAMES) and misfit[order[number]] < np.inf:
        number += 1
    found, c = np.empty((number, 9)), np.empty(9)
    for k in range(number):
        i, j = block[of] + order[k] // columns, block[like] + order[k] % columns
        scale_x, scale_y = max(_norm(x, first), 1e-9), max(_norm(y, i), 1e-9)
        for a in range(3):
            for b in range(3):
                c[3 * a + b] = x[first, a] * y[i, b] / (scale_x * scale_y) ** 0.5
                c[3 * a + b] += x[second, a] * y[j, b] / (scale_x * scale_y) ** 0.5
        best_rotation(c, found[k])
    return found


@kernel
def _norm(x: Floats, k: int) -> float:
    """Return the length of a vector among (n, 3)."""
    return math.sqrt(x[k, 0] * x[k, 0] + x[k, 1] * x[k, 1] + x[k, 2] * x[k, 2])


@kernel
def _rarest(block: Ints, x: Floats, axis: int) -> tuple[int, int]:
    """Return an atom of the rarest element that is off the origin, or off the axis of another, and its element.

    The outermost of several; -1 and -1 where there is none.
    """
    found, element, count, farthest = -1, -1, len(x) + 1, 0.0
    for b in range(len(block) - 1):
        for k in range(block[b], block[b + 1]):
            off = _norm(x, k)
            if axis >= 0:
                along = x[k, 0] * x[axis, 0] + x[k, 1] * x[axis, 1] + x[k, 2] * x[axis, 2]
                off = math.sqrt(max(off * off - (along / _norm(x, axis)) ** 2, 0.0))
            size = block[b + 1] - block[b]
            if off > MIN_OFF_AXIS and (size < count or (size == count and off > farthest)):
                found, element, count, farthest = k, b, size, off
    return found, element


@kernel
def merit(block: Ints, x: Floats, turned: Floats) -> float:
    """Return the cost of matching each atom with the nearest of its element, in the worse direction of each element.

    Args:
        block: (B + 1,) where the atoms of each element start.
        x: (n, 3) reference, angstrom.
        turned: (n, 3) probe as it lies, angstrom.
    """
    total, nearest = 0.0, np.full(len(x), np.inf)
    for b in range(len(block) - 1):
        there, back = 0.0, 0.0
        for i in range(block[b], block[b + 1]):
            least = np.inf
            for j in range(block[b], block[b + 1]):
                square = square_apart(x, turned, i, j)
                least, nearest[j] = min(least, square), min(nearest[j], square)
            there += least
        for j in range(block[b], block[b + 1]):
            back += nearest[j]
        total += max(there, back)
    return total


@kernel
def best_starts(block: Ints, x: Floats, y: Floats, samples: Floats, number: int) -> Floats:
    """Return the rotations (S, 9), at most so many, at which atoms lie nearest to others of their elements.

    They are of those by two atoms and of the samples (K, 9); other arguments as above.
    """
    frames = frame_rotations(block, x, y)
    size = len(frames) + len(samples)
    every, cost, turned = np.empty((size, 9)), np.empty(size), np.empty((len(y), 3))
    for k in range(size):
        for i in range(9):
            every[k, i] = frames[k, i] if k < len(frames) else samples[k - len(frames), i]
        turn_all(every[k], y, turned)
        cost[k] = merit(block, x, turned)
    order, found = argsort(cost), np.empty((min(size, number), 9))
    for k in range(len(found)):
        for i in range(9):
            found[k, i] = every[order[k], i]
    return found
