"""Which conformers are of the same bond graph, and an order of their atoms in which their bonds agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import Conformer
from molgiae.matching.graphs import (
    Graphs,
    adjacency_keys,
    canonical_orders,
    graphs_of,
    isomorphism,
    refine,
)

Ints = NDArray[np.int64]

BATCH = 2048
"""Graphs labelled at once."""


@dataclass(frozen=True, slots=True)
class Molecules:
    """Conformers by bond graph; elements and isotopes colour its atoms.

    Attributes:
        graph: of each molecule, atoms in the common order.
        molecule: of each conformer, its molecule.
        order: of each conformer (n,), its atoms in the common order.
    """

    graph: list[Graphs]
    molecule: list[int]
    order: list[Ints]


def molecules_of(conformers: Sequence[Conformer]) -> Molecules:
    """Label the bond graphs of conformers; bonds are perceived where a record has none."""
    first: dict[tuple[bytes, bytes], int] = {}
    bonds: dict[int, Ints] = {}
    like_first = []
    for m, conformer in enumerate(conformers):
        pairs = known_bonds(conformer)
        like_first.append(first.setdefault((conformer.species.tobytes(), pairs.tobytes()), m))
        if like_first[m] == m:
            bonds[m] = pairs
    by_size = defaultdict(list)
    for m in bonds:
        by_size[len(conformers[m])].append(m)
    found = Molecules([], [-1] * len(conformers), [np.empty(0, np.int64)] * len(conformers))
    known: dict[bytes, tuple[int, Ints]] = {}
    like: dict[bytes, list[int]] = defaultdict(list)
    for members in by_size.values():
        for start in range(0, len(members), BATCH):
            part = members[start : start + BATCH]
            species = np.stack([conformers[m].species for m in part])
            _label(found, known, like, part, graphs_of(species, [bonds[m] for m in part]))
    for m, same in enumerate(like_first):
        found.molecule[m], found.order[m] = found.molecule[same], found.order[same]
    return found


def _label(
    found: Molecules,
    known: dict[bytes, tuple[int, Ints]],
    like: dict[bytes, list[int]],
    members: list[int],
    graphs: Graphs,
) -> None:
    orders = canonical_orders(graphs)
    for k, (m, key) in enumerate(zip(members, adjacency_keys(graphs, orders), strict=True)):
        if key not in known:
            known[key] = _new(found, like, graphs.take(np.array([k])), orders[k])
        found.molecule[m], place = known[key]
        found.order[m] = orders[k][place]


def _new(found: Molecules, like: dict[bytes, list[int]], graph: Graphs, order: Ints) -> tuple[int, Ints]:
    """Molecule of a key seen for the first time, and the place in its order of each atom of the molecule."""
    n = len(order)
    graph = reordered(graph, order)
    alike = like[np.sort(refine(graph), axis=1).tobytes()]
    for molecule in alike:
        mapping = isomorphism(found.graph[molecule], graph)
        if mapping is not None:
            return molecule, mapping
    alike.append(len(found.graph))
    found.graph.append(graph)
    return len(found.graph) - 1, np.arange(n)


def reordered(graph: Graphs, order: Ints) -> Graphs:
    """One graph with its atoms in another order."""
    place = np.append(np.empty_like(order), len(order))
    place[order] = np.arange(len(order))
    return Graphs(graph.colour[:, order], place[graph.neighbour[:, order]])
