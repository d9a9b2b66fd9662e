"""What completes mu: frame and order of conformers, exact up to their symmetry and steady under noise.

No pooled vector of a symmetric conformer defines a frame, and no score tells equivalent atoms apart (Prop. 2.8).
Nothing continuous defines either for all conformers (Dym, Lawrence and Siegel, ICML 2024), so what can be done is
to decide rarely and by wide margins:

* the bond graph sorts the atoms into classes (`bond_graph`); only what it leaves open is decided by geometry;
* the frame is spanned by principal axes of the classes, or by atoms where these vanish (`frame`);
* atoms of one class are ordered in the frame by a walk over the bond graph (`order`), so that pose and order agree.

For an exactly symmetric conformer several frames give the same cloud; they differ by its stabilizer (`point_group`).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical import frame, point_group
from molgiae.canonical.bond_graph import (
    Bools,
    Floats,
    Ints,
    hashes_of,
    neighbours_of,
    ranks,
    refined,
    sizes_of,
    split,
)
from molgiae.canonical.frame import class_axes, frame_of_atoms, placed
from molgiae.canonical.order import walk
from molgiae.canonical.point_group import POSES, SYMMETRY_TOLERANCE, symbol_of, symmetry_of
from molgiae.data.bonds import bonds_of
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import orthonormalize

MIN_FRAME_LENGTH = 0.1
"""Shortest learned vector that defines a direction, angstrom: noise s on the atoms turns it by about s over this."""

SAME_SCORE = 0.01
"""Scores that follow each other by no more do not tell atoms apart."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How far M conformers define their group action.

    Attributes:
        pose_defined: (M,) str, of `point_group.POSES`.
        order_defined: (M,) bool; false where a symmetry exchanges atoms, or may for all that is known.
        symmetry_number: (M,) int64, order of the proper stabilizer; 0 for an infinite one.
        point_group: (M,) str, Schoenflies symbols as `point_group.symbol_of` has them.
        stability: (M,) angstrom, about the noise on the atoms that would change frame or order by a jump:
            the least margin of all decisions. 0 where there were too many candidates to compare them all.
    """

    pose_defined: NDArray[np.str_]
    order_defined: Bools
    symmetry_number: Ints
    point_group: NDArray[np.str_]
    stability: Floats


@dataclass(frozen=True, eq=False)
class Completion:
    """What mu left open, settled, of M conformers with N atoms in all.

    Attributes:
        vectors: (M, 2, 3) the first two axes of the canonical frame.
        place: (N,) place of each atom in the canonical order, from 0 in every conformer.
        margins: (M, 3) of the decisions about bonds, frame and order, angstrom.
        diagnosis: how far the conformers define both.
    """

    vectors: Floats
    place: Ints
    margins: Floats
    diagnosis: Diagnosis


def complete(
    z: NDArray[np.integer],
    pos: Floats,
    offset: Ints,
    *,
    isotope: NDArray[np.integer] | None = None,
    scores: Floats | None = None,
    vectors: Floats | None = None,
    workers: int = 1,
) -> Completion:
    """Return frame and order of conformers, from what mu says where it is definite, else from graph and geometry.

    Args:
        z: (N,) atomic numbers.
        pos: (N, 3) angstrom, relative to mu's translation.
        offset: (M + 1,) from 0; atoms of conformer m are ``offset[m]:offset[m + 1]``.
        isotope: (N,) mass numbers, 0 for natural atoms; None if all are.
        scores: (N,) of mu, ranked up to `SAME_SCORE` and then by the graph. None for the classes of the graph.
        vectors: (M, 2, 3) of mu, angstrom, used where they are `well_conditioned`; None to leave the frame to the
            classes.
        workers: threads that share the conformers.
    """
    size, number = len(offset) - 1, len(z)
    found = (
        np.empty((size, 2, 3)),
        np.empty(number, np.int64),
        np.empty((size, 3)),
        np.empty((size, 6), np.int64),
    )
    given = (
        np.ascontiguousarray(z, dtype=np.int64),
        np.ascontiguousarray(pos, dtype=np.float64),
        np.ascontiguousarray(offset, dtype=np.int64),
        np.zeros(number, np.int64) if isotope is None else np.ascontiguousarray(isotope, dtype=np.int64),
        np.empty(0) if scores is None else np.ascontiguousarray(scores, dtype=np.float64),
        np.empty((0, 2, 3)) if vectors is None else np.ascontiguousarray(vectors, dtype=np.float64),
        np.zeros(size, np.bool_) if vectors is None else well_conditioned(vectors),
        hashes_of(int(np.diff(offset).max(initial=1))),
        (frame.MAX_PLACED_ATOMS, point_group.MAX_IMAGES),
    )
    bounds = np.searchsorted(offset, np.linspace(0, number, workers + 1)[1:-1]).tolist()
    if workers == 1:
        _complete_some(0, size, given, found)
    else:
        with ThreadPoolExecutor(workers, "molgiae") as pool:
            list(pool.map(lambda a, b: _complete_some(a, b, given, found), [0, *bounds], [*bounds, size]))
    frames, place, margins, symmetry = found
    return Completion(frames, place, margins, _diagnosis(margins.min(axis=1, initial=np.inf), symmetry))


def _diagnosis(stability: Floats, symmetry: Ints) -> Diagnosis:
    """Return in words what `_complete_some` says of symmetry in numbers (M, 6)."""
    group = np.full(len(symmetry), "C1", dtype="U16")
    for m in np.flatnonzero((symmetry[:, :3] != [0, 1, 0]).any(axis=1)).tolist():
        group[m] = symbol_of(*symmetry[m, :3].tolist())
    pose = np.array(POSES)[symmetry[:, 3]]
    return Diagnosis(pose, symmetry[:, 4] > 0, symmetry[:, 5], group, stability)


Given = tuple[Ints, Floats, Ints, Ints, Floats, Floats, Bools, Floats, tuple[int, int]]
Found = tuple[Floats, Ints, Floats, Ints]


@kernel
def _complete_some(begin: int, end: int, given: Given, found: Found) -> None:
    """Complete some of the conformers.

    Args:
        begin: place of the first.
        end: one after the place of the last.
        given: what `complete` takes, empty where it is None; which vectors are used, hashes, and what may be spent.
        found: vectors, place and margins of all conformers as of `Completion`; symmetry (M, 6): the symbol in three
            numbers, the place of the pose in `POSES`, whether the order is defined, and the symmetry number.
    """
    z, pos, offset, isotope, scores, vectors, is_given, hashes, budget = given
    frames, place, margins, symmetry = found
    for m in range(begin, end):
        a, b = offset[m], offset[m + 1]
        first, second, margins[m, 0] = bonds_of(z[a:b], pos[a:b])
        start, neighbour = neighbours_of(b - a, first, second)
        own, is_natural = np.empty(b - a), True
        for i in range(a, b):
            own[i - a] = scores[i] if len(scores) else -z[i]
            is_natural &= isotope[i] == 0
        classes = refined(ranks(own, SAME_SCORE if len(scores) else 0.0), start, neighbour, hashes)
        if not is_natural:
            classes = refined(split(classes, isotope[a:b]), start, neighbour, hashes)
        axes, margin, depth = class_axes(classes, pos[a:b])
        margins[m, 1] = min(margin[0], margin[1])
        if is_given[m]:
            orthonormalize(vectors[m, 0], vectors[m, 1], axes)
            margins[m, 1] = np.inf
        elif margins[m, 1] < 0:
            axes, steadiness = frame_of_atoms(
                classes, pos[a:b], axes[: 1 if margin[0] >= 0 else 0], budget[0]
            )
            margins[m, 1] = min(-margins[m, 1], steadiness)
        for x in range(3):
            frames[m, 0, x], frames[m, 1, x] = axes[0, x], axes[1, x]
        margins[m, 2] = _order(classes, start, neighbour, pos[a:b], axes, place[a:b])
        symmetry[m, 0], symmetry[m, 1], symmetry[m, 2] = 0, 1, 0
        symmetry[m, 3], symmetry[m, 4], symmetry[m, 5] = 2, 1, 1
        # every symmetry but the identity leaves sums over classes on a line or in a plane
        if depth <= SYMMETRY_TOLERANCE * math.sqrt(b - a):
            of = symmetry_of(classes, pos[a:b], budget[1])
            symmetry[m, 0], symmetry[m, 1], symmetry[m, 2] = of.symbol
            symmetry[m, 3], symmetry[m, 4], symmetry[m, 5] = of.fixed, of.order_defined, of.number
            if not of.is_settled:
                margins[m, 2] = 0.0


@kernel
def _order(classes: Ints, start: Ints, neighbour: Ints, pos: Floats, axes: Floats, place: Ints) -> float:
    """Fill in the place (n,) of each atom, by class and then by the walk; return the margin, angstrom."""
    n, margin = len(classes), np.inf
    key = np.empty(n)
    for i in range(n):
        key[i] = classes[i]
    if len(sizes_of(classes)) < n:
        visit, margin = walk(classes, start, neighbour, placed(pos, axes))
        for i in range(n):
            key[i] = classes[i] * n + visit[i]
    order = argsort(key)
    for k in range(n):
        place[order[k]] = k
    return margin


def well_conditioned(vectors: Floats) -> Bools:
    """Return (M,) whether the first of two vectors (M, 2, 3) and the part of the other across it are long enough."""
    first, second = vectors[:, 0], vectors[:, 1]
    length = np.linalg.norm(first, axis=1)
    area = np.linalg.norm(np.cross(first, second), axis=1)
    return (length >= MIN_FRAME_LENGTH) & (area >= MIN_FRAME_LENGTH * length)
