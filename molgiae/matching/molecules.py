"""Which conformers are of the same bond graph, and an order of their atoms in which their bonds agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
    like_first, by_size = [], defaultdict(list)
    for m, conformer in enumerate(conformers):
        pairs = known_bonds(conformer)
        like_first.append(first.setdefault((conformer.species.tobytes(), pairs.tobytes()), m))
        if like_first[m] == m:
            bonds[m] = pairs
            by_size[len(conformer)].append(m)
    labels = _Labels()
    label: dict[int, tuple[int, Ints]] = {}
    for members in by_size.values():
        for start in range(0, len(members), BATCH):
            part = members[start : start + BATCH]
            species = np.stack([conformers[m].species for m in part])
            found = labels.of(graphs_of(species, [bonds[m] for m in part]))
            label.update(zip(part, found, strict=True))
    return Molecules(labels.graph, [label[m][0] for m in like_first], [label[m][1] for m in like_first])


class _Labels:
    """Molecules by the graphs seen so far.

    Attributes:
        graph: of each molecule, atoms in its order.
    """

    def __init__(self) -> None:
        self.graph: list[Graphs] = []
        self._known: dict[bytes, tuple[int, Ints]] = {}
        self._alike: dict[bytes, list[int]] = defaultdict(list)

    def of(self, graphs: Graphs) -> Iterator[tuple[int, Ints]]:
        """Yield the molecule of each graph and its atoms in the order of the molecule."""
        orders = canonical_orders(graphs)
        for k, key in enumerate(adjacency_keys(graphs, orders)):
            if key not in self._known:
                self._known[key] = self._new(reordered(graphs.take(np.array([k])), orders[k]))
            molecule, place = self._known[key]
            yield molecule, orders[k][place]

    def _new(self, graph: Graphs) -> tuple[int, Ints]:
        """Return the molecule of a key seen for the first time, and where its atoms are in the order of the key."""
        alike = self._alike[np.sort(refine(graph), axis=1).tobytes()]
        for molecule in alike:
            mapping = isomorphism(self.graph[molecule], graph)
            if mapping is not None:
                return molecule, mapping
        alike.append(len(self.graph))
        self.graph.append(graph)
        return alike[-1], np.arange(graph.colour.shape[1])


def reordered(graph: Graphs, order: Ints) -> Graphs:
    """Return one graph with its atoms in another order."""
    place = np.append(np.argsort(order), len(order))
    return Graphs(graph.colour[:, order], place[graph.neighbour[:, order]])
