"""Automorphisms of a molecule as core automorphisms times permutations of equivalent leaves of one parent."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.graphs import Graphs, automorphisms, twin_ranks

Ints = NDArray[np.int64]

CORE_LIMIT = 1 << 14
"""Core automorphisms that are looked at."""
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
        core: (K, n) those that keep the numbers of leaves within their bunches, the identity first.
        bunches: by number of leaves.
        complete: whether `core` has all of them.
    """

    core: Ints
    bunches: list[Bunches]
    complete: bool


def symmetry_of(graph: Graphs) -> Symmetry:
    """Analyse one graph."""
    rank, parent = (found[0] for found in twin_ranks(graph))
    n = len(rank)
    by_bunch: dict[tuple[int, int], list[int]] = {}
    for atom in np.argsort(rank, kind="stable").tolist():
        if parent[atom] >= 0:
            by_bunch.setdefault((int(parent[atom]), int(graph.colour[0, atom])), []).append(atom)
    found = [atoms for atoms in by_bunch.values() if 2 <= len(atoms) <= MAX_LEAVES]
    numbered = np.zeros(n, np.uint64)
    for atoms in found:
        numbered[atoms] = np.arange(1, len(atoms) + 1)
    core, complete = automorphisms(graph.marked(numbered), CORE_LIMIT)
    bunches = []
    for k in sorted({len(atoms) for atoms in found}):
        atoms_of = np.array([atoms for atoms in found if len(atoms) == k])
        which = np.full(n, -1)
        which[atoms_of[:, 0]] = np.arange(len(atoms_of))
        bunches.append(Bunches(atoms_of, which[core[:, atoms_of[:, 0]]], all_permutations(k)))
    return Symmetry(core, bunches, complete)


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
