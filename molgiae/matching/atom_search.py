"""The best matching within elements: branch and bound over atoms that are matched one by one.

Positions are from the centroids, which the best translation superposes whatever the matching, so only rotations are
left. A node of the search has some atoms matched. Its sum of squared distances is at least that of the matched atoms
at their own best rotation, plus for every other atom that to the nearest it may be matched with. A better solution
turns by a limited angle from that rotation, since turning further costs more than is left (`best_rotation`); within
this angle an atom reaches others only in so far as the angle between them shrinks (`reach`). What is left shrinks
with the angle, and the angle with what is left.

Once the angle is small, the assignment p of least cost at the middle of it, with its potentials u and v, bounds all
others: a matching q has an overlap, at any rotation R within the angle, of

    sum_i x_i R y_q(i) = sum_i x_i R y_p(i) + sum_i x_i R (y_q(i) - y_p(i)),

where the first sum is at most the overlap of p, and falls with the turn from its own best rotation, and the second,
as potentials cancel over a permutation, at most the sum over i of the largest x_i R (y_j - y_p(i)) + (v_p(i) - v_j) / 2
over j. Where this sum is 0, p is the best.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.assignment import UNMATCHED, assign_within, offer, square_apart, turn_all
from molgiae.matching.kabsch import Floats, Ints, best_rotation, covariance, largest_turn, reach, sufficient
from molgiae.matching.leaves import CLOSED, Best
from molgiae.parallel.kernels import kernel

Bools = NDArray[np.bool_]

ROUNDS = 4
"""Times that angle and bound are taken from each other."""
WORTHWHILE = 0.8
"""The angle is to shrink by this factor for another round."""
MAX_LOCAL_TURN = 1.2
"""Largest angle, radian, at which assignments are worth their time."""


class Node(NamedTuple):
    """A node, and what was found of it.

    Attributes:
        image: (n,) atom of the probe for each of the reference that is matched, `UNMATCHED` for others.
        rotation: (9,) the middle of the rotations that a better solution may have.
        turn: (1,) radian, the largest angle from there.
        turned: (n, 3) probe at this rotation, angstrom.
        least: (n, n) least squared distances within the angle, angstrom squared, of what is not matched.
        share: (n,) what each row has in the total; with the least of another column in its place a bound remains one.
        total: (2,) sum of squared distances, angstrom squared, that those matched have at least, and that all have.
        gain: (n,) what each atom may add to the overlap of the assignment; 0 for those matched.
    """

    image: Ints
    rotation: Floats
    turn: Floats
    turned: Floats
    least: Floats
    share: Floats
    total: Floats
    gain: Floats


@kernel
def search_atoms(block: Ints, x: Floats, y: Floats, best: Best) -> bool:
    """Replace the best solution by better ones; return whether none is left, before the work was up.

    Args:
        block: (B + 1,) where the atoms of each element start.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        best: the best solution so far; its work counts pairs of atoms.
    """
    n = len(x)
    image, turned, least = np.full(n, UNMATCHED), np.empty((n, 3)), np.empty((n, n))
    node = Node(image, np.empty(9), np.empty(1), turned, least, np.empty(n), np.empty(2), np.empty(n))
    images, choice = np.full((n + 1, n), UNMATCHED), np.empty((n + 1, n), np.int64)
    count, atom, depth = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64), 0
    while True:
        verdict = _look(block, x, y, node, best)
        if best.work[0] > best.work[1]:
            return False
        if verdict >= 0:
            for i in range(n):  # with those that had one choice
                images[depth, i] = node.image[i]
            atom[depth] = verdict
            start, stop = block[0], block[1]
            for b in range(len(block) - 1):
                if block[b] <= verdict:
                    start, stop = block[b], block[b + 1]
            limit = most_square(best, n)
            count[depth] = _choices(start, stop, _taken(node), node, verdict, limit, choice[depth])
        else:
            count[depth] = 0
        while count[depth] == 0:
            depth -= 1
            if depth < 0:
                return True
        count[depth] -= 1
        for i in range(n):
            images[depth + 1, i] = images[depth, i]
        images[depth + 1, atom[depth]] = choice[depth, count[depth]]
        depth += 1
        for i in range(n):
            node.image[i] = images[depth, i]


@kernel
def _taken(node: Node) -> Bools:
    """Return (n,) the atoms of the probe that are matched."""
    taken = np.zeros(len(node.image), np.bool_)
    for i in range(len(node.image)):
        if node.image[i] >= 0:
            taken[node.image[i]] = True
    return taken


@kernel
def _look(block: Ints, x: Floats, y: Floats, node: Node, best: Best) -> int:
    """Bound a node, and match atoms that have one choice left; return an atom to branch on, or `CLOSED`."""
    while True:
        if _bounded(block, x, y, node, best):
            return CLOSED
        local = node.turn[0] < MAX_LOCAL_TURN
        if local and _closed_by_assignment(block, x, y, node, best):
            return CLOSED
        atom, forced = _fewest(block, x, y, node, best, local)
        if not forced:
            return atom


@kernel
def _bounded(block: Ints, x: Floats, y: Floats, node: Node, best: Best) -> bool:
    """Find the rotations that a better solution may have and what they cost at least; whether there are none."""
    c, n, square, matched = np.empty(9), len(x), 0.0, 0
    covariance(x, y, node.image, c)
    overlap, fall = best_rotation(c, node.rotation)
    for i in range(n):
        if node.image[i] >= 0:
            matched += 1
            for k in range(3):
                square += x[i, k] * x[i, k] + y[node.image[i], k] * y[node.image[i], k]
    if matched == n:
        offer(node.image, overlap, best)
        return True
    node.turn[0], node.total[0] = math.pi, square - 2 * overlap
    turn_all(node.rotation, y, node.turned)
    for _ in range(ROUNDS):
        fill(block, x, y, node, best)
        excess = (most_square(best, n) - node.total[1]) / 2
        if excess <= 0:
            return True
        turn = largest_turn(excess, fall)
        if turn > WORTHWHILE * node.turn[0]:
            break
        node.turn[0] = turn
    return False


@kernel
def most_square(best: Best, n: int) -> float:
    """Return the sum of squared distances that a better solution stays below, angstrom squared."""
    return best.square[0] - 2 * sufficient(best.overlap[0], best.square[0], n)


@kernel
def fill(block: Ints, x: Floats, y: Floats, node: Node, best: Best) -> None:
    """Fill in the least squared distances within the turn, and the total.

    Whether atoms of the reference go to the nearest of the probe, or the other way round: the larger bound counts.
    """
    n, total = len(x), node.total[0]
    taken, back = _taken(node), np.full(n, np.inf)
    for b in range(len(block) - 1):
        there, here = 0.0, 0.0
        for i in range(block[b], block[b + 1]):
            if node.image[i] >= 0:
                continue
            square_x, nearest = x[i, 0] ** 2 + x[i, 1] ** 2 + x[i, 2] ** 2, np.inf
            for j in range(block[b], block[b + 1]):
                if not taken[j]:
                    square_y = y[j, 0] ** 2 + y[j, 1] ** 2 + y[j, 2] ** 2
                    overlap = (square_x + square_y - square_apart(x, node.turned, i, j)) / 2
                    whole = math.sqrt(square_x * square_y)
                    least = square_x + square_y - 2 * reach(overlap, whole, node.turn[0])
                    node.least[i, j] = least
                    nearest, back[j] = min(nearest, least), min(back[j], least)
            node.share[i] = nearest
            there += nearest
        for j in range(block[b], block[b + 1]):
            if not taken[j]:
                here += back[j]
        for i in range(block[b], block[b + 1]):
            node.share[i] += max(here - there, 0.0)
        best.work[0] += (block[b + 1] - block[b]) ** 2
        total += max(there, here)
    node.total[1] = total


@kernel
def _closed_by_assignment(block: Ints, x: Floats, y: Floats, node: Node, best: Best) -> bool:
    """Bound what is within the turn by the best assignment in its middle; whether nothing better is left."""
    n, shrunk = len(x), False
    order, u, v = np.empty(n, np.int64), np.empty(n), np.empty(n)
    c, rotation = np.empty(9), np.empty(9)
    for _ in range(ROUNDS):
        assign_within(block, x, node.turned, node.image, order, u, v)
        covariance(x, y, order, c)
        overlap, fall = best_rotation(c, rotation)
        offer(order, overlap, best)
        gain = gains(block, x, y, node, order, u, v)
        for b in range(len(block) - 1):
            best.work[0] += 4 * (block[b + 1] - block[b]) ** 2
        excess = min(overlap + gain, best.square[0] / 2) - sufficient(best.overlap[0], best.square[0], n)
        if excess <= 0:
            return True
        turn = largest_turn(excess, fall)
        if turn > WORTHWHILE * node.turn[0]:
            break
        shrunk, node.turn[0] = True, turn
        for k in range(9):
            node.rotation[k] = rotation[k]
        turn_all(rotation, y, node.turned)
    if shrunk:
        fill(block, x, y, node, best)
    return shrunk and node.total[1] >= most_square(best, n)


@kernel
def _fewest(
    block: Ints, x: Floats, y: Floats, node: Node, best: Best, local: bool
) -> tuple[int, bool]:
    """Match all atoms that have one choice; else choose one that has fewest, the outermost of several.

    Args:
        block: as above.
        x: as above.
        y: as above.
        node: of which the images are changed.
        best: as above.
        local: whether only those are chosen that may add to the overlap of the assignment.

    Returns:
        the atom, or `CLOSED` where two atoms have one choice and the same; whether some were matched.
    """
    n, chosen, fewest, weight, forced = len(x), CLOSED, len(x) + 1, 0.0, False
    taken, choice = _taken(node), np.empty(n, np.int64)
    single = np.full(n, UNMATCHED)
    for b in range(len(block) - 1):
        for i in range(block[b], block[b + 1]):
            if node.image[i] >= 0:
                continue
            count = _choices(block[b], block[b + 1], taken, node, i, most_square(best, n), choice)
            if count == 1:
                single[i] = choice[0]
            own = node.gain[i] if local else x[i, 0] ** 2 + x[i, 1] ** 2 + x[i, 2] ** 2
            if count < fewest or (count == fewest and own > weight):
                if not local or own > 0:
                    chosen, fewest, weight = i, count, own
    for i in range(n):
        if single[i] >= 0:
            if taken[single[i]]:
                return CLOSED, False
            node.image[i], taken[single[i]], forced = single[i], True, True
    return chosen, forced


@kernel
def _choices(
    start: int, stop: int, taken: Bools, node: Node, i: int, limit: float, choice: Ints
) -> int:
    """Fill in what an atom may be matched with in a better solution, the nearest last; return how many these are.

    Args:
        start: where the atoms of its element start.
        stop: and where they end.
        taken: (n,) atoms of the probe that are matched already.
        node: the node.
        i: the atom.
        limit: the sum of squared distances of a better solution, angstrom squared.
        choice: (n,) filled in.
    """
    count, rest = 0, node.total[1] - node.share[i]
    for j in range(start, stop):
        if not taken[j] and rest + node.least[i, j] < limit:
            place = count
            while place > 0 and node.least[i, choice[place - 1]] < node.least[i, j]:
                choice[place] = choice[place - 1]
                place -= 1
            choice[place] = j
            count += 1
    return count


@kernel
def gains(
    block: Ints, x: Floats, y: Floats, node: Node, order: Ints, u: Floats, v: Floats
) -> float:
    """Fill in what each atom may add within the turn to the overlap of an assignment; return the sum.

    The order (n,) and the potentials (n,) are those of `assign_within` at the middle of the turn.
    """
    total, taken = 0.0, _taken(node)
    for b in range(len(block) - 1):
        for i in range(block[b], block[b + 1]):
            node.gain[i] = 0.0
            if node.image[i] >= 0:
                continue
            k = order[i]
            square_x, own = x[i, 0] ** 2 + x[i, 1] ** 2 + x[i, 2] ** 2, square_apart(x, node.turned, i, k)
            for j in range(block[b], block[b + 1]):
                if not taken[j] and j != k:
                    cost = square_apart(x, node.turned, i, j)
                    value = 0.0
                    for a in range(3):
                        value += x[i, a] * (node.turned[j, a] - node.turned[k, a])
                    whole = math.sqrt(square_x * square_apart(y, y, j, k))
                    # twice what the turn adds, less what the cost of j exceeds its potentials by
                    more = 2 * (reach(value, whole, node.turn[0]) - value) - (cost - u[i] - v[j])
                    node.gain[i] = max(node.gain[i], more / 2)
            total += node.gain[i]
    return total
