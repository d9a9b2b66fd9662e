"""Which atom of its class each atom of a moved conformer falls upon."""

from __future__ import annotations

import numpy as np

from molgiae.canonical.bond_graph import Floats, Ints, sizes_of
from molgiae.data.near_atoms import widest_axis
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

SYMMETRY_TOLERANCE = 0.0201
"""An operation is a symmetry if its best fit puts every atom within this of where one of its class was, angstrom.

A little more than the round number, as distortions may be round, by more than four decimals move an atom.
"""

Places = tuple[Floats, int, Ints, Ints, Floats]
"""The atoms (n, 3), the axis they are sorted along, where each class begins, the atoms sorted by class and along the
axis, and their coordinates in this order."""


@kernel
def places_of(classes: Ints, pos: Floats) -> Places:
    """Return the atoms of a conformer, to be found by others of their class.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom.
    """
    axis, size = widest_axis(pos), sizes_of(classes)
    begin, free = np.zeros(len(size) + 1, np.int64), np.zeros(len(size), np.int64)
    for c in range(len(size)):
        begin[c + 1] = begin[c] + size[c]
        free[c] = begin[c]
    order, along = np.empty(len(pos), np.int64), np.empty(len(pos))
    for i in argsort(pos[:, axis].copy()):
        k = free[classes[i]]
        order[k], along[k] = i, pos[i, axis]
        free[classes[i]] += 1
    return pos, axis, begin, order, along


@kernel
def fall_upon(places: Places, classes: Ints, cloud: Floats, reach: float, image: Ints) -> bool:
    """Return whether the atoms of a cloud fall upon atoms of their class, each upon one of its own.

    Args:
        places: of `places_of`.
        classes: (n,) of the atoms.
        cloud: (n, 3) where the same atoms are put, angstrom.
        reach: how far off an atom may fall, angstrom.
        image: (n,) filled in: the nearest atom of its class to each.
    """
    taken = np.zeros(len(classes), np.bool_)
    for i in range(len(classes)):
        nearest = _nearest(places, classes[i], cloud[i], reach)
        if nearest < 0 or taken[nearest]:
            return False
        taken[nearest] = True
        image[i] = nearest
    return True


@kernel
def _nearest(places: Places, own: int, point: Floats, reach: float) -> int:
    """Return the nearest atom of a class to a point (3,), -1 if none is within reach."""
    pos, axis, begin, order, along = places
    low, high = begin[own], begin[own + 1]
    while low < high:
        middle = (low + high) // 2
        if along[middle] < point[axis] - reach:
            low = middle + 1
        else:
            high = middle
    best, least = -1, reach * reach
    for k in range(low, begin[own + 1]):
        if along[k] > point[axis] + reach:
            break
        x, y, z = pos[order[k], 0] - point[0], pos[order[k], 1] - point[1], pos[order[k], 2] - point[2]
        square = x * x + y * y + z * z
        if square < least:
            best, least = order[k], square
    return best
