"""Matching within blocks of like atoms for a given rotation, and rotation for a given matching, in turn.

Blocks are elements, or leaves of one parent: those of block b are ``member[start[b]:start[b + 1]]``, the same atoms in
reference and probe. What is in none is matched already.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.kabsch import Floats, Ints, best_rotation, covariance, sufficient
from molgiae.parallel.kernels import kernel
from molgiae.parallel.vectors import square_apart

Bools = NDArray[np.bool_]
Blocks = tuple[Ints, Ints]
"""Start (B + 1,) and member (L,), see above."""

MAX_ROUNDS = 50
UNMATCHED = -1


class Best(NamedTuple):
    """The best solution of a pair of conformers so far.

    Attributes:
        order: (n,) atom of the probe for each of the reference.
        overlap: (1,) angstrom squared; -inf where there is none.
        square: sum of the squared positions of both, angstrom squared.
        work: (2,) what the search has cost, and what it may cost, in pairs of atoms looked at.
    """

    order: Ints
    overlap: Floats
    square: float
    work: Ints


def nothing_yet(x: Floats, y: Floats, work: int, within: float = np.inf) -> Best:
    """Return room for the best solution of a pair of positions.

    Args:
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        work: how much is allowed.
        within: RMSD that solutions worth finding stay below, angstrom; their overlap is larger than the one here.
    """
    square = float(np.vdot(x, x) + np.vdot(y, y))
    overlap = (square - len(x) * within**2) / 2
    return Best(np.arange(len(x)), np.array([overlap]), square, np.array([0, work]))


@kernel
def offer(order: Ints, overlap: float, best: Best) -> None:
    """Replace the best solution by an order (n,) if its overlap is larger."""
    if overlap > best.overlap[0]:
        best.overlap[0] = overlap
        for k in range(len(order)):
            best.order[k] = order[k]


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
    row_of, previous, distance = np.full(m, UNMATCHED), np.empty(m, np.int64), np.empty(m)
    done = np.empty(m, np.bool_)
    for j in range(m):
        v[j], match[j] = 0.0, UNMATCHED
    for start in range(m):
        for j in range(m):
            distance[j], done[j] = np.inf, False
        row, reached, end, u[start] = start, 0.0, UNMATCHED, 0.0
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
    blocks: Blocks, x: Floats, turned: Floats, image: Ints, taken: Bools, order: Ints, u: Floats, v: Floats
) -> None:
    """Match atoms within blocks so that the sum of their squared distances is least.

    Args:
        blocks: the blocks.
        x: (n, 3) reference, angstrom.
        turned: (n, 3) probe as it lies, angstrom.
        image: (n,) atoms of the probe that are matched already, `UNMATCHED` for others.
        taken: (n,) whether atoms of the probe are.
        order: (n,) filled in: atom of the probe for each of the reference.
        u: (n,) filled in: potentials of atoms of the reference that were not matched, angstrom squared.
        v: (n,) filled in: potentials of atoms of the probe.
    """
    (start, member), n = blocks, len(image)
    rows, columns, left, right = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n)
    match = np.empty(n, np.int64)
    for i in range(n):
        order[i] = image[i]
    for b in range(len(start) - 1):
        m, k = 0, 0
        for a in range(start[b], start[b + 1]):
            if image[member[a]] < 0:
                rows[m] = member[a]
                m += 1
            if not taken[member[a]]:
                columns[k] = member[a]
                k += 1
        cost = np.empty((m, m))
        for i in range(m):
            for j in range(m):
                cost[i, j] = square_apart(x, turned, rows[i], columns[j])
        assign(cost, match, left, right)
        for i in range(m):
            order[rows[i]] = columns[match[i]]
            u[rows[i]], v[columns[i]] = left[i], right[i]


@kernel
def turn_all(rotation: Floats, y: Floats, turned: Floats) -> None:
    """Fill in positions (n, 3) after a rotation (9,)."""
    for k in range(len(y)):
        for i in range(3):
            turned[k, i] = (
                rotation[3 * i] * y[k, 0] + rotation[3 * i + 1] * y[k, 1] + rotation[3 * i + 2] * y[k, 2]
            )


@kernel
def alternate(blocks: Blocks, x: Floats, y: Floats, starts: Floats, best: Best) -> None:
    """Assign and rotate in turn until the overlap grows no more; the best solution is replaced where this is better.

    Args:
        blocks: of all atoms.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        starts: (S, n, 3) probe as it lies at each start, angstrom; overwritten.
        best: the best solution so far.
    """
    n = len(x)
    free, order, u, v = np.full(n, UNMATCHED), np.empty(n, np.int64), np.empty(n), np.empty(n)
    c, rotation, taken = np.empty(9), np.empty(9), np.zeros(n, np.bool_)
    for s in range(len(starts)):
        before = -np.inf
        for _ in range(MAX_ROUNDS):
            assign_within(blocks, x, starts[s], free, taken, order, u, v)
            covariance(x, y, order, c)
            overlap = best_rotation(c, rotation)[0]
            offer(order, overlap, best)
            if sufficient(before, best.square, n) >= overlap:
                break
            before = overlap
            turn_all(rotation, y, starts[s])
