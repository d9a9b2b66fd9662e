"""The operations that put a conformer upon itself, up to a tolerance.

Pairs of atoms propose operations, which put a pair upon a pair like it. What such an operation makes of the other
atoms is a permutation, and the best fit to this permutation, by all atoms, is judged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.canonical.frame import placed
from molgiae.canonical.places import SYMMETRY_TOLERANCE, fall_upon, places_of
from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import cross, distance_of, dot, orthonormalize

_LEVER = 12
"""An atom falls no farther off, by tolerances, under what two atoms propose: they stand half as far out as any."""


class Operations(NamedTuple):
    """Operations that put the atoms of a conformer upon atoms of their class.

    Attributes:
        matrix: (m, 3, 3) orthogonal, about the centroid.
        image: (m, n) int32, the atom that each atom falls upon.
        proper: (m,) whether they are rotations.
        error: (m,) how far from it an atom falls at most, angstrom.
    """

    matrix: Floats
    image: NDArray[np.int32]
    proper: Bools
    error: Floats


@kernel
def centered(pos: Floats) -> Floats:
    """Return the coordinates (n, 3) of atoms from their centroid."""
    n, found = len(pos), np.empty((len(pos), 3))
    for x in range(3):
        total = 0.0
        for i in range(n):
            total += pos[i, x]
        for i in range(n):
            found[i, x] = pos[i, x] - total / n
    return found


@kernel
def operations(classes: Ints, pos: Floats, most_images: int) -> tuple[Operations, bool]:
    """Return all operations that put the atoms upon atoms of their class, the identity first.

    A symmetry puts an atom upon one of its class at the same distance from the centroid, and keeps distances. So
    the images of two atoms say what it is; two that stand far out, so that atoms fall near where they should, and
    have few like them.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, from the centroid, not all on a line.
        most_images: of atoms, m n; where there are more operations, some are left out.

    Returns:
        the operations, and whether none is left out.
    """
    n, places = len(pos), places_of(classes, pos)
    radius, across, image = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for i in range(n):
        radius[i] = math.sqrt(dot(pos[i], pos[i]))
    alike = _number_alike(classes, radius)
    a, product = _fewest(alike, radius), np.empty(3)
    for i in range(n):
        cross(pos[i], pos[a], product)
        across[i] = math.sqrt(dot(product, product)) / radius[a]
    b = _fewest(alike, across)
    apart, base, frame, moved = distance_of(pos, a, b), np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    orthonormalize(pos[a], pos[b], base)
    found = _identity(n)
    number = 1
    for first in range(n):
        if classes[first] != classes[a] or abs(radius[first] - radius[a]) > SYMMETRY_TOLERANCE:
            continue
        for second in range(n):
            if classes[second] != classes[b] or abs(radius[second] - radius[b]) > SYMMETRY_TOLERANCE:
                continue
            if abs(distance_of(pos, first, second) - apart) > 2 * SYMMETRY_TOLERANCE:
                continue
            orthonormalize(pos[first], pos[second], frame)
            for is_proper in (True, False):
                for x in range(3):
                    for y in range(3):
                        last = frame[2, x] * base[2, y]
                        moved[x, y] = (
                            frame[0, x] * base[0, y]
                            + frame[1, x] * base[1, y]
                            + (last if is_proper else -last)
                        )
                cloud = placed(pos, moved)
                if not fall_upon(places, classes, cloud, _LEVER * SYMMETRY_TOLERANCE, image):
                    continue
                error = _fit(pos, image, is_proper, moved)
                if error > SYMMETRY_TOLERANCE or _is_known(found, number, image, is_proper):
                    continue
                if (number + 1) * n > most_images:
                    return _taken(found, number, number), False
                if number == len(found.error):
                    found = _taken(found, number, 2 * number)
                _put(found, number, moved, image, is_proper, error)
                number += 1
    return _taken(found, number, number), True


@kernel
def _identity(n: int) -> Operations:
    """Return the identity, in arrays with room for more."""
    found = Operations(np.zeros((8, 3, 3)), np.empty((8, n), np.int32), np.ones(8, np.bool_), np.zeros(8))
    for x in range(3):
        found.matrix[0, x, x] = 1.0
    for i in range(n):
        found.image[0, i] = i
    return found


@kernel
def _put(found: Operations, k: int, matrix: Floats, image: Ints, is_proper: bool, error: float) -> None:
    """Write an operation to a place among others."""
    for x in range(3):
        for y in range(3):
            found.matrix[k, x, y] = matrix[x, y]
    for i in range(len(image)):
        found.image[k, i] = image[i]
    found.proper[k], found.error[k] = is_proper, error


@kernel
def _taken(found: Operations, number: int, size: int) -> Operations:
    """Return the first so many operations in arrays with room for `size`."""
    n = found.image.shape[1]
    taken = Operations(
        np.empty((size, 3, 3)), np.empty((size, n), np.int32), np.empty(size, np.bool_), np.empty(size)
    )
    image = np.empty(n, np.int64)
    for k in range(number):
        for i in range(n):
            image[i] = found.image[k, i]
        _put(taken, k, found.matrix[k], image, found.proper[k], found.error[k])
    return taken


@kernel
def _is_known(found: Operations, number: int, image: Ints, is_proper: bool) -> bool:
    """Return whether one of the first so many operations does the same."""
    for k in range(number):
        if found.proper[k] == is_proper:
            i = 0
            while i < len(image) and found.image[k, i] == image[i]:
                i += 1
            if i == len(image):
                return True
    return False


@kernel
def _number_alike(classes: Ints, radius: Floats) -> Ints:
    """Return (n,) the number of atoms of the same class at the same distance, up to `SYMMETRY_TOLERANCE`."""
    n = len(radius)
    by_radius, number, key = argsort(radius), np.zeros(n, np.int64), np.empty(n)
    for k in range(n):
        key[k] = classes[by_radius[k]]
    order = argsort(key)
    for k in range(n):
        i = by_radius[order[k]]
        number[i] += 1
        for later in range(k + 1, n):
            j = by_radius[order[later]]
            if classes[j] != classes[i] or radius[j] > radius[i] + SYMMETRY_TOLERANCE:
                break
            number[i] += 1
            number[j] += 1
    return number


@kernel
def _fewest(alike: Ints, length: Floats) -> int:
    """Return the atom that is like the fewest, of those at least half as far out as any; the first of several."""
    half, best = 0.0, -1
    for i in range(len(length)):
        half = max(half, length[i] / 2)
    for i in range(len(alike)):
        if length[i] >= half and (best < 0 or alike[i] < alike[best]):
            best = i
    return best


@kernel
def _fit(pos: Floats, image: Ints, is_proper: bool, matrix: Floats) -> float:
    """Find the operation that puts the atoms nearest to their images, by a quaternion (Horn, 1987).

    Args:
        pos: (n, 3) angstrom, from the centroid.
        image: (n,) atoms.
        is_proper: whether it is to be a rotation, else a rotation of the inverted conformer.
        matrix: (3, 3) filled in.

    Returns:
        how far from its image an atom falls at most, angstrom.
    """
    h, form, sign = np.zeros((3, 3)), np.empty((4, 4)), 1.0 if is_proper else -1.0
    for i in range(len(pos)):
        for x in range(3):
            for y in range(3):
                h[x, y] += sign * pos[i, x] * pos[image[i], y]
    form[0, 0] = h[0, 0] + h[1, 1] + h[2, 2]
    for x in range(3):
        y, z = (x + 1) % 3, (x + 2) % 3
        form[0, x + 1] = form[x + 1, 0] = h[y, z] - h[z, y]
        form[x + 1, x + 1] = h[x, x] - h[y, y] - h[z, z]
        form[x + 1, y + 1] = form[y + 1, x + 1] = h[x, y] + h[y, x]
    q = eigen(form)[1][:, 0]
    for x in range(3):
        y, z = (x + 1) % 3, (x + 2) % 3
        matrix[x, x] = sign * (q[0] ** 2 + q[x + 1] ** 2 - q[y + 1] ** 2 - q[z + 1] ** 2)
        matrix[x, y] = sign * 2 * (q[x + 1] * q[y + 1] - q[0] * q[z + 1])
        matrix[y, x] = sign * 2 * (q[x + 1] * q[y + 1] + q[0] * q[z + 1])
    worst = 0.0
    for i in range(len(pos)):
        square = 0.0
        for x in range(3):
            square += (dot(matrix[x], pos[i]) - pos[image[i], x]) ** 2
        worst = max(worst, square)
    return math.sqrt(worst)
