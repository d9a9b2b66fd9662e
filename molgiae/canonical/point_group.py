"""The symmetry of a conformer: its stabilizer and point group.

Pairs of atoms propose operations, which put a pair upon a pair like it. What such an operation makes of the other
atoms is a permutation, and the best fit to this permutation, by all atoms, is judged. Of those judged good as many
are kept as form a group. Symbol (Schoenflies, as in Cotton, Chemical Applications of Group Theory, chapter 3),
symmetry number and what they leave undefined are all read off this group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.canonical.bond_graph import Bools, Floats, Ints

POSES = ("none", "axis", "full")
"""`pose_defined` by the number of directions that every proper symmetry leaves alone: 0, 1, 3."""

SYMMETRY_TOLERANCE = 0.0201
"""An operation is a symmetry if its best fit puts every atom within this of where one of its class was, angstrom.

A little more than the round number, as distortions may be round, by more than four decimals move an atom.
"""

_CLASS_SPACING = 1e4
"""Distance between classes in the fourth coordinate of `Places`, angstrom."""

_POLYHEDRAL = {12: "T", 24: "O", 60: "I"}
"""Groups with several axes of the highest order, by their number of rotations."""


@dataclass(frozen=True, slots=True)
class Symmetry:
    """The symmetry of a conformer.

    Attributes:
        point_group: Schoenflies symbol in plain text, * for infinite axes: C1, Cs, Ci, C2v, S4, D3d, Td, C*v, D*h,
            and Kh for a single atom.
        pose_defined: one of `POSES`.
        order_defined: whether no proper symmetry exchanges atoms.
        symmetry_number: order of the proper stabilizer; 0 for an infinite one.
    """

    point_group: str
    pose_defined: str
    order_defined: bool
    symmetry_number: int


@dataclass(frozen=True, eq=False)
class Operations:
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

    def __getitem__(self, chosen: Bools | Ints | slice) -> Operations:
        return Operations(self.matrix[chosen], self.image[chosen], self.proper[chosen], self.error[chosen])

    def __len__(self) -> int:
        return len(self.error)

    @property
    def keys(self) -> list[bytes]:
        """Keys that tell operations of a conformer apart: the permutation, and whether they are rotations."""
        return [bytes([bool(p)]) + image.tobytes() for p, image in zip(self.proper, self.image, strict=True)]


class Places:
    """Where the atoms of a conformer are, to be found by others of their class.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom.
    """

    def __init__(self, classes: Ints, pos: Floats) -> None:
        self.size, self.label = len(pos), (_CLASS_SPACING * classes)[:, None]
        self.tree = cKDTree(np.hstack([pos, self.label]))

    def nearest(self, cloud: Floats) -> Ints:
        """Return (n,) the nearest atom of its class to each atom of a cloud (n, 3) of the same atoms."""
        return np.asarray(self.tree.query(np.hstack([cloud, self.label]))[1], dtype=np.int64)

    def image(self, cloud: Floats) -> Ints | None:
        """Return (n,) the atom that each of a cloud falls upon, or None if the clouds are not the same."""
        near, image = self.tree.query(np.hstack([cloud, self.label]), distance_upper_bound=SYMMETRY_TOLERANCE)
        one_to_one = np.isfinite(near).all() and np.bincount(image, minlength=self.size).max() == 1
        return np.asarray(image, dtype=np.int64) if one_to_one else None


def symmetry_of(classes: Ints, pos: Floats) -> Symmetry:
    """Return stabilizer and point group, up to `SYMMETRY_TOLERANCE`.

    Args:
        classes: (n,) of the atoms, from 0; no symmetry may exchange atoms of different classes.
        pos: (n, 3) angstrom.
    """
    pos = pos - pos.mean(axis=0)
    if np.linalg.norm(pos, axis=1).max() <= SYMMETRY_TOLERANCE:
        return Symmetry("Kh", "none", True, 0)
    axis = np.linalg.svd(pos, full_matrices=False)[2][0]
    height = pos @ axis
    if np.linalg.norm(pos - height[:, None] * axis, axis=1).max() <= SYMMETRY_TOLERANCE / 2:
        line = height[:, None] * np.eye(3)[0]
        turned = Places(classes, line).image(-line) is not None
        return Symmetry(*(("D*h", "none", False) if turned else ("C*v", "axis", True)), 0)
    group = point_group_of(operations(classes, pos))
    number = int(group.proper.sum())
    symbol, axial = schoenflies(group)
    return Symmetry(symbol, "full" if number == 1 else "axis" if axial else "none", number == 1, number)


def operations(classes: Ints, pos: Floats) -> Operations:
    """Return all operations that put the atoms upon atoms of their class; the identity comes first.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, from the centroid, not all on a line.
    """
    places = Places(classes, pos)
    n = len(pos)
    found: dict[tuple[bool, bytes], tuple[Floats, Ints, float]] = {}
    found[True, np.arange(n).tobytes()] = np.eye(3), np.arange(n), 0.0
    for matrix in _proposed(classes, pos):
        image = places.nearest(pos @ matrix.T)
        if np.bincount(image, minlength=n).max() > 1:
            continue
        proper = bool(np.linalg.det(matrix) > 0)
        fitted, error = _fitted(pos, image, proper)
        if error <= SYMMETRY_TOLERANCE:
            found.setdefault((proper, image.tobytes()), (fitted, image, error))
    matrices, images, errors = map(np.array, zip(*found.values(), strict=True))
    return Operations(matrices, images.astype(np.int32), np.array([proper for proper, _ in found]), errors)


def _proposed(classes: Ints, pos: Floats) -> Iterator[Floats]:
    """Yield orthogonal matrices, among them one near to every symmetry.

    A symmetry puts an atom upon one of its class at the same distance from the centroid, and keeps distances. So
    the images of two atoms say what it is; two that stand far out, so that atoms fall near where they should, and
    have few like them.
    """
    radius = np.linalg.norm(pos, axis=1)
    alike = _number_alike(classes, radius)
    a = _fewest(alike, radius >= radius.max() / 2)
    across = np.linalg.norm(np.cross(pos, pos[a] / radius[a]), axis=1)
    b = _fewest(alike, across >= across.max() / 2)
    of_a, of_b = (
        np.flatnonzero((classes == classes[atom]) & (np.abs(radius - radius[atom]) <= SYMMETRY_TOLERANCE))
        for atom in (a, b)
    )
    base = _frame(pos[a], pos[b])
    apart = np.linalg.norm(pos[a] - pos[b])
    for first in of_a:
        distance = np.linalg.norm(pos[of_b] - pos[first], axis=1)
        for second in of_b[np.abs(distance - apart) <= 2 * SYMMETRY_TOLERANCE]:
            frame = _frame(pos[first], pos[second])
            yield frame @ base.T
            yield frame * [1.0, 1.0, -1.0] @ base.T


def _number_alike(classes: Ints, radius: Floats) -> Ints:
    """Return (n,) the number of atoms of the same class at the same distance, up to `SYMMETRY_TOLERANCE`."""
    number = np.empty_like(classes)
    for one in np.unique(classes):
        own = classes == one
        ordered = np.sort(radius[own])
        last = np.searchsorted(ordered, radius[own] + SYMMETRY_TOLERANCE, side="right")
        first = np.searchsorted(ordered, radius[own] - SYMMETRY_TOLERANCE, side="left")
        number[own] = last - first
    return number


def _fewest(alike: Ints, allowed: Bools) -> int:
    return int(np.where(allowed, alike, len(alike) + 1).argmin())


def _frame(first: Floats, second: Floats) -> Floats:
    """Return the axes (3, 3), as columns: the first along one vector, the second in the plane of both."""
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _fitted(pos: Floats, image: Ints, proper: bool) -> tuple[Floats, float]:
    """Return the operation that puts the atoms nearest to their images (Kabsch, 1976), and its largest error."""
    left, _, right = np.linalg.svd(pos[image].T @ pos)
    sign = (1.0 if proper else -1.0) * np.sign(np.linalg.det(left @ right))
    matrix = left * [1.0, 1.0, sign] @ right
    return matrix, float(np.linalg.norm(pos @ matrix.T - pos[image], axis=1).max())


def point_group_of(found: Operations) -> Operations:
    """Return the operations that form a group, the best first: each is kept if what it generates has been found.

    Near-symmetric conformers may show operations whose products are just beyond the tolerance.

    Args:
        found: the identity first.
    """
    index = {key: k for k, key in enumerate(found.keys)}
    group, generators = {0}, list[int]()
    for k in found.error.argsort(kind="stable").tolist():
        if k not in group:
            grown = _generated(found, index, [*generators, k])
            if grown is not None:
                group, generators = grown, [*generators, k]
    return found[np.array(sorted(group))]


def _generated(found: Operations, index: dict[bytes, int], generators: list[int]) -> set[int] | None:
    """Return the group of some operations, or None if one of its elements has not been found."""
    group, fresh = {0}, [0]
    while fresh:
        a = fresh.pop()
        for b in generators:
            proper = bool(found.proper[a] == found.proper[b])
            product = index.get(bytes([proper]) + found.image[a][found.image[b]].tobytes())
            if product is None:
                return None
            if product not in group:
                group.add(product)
                fresh.append(product)
    return group


def schoenflies(group: Operations) -> tuple[str, bool]:
    """Return the symbol of a finite point group, and whether its rotations leave one axis alone.

    Args:
        group: of operations, the identity first.
    """
    proper, improper = group[group.proper], group[~group.proper]
    order = len(proper)
    folds = _folds(proper.matrix)
    top = int(folds.max())
    twice = np.take_along_axis(improper.image, improper.image, axis=1)
    trace = np.trace(improper.matrix, axis1=1, axis2=2)
    # an involution has the trace 1 or -3
    involution = (twice == np.arange(twice.shape[1])).all(axis=1)
    mirrors = [_axis(-mirror) for mirror in improper.matrix[involution & (trace > -1)]]
    if order == 1:
        return "Cs" if mirrors else "Ci" if len(improper) else "C1", False
    main = [_axis(rotation) for rotation in proper.matrix[folds == top]]
    across = any(abs(normal @ axis) > 0.9 for normal in mirrors for axis in main)
    if order == top:
        if not len(improper):
            return f"C{top}", True
        return f"C{top}h" if across else f"C{top}v" if mirrors else f"S{2 * top}", True
    if order == 2 * top:
        return f"D{top}" + (("h" if across else "d") if len(improper) else ""), False
    letter = _POLYHEDRAL[order]
    if not len(improper):
        return letter, False
    return letter + ("d" if letter == "T" and not (involution & (trace < -1)).any() else "h"), False


def _folds(rotations: Floats) -> Ints:
    """Return (m,) orders of the rotations (m, 3, 3) of a group: angles are multiples of a whole turn over m."""
    order = len(rotations)
    cosine = np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1.0, 1.0)
    steps = (np.arccos(cosine) / (2 * np.pi) * order).round().astype(np.int64)
    return order // np.gcd(steps, order)


def _axis(rotation: Floats) -> Floats:
    """Return the unit vector (3,) along the axis of a rotation other than the identity."""
    value, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
    return vectors[:, value.argmax()]
