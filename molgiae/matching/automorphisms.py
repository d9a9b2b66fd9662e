"""Automorphisms of a molecule as core automorphisms times permutations of equivalent leaves of one parent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.chain import Level, levels_of
from molgiae.matching.graphs import Graphs, products, transversals, twin_ranks

Ints = NDArray[np.int64]

MAX_CORE = 256
"""Core automorphisms that are tried one by one."""
MAX_LEAVES = 6
"""Leaves of one parent whose permutations are tabulated; more are left to the core."""


@dataclass(frozen=True, slots=True)
class Automorphisms:
    """The automorphisms of one bond graph of n atoms.

    Attributes:
        core: (K, n) those that send bunches leaf by leaf, the identity first; where there are more than
            `MAX_CORE`, the identity alone.
        bunches: G of equivalent leaves (k,), which may be permuted in any way, those of few leaves first.
        levels: of the chain that leads to all core automorphisms, where `core` has not all of them.
    """

    core: Ints
    bunches: list[Ints]
    levels: list[Level]

    @property
    def tables(self) -> list[Ints]:
        """The permutations (k!, k) of each bunch."""
        return [all_permutations(len(atoms)) for atoms in self.bunches]

    def exchanged(self) -> Ints:
        """Return what each permutation of all bunches becomes by each exchange of two leaves (T, E).

        Bunches of fewer leaves have fewer exchanges; in place of others the permutation stays what it is.
        """
        tables = [swapped(len(atoms)) for atoms in self.bunches]
        result = np.arange(sum(map(len, tables)))[:, None].repeat(tables[-1].shape[1], axis=1)
        start = 0
        for table in tables:
            result[start : start + len(table), : table.shape[1]] = table + start
            start += len(table)
        return result

    def with_core(self, core: Ints) -> Automorphisms:
        """Return the same with other core automorphisms (K, n), which are all that are tried."""
        return Automorphisms(core, self.bunches, [])


@lru_cache(maxsize=256)
def cached_automorphisms(key: tuple[bytes, bytes, int]) -> Automorphisms:
    """Return what `automorphisms_of` does, of a graph by its `Graphs.key`."""
    colour, neighbour, n = key
    return automorphisms_of(
        Graphs(np.frombuffer(colour, np.uint64)[None], np.frombuffer(neighbour, np.int64).reshape(1, n, -1))
    )


def automorphisms_of(graph: Graphs) -> Automorphisms:
    """Return the automorphisms of one graph."""
    rank, parent = (found[0] for found in twin_ranks(graph))
    n = len(rank)
    by_bunch: dict[tuple[int, int], list[int]] = {}
    for atom in np.argsort(rank, kind="stable").tolist():
        if parent[atom] >= 0:
            by_bunch.setdefault((int(parent[atom]), int(graph.colour[0, atom])), []).append(atom)
    bunches = [np.array(atoms) for atoms in by_bunch.values() if 2 <= len(atoms) <= MAX_LEAVES]
    bunches.sort(key=len)
    numbered = np.zeros(n, np.uint64)
    for atoms in bunches:
        numbered[atoms] = np.arange(1, len(atoms) + 1)
    chain = transversals(graph.marked(numbered))
    few = math.prod(map(len, chain)) <= MAX_CORE
    core = products(chain, n) if few else np.arange(n)[None]
    return Automorphisms(core, bunches, [] if few else levels_of(chain, bunches))


@lru_cache
def all_permutations(k: int) -> Ints:
    """Return the permutations (k!, k), the identity first."""
    return np.array(list(permutations(range(k))))


@lru_cache
def exchanges(k: int) -> Ints:
    """Return all pairs of entries (k (k - 1) / 2, 2)."""
    return np.array([(i, j) for i in range(k) for j in range(i)])


@lru_cache
def swapped(k: int) -> Ints:
    """Return the number of each permutation after each of the exchanges (k!, k (k - 1) / 2)."""
    table, pairs = all_permutations(k), exchanges(k)
    swap = np.tile(np.arange(k), (len(pairs), 1))
    np.put_along_axis(swap, pairs, pairs[:, ::-1], axis=1)
    code = k ** np.arange(k)
    order = np.argsort(table @ code)
    return order[np.searchsorted((table @ code)[order], table[:, swap] @ code)]
