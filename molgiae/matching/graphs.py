"""Bond graphs coloured by element and isotope: canonical labels, isomorphisms and automorphisms, many graphs at once.

Colours are refined by those of the neighbours until nothing changes (Weisfeiler and Leman 1968); atoms still
alike are told apart one at a time, with backtracking where a choice turns out to matter (McKay 1981).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Colours = NDArray[np.uint64]

_FIRST, _SECOND, _MARK = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_SHIFT = np.uint64(29)


@dataclass(frozen=True, slots=True)
class Graphs:
    """M graphs of n atoms.

    Attributes:
        colour: (M, n) uint64, of the atoms.
        neighbour: (M, n, d) atoms bonded to each atom; n where there are fewer than d.
    """

    colour: Colours
    neighbour: Ints

    def take(self, rows: Ints) -> Graphs:
        """Return some of them, also more than once."""
        return Graphs(self.colour[rows], self.neighbour[rows])

    @property
    def key(self) -> tuple[bytes, bytes, int]:
        """What stands for one graph in look-ups."""
        return self.colour.tobytes(), self.neighbour.tobytes(), self.colour.shape[1]

    def marked(self, mark: Colours) -> Graphs:
        """Return the same with atoms of unequal marks, (M, n) or (n,) uint64, of unequal colours."""
        return Graphs(_mixed(self.colour + mark * _MARK), self.neighbour)


def graphs_of(species: Ints, bonds: list[Ints]) -> Graphs:
    """Return the graphs of conformers of equal size.

    Args:
        species: (M, n) elements and isotopes, or other colours of the atoms.
        bonds: of each (K, 2), none twice.
    """
    m, n = species.shape
    graph = np.repeat(np.arange(m), [2 * len(pairs) for pairs in bonds])
    ends = np.concatenate([np.concatenate([pairs, pairs[:, ::-1]]) for pairs in bonds])
    row = graph * n + ends[:, 0]
    by_atom = np.argsort(row, kind="stable")
    row, other = row[by_atom], ends[by_atom, 1]
    degree = np.bincount(row, minlength=m * n)
    neighbour = np.full((m * n, int(degree.max(initial=0))), n, np.int64)
    neighbour[row, np.arange(len(row)) - np.repeat(np.cumsum(degree) - degree, degree)] = other
    return Graphs(_mixed(species.astype(np.uint64)), neighbour.reshape(m, n, -1))


def refine(graphs: Graphs) -> Colours:
    """Return colours (M, n) that no further look at the neighbours would tell apart; comparable among graphs.

    They are hashes, in no order that means anything; `canonical.bond_graph.refined` ranks classes, as an order needs.
    """
    refined = graphs.colour.copy()
    rows, n = np.arange(len(refined)), refined.shape[1]
    colour, neighbour, classes = refined, graphs.neighbour, np.zeros(len(refined), np.int64)
    while len(rows):
        padded = np.zeros((len(rows), n + 1), np.uint64)
        padded[:, :n] = _mixed(colour)
        around = np.take(padded, neighbour + (np.arange(len(rows)) * (n + 1))[:, None, None])
        colour = _mixed(colour * _SECOND + around.sum(axis=-1, dtype=np.uint64))
        refined[rows] = colour
        count = _classes(colour)
        finer = (count > classes) & (count < n)
        rows, colour, neighbour, classes = rows[finer], colour[finer], neighbour[finer], count[finer]
    return refined


def canonical_orders(graphs: Graphs) -> Ints:
    """Return the atoms (M, n) in an order by colours, ties broken by telling apart the first of the least tied colour.

    Isomorphic graphs get the same adjacency in this order whenever atoms of one refined colour are equivalent,
    which holds for nearly all molecules; `adjacency_keys` shows whether it did.
    """
    colour = refine(graphs)
    rank, _ = twin_ranks(graphs, colour)
    colour = Graphs(colour, graphs.neighbour).marked(rank.astype(np.uint64)).colour
    tied = np.flatnonzero(_classes(colour) < colour.shape[1])
    while len(tied):
        chosen = _first_tied(colour[tied])
        colour[tied, chosen] = _marked(colour[tied, chosen])
        colour[tied] = refine(Graphs(colour[tied], graphs.neighbour[tied]))
        tied = tied[_classes(colour[tied]) < colour.shape[1]]
    return np.argsort(colour, axis=1)


def adjacency_keys(graphs: Graphs, order: Ints) -> list[bytes]:
    """Return for each graph the elements and bonds in the given order, as bytes that are equal for equal graphs."""
    m, n = order.shape
    place = np.empty((m, n + 1), np.int64)
    np.put_along_axis(place, order, np.arange(n)[None], axis=1)
    place[:, n] = n
    colour = np.take_along_axis(graphs.colour, order, axis=1)
    rows = np.take_along_axis(graphs.neighbour, order[:, :, None], axis=1)
    renamed = np.sort(np.take_along_axis(place[:, None], rows, axis=2) if rows.shape[2] else rows, axis=2)
    flat = np.concatenate([colour, renamed.reshape(m, -1).astype(np.uint64)], axis=1)
    return [row.tobytes() for row in flat]


def isomorphism(
    first: Graphs, second: Graphs, mine: Colours | None = None, theirs: Colours | None = None
) -> Ints | None:
    """Return the atom (n,) of the second graph for each of the first, element and bonds kept; None if there is none.

    Exhaustive: candidates are tried until one fits or all have failed. Refined colours (n,) of the first and of the
    second graph may be given, if not their own.
    """
    mine = refine(first)[0] if mine is None else mine
    theirs = refine(second)[0] if theirs is None else theirs
    if not np.array_equal(np.sort(mine), np.sort(theirs)):
        return None
    values, count = np.unique(mine, return_counts=True)
    if count.max() == 1:
        mapping = np.argsort(theirs)[np.argsort(np.argsort(mine))]
        return mapping if keeps_bonds(first, second, mapping[None])[0] else None
    value = values[_least_tied(count)]
    atom = np.flatnonzero(mine == value)[:1]
    fixed = refine(_each_singled_out(first, mine, atom))[0]
    for colours in refine(_each_singled_out(second, theirs, np.flatnonzero(theirs == value))):
        found = isomorphism(first, second, fixed, colours)
        if found is not None:
            return found
    return None


def keeps_bonds(first: Graphs, second: Graphs, mappings: Ints) -> NDArray[np.bool_]:
    """Tell which mappings (K, n) from atoms of the first graph to those of the second keep colours and bonds (K,)."""
    n = mappings.shape[1]
    padded = np.concatenate([mappings, np.full((len(mappings), 1), n)], axis=1)
    mapped = np.sort(padded[:, first.neighbour[0]], axis=2)
    theirs = np.sort(second.neighbour[0], axis=1)[mappings]
    same = (second.colour[0][mappings] == first.colour[0]).all(axis=1)
    return same & (mapped == theirs).all(axis=(1, 2))


def products(chain: list[Ints], n: int) -> Ints:
    """Return all automorphisms (K, n), products of one element of each transversal, the identity first."""
    found = np.arange(n)[None]
    for coset in reversed(chain):
        found = coset[:, found].reshape(-1, n)
    return found


def transversals(graph: Graphs) -> list[Ints]:
    """Return one automorphism for every image of each base atom that leaves the base atoms before it alone.

    The atoms with the fewest of their colour are base atoms first.

    Returns:
        arrays (size of the orbit, n), the identity first in each.
    """
    found: list[Ints] = []
    colour = refine(graph)[0]
    while True:
        values, count = np.unique(colour, return_counts=True)
        if len(values) == len(colour):
            return found
        members = np.flatnonzero(colour == values[_least_tied(count)])
        trial = _each_singled_out(graph, colour, members)
        coset = _automorphisms_onto_first(graph, trial)
        if len(coset) > 1:
            found.append(coset)
        colour = refine(trial.take(np.array([0])))[0]


def _automorphisms_onto_first(graph: Graphs, marked: Graphs) -> Ints:
    """Return for each marking of a graph one automorphism that sends the atoms of the first marking there, if any."""
    orders = canonical_orders(marked)
    mappings = np.empty_like(orders)
    mappings[:, orders[0]] = orders
    fits = keeps_bonds(graph, graph, mappings)
    colours = refine(marked) if not fits.all() else marked.colour
    for k in np.flatnonzero(~fits):
        mapping = isomorphism(graph, graph, colours[0], colours[k])
        if mapping is not None:
            mappings[k], fits[k] = mapping, True
    return mappings[fits]


def _least_tied(count: Ints) -> int:
    """Return which colour the fewest atoms have of those that several have, by the counts of all colours."""
    return int(np.where(count > 1, count, count.sum() + 1).argmin())


def _each_singled_out(graph: Graphs, colour: Colours, atoms: Ints) -> Graphs:
    """Return a graph of these colours (n,) once for each of some atoms (K,), with this atom singled out."""
    marked = np.repeat(colour[None], len(atoms), axis=0)
    marked[np.arange(len(atoms)), atoms] = _marked(colour[atoms])
    return Graphs(marked, graph.neighbour.repeat(len(atoms), axis=0))


def _mixed(colour: Colours) -> Colours:
    """Scatter 64-bit numbers over their range."""
    with np.errstate(over="ignore"):
        colour = (colour ^ (colour >> _SHIFT)) * _FIRST
        return (colour ^ (colour >> _SHIFT)) * _SECOND


def _marked(colour: Colours) -> Colours:
    """Return the colours of atoms that are singled out."""
    with np.errstate(over="ignore"):
        return _mixed(colour + _MARK)


def _classes(colour: Colours) -> Ints:
    """Return the number (M,) of different colours in each row."""
    ranked = np.sort(colour, axis=1)
    return 1 + (ranked[:, 1:] != ranked[:, :-1]).sum(axis=1)


def _first_tied(colour: Colours) -> Ints:
    """Return the first atom (M,) of the least colour that several atoms of its row have."""
    order = np.argsort(colour, axis=1, kind="stable")
    ranked = np.take_along_axis(colour, order, axis=1)
    first = (ranked[:, 1:] == ranked[:, :-1]).argmax(axis=1)
    return np.take_along_axis(order, first[:, None], axis=1)[:, 0]


def twin_ranks(graphs: Graphs, colour: Colours | None = None) -> tuple[Ints, Ints]:
    """Number the leaves of one parent that are alike: any of their permutations is an automorphism.

    Colours (M, n) may be given in place of those of the graphs.

    Returns:
        (M, n) number among its like, from 0, in the order of the atoms; (M, n) parent, -1 for what is no leaf.
    """
    colour = graphs.colour if colour is None else colour
    rank, parent = np.zeros(colour.shape, np.int64), np.full(colour.shape, -1)
    graph, atom = np.nonzero((graphs.neighbour < colour.shape[1]).sum(axis=2) == 1)
    if not len(graph):
        return rank, parent
    parent[graph, atom] = graphs.neighbour[graph, atom].min(axis=1)
    keys = graph, parent[graph, atom], colour[graph, atom]
    order = np.lexsort(keys[::-1])
    unlike = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    rank[graph[order], atom[order]] = place_in_run(np.append(0, np.cumsum(unlike)))
    return rank, parent


def place_in_run(values: Ints) -> Ints:
    """Return the place of each in its stretch of equal, adjacent values, none of which is -1, from 0."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
