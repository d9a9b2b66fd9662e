"""Automorphisms of a bond graph: products of one element of each transversal, times permutations of leaves.

A chain of base atoms has for each of them a transversal: one automorphism for every image of this atom that leaves the
base atoms before it alone. Every automorphism that sends bunches leaf by leaf is a product t1 t2 ... tm of one
element of each. Leaves of one parent that are alike, a bunch, may be permuted in any way besides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from molgiae.matching.assignment import Blocks
from molgiae.matching.graphs import (
    Floats,
    Graph,
    Ints,
    isomorphism,
    least_tied,
    marked,
    refine,
    told_apart,
    twin_of,
)
from molgiae.parallel.kernels import kernel

MAX_ROWS = 512
"""Automorphisms in all transversals, after which the chain is cut short and nothing is proven."""


class Symmetry(NamedTuple):
    """The automorphisms of one bond graph of n atoms.

    Attributes:
        transversal: (T, n) those of all levels, the identity first in each.
        level: (m + 1,) where those of each level start.
        orbit: (m, n) for each level, the first atom of the orbit of each atom under what leaves this base atom and
            those before it alone, bunches included.
        bunches: the blocks of leaves.
        complete: whether these are all automorphisms.
    """

    transversal: Ints
    level: Ints
    orbit: Ints
    bunches: Blocks
    complete: bool


def symmetry_of(graph: Graph) -> Symmetry:
    """Return the automorphisms of a graph."""
    numbered = graph[0].copy(), *graph[1:]
    bunches = _bunches(graph, numbered[0])
    transversal, level, complete = _transversals(numbered)
    return Symmetry(transversal, level, _orbits(transversal, level, bunches), bunches, complete)


@kernel
def _bunches(graph: Graph, numbered: Floats) -> Blocks:
    """Return the bunches, the leaves of each in the order of the atoms; leaves are told apart in a copy of colours."""
    colour, start, neighbour = graph
    n, size, bunches = len(colour), 0, 0
    begin, member = np.zeros(n + 1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        rank, number = twin_of(graph, colour, i)
        if rank > 0 or number < 2:
            continue
        parent = neighbour[start[i]]
        for b in range(start[parent], start[parent + 1]):
            other = neighbour[b]
            if start[other + 1] - start[other] == 1 and colour[other] == colour[i]:
                member[size], size = other, size + 1
                numbered[other] = marked(colour[other], size - begin[bunches])
        bunches += 1
        begin[bunches] = size
    return begin[: bunches + 1].copy(), member[:size].copy()


def _transversals(graph: Graph) -> tuple[Ints, Ints, bool]:
    """Return the transversals and where each starts as in `Symmetry`, and whether they are all.

    The atoms with the fewest of their colour are base atoms first.
    """
    colour, complete = refine(graph), True
    found, level = [np.empty((0, len(colour)), np.int64)], [0]
    while complete and (base := least_tied(colour)) >= 0:
        fixed, coset = told_apart(graph, colour, base), []
        for atom in np.flatnonzero(colour == colour[base]).tolist():
            mapping = isomorphism(graph, graph, fixed, told_apart(graph, colour, atom))
            coset += [mapping] if len(mapping) else []
        complete = level[-1] + len(coset) <= MAX_ROWS
        if complete and len(coset) > 1:
            found.append(np.array(coset))
            level.append(level[-1] + len(coset))
        colour = fixed
    return np.concatenate(found), np.array(level), complete


@kernel
def _orbits(transversal: Ints, level: Ints, bunches: Blocks) -> Ints:
    """Return the orbits (m, n) of `Symmetry`."""
    depth, n, (start, member) = len(level) - 1, transversal.shape[1], bunches
    found, orbit = np.empty((depth, n), np.int64), np.arange(n)
    for b in range(len(start) - 1):
        for k in range(start[b] + 1, start[b + 1]):
            _join(orbit, member[start[b]], member[k])
    for d in range(depth - 1, -1, -1):
        found[d] = orbit
        for t in range(level[d], level[d + 1]):
            for i in range(n):
                _join(orbit, i, transversal[t, i])
    return found


@kernel
def _join(orbit: Ints, first: int, second: int) -> None:
    """Make one of the orbits of two atoms; each is named after its first atom."""
    low, high = min(orbit[first], orbit[second]), max(orbit[first], orbit[second])
    if low < high:
        for i in range(len(orbit)):
            if orbit[i] == high:
                orbit[i] = low
