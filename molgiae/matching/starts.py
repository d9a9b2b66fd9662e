"""Rotations to start from: principal axes onto principal axes, and samples of all."""

from __future__ import annotations

from functools import cache

import numpy as np

from molgiae.matching.assignment import Blocks, turn_all
from molgiae.matching.kabsch import Floats
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import square_apart

SAMPLES = 128
"""Rotations that sample all of them."""


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


def principal_rotations(x: Floats, y: Floats) -> Floats:
    """Return the proper rotations (4, 3, 3) of principal axes onto principal axes, of centered positions (n, 3)."""
    axes_x, axes_y = (np.linalg.eigh(a.T @ a)[1] for a in (x, y))
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    signs[:, 2] *= np.sign(np.linalg.det(axes_x @ axes_y.T)) or 1.0
    return (axes_x * signs[:, None]) @ axes_y.T


@kernel
def best_starts(blocks: Blocks, x: Floats, y: Floats, rotations: Floats, number: int) -> Floats:
    """Return those of rotations (K, 9), at most so many, at which atoms lie nearest to others of their blocks.

    The cost of each block is that of the nearest of all its atoms in the worse direction.
    """
    (start, member), turned, cost = blocks, np.empty_like(y), np.zeros(len(rotations))
    nearest = np.empty(len(x))
    for k in range(len(rotations)):
        turn_all(rotations[k], y, turned)
        for b in range(len(start) - 1):
            there, back, inside = 0.0, 0.0, member[start[b] : start[b + 1]]
            for j in inside:
                nearest[j] = np.inf
            for i in inside:
                least = np.inf
                for j in inside:
                    square = square_apart(x, turned, i, j)
                    least, nearest[j] = min(least, square), min(nearest[j], square)
                there += least
            for j in inside:
                back += nearest[j]
            cost[k] += max(there, back)
    order, found = argsort(cost), np.empty((min(len(rotations), number), 9))
    for k in range(len(found)):
        for i in range(9):
            found[k, i] = rotations[order[k], i]
    return found
