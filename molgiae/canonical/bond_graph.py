"""The classes of atoms that a bond graph tells apart."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_SAME_SUM = 1e-9
"""Sums of hashes over neighbours that differ by less are of the same neighbours."""


@kernel
def neighbours_of(n: int, first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """Return the bonded atoms of every atom, in the order of `first` and `second`.

    Args:
        n: number of atoms.
        first: the lesser atoms (K,) of the bonds.
        second: the greater ones.

    Returns:
        start (n + 1,) and neighbour (2 K,); those of atom i are ``neighbour[start[i]:start[i + 1]]``.
    """
    start = np.zeros(n + 1, np.int64)
    for k in range(len(first)):
        start[first[k]] += 1
        start[second[k]] += 1
    for i in range(n):
        start[i + 1] += start[i]
    neighbour = np.empty(2 * len(first), np.int64)
    for k in range(len(first) - 1, -1, -1):
        for a, b in ((first[k], second[k]), (second[k], first[k])):
            start[a] -= 1
            neighbour[start[a]] = b
    return start, neighbour


@kernel
def refined(classes: Ints, start: Ints, neighbour: Ints, hashes: Floats) -> Ints:
    """Return the classes, split until atoms of one have neighbours of the same classes (Weisfeiler and Leman, 1968).

    Args:
        classes: (n,) from 0, without gaps.
        start: as of `neighbours_of`.
        neighbour: the same.
        hashes: (n,) at least, of `hashes_of`.

    Returns:
        (n,) numbered from 0 without gaps, in the order of the classes given.
    """
    n = len(classes)
    around = np.empty(n)
    while True:
        for i in range(n):
            around[i] = 0.0
            for k in range(start[i], start[i + 1]):
                around[i] += hashes[classes[neighbour[k]]]
        found = split(classes, ranks(around, _SAME_SUM))
        if same(found, classes):
            return found
        classes = found


@kernel
def split(classes: Ints, number: Ints) -> Ints:
    """Return the classes (n,), in their order, with atoms of unlike numbers (n,), of at least 0, apart in order."""
    least = 1
    for i in range(len(number)):
        least = max(least, number[i] + 1)
    key = np.empty(len(classes))
    for i in range(len(classes)):
        key[i] = classes[i] * least + number[i]
    return ranks(key, 0.0)


@kernel
def same(first: Ints, second: Ints) -> bool:
    """Return whether two arrays (n,) are equal."""
    for i in range(len(first)):
        if first[i] != second[i]:
            return False
    return True


@kernel
def ranks(values: Floats, tolerance: float) -> Ints:
    """Return the ranks (n,) of values (n,); values that follow each other closer share one.

    So ranks depend on gaps between values, never on a grid that round-off could cross.

    Args:
        values: finite numbers.
        tolerance: the largest gap between values of one rank.
    """
    order = argsort(values)
    found = np.empty(len(values), np.int64)
    rank = 0
    for k in range(len(order)):
        if k > 0 and values[order[k]] - values[order[k - 1]] > tolerance:
            rank += 1
        found[order[k]] = rank
    return found


@kernel
def sizes_of(classes: Ints) -> Ints:
    """Return the number of atoms of each class."""
    number = 0
    for i in range(len(classes)):
        number = max(number, classes[i] + 1)
    size = np.zeros(number, np.int64)
    for i in range(len(classes)):
        size[classes[i]] += 1
    return size


def hashes_of(size: int) -> Floats:
    """Return the same random numbers in [0, 1) at every call, at least so many, of 53 bits each.

    They decide the order of classes, so a change of this stream changes canonical forms and embeddings.
    """
    return _hashes(max(256, 1 << (size - 1).bit_length()))


@cache
def _hashes(size: int) -> Floats:
    stream = np.random.MT19937()
    stream._legacy_seeding(0)
    high, low = stream.random_raw(2 * size).astype(np.uint64).reshape(-1, 2).T
    bits = ((high << np.uint64(32)) | low) & np.uint64((1 << 53) - 1)
    return bits.astype(np.float64) * 2.0**-53
