"""Matching within elements for a given rotation, and rotation for a given matching, in turn."""

from __future__ import annotations

import numpy as np

from molgiae.matching.kabsch import Floats, Ints, best_rotation, covariance, sufficient
from molgiae.matching.leaves import Best
from molgiae.parallel.kernels import kernel

MAX_ROUNDS = 50
UNMATCHED = -1


@kernel
def assign(cost: Floats, match: Ints, u: Floats, v: Floats) -> None:
    """Find the assignment of least cost by shortest augmenting paths (Jonker and Volgenant, Computing 1987, 38, 325).

    Args:
        cost: (m, m).
        match: (m,) filled in: the column of each row.
        u: (m,) filled in: potentials of the rows. No cost is less than u + v of its row and column, and those of the
            assignment are equal to it.
        v: (m,) filled in: potentials of the columns.
    """
    m = len(cost)
    row_of, previous, done = np.full(m, UNMATCHED), np.empty(m, np.int64), np.empty(m, np.bool_)
    distance = np.empty(m)
    for j in range(m):
        v[j], match[j] = 0.0, UNMATCHED
    for start in range(m):
        for j in range(m):
            distance[j], previous[j], done[j] = np.inf, UNMATCHED, False
        row, reached, end = start, 0.0, UNMATCHED
        u[start] = 0.0
        while end == UNMATCHED:
            nearest = UNMATCHED
            for j in range(m):
                if not done[j]:
                    length = reached + cost[row, j] - u[row] - v[j]
                    if length < distance[j]:
                        distance[j], previous[j] = length, row
                    if nearest == UNMATCHED or distance[j] < distance[nearest]:
                        nearest = j
            reached, done[nearest] = distance[nearest], True
            row = row_of[nearest]
            if row == UNMATCHED:
                end = nearest
        u[start] += reached
        for j in range(m):
            if done[j] and j != end:
                v[j] -= reached - distance[j]
                u[row_of[j]] += reached - distance[j]
        while end != UNMATCHED:
            row = previous[end]
            row_of[end] = row
            match[row], end = end, match[row]


@kernel
def assign_within(
    block: Ints, x: Floats, turned: Floats, image: Ints, order: Ints, u: Floats, v: Floats
) -> None:
    """Match atoms within elements so that the sum of their squared distances is least.

    Args:
        block: (B + 1,) where the atoms of each element start.
        x: (n, 3) reference, angstrom.
        turned: (n, 3) probe as it lies, angstrom.
        image: (n,) atoms of the probe that are matched already, `UNMATCHED` for others.
        order: (n,) filled in: atom of the probe for each of the reference.
        u: (n,) filled in: potentials of atoms of the reference that were not matched, angstrom squared.
        v: (n,) filled in: potentials of atoms of the probe.
    """
    taken = np.zeros(len(image), np.bool_)
    for i in range(len(image)):
        order[i] = image[i]
        if image[i] >= 0:
            taken[image[i]] = True
    for b in range(len(block) - 1):
        rows, columns, m, k = np.empty(len(image), np.int64), np.empty(len(image), np.int64), 0, 0
        for i in range(block[b], block[b + 1]):
            if image[i] < 0:
                rows[m] = i
                m += 1
            if not taken[i]:
                columns[k] = i
                k += 1
        cost, match = np.empty((m, m)), np.empty(m, np.int64)
        for i in range(m):
            for j in range(m):
                cost[i, j] = square_apart(x, turned, rows[i], columns[j])
        left, right = np.empty(m), np.empty(m)
        assign(cost, match, left, right)
        for i in range(m):
            order[rows[i]] = columns[match[i]]
            u[rows[i]], v[columns[i]] = left[i], right[i]


@kernel
def square_apart(x: Floats, y: Floats, i: int, j: int) -> float:
    """Return the squared distance of point i of x and point j of y, both (n, 3)."""
    a, b, c = x[i, 0] - y[j, 0], x[i, 1] - y[j, 1], x[i, 2] - y[j, 2]
    return a * a + b * b + c * c


@kernel
def turn_all(rotation: Floats, y: Floats, turned: Floats) -> None:
    """Fill in positions (n, 3) after a rotation (9,)."""
    for k in range(len(y)):
        for i in range(3):
            turned[k, i] = (
                rotation[3 * i] * y[k, 0] + rotation[3 * i + 1] * y[k, 1] + rotation[3 * i + 2] * y[k, 2]
            )


@kernel
def alternate(block: Ints, x: Floats, y: Floats, turned: Floats, best: Best) -> None:
    """Assign and rotate in turn until the overlap grows no more; the best solution is replaced where this is better.

    Args:
        block: (B + 1,) where the atoms of each element start.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        turned: (n, 3) probe as it lies at the start, angstrom; overwritten.
        best: the best solution so far.
    """
    n = len(x)
    free, order, u, v = np.full(n, UNMATCHED), np.empty(n, np.int64), np.empty(n), np.empty(n)
    c, rotation, before = np.empty(9), np.empty(9), -np.inf
    for _ in range(MAX_ROUNDS):
        assign_within(block, x, turned, free, order, u, v)
        covariance(x, y, order, c)
        overlap = best_rotation(c, rotation)[0]
        offer(order, overlap, best)
        if sufficient(before, best.square[0], n) >= overlap:
            return
        before = overlap
        turn_all(rotation, y, turned)


@kernel
def offer(order: Ints, overlap: float, best: Best) -> None:
    """Replace the best solution by an order (n,) if its overlap is larger."""
    if overlap > best.overlap[0]:
        best.overlap[0] = overlap
        for k in range(len(order)):
            best.order[k] = order[k]


@kernel
def refine_all(block: Ints, x: Floats, y: Floats, rotations: Floats, best: Best) -> None:
    """Replace the best solution by what rotations (S, 9) lead to, where it is better; arguments as above."""
    turned = np.empty((len(y), 3))
    for k in range(len(rotations)):
        turn_all(rotations[k], y, turned)
        alternate(block, x, y, turned, best)
