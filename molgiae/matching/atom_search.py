"""The best matching within blocks of like atoms: branch and bound over atoms that are matched one by one.

Positions are from the centroids, which the best translation superposes whatever the matching, so only rotations are
left. A node of the search has some atoms matched; the others of a block, m of them, have a sum of squared distances of
m times that of their means, whatever their matching, plus that of their deviations from these. Both together are at
least that of the matched atoms and the means at their own best rotation, plus for every deviation that to the nearest
it may be matched with. A better solution turns by a limited angle from that rotation, since turning further costs more
than is left (`best_rotation`); within this angle an atom reaches others only in so far as the angle between them
shrinks (`reach`). What is left shrinks with the angle, and the angle with what is left.

The assignment p of least cost at the middle of the angle, with its potentials u and v, bounds all others: a matching q
has an overlap, at any rotation R within the angle, of

    sum_i x_i R y_q(i) = sum_i x_i R y_p(i) + sum_i dx_i R (dy_q(i) - dy_p(i)),

where deviations dx, dy may take the place of positions, as means cancel. The first sum is at most the overlap of p, and
falls with the turn from its own best rotation. The second is, as potentials cancel over a permutation, at most the sum
over i of the largest dx_i R (dy_j - dy_p(i)) + (v_p(i) - v_j) / 2 over j; where this is 0, p is the best.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from molgiae.matching.assignment import (
    UNMATCHED,
    Best,
    Blocks,
    Bools,
    assign_within,
    offer,
    turn_all,
)
from molgiae.matching.kabsch import Floats, Ints, best_rotation, covariance, largest_turn, reach, sufficient
from molgiae.parallel.kernels import kernel
from molgiae.parallel.vectors import square_apart, square_of

ROUNDS = 4
"""Times that angle and bound are taken from each other."""
WORTHWHILE = 0.8
"""The angle is to shrink by this factor for another round."""
MAX_LOCAL_TURN = 1.2
"""Largest angle, radian, at which assignments are worth their time."""
NODE = 200
"""What a node costs beside its pairs of atoms, in these."""
CLOSED, AGAIN = -1, -2
"""Nothing better is left in a node; it is to be looked at again."""


class Node(NamedTuple):
    """A node, and what was found of it.

    Attributes:
        image: (n,) atom of the probe for each of the reference that is matched, `UNMATCHED` for others.
        taken: (n,) whether atoms of the probe are matched.
        rotation: (9,) the middle of the rotations that a better solution may have.
        turn: (1,) radian, the largest angle from there.
        dx: (n, 3) deviations of the reference, angstrom.
        dy: (n, 3) deviations of the probe.
        turned: (n, 3) the latter at this rotation.
        least: (n, n) least squared distances within the angle, angstrom squared, of what is not matched.
        share: (n,) what each row has in the total; with the least of another column in its place a bound remains one.
        total: (2,) sum of squared distances, angstrom squared, that those matched have at least, and that all have.
        gain: (n,) what each atom may add to the overlap of the assignment.
    """

    image: Ints
    taken: Bools
    rotation: Floats
    turn: Floats
    dx: Floats
    dy: Floats
    turned: Floats
    least: Floats
    share: Floats
    total: Floats
    gain: Floats


@kernel
def search_atoms(blocks: Blocks, x: Floats, y: Floats, best: Best) -> bool:
    """Replace the best solution by better ones; return whether none is left, before the work was up.

    Args:
        blocks: within which atoms are matched; others are matched as they stand.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        best: the best solution so far.
    """
    (start, member), n, size = blocks, len(x), len(blocks[1]) + 1
    node = Node(
        np.arange(n), np.ones(n, np.bool_), np.empty(9), np.empty(1), x.copy(), y.copy(), np.empty((n, 3)),
        np.empty((n, n)), np.empty(n), np.empty(2), np.empty(n),
    )  # fmt: skip
    for k in range(len(member)):
        node.image[member[k]] = UNMATCHED
    images, choices = np.empty((size, n), np.int64), np.empty((size, n), np.int64)
    count, atom, depth = np.zeros(size, np.int64), np.zeros(size, np.int64), 0
    while True:
        verdict = AGAIN
        while verdict == AGAIN:
            verdict = _look(blocks, x, y, node, best)
        if best.work[0] > best.work[1]:
            return False
        count[depth] = 0
        if verdict >= 0:
            for i in range(n):  # with those that had one choice
                images[depth, i] = node.image[i]
            block = 0
            while start[block + 1] <= verdict:
                block += 1
            atom[depth], limit = member[verdict], most_square(best, n)
            count[depth] = fits(blocks, block, node, member[verdict], limit, choices[depth])
        while count[depth] == 0:
            depth -= 1
            if depth < 0:
                return True
        count[depth] -= 1
        for i in range(n):
            node.image[i] = images[depth, i]
        node.image[atom[depth]] = choices[depth, count[depth]]
        depth += 1


@kernel
def most_square(best: Best, n: int) -> float:
    """Return the sum of squared distances that a better solution stays below, angstrom squared."""
    return best.square - 2 * sufficient(best.overlap[0], best.square, n)


@kernel
def _look(blocks: Blocks, x: Floats, y: Floats, node: Node, best: Best) -> int:
    """Bound a node, and match atoms that have one choice; return where in blocks the atom to branch on stands.

    `CLOSED` where nothing better is left, `AGAIN` where some were matched or the best solution is the first.
    """
    c, n, square, matched = np.empty(9), len(x), 0.0, 0
    covariance(x, y, node.image, c)
    for i in range(n):
        node.taken[i] = False
    for i in range(n):
        if node.image[i] >= 0:
            matched, node.taken[node.image[i]] = matched + 1, True
            for k in range(3):
                square += x[i, k] * x[i, k] + y[node.image[i], k] * y[node.image[i], k]
    for b in range(len(blocks[0]) - 1):
        square += _deviate(blocks, b, x, y, node, c)
    overlap, fall = best_rotation(c, node.rotation)
    best.work[0] += NODE
    if matched == n:
        offer(node.image, overlap, best)
        return CLOSED
    node.turn[0], node.total[0] = math.pi, square - 2 * overlap
    turn_all(node.rotation, node.dy, node.turned)
    for _ in range(ROUNDS):
        fill(blocks, node, best)
        excess = (most_square(best, n) - node.total[1]) / 2
        if excess <= 0:
            return CLOSED
        turn = largest_turn(excess, fall)
        if turn > WORTHWHILE * node.turn[0]:
            break
        node.turn[0] = turn
    is_first = best.overlap[0] == -np.inf
    local = is_first or node.turn[0] < MAX_LOCAL_TURN
    if local and _closed_by_assignment(blocks, x, y, node, best):
        return CLOSED
    return AGAIN if is_first else _fewest(blocks, x, node, most_square(best, n), local)


@kernel
def _deviate(blocks: Blocks, block: int, x: Floats, y: Floats, node: Node, c: Floats) -> float:
    """Fill in the deviations of a block; add its means to the covariance (9,), and return the sum of their squares."""
    (start, member), size, total = blocks, 0, 0.0
    inside, mean = member[start[block] : start[block + 1]], np.zeros((2, 3))
    for i in inside:
        size += node.image[i] < 0
        for k in range(3):
            mean[0, k] += 0.0 if node.image[i] >= 0 else x[i, k]
            mean[1, k] += 0.0 if node.taken[i] else y[i, k]
    for k in range(3):
        mean[0, k], mean[1, k] = mean[0, k] / max(size, 1), mean[1, k] / max(size, 1)
        total += size * (mean[0, k] ** 2 + mean[1, k] ** 2)
        for i in inside:
            node.dx[i, k], node.dy[i, k] = x[i, k] - mean[0, k], y[i, k] - mean[1, k]
    for k in range(9):
        c[k] += size * mean[0, k // 3] * mean[1, k % 3]
    return total


@kernel
def fill(blocks: Blocks, node: Node, best: Best) -> None:
    """Fill in the least squared distances within the turn, and the total.

    Whether atoms of the reference go to the nearest of the probe, or the other way round: the larger bound counts.
    """
    (start, member), back, total = blocks, np.full(len(node.dx), np.inf), node.total[0]
    cosine, sine = math.cos(node.turn[0]), math.sin(node.turn[0])
    for b in range(len(start) - 1):
        there, here, inside = 0.0, 0.0, member[start[b] : start[b + 1]]
        for i in inside:
            if node.image[i] >= 0:
                continue
            square_x, node.share[i] = square_of(node.dx, i), np.inf
            for j in inside:
                if not node.taken[j]:
                    square_y = square_of(node.dy, j)
                    overlap = (square_x + square_y - square_apart(node.dx, node.turned, i, j)) / 2
                    within = reach(overlap, math.sqrt(square_x * square_y), cosine, sine)
                    node.least[i, j] = square_x + square_y - 2 * within
                    node.share[i] = min(node.share[i], node.least[i, j])
                    back[j] = min(back[j], node.least[i, j])
            there += node.share[i]
        for j in inside:
            here += 0.0 if node.taken[j] else back[j]
        for i in inside:
            node.share[i] += max(here - there, 0.0)
        best.work[0] += len(inside) ** 2
        total += max(there, here)
    node.total[1] = total


@kernel
def _closed_by_assignment(blocks: Blocks, x: Floats, y: Floats, node: Node, best: Best) -> bool:
    """Bound what is within the turn by the best assignment in its middle; whether nothing better is left."""
    n, shrunk = len(x), False
    order, u, v, c, rotation = np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(9), np.empty(9)
    for _ in range(ROUNDS):
        assign_within(blocks, node.dx, node.turned, node.image, node.taken, order, u, v)
        covariance(x, y, order, c)
        overlap, fall = best_rotation(c, rotation)
        offer(order, overlap, best)
        most = overlap + gains(blocks, node, order, u, v, best)
        least = sufficient(best.overlap[0], best.square, n)
        if min(most, best.square / 2) <= least:
            return True
        turn = largest_turn(most - least, fall)
        if turn > WORTHWHILE * node.turn[0]:
            break
        shrunk, node.turn[0] = True, turn
        node.rotation[:] = rotation
        turn_all(rotation, node.dy, node.turned)
    if shrunk:
        fill(blocks, node, best)
    return shrunk and node.total[1] >= most_square(best, n)


@kernel
def gains(blocks: Blocks, node: Node, order: Ints, u: Floats, v: Floats, best: Best) -> float:
    """Fill in what each atom may add within the turn to the overlap of an assignment; return the sum.

    The order (n,) and the potentials (n,) are those of `assign_within` at the middle of the turn.
    """
    (start, member), total, turned = blocks, 0.0, node.turned
    cosine, sine = math.cos(node.turn[0]), math.sin(node.turn[0])
    for b in range(len(start) - 1):
        inside = member[start[b] : start[b + 1]]
        best.work[0] += 4 * len(inside) ** 2
        for i in inside:
            node.gain[i], k, square = 0.0, order[i], square_of(node.dx, i)
            for j in inside:
                if node.image[i] < 0 and not node.taken[j] and j != k:
                    value = 0.0
                    for a in range(3):
                        value += node.dx[i, a] * (turned[j, a] - turned[k, a])
                    whole = math.sqrt(square * square_apart(turned, turned, j, k))
                    within = reach(value, whole, cosine, sine)
                    # what the turn adds, less half of what the cost of j exceeds its potentials by
                    above = square_apart(node.dx, turned, i, j) - u[i] - v[j]
                    node.gain[i] = max(node.gain[i], within - value - above / 2)
            total += node.gain[i]
    return total


@kernel
def _fewest(blocks: Blocks, x: Floats, node: Node, limit: float, local: bool) -> int:
    """Match all atoms that have one choice; else return where the one stands that has fewest, the outermost of several.

    If local, it is one that may add to the overlap of the assignment. The limit is the sum of squared distances of a
    better solution. `CLOSED` is returned where two atoms have the same one choice, `AGAIN` where some were matched.
    """
    (start, member), verdict, fewest, weight = blocks, CLOSED, len(x) + 1, 0.0
    choice, single = np.empty(len(x), np.int64), np.full(len(x), UNMATCHED)
    for b in range(len(start) - 1):
        for a in range(start[b], start[b + 1]):
            i = member[a]
            if node.image[i] >= 0:
                continue
            count = fits(blocks, b, node, i, limit, choice)
            if count == 1:
                single[i] = choice[0]
            own = node.gain[i] if local else square_of(x, i)
            if (count < fewest or (count == fewest and own > weight)) and (own > 0 or not local):
                verdict, fewest, weight = a, count, own
    forced = False
    for i in range(len(x)):
        if single[i] >= 0:
            if node.taken[single[i]]:
                return CLOSED
            node.image[i], node.taken[single[i]], forced = single[i], True, True
    return AGAIN if forced else verdict


@kernel
def fits(blocks: Blocks, block: int, node: Node, i: int, limit: float, choice: Ints) -> int:
    """Fill in what an atom of a block may be matched with in a better solution; return how many these are.

    The nearest is the last of the choices (n,); the limit is as above.
    """
    (start, member), count, rest = blocks, 0, node.total[1] - node.share[i]
    for j in member[start[block] : start[block + 1]]:
        if not node.taken[j] and rest + node.least[i, j] < limit:
            place = count
            while place > 0 and node.least[i, choice[place - 1]] < node.least[i, j]:
                choice[place] = choice[place - 1]
                place -= 1
            choice[place] = j
            count += 1
    return count
