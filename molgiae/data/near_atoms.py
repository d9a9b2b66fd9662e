"""Atoms that are near each other: the nearest of each, and all pairs within a reach.

Both sweep along the axis along which a conformer is longest, so that far atoms are never looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import distance_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def nearest(pos: NDArray[np.floating], offset: Ints, count: int) -> tuple[Floats, Ints]:
    """Return the nearest atoms of each atom in its conformer.

    Args:
        pos: (N, 3) angstrom.
        offset: (M + 1,) from 0 to N; the atoms of conformer m are rows ``offset[m]:offset[m + 1]``.
        count: k, how many to look for.

    Returns:
        distance (N, k) angstrom, ascending, and atom (N, k), rows of `pos`; infinity and the atom itself where there
        are no more atoms.
    """
    distance = np.full((len(pos), count), np.inf)
    atom = np.repeat(np.arange(len(pos)), count).reshape(-1, count)
    _nearest(np.ascontiguousarray(pos, np.float64), np.ascontiguousarray(offset, np.int64), distance, atom)
    return distance, atom


@kernel
def _nearest(pos: Floats, offset: Ints, distance: Floats, atom: Ints) -> None:
    """Fill in what `nearest` returns: from each atom outwards along an axis, until no other can be nearer."""
    most = distance.shape[1] - 1
    for m in range(len(offset) - 1):
        own = pos[offset[m] : offset[m + 1]]
        along = own[:, widest_axis(own)].copy()
        order = argsort(along)
        for a in range(len(order)):
            i = offset[m] + order[a]
            for step in (-1, 1):
                b = a + step
                while 0 <= b < len(order) and abs(along[order[b]] - along[order[a]]) < distance[i, most]:
                    j = offset[m] + order[b]
                    length, k = distance_of(pos, i, j), most
                    if length < distance[i, most]:
                        while k > 0 and length < distance[i, k - 1]:
                            distance[i, k], atom[i, k] = distance[i, k - 1], atom[i, k - 1]
                            k -= 1
                        distance[i, k], atom[i, k] = length, j
                    b += step


@kernel
def near_pairs(pos: Floats, reach: float) -> tuple[Ints, Ints, Floats]:
    """Return the pairs (P,) of atoms that are no farther apart than a reach, and their distances, angstrom."""
    none = np.empty(0, np.int64)
    along = pos[:, widest_axis(pos)].copy()
    order = argsort(along)
    number = _sweep(pos, along, order, reach, none, none, np.empty(0))
    first, second, length = np.empty(number, np.int64), np.empty(number, np.int64), np.empty(number)
    _sweep(pos, along, order, reach, first, second, length)
    return first, second, length


@kernel
def widest_axis(pos: Floats) -> int:
    """Return the coordinate, 0 to 2, along which atoms (n, 3) are spread most."""
    best, spread = 0, -1.0
    for axis in range(3):
        low, high = np.inf, -np.inf
        for i in range(len(pos)):
            low, high = min(low, pos[i, axis]), max(high, pos[i, axis])
        if high - low > spread:
            best, spread = axis, high - low
    return best


@kernel
def _sweep(
    pos: Floats, along: Floats, order: Ints, reach: float, first: Ints, second: Ints, length: Floats
) -> int:
    """Return the number of pairs within reach; fill them in where there is room for them."""
    number = 0
    for a in range(len(order)):
        i = order[a]
        for b in range(a + 1, len(order)):
            j = order[b]
            if along[j] - along[i] > reach:
                break
            distance = distance_of(pos, i, j)
            if distance <= reach:
                if number < len(first):
                    first[number], second[number], length[number] = i, j, distance
                number += 1
    return number
