"""The best permutations of leaves for one core automorphism: branch and bound over rotations.

C is a sum: the core gives one part, leaves of a bunch standing for their mean, and each bunch adds that of its own
deviations, which depends on its permutation and is at most the product of their norms, its radius.

A node of the search has for each bunch the permutations that are not excluded; a bunch with one permutation left is
decided, the others are open. The node holds no better solution than the overlap of what is decided plus the radii of
the open bunches. Any better solution turns by a limited angle from the best rotation of the node, for turning further
costs more than open bunches can give; within this angle many permutations of open bunches are never the best one,
and the radii shrink. What remains open branches, the best permutation first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from molgiae.matching.kabsch import (
    TINY,
    Floats,
    Ints,
    best_overlap,
    best_rotation,
    largest_turn,
    reach,
    sufficient,
)
from molgiae.parallel.kernels import kernel

PERMUTATIONS = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0], [2, 0, 1]])
"""Of three leaves; the first two are those of two."""
SWAPS = np.array([[0, 1], [0, 2], [1, 2]])
"""Exchanges of two of three leaves; the first is that of two."""
SWAPPED = np.array([[1, 2, 3], [0, 5, 4], [4, 0, 5], [5, 4, 0], [2, 3, 1], [3, 1, 2]])
"""What each permutation becomes by each exchange."""
CONTRACTIONS = 3
COSINE_ROUND_OFF = 1e-9
CLOSED, AGAIN = -1, -2
"""Nothing better is left in a node; some bunches were decided."""


class Best(NamedTuple):
    """The best solution of a pair of conformers so far.

    Attributes:
        order: (n,) atom of the probe for each of the reference.
        overlap: (1,) angstrom squared; -inf where there is none.
        square: (1,) sum of the squared positions of both, angstrom squared.
        work: (2,) what the search has cost, and what it may cost.
    """

    order: Ints
    overlap: Floats
    square: Floats
    work: Ints


class Bunches(NamedTuple):
    """What the permutations of leaves do for one core automorphism, in angstrom squared.

    Attributes:
        core: (9,) covariance of everything else, leaves standing for their means.
        option: (G, 6, 9) covariance that each permutation of each bunch adds.
        count: (G,) permutations of each bunch, 2 or 6.
        radius: (G,) the most that each can add to the overlap.
        apart: (G, 6, 3) products of the distances, in reference and probe, of the leaves that an exchange swaps.
    """

    core: Floats
    option: Floats
    count: Ints
    radius: Floats
    apart: Floats


def nothing_yet(x: Floats, y: Floats, work: int) -> Best:
    """Return room for the best solution of a pair of positions (n, 3) from centroids, with so much work allowed."""
    square = np.array([np.vdot(x, x) + np.vdot(y, y)])
    return Best(np.arange(len(x)), np.array([-np.inf]), square, np.array([0, work]))


@kernel
def permute_leaves(leaves: Ints, x: Floats, y: Floats, core: Ints, best: Best) -> bool:
    """Look for a better solution of one core automorphism.

    Args:
        leaves: (G, 3) as of `Symmetry`.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        core: (n,) the automorphism.
        best: the best solution so far, which is replaced by better ones.

    Returns:
        whether nothing better is left, before the work was up.
    """
    bunches = _bunches(leaves, x, y, core)
    number = len(leaves)
    stack, top = np.empty((6 * number + 1, number), np.int64), 1
    alive, value, chosen = np.empty(number, np.int64), np.zeros((number, 6)), np.zeros(number, np.int64)
    for g in range(number):
        stack[0, g] = (1 << bunches.count[g]) - 1
    while top > 0:
        top -= 1
        alive[:] = stack[top]
        verdict = AGAIN
        while verdict == AGAIN:
            best.work[0] += 4 + 3 * number
            if best.work[0] > best.work[1]:
                return False
            improved, verdict = _look(bunches, alive, value, chosen, len(core), best)
            if improved:
                _record(leaves, core, chosen, best.order)
        if verdict >= 0:
            top = _branch(alive, value[verdict], verdict, stack, top)
    return True


@kernel
def _bunches(leaves: Ints, x: Floats, y: Floats, core: Ints) -> Bunches:
    """Return what permutations of leaves do; arguments as above."""
    number, is_leaf = len(leaves), np.zeros(len(core), np.bool_)
    c, option, count = np.zeros(9), np.zeros((number, 6, 9)), np.full(number, 2)
    radius, apart = np.empty(number), np.ones((number, 6, 3))
    dx, dy = np.empty((3, 3)), np.empty((3, 3))
    for g in range(number):
        size = 3 if leaves[g, 2] >= 0 else 2
        count[g] = 6 if size == 3 else 2
        for i in range(3):
            mean_x, mean_y = 0.0, 0.0
            for k in range(size):
                mean_x += x[leaves[g, k], i] / size
                mean_y += y[core[leaves[g, k]], i] / size
            for k in range(size):
                dx[k, i], dy[k, i] = x[leaves[g, k], i] - mean_x, y[core[leaves[g, k]], i] - mean_y
        square_x, square_y = 0.0, 0.0
        for k in range(size):
            is_leaf[leaves[g, k]] = True
            for i in range(3):
                square_x += dx[k, i] * dx[k, i]
                square_y += dy[k, i] * dy[k, i]
                for j in range(3):
                    mean = (x[leaves[g, k], i] - dx[k, i]) * (y[core[leaves[g, k]], j] - dy[k, j])
                    c[3 * i + j] += mean
                    for t in range(count[g]):
                        option[g, t, 3 * i + j] += dx[k, i] * dy[PERMUTATIONS[t, k], j]
        radius[g] = math.sqrt(square_x * square_y)
        for e in range(3 if size == 3 else 1):
            a, b = SWAPS[e]
            for t in range(count[g]):
                apart[g, t, e] = _apart(dx, a, b) * _apart(dy, PERMUTATIONS[t, a], PERMUTATIONS[t, b])
    for k in range(len(core)):
        if not is_leaf[k]:
            for i in range(3):
                for j in range(3):
                    c[3 * i + j] += x[k, i] * y[core[k], j]
    return Bunches(c, option, count, radius, apart)


@kernel
def _apart(points: Floats, a: int, b: int) -> float:
    """Return the distance of two points of (k, 3)."""
    i, j, k = points[a, 0] - points[b, 0], points[a, 1] - points[b, 1], points[a, 2] - points[b, 2]
    return math.sqrt(i * i + j * j + k * k)


@kernel
def _look(
    bunches: Bunches, alive: Ints, value: Floats, chosen: Ints, n: int, best: Best
) -> tuple[bool, int]:
    """Complete a node, and exclude what cannot be better than the best.

    Args:
        bunches: all of them.
        alive: (G,) permutations not excluded, as bits; changed in place.
        value: (G, 6) filled in for open bunches: overlap of each permutation at the best rotation of the node.
        chosen: (G,) filled in: the best permutation of each bunch at this rotation.
        n: number of atoms.
        best: of which the overlap is replaced where those permutations have a larger one.

    Returns:
        whether they have; the bunch to branch on, `CLOSED` or `AGAIN`.
    """
    number, rotation = len(alive), np.empty(9)
    c, bound = bunches.core.copy(), np.zeros(number)
    for g in range(number):
        if alive[g] & (alive[g] - 1) == 0:
            chosen[g] = 0
            while alive[g] >> chosen[g] != 1:
                chosen[g] += 1
            for k in range(9):
                c[k] += bunches.option[g, chosen[g], k]
        else:
            bound[g] = bunches.radius[g]
    overlap, fall = best_rotation(c, rotation)
    opened = 0
    for g in range(number):
        if alive[g] & (alive[g] - 1) != 0:
            opened += 1
            _evaluate(bunches, alive, value, chosen, g, rotation)
            for k in range(9):
                c[k] += bunches.option[g, chosen[g], k]
    completed = best_overlap(c) if opened else overlap
    improved = completed > best.overlap[0]
    if improved:
        best.overlap[0] = completed
    least, open_before = sufficient(best.overlap[0], best.square[0], n), opened
    for _ in range(CONTRACTIONS):
        excess = _excess(overlap, bound, best.square[0] / 2, least)
        if excess <= 0 or opened == 0:
            return improved, CLOSED
        turn = largest_turn(excess, fall)
        opened = 0
        for g in range(number):
            if alive[g] & (alive[g] - 1) != 0:
                bound[g] = contract(bunches, alive, value, g, bound[g], excess, turn)
                opened += alive[g] & (alive[g] - 1) != 0
            if alive[g] == 0:
                return improved, CLOSED
    if _excess(overlap, bound, best.square[0] / 2, least) <= 0:
        return improved, CLOSED
    if opened < open_before:
        return improved, AGAIN
    widest = -1
    for g in range(number):
        if alive[g] & (alive[g] - 1) != 0 and (widest < 0 or bound[g] > bound[widest]):
            widest = g
    return improved, widest


@kernel
def _excess(overlap: float, bound: Floats, most: float, least: float) -> float:
    """Return what overlap and bounds (G,), together at most so much, exceed the least useful overlap by."""
    total = overlap
    for g in range(len(bound)):
        total += bound[g]
    return min(total, most) - least


@kernel
def _evaluate(bunches: Bunches, alive: Ints, value: Floats, chosen: Ints, g: int, rotation: Floats) -> None:
    """Fill in the overlaps of the permutations of a bunch at a rotation (9,), and the best one not excluded."""
    most = -np.inf
    for t in range(bunches.count[g]):
        total = 0.0
        for k in range(9):
            total += bunches.option[g, t, k] * rotation[k]
        value[g, t] = total
        if total > most and (alive[g] >> t) & 1:
            most, chosen[g] = total, t


@kernel
def contract(
    bunches: Bunches, alive: Ints, value: Floats, g: int, bound: float, excess: float, turn: float
) -> float:
    """Exclude permutations that cannot be the best within a turn; return the most that those left can give.

    A turn by t changes the angle of the deviations of all leaves, as one vector, by t at most. And the best
    permutation is one that no exchange of two leaves improves.

    Args:
        bunches: all of them.
        alive: (G,) permutations not excluded, as bits; changed in place.
        value: (G, 6) overlap of each permutation where the turn starts, angstrom squared.
        g: the bunch.
        bound: the most that it can give, angstrom squared.
        excess: what bounds and overlap exceed the least useful overlap by.
        turn: largest angle, radian.
    """
    most, whole, exchanges = -bunches.radius[g], bunches.radius[g], 3 if bunches.count[g] == 6 else 1
    cosine, sine = math.cos(turn), math.sin(turn)
    for t in range(bunches.count[g]):
        if not (alive[g] >> t) & 1:
            continue
        within = reach(value[g, t], whole, turn)
        possible = within >= bound - excess
        for e in range(exchanges):
            gain = (value[g, t] - value[g, SWAPPED[t, e]]) / max(bunches.apart[g, t, e], TINY)
            # the least cosine of the angle that an exchange of two leaves would turn round
            possible = possible and (gain >= -sine - COSINE_ROUND_OFF or cosine <= 0)
        if possible:
            most = max(most, within)
        else:
            alive[g] &= ~(1 << t)
    return most


@kernel
def _branch(alive: Ints, value: Floats, g: int, stack: Ints, top: int) -> int:
    """Put a node for each permutation left of a bunch on the stack, the best on top; return its new height."""
    left, size = alive[g], top
    for t in range(6):
        if (left >> t) & 1:
            place = size
            while place > top and value[t] < value[_bit(stack[place - 1, g])]:
                place -= 1
            for k in range(size, place, -1):
                stack[k] = stack[k - 1]
            stack[place] = alive
            stack[place, g] = 1 << t
            size += 1
    return size


@kernel
def _bit(mask: int) -> int:
    """Return which bit is set."""
    bit = 0
    while mask >> bit != 1:
        bit += 1
    return bit


@kernel
def _record(leaves: Ints, core: Ints, chosen: Ints, order: Ints) -> None:
    """Fill in the order (n,) that a core automorphism and permutations (G,) of its leaves make."""
    for k in range(len(core)):
        order[k] = core[k]
    for g in range(len(leaves)):
        for k in range(3):
            if leaves[g, k] >= 0:
                order[leaves[g, k]] = core[leaves[g, PERMUTATIONS[chosen[g], k]]]
