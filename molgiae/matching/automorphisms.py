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

CORE_LIMIT = 256
"""Core automorphisms that are tried one by one."""
MAX_LEAVES = 6
"""Leaves of one parent whose permutations are tabulated; more are left to the core."""


@dataclass(frozen=True, slots=True)
class Bunches:
    """G bunches of k equivalent leaves each.

    Attributes:
        atoms: (G, k).
        image: (K, G) the bunch each is sent to by each core automorphism, leaf by leaf.
        permutations: (k!, k), the identity first.
    """

    atoms: Ints
    image: Ints
    permutations: Ints


@dataclass(frozen=True, slots=True)
class Symmetry:
    """The automorphisms of one bond graph of n atoms.

    Attributes:
        core: (K, n) those that keep the numbers of leaves within their bunches, the identity first; where there are
            more than `CORE_LIMIT`, the identity alone.
        bunches: by number of leaves.
        levels: of the chain that leads to all core automorphisms, where `core` has not all of them.
    """

    core: Ints
    bunches: list[Bunches]
    levels: list[Level]

    @property
    def options(self) -> list[int]:
        """Permutations of each bunch."""
        return [len(bunches.permutations) for bunches in self.bunches for _ in bunches.atoms]

    def exchanged(self) -> Ints:
        """Return what each permutation of all bunches becomes by each exchange of two leaves (T, E).

        Bunches of fewer leaves have fewer exchanges; in place of others the permutation stays what it is.
        """
        start = 0
        most = max((len(exchanges(bunches.atoms.shape[1])) for bunches in self.bunches), default=0)
        result = np.repeat(np.arange(sum(self.options))[:, None], most, axis=1)
        for bunches in self.bunches:
            for _ in bunches.atoms:
                table = swapped(bunches.atoms.shape[1])
                result[start : start + len(table), : table.shape[1]] = table + start
                start += len(table)
        return result

    def with_core(self, core: Ints) -> Symmetry:
        """Return the same with other core automorphisms (K, n)."""
        bunches = [Bunches(b.atoms, _images(b.atoms, core), b.permutations) for b in self.bunches]
        return Symmetry(core, bunches, [])


@lru_cache(maxsize=256)
def cached_symmetry(key: tuple[bytes, bytes, int]) -> Symmetry:
    """As `symmetry_of`, of a graph by its `Graphs.key`."""
    colour, neighbour, n = key
    return symmetry_of(
        Graphs(np.frombuffer(colour, np.uint64)[None], np.frombuffer(neighbour, np.int64).reshape(1, n, -1))
    )


def symmetry_of(graph: Graphs) -> Symmetry:
    """Analyse one graph."""
    rank, parent = (found[0] for found in twin_ranks(graph))
    n = len(rank)
    by_bunch: dict[tuple[int, int], list[int]] = {}
    for atom in np.argsort(rank, kind="stable").tolist():
        if parent[atom] >= 0:
            by_bunch.setdefault((int(parent[atom]), int(graph.colour[0, atom])), []).append(atom)
    found = [np.array(atoms) for atoms in by_bunch.values() if 2 <= len(atoms) <= MAX_LEAVES]
    numbered = np.zeros(n, np.uint64)
    for atoms in found:
        numbered[atoms] = np.arange(1, len(atoms) + 1)
    chain = transversals(graph.marked(numbered))
    few = math.prod(map(len, chain)) <= CORE_LIMIT
    core = products(chain, n) if few else np.arange(n)[None]
    bunches = []
    for k in sorted({len(atoms) for atoms in found}):
        atoms_of = np.array([atoms for atoms in found if len(atoms) == k])
        bunches.append(Bunches(atoms_of, _images(atoms_of, core), all_permutations(k)))
    return Symmetry(core, bunches, [] if few else levels_of(chain, found))


def _images(atoms: Ints, core: Ints) -> Ints:
    """(K, G) which of the bunches (G, k) each is sent to by core automorphisms (K, n)."""
    which = np.full(core.shape[1], -1)
    which[atoms[:, 0]] = np.arange(len(atoms))
    return which[core[:, atoms[:, 0]]]


@lru_cache
def all_permutations(k: int) -> Ints:
    """(k!, k) permutations, the identity first."""
    return np.array(list(permutations(range(k))))


@lru_cache
def exchanges(k: int) -> Ints:
    """(k (k - 1) / 2, 2) pairs of entries."""
    return np.array([(i, j) for i in range(k) for j in range(i)])


@lru_cache
def swapped(k: int) -> Ints:
    """(k!, k (k - 1) / 2) index of each permutation after each of the exchanges."""
    table = all_permutations(k)
    index = {row: number for number, row in enumerate(map(tuple, table.tolist()))}
    result = np.empty((len(table), len(exchanges(k))), np.int64)
    for number, row in enumerate(table):
        for column, (i, j) in enumerate(exchanges(k)):
            other = row.copy()
            other[[i, j]] = row[[j, i]]
            result[number, column] = index[tuple(other.tolist())]
    return result
