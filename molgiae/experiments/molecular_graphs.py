"""Molecular graphs as dense arrays: heavy atoms with their hydrogens as nodes, bonds as edges.

All graphs of a study have n nodes. Bond orders follow from the hydrogens: whether they can be given is what makes a
graph `valid`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.bonds import perceived_bonds_of_block
from molgiae.data.conformer import ConformerBlock
from molgiae.groups import Permutation

KINDS = (
    *((6, hydrogens) for hydrogens in range(4)),
    *((7, hydrogens) for hydrogens in range(4)),
    *((8, hydrogens) for hydrogens in range(2)),
    (9, 0),
)
"""Element and hydrogens of the nodes."""

BONDS = {6: ((4, 0),), 7: ((3, 0), (4, 1)), 8: ((2, 0), (1, -1)), 9: ((1, 0),)}
"""Element to bonds, counted with their orders, and charge, of each state it may have in a valid graph."""

HIGHEST_ORDER = 3

_HASH = torch.from_numpy(np.random.default_rng(0).integers(1 << 40, size=64))
"""Of classes, whose sums over neighbours tell other neighbours apart."""


@dataclass(frozen=True)
class Graphs:
    """M graphs of n nodes.

    Attributes:
        kind: (M, n) int64, rows of `KINDS`.
        bonded: (M, n, n) bool, symmetric, False on the diagonal.
    """

    kind: Tensor
    bonded: Tensor

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, which: Tensor | slice) -> Graphs:
        return Graphs(self.kind[which], self.bonded[which])

    def moved(self, g: Permutation) -> Graphs:
        """Return the graphs with nodes in another order: node k in place ``g.index[:, k]``."""
        return Graphs(g.act(self.kind, dim=-1), g.act(g.act(self.bonded).mT))

    def same(self, other: Graphs) -> Tensor:
        """Return (M,) whether nodes and edges are the same, node by node."""
        return (self.kind == other.kind).all(dim=1) & (self.bonded == other.bonded).flatten(1).all(dim=1)


def graphs_of(block: ConformerBlock, nodes: int) -> tuple[Graphs, NDArray[np.int64]]:
    """Return the graphs of the conformers that have so many heavy atoms, all of `KINDS`, and which ones these are.

    Bonds are perceived from distances; nodes are in the order of the atoms.
    """
    number = block.atomic_number.astype(np.int64)
    bonds = perceived_bonds_of_block(number, block.position, block.offset)[0]
    heavy = number > 1
    hydrogens = np.zeros(len(number), np.int64)
    for one, other in (bonds.T, bonds.T[::-1]):
        np.add.at(hydrogens, one[number[other] == 1], 1)
    known = {pair: k for k, pair in enumerate(KINDS)}
    table = np.full((number.max() + 1, hydrogens.max() + 1), -1)
    for (element, bound), k in known.items():
        if element < len(table) and bound < table.shape[1]:
            table[element, bound] = k
    kind = table[number, hydrogens]
    chosen = np.flatnonzero((block.count(heavy) == nodes) & (block.count(heavy & (kind < 0)) == 0))
    graph = np.full(len(block), -1)
    graph[chosen] = np.arange(len(chosen))
    place = np.cumsum(heavy) - 1 - (np.cumsum(heavy) - heavy)[block.offset[:-1]][block.owner]
    kinds = np.zeros((len(chosen), nodes), np.int64)
    inside = heavy & (graph[block.owner] >= 0)
    kinds[graph[block.owner[inside]], place[inside]] = kind[inside]
    bonded = np.zeros((len(chosen), nodes, nodes), bool)
    i, j = bonds[inside[bonds].all(axis=1)].T
    bonded[graph[block.owner[i]], place[i], place[j]] = bonded[graph[block.owner[i]], place[j], place[i]] = (
        True
    )
    return Graphs(torch.from_numpy(kinds), torch.from_numpy(bonded)), chosen


def classes(key: Tensor) -> Tensor:
    """Return the ranks of numbers (M, n) within their row, (M, n) int64; equal ones have one rank."""
    values, order = key.sort(dim=1)
    steps = torch.nn.functional.pad((values[:, 1:] != values[:, :-1]).long().cumsum(dim=1), (1, 0))
    return torch.empty_like(steps).scatter_(1, order, steps)


def refined(colour: Tensor, bonded: Tensor) -> Tensor:
    """Refine classes of nodes (M, n) by those of their neighbours until nothing changes (Weisfeiler and Leman)."""
    while True:
        around = (bonded * _HASH[colour][:, None]).sum(dim=2)
        finer = classes((colour << 48) + around)
        if torch.equal(finer, colour):
            return colour
        colour = finer


def among_equals(graphs: Graphs) -> Tensor:
    """Number the nodes of each class of equal ones, (M, n) int64 from 0.

    A node is singled out and classes are refined, again and again, until all differ. Where equal nodes are those that
    an automorphism exchanges, it does not matter which: graph and numbers are the same up to the order of nodes.
    """
    equal = colour = refined(classes(graphs.kind), graphs.bonded)
    for _ in range(colour.shape[1]):
        several = (colour[:, :, None] == colour[:, None]).sum(dim=2) > 1
        if not several.any():
            break
        lowest = torch.where(several, colour, colour.shape[1]).argmin(dim=1)
        single = torch.nn.functional.one_hot(lowest, colour.shape[1])
        colour = refined(classes(2 * colour - single * several.any(dim=1)[:, None]), graphs.bonded)
    before = (equal[:, :, None] == equal[:, None]) & (colour[:, None] < colour[:, :, None])
    return before.sum(dim=2)


def connected(bonded: Tensor) -> Tensor:
    """Return (M,) whether all nodes of a graph hang together."""
    n = bonded.shape[1]
    reached = bonded.float() + torch.eye(n)
    for _ in range(n.bit_length()):
        reached = ((reached @ reached) > 0).float()
    return (reached > 0).flatten(1).all(dim=1)


def valid(graphs: Graphs) -> NDArray[np.bool_]:
    """Return (M,) whether graphs hang together, and bond orders give every atom its `BONDS`, and no charge in total."""
    return np.array(
        [
            bool(whole) and _has_orders([KINDS[k] for k in kind], bonded.numpy())
            for whole, kind, bonded in zip(
                connected(graphs.bonded), graphs.kind.tolist(), graphs.bonded, strict=True
            )
        ]
    )


def _has_orders(kinds: list[tuple[int, int]], bonded: NDArray[np.bool_]) -> bool:
    """Search for bond orders atom by atom: each decides its bonds to those after it."""
    n = len(kinds)
    after = [np.flatnonzero(bonded[i, i + 1 :]) + i + 1 for i in range(n)]

    def decided(i: int, have: tuple[int, ...], charge: int) -> bool:
        if i == n:
            return charge == 0
        element, hydrogens = kinds[i]
        return any(
            decided(i + 1, more, charge + own)
            for bonds, own in BONDS[element]
            for more in _shared(bonds - hydrogens - have[i], after[i].tolist(), have)
        )

    return decided(0, (0,) * n, 0)


def _shared(orders: int, neighbours: list[int], have: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return every way to give a number of orders to bonds with neighbours, as bonds that atoms then have."""
    if not neighbours:
        return [have] if orders == 0 else []
    first, *rest = neighbours
    return [
        way
        for order in range(1, min(HIGHEST_ORDER, orders - len(rest)) + 1)
        for way in _shared(orders - order, rest, (*have[:first], have[first] + order, *have[first + 1 :]))
    ]
