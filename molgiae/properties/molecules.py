"""Which conformers are of one molecule, and of one scaffold: numbers by which they are kept together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import Bonds, ConformerBlock
from molgiae.matching.graphs import graphs_of, refine

Ints = NDArray[np.int64]

BATCH = 2048
"""Graphs refined at once."""


def molecule_numbers(block: ConformerBlock) -> Ints:
    """Return (M,) the number of the molecule of each conformer, from 0 in the order of their first conformers.

    Conformers of one bond graph are of one molecule, stereoisomers with them, and so are those of one title. A title
    under which molecules of unlike formula stand names nothing, and neither does an empty one.
    """
    graph = _numbered(_graph_keys(block.atomic_number, block.offset, _all_bonds(block)))
    titles = _numbered(block.title)
    formula = _numbered(
        np.sort(block.atomic_number[a:b]).tobytes()
        for a, b in zip(block.offset[:-1], block.offset[1:], strict=True)
    )
    pairs = np.unique(np.stack([titles, formula]), axis=1)
    names_one = np.bincount(pairs[0], minlength=len(block)) == 1
    titled = names_one[titles] & np.array([bool(title) for title in block.title], bool)
    size, own = len(block), np.flatnonzero(titled)
    # conformers, then graphs, then titles are the nodes of a graph whose components are the molecules
    ends = np.concatenate([np.arange(size), own]), np.concatenate([graph + size, titles[own] + 2 * size])
    links = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(3 * size, 3 * size))
    return _numbered(connected_components(links, directed=False)[1][:size].tolist())


def scaffold_numbers(block: ConformerBlock) -> Ints:
    """Return (M,) the number of the scaffold of each conformer: its rings and what links them (Bemis and Murcko 1996).

    Orders of bonds are not told apart, so that atoms at double bonds outside of rings fall away, too. All molecules
    without rings share a scaffold.
    """
    numbers, sizes, bonds = [], [], []
    for m, pairs in enumerate(_all_bonds(block)):
        kept = _core(pairs, int(block.n_atoms[m]))
        place = np.cumsum(kept) - 1
        numbers.append(block.atomic_number[block.offset[m] : block.offset[m + 1]][kept])
        sizes.append(int(kept.sum()))
        bonds.append(place[pairs[kept[pairs].all(axis=1)]])
    offset = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return _numbered(_graph_keys(np.concatenate([np.empty(0, np.uint8), *numbers]), offset, bonds))


def _core(pairs: Bonds, n: int) -> NDArray[np.bool_]:
    """Return (n,) atoms that are left when leaves are cut off until there are none."""
    kept = np.ones(n, bool)
    while True:
        inside = pairs[kept[pairs].all(axis=1)]
        leaves = kept & (np.bincount(inside.ravel(), minlength=n) < 2)
        if not leaves.any():
            return kept
        kept &= ~leaves


def _all_bonds(block: ConformerBlock) -> list[Bonds]:
    return [known_bonds(conformer) for conformer in block]


def _graph_keys(atomic_number: NDArray[np.uint8], offset: Ints, bonds: list[Bonds]) -> list[bytes]:
    """Return refined colours of each graph, equal for isomorphic graphs and hardly ever for others."""
    keys = [b""] * len(bonds)
    by_size = defaultdict(list)
    for m, n in enumerate(np.diff(offset).tolist()):
        by_size[n].append(m)
    for n, members in by_size.items():
        for start in range(0, len(members) if n else 0, BATCH):
            part = members[start : start + BATCH]
            z = np.stack([atomic_number[offset[m] : offset[m] + n] for m in part]).astype(np.int64)
            colours = np.sort(refine(graphs_of(z, [bonds[m] for m in part])), axis=1)
            for m, row in zip(part, colours, strict=True):
                keys[m] = row.tobytes()
    return keys


def _numbered(keys: Iterable[Hashable]) -> Ints:
    """Return equal numbers for equal keys, from 0 in the order of their first occurrence."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], np.int64)
