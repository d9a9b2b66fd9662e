"""The symmetry of a conformer: its stabilizer and point group.

Of the operations that put it upon itself as many are kept as form a group. Symbol (Schoenflies, as in Cotton, Chemical
Applications of Group Theory, chapter 3), symmetry number and what they leave undefined are all read off this group.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.canonical.operations import Operations, centered, operations
from molgiae.canonical.places import SYMMETRY_TOLERANCE, fall_upon, places_of
from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import dot

POSES = ("none", "axis", "full")
"""`pose_defined` by the number of directions that every proper symmetry leaves alone: 0, 1, 3."""

MAX_IMAGES = 50_000_000
"""Most images of atoms under operations that are held, 200 megabytes; a ring of 3 500 atoms has as many."""

_FAMILIES, _SUFFIXES = "CDTOISK", ("", "v", "h", "d", "s", "i")
_CYCLIC, _DIHEDRAL, _TETRAHEDRAL, _OCTAHEDRAL, _ICOSAHEDRAL, _IMPROPER, _SPHERE = range(7)
_PLAIN, _VERTICAL, _HORIZONTAL, _DIAGONAL, _MIRROR, _INVERTED = range(6)
_NO_FOLD, _EVERY_FOLD = -1, 0


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
