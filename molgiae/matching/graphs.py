"""Bond graphs coloured by element and isotope: canonical orders and isomorphisms.

Colours are refined by those of the neighbours until nothing changes (Weisfeiler and Leman 1968); atoms still
alike are told apart one at a time, with backtracking where a choice turns out to matter (McKay 1981).

Colours are hashes of 53 bits, held as whole numbers in float64, in no order that means anything; those of two graphs
can be compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Graph = tuple[Floats, Ints, Ints]
"""Colours (n,) of the atoms; start (n + 1,) and neighbour (2 K,), where the atoms bonded to atom i are
``neighbour[start[i]:start[i + 1]]``, ascending."""

_FIRST, _SECOND, _MARK = 0x9E3779B97F4A7C15 - (1 << 64), 0xC2B2AE3D27D4EB4F - (1 << 64), 0x165667B19E3779F9


def graph_of(species: NDArray[np.integer], bonds: NDArray[np.integer]) -> Graph:
    """Return the bond graph of atoms of some elements and isotopes (n,), with bonds (K, 2), none twice."""
    return coloured(np.array(species, np.int64), np.array(bonds, np.int64, order="C"))


@kernel
def coloured(species: Ints, bonds: Ints) -> Graph:
    """Return what `graph_of` does."""
    n = len(species)
    colour, start, neighbour = np.empty(n), np.zeros(n + 1, np.int64), np.empty(2 * len(bonds), np.int64)
    for i in range(n):
        colour[i] = _colour(species[i])
    for k in range(len(bonds)):
        start[bonds[k, 0]] += 1
        start[bonds[k, 1]] += 1
    for i in range(n):
        start[i + 1] += start[i]
    for k in range(len(bonds)):
        for end in range(2):
            atom = bonds[k, end]
            start[atom] -= 1
            neighbour[start[atom]] = bonds[k, 1 - end]
    _sort_neighbours(start, neighbour)
    return colour, start, neighbour


@kernel
def reordered(graph: Graph, order: Ints) -> Graph:
    """Return a graph with its atoms in another order (n,)."""
    colour, start, neighbour = graph
    n, place = len(order), np.empty(len(order), np.int64)
    for k in range(n):
        place[order[k]] = k
    new_colour, new_start, new_neighbour = np.empty(n), np.zeros(n + 1, np.int64), np.empty_like(neighbour)
    for k in range(n):
        new_colour[k], stop = colour[order[k]], new_start[k]
        for b in range(start[order[k]], start[order[k] + 1]):
            new_neighbour[stop] = place[neighbour[b]]
            stop += 1
        new_start[k + 1] = stop
    _sort_neighbours(new_start, new_neighbour)
    return new_colour, new_start, new_neighbour


@kernel
def _sort_neighbours(start: Ints, neighbour: Ints) -> None:
    """Sort the neighbours of each atom."""
    for i in range(len(start) - 1):
        for k in range(start[i] + 1, start[i + 1]):
            moved, j = neighbour[k], k
            while j > start[i] and neighbour[j - 1] > moved:
                neighbour[j] = neighbour[j - 1]
                j -= 1
            neighbour[j] = moved


@kernel
def _mixed(value: int) -> int:
    """Scatter 64-bit numbers over their range."""
    value = (value ^ (value >> 29)) * _FIRST
    return (value ^ (value >> 29)) * _SECOND


@kernel
def _colour(value: int) -> float:
    """Return the colour of a 64-bit number."""
    return float(_mixed(value) >> 11)


@kernel
def marked(colour: float, mark: int) -> float:
    """Return the colour of an atom that a mark other than 0 tells apart from those of its colour."""
    return _colour(int(colour) + mark * _MARK)


@kernel
def refine(graph: Graph) -> Floats:
    """Return colours (n,) that no further look at the neighbours would tell apart; comparable among graphs."""
    colour, start, neighbour = graph
    n, classes = len(colour), 0
    refined, mixed = colour.copy(), np.empty(n, np.int64)
    while True:
        for i in range(n):
            mixed[i] = _mixed(int(refined[i]))
        for i in range(n):
            around = int(refined[i]) * _SECOND
            for b in range(start[i], start[i + 1]):
                around += mixed[neighbour[b]]
            refined[i] = _colour(around)
        count = number_of(refined)
        if count <= classes or count == n:
            return refined
        classes = count


@kernel
def number_of(colour: Floats) -> int:
    """Return how many different colours there are."""
    order, count = argsort(colour), 1 if len(colour) else 0
    for k in range(1, len(order)):
        count += colour[order[k]] != colour[order[k - 1]]
    return count


@kernel
def least_tied(colour: Floats) -> int:
    """Return the first atom of the colour that the fewest atoms have of those that several have; -1 for none."""
    order, found, fewest, begin = argsort(colour), -1, len(colour) + 1, 0
    for k in range(1, len(order) + 1):
        if k == len(order) or colour[order[k]] != colour[order[begin]]:
            if 1 < k - begin < fewest:
                found, fewest = order[begin], k - begin
            begin = k
    return found


@kernel
def twin_of(graph: Graph, colour: Floats, atom: int) -> tuple[int, int]:
    """Number a leaf among those of its parent that have its colour: any of their permutations is an automorphism.

    Returns:
        how many of these come before it in the order of the atoms, and how many there are; both 0 for what is no leaf.
    """
    _, start, neighbour = graph
    rank, number = 0, 0
    if start[atom + 1] - start[atom] == 1:
        parent = neighbour[start[atom]]
        for b in range(start[parent], start[parent + 1]):
            other = neighbour[b]
            if start[other + 1] - start[other] == 1 and colour[other] == colour[atom]:
                number += 1
                rank += other < atom
    return rank, number


@kernel
def canonical_order(graph: Graph) -> Ints:
    """Return the atoms (n,) in an order by colours; ties are broken by telling apart one of the least tied colour.

    Isomorphic graphs get the same adjacency in this order whenever atoms of one refined colour are equivalent,
    which holds for nearly all molecules.
    """
    _, start, neighbour = graph
    refined = refine(graph)
    colour = refined.copy()
    for i in range(len(colour)):
        rank = twin_of(graph, refined, i)[0]
        if rank > 0:
            colour[i] = marked(refined[i], rank)
    while True:
        tied = least_tied(colour)
        if tied < 0:
            return argsort(colour)
        colour[tied] = marked(colour[tied], 1)
        colour = refine((colour, start, neighbour))


def isomorphism(first: Graph, second: Graph, mine: Floats, theirs: Floats) -> Ints:
    """Return the atom (n,) of the second graph for each of the first, colours and bonds kept; nothing, (0,), for none.

    Exhaustive: an atom of the first is told apart, and for it every one of the second is tried. The refined colours
    (n,) of each are its own or finer ones.
    """
    found, base = matched(mine, theirs), least_tied(mine)
    if not len(found) or keeps_bonds(first, second, found):
        return found
    if base >= 0:
        fixed = told_apart(first, mine, base)
        for atom in np.flatnonzero(theirs == mine[base]).tolist():
            found = isomorphism(first, second, fixed, told_apart(second, theirs, atom))
            if len(found):
                return found
    return np.empty(0, np.int64)


@kernel
def told_apart(graph: Graph, colour: Floats, atom: int) -> Floats:
    """Return refined colours (n,) where one atom is told apart from those of its colour."""
    apart = colour.copy()
    apart[atom] = marked(colour[atom], 1)
    return refine((apart, graph[1], graph[2]))


@kernel
def matched(mine: Floats, theirs: Floats) -> Ints:
    """Return an atom (n,) of the second colours for each of the first; nothing, (0,), if these are not the same.

    Atoms that have one colour in both stay where they are, others come in their order.
    """
    left, right = mine.copy(), theirs.copy()
    for i in range(len(mine)):
        if mine[i] == theirs[i]:
            left[i] = right[i] = -float(i + 1) * 2.0**60  # beyond all colours
    first, second, mapping = argsort(left), argsort(right), np.empty(len(mine), np.int64)
    for k in range(len(mine)):
        if left[first[k]] != right[second[k]]:
            return np.empty(0, np.int64)
        mapping[first[k]] = second[k]
    return mapping


@kernel
def keeps_bonds(first: Graph, second: Graph, mapping: Ints) -> bool:
    """Return whether a mapping (n,) of atoms of the first graph to those of the second keeps colours and bonds."""
    colour, start, neighbour = first
    other_colour, other_start, other_neighbour = second
    for i in range(len(mapping)):
        m = mapping[i]
        if colour[i] != other_colour[m] or start[i + 1] - start[i] != other_start[m + 1] - other_start[m]:
            return False
        for b in range(start[i], start[i + 1]):
            found = False
            for a in range(other_start[m], other_start[m + 1]):
                found = found or other_neighbour[a] == mapping[neighbour[b]]
            if not found:
                return False
    return True
