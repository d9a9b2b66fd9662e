"""The symmetry of a conformer: its stabilizer and point group.

Pairs of atoms propose operations, which put a pair upon a pair like it. What such an operation makes of the other
atoms is a permutation, and the best fit to this permutation, by all atoms, is judged. Of those judged good as many
are kept as form a group. Symbol (Schoenflies, as in Cotton, Chemical Applications of Group Theory, chapter 3),
symmetry number and what they leave undefined are all read off this group.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.canonical.frame import cross, dot, placed
from molgiae.canonical.places import SYMMETRY_TOLERANCE, fall_upon, places_of
from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

POSES = ("none", "axis", "full")
"""`pose_defined` by the number of directions that every proper symmetry leaves alone: 0, 1, 3."""

MAX_IMAGES = 50_000_000
"""Most images of atoms under operations that are held, 200 megabytes; a ring of 3 500 atoms has as many."""

_LEVER = 12
"""An atom falls no farther off, by tolerances, under what two atoms propose: they stand half as far out as any."""

_FAMILIES, _SUFFIXES = "CDTOISK", ("", "v", "h", "d", "s", "i")
_CYCLIC, _DIHEDRAL, _TETRAHEDRAL, _OCTAHEDRAL, _ICOSAHEDRAL, _IMPROPER, _SPHERE = range(7)
_PLAIN, _VERTICAL, _HORIZONTAL, _DIAGONAL, _MIRROR, _INVERTED = range(6)
_NO_FOLD, _EVERY_FOLD = -1, 0


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


class Symmetry(NamedTuple):
    """The symmetry of a conformer, in numbers.

    Attributes:
        symbol: family, fold and suffix, as `symbol_of` takes them.
        fixed: place in `POSES`.
        order_defined: whether no proper symmetry exchanges atoms.
        number: order of the proper stabilizer; 0 for an infinite one.
        is_settled: false if there were too many operations to hold (`MAX_IMAGES`), so that some may be missing.
    """

    symbol: tuple[int, int, int]
    fixed: int
    order_defined: bool
    number: int
    is_settled: bool


def symbol_of(family: int, fold: int, suffix: int) -> str:
    """Return a Schoenflies symbol in plain text, * for infinite axes: C1, Cs, Ci, C2v, S4, D3d, Td, C*v, D*h, Kh."""
    folds = {_NO_FOLD: "", _EVERY_FOLD: "*"}
    return f"{_FAMILIES[family]}{folds.get(fold, fold)}{_SUFFIXES[suffix]}"


@kernel
def symmetry_of(classes: Ints, pos: Floats, most_images: int) -> Symmetry:
    """Return stabilizer and point group, up to `SYMMETRY_TOLERANCE`.

    Args:
        classes: (n,) of the atoms, from 0; no symmetry may exchange atoms of different classes.
        pos: (n, 3) angstrom.
        most_images: `MAX_IMAGES`.
    """
    pos, moment = centered(pos), np.zeros((3, 3))
    farthest = 0.0
    for i in range(len(pos)):
        farthest = max(farthest, dot(pos[i], pos[i]))
        for x in range(3):
            for y in range(3):
                moment[x, y] += pos[i, x] * pos[i, y]
    if farthest <= SYMMETRY_TOLERANCE**2:
        return Symmetry((_SPHERE, _NO_FOLD, _HORIZONTAL), 0, True, 0, True)
    line, turned = np.zeros((len(pos), 3)), np.zeros((len(pos), 3))
    axis, across = eigen(moment)[1][:, 0].copy(), 0.0
    for i in range(len(pos)):
        line[i, 0] = dot(pos[i], axis)
        turned[i, 0] = -line[i, 0]
        across = max(across, dot(pos[i], pos[i]) - line[i, 0] ** 2)
    if across <= (SYMMETRY_TOLERANCE / 2) ** 2:
        image = np.empty(len(pos), np.int64)
        if fall_upon(places_of(classes, line), classes, turned, SYMMETRY_TOLERANCE, image):
            return Symmetry((_DIHEDRAL, _EVERY_FOLD, _HORIZONTAL), 0, False, 0, True)
        return Symmetry((_CYCLIC, _EVERY_FOLD, _VERTICAL), 1, True, 0, True)
    found, is_settled = operations(classes, pos, most_images)
    group = point_group_of(found)
    number = 0
    for k in range(len(group)):
        number += found.proper[group[k]]
    family, fold, suffix = _schoenflies(found, group, number)
    is_axial = family in (_CYCLIC, _IMPROPER)
    fixed = 2 if number == 1 else 1 if is_axial else 0
    return Symmetry((family, fold, suffix), fixed, number == 1 and is_settled, number, is_settled)


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
    apart, base, moved = _distance(pos, a, b), _frame(pos[a], pos[b]), np.empty((3, 3))
    found = _identity(n)
    number = 1
    for first in range(n):
        if classes[first] != classes[a] or abs(radius[first] - radius[a]) > SYMMETRY_TOLERANCE:
            continue
        for second in range(n):
            if classes[second] != classes[b] or abs(radius[second] - radius[b]) > SYMMETRY_TOLERANCE:
                continue
            if abs(_distance(pos, first, second) - apart) > 2 * SYMMETRY_TOLERANCE:
                continue
            frame = _frame(pos[first], pos[second])
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
def _distance(pos: Floats, i: int, j: int) -> float:
    return math.sqrt(
        (pos[i, 0] - pos[j, 0]) ** 2 + (pos[i, 1] - pos[j, 1]) ** 2 + (pos[i, 2] - pos[j, 2]) ** 2
    )


@kernel
def _frame(first: Floats, second: Floats) -> Floats:
    """Return the axes (3, 3), as rows: the first along one vector, the second in the plane of both."""
    frame = np.empty((3, 3))
    length = math.sqrt(dot(first, first))
    for x in range(3):
        frame[0, x] = first[x] / length
    along = dot(second, frame[0])
    for x in range(3):
        frame[1, x] = second[x] - along * frame[0, x]
    length = math.sqrt(dot(frame[1], frame[1]))
    for x in range(3):
        frame[1, x] /= length
    cross(frame[0], frame[1], frame[2])
    return frame


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


@kernel
def point_group_of(found: Operations) -> Ints:
    """Return the places of those operations that form a group, in order: each is kept if what it generates is found.

    The best are tried first. Near-symmetric conformers may show operations whose products are just beyond the
    tolerance.

    Args:
        found: the identity first.
    """
    number = len(found.error)
    table = _table(found)
    inside, trial, generators, size = (
        np.zeros(number, np.bool_),
        np.zeros(number, np.bool_),
        np.empty(64, np.int64),
        0,
    )
    inside[0] = True
    for k in argsort(found.error):
        if inside[k] or size == len(generators):
            continue
        generators[size] = k
        if _generate(found, table, generators[: size + 1], trial):
            inside, trial = trial, inside
            size += 1
    group, size = np.empty(number, np.int64), 0
    for k in range(number):
        if inside[k]:
            group[size] = k
            size += 1
    return group[:size]


@kernel
def _table(found: Operations) -> Ints:
    """Return where operations are by the hashes of what they do to the atoms; -1 where there is none."""
    size = 4
    while size < 4 * len(found.error):
        size *= 2
    table = np.full(size, -1)
    for k in range(len(found.error)):
        place = _hash(found.image[k], found.image[0], found.proper[k]) % size
        while table[place] >= 0:
            place = (place + 1) % size
        table[place] = k
    return table


@kernel
def _hash(outer: NDArray[np.int32], inner: NDArray[np.int32], is_proper: bool) -> int:
    """Return a number from 0 that tells what two operations after each other do to the atoms, the inner one first."""
    value = 1 if is_proper else 2
    for i in range(len(inner)):
        value = (value * 1000003 + outer[inner[i]] + 1) & 0xFFFFFFFFFFF
    return value ^ (value >> 21)


@kernel
def _product(found: Operations, table: Ints, a: int, b: int) -> int:
    """Return the operation that does what b does and then a; -1 if it has not been found."""
    is_proper = found.proper[a] == found.proper[b]
    place = _hash(found.image[a], found.image[b], is_proper) % len(table)
    n = found.image.shape[1]
    while table[place] >= 0:
        k = table[place]
        if found.proper[k] == is_proper:
            i = 0
            while i < n and found.image[k, i] == found.image[a, found.image[b, i]]:
                i += 1
            if i == n:
                return k
        place = (place + 1) % len(table)
    return -1


@kernel
def _generate(found: Operations, table: Ints, generators: Ints, inside: Bools) -> bool:
    """Mark the group that some operations generate; return false if one of its elements has not been found."""
    for k in range(len(inside)):
        inside[k] = k == 0
    fresh, number = np.zeros(len(inside), np.int64), 1
    while number:
        number -= 1
        a = fresh[number]
        for b in generators:
            product = _product(found, table, a, b)
            if product < 0:
                return False
            if not inside[product]:
                inside[product] = True
                fresh[number] = product
                number += 1
    return True


@kernel
def _schoenflies(found: Operations, group: Ints, order: int) -> tuple[int, int, int]:
    """Return family, fold and suffix of a finite point group.

    Args:
        found: operations.
        group: places of those that form the group, the identity first.
        order: number of rotations among them.
    """
    top, improper = 1, len(group) - order
    main, mirrors, number, has_inversion = np.empty((order, 3)), np.empty((improper, 3)), 0, False
    folds = np.ones(len(group), np.int64)
    for k in range(len(group)):
        matrix = found.matrix[group[k]]
        trace = matrix[0, 0] + matrix[1, 1] + matrix[2, 2]
        if found.proper[group[k]]:
            folds[k] = _fold(trace, order)
            top = max(top, folds[k])
        elif _product_is_identity(found.image[group[k]]):  # an involution has the trace 1 or -3
            if trace > -1:
                _axis(matrix, -1.0, mirrors[number])
                number += 1
            else:
                has_inversion = True
    if order == 1:
        if number:
            return _CYCLIC, _NO_FOLD, _MIRROR
        return (_CYCLIC, _NO_FOLD, _INVERTED) if improper else (_CYCLIC, 1, _PLAIN)
    is_across, mains = False, 0
    for k in range(len(group)):
        if found.proper[group[k]] and folds[k] == top:
            _axis(found.matrix[group[k]], 1.0, main[mains])
            for m in range(number):
                is_across |= abs(dot(mirrors[m], main[mains])) > 0.9
            mains += 1
    if order == top:
        if not improper:
            return _CYCLIC, top, _PLAIN
        if is_across or number:
            return _CYCLIC, top, _HORIZONTAL if is_across else _VERTICAL
        return _IMPROPER, 2 * top, _PLAIN
    if order == 2 * top:
        return _DIHEDRAL, top, (_HORIZONTAL if is_across else _DIAGONAL) if improper else _PLAIN
    family = _TETRAHEDRAL if order == 12 else _OCTAHEDRAL if order == 24 else _ICOSAHEDRAL
    if not improper:
        return family, _NO_FOLD, _PLAIN
    return family, _NO_FOLD, _DIAGONAL if family == _TETRAHEDRAL and not has_inversion else _HORIZONTAL


@kernel
def _product_is_identity(image: NDArray[np.int32]) -> bool:
    """Return whether an operation done twice leaves all atoms alone."""
    for i in range(len(image)):
        if image[image[i]] != i:
            return False
    return True


@kernel
def _fold(trace: float, order: int) -> int:
    """Return the order of a rotation in a group of so many: its angle is a multiple of a whole turn over that."""
    cosine = min(max((trace - 1) / 2, -1.0), 1.0)
    steps = round(math.acos(cosine) / (2 * math.pi) * order)
    return order // math.gcd(steps, order)


@kernel
def _axis(matrix: Floats, sign: float, axis: Floats) -> None:
    """Fill in the unit vector (3,) along the axis of a rotation, a matrix (3, 3) times a sign, not the identity."""
    both = np.empty((3, 3))
    for x in range(3):
        for y in range(3):
            both[x, y] = sign * (matrix[x, y] + matrix[y, x]) / 2
    vectors = eigen(both)[1]
    for x in range(3):
        axis[x] = vectors[x, 0]
