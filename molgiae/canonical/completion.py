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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import BondGraph, Bools, Floats, Ints, ranks, refined, refined_by_isotope
from molgiae.canonical.frame import class_axes, frame_of_atoms
from molgiae.canonical.order import walk
from molgiae.canonical.point_group import SYMMETRY_TOLERANCE, symmetry_of

MIN_FRAME_LENGTH = 0.1
"""Shortest learned vector that defines a direction, angstrom: noise s on the atoms turns it by about s over this."""

SAME_SCORE = 0.01
"""Scores that follow each other by no more do not tell atoms apart."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How far B conformers define their group action.

    Attributes:
        pose_defined: (B,) str, of `point_group.POSES`.
        order_defined: (B,) bool; false where a symmetry exchanges atoms.
        symmetry_number: (B,) int64, order of the proper stabilizer; 0 for an infinite one.
        point_group: (B,) str, Schoenflies symbols as `point_group.Symmetry` has them.
        stability: (B,) angstrom, about the noise on the atoms that would change frame or order by a jump:
            the least margin of all decisions.
    """

    pose_defined: NDArray[np.str_]
    order_defined: Bools
    symmetry_number: Ints
    point_group: NDArray[np.str_]
    stability: Floats


@dataclass(frozen=True, eq=False)
class Completion:
    """What mu left open, settled.

    Attributes:
        vectors: (B, 2, 3) the first two axes of the canonical frame.
        scores: (B, n) whole numbers that put the atoms in canonical order, no two alike; +inf where padded.
        diagnosis: how far the conformers define both.
    """

    vectors: Floats
    scores: Floats
    diagnosis: Diagnosis


def complete(
    z: Ints,
    pos: Floats,
    graph: BondGraph,
    *,
    isotope: Ints | None = None,
    scores: Floats | None = None,
    vectors: Floats | None = None,
) -> Completion:
    """Return frame and order of conformers, from what mu says where it is definite, else from graph and geometry.

    Args:
        z: (B, n) atomic numbers, 0 where padded.
        pos: (B, n, 3) angstrom, relative to mu's translation, 0 where padded.
        graph: of the same conformers.
        isotope: (B, n) mass numbers, 0 for natural atoms; None if all are.
        scores: (B, n) of mu, ranked up to `SAME_SCORE` and then by the graph; +inf where padded. None for the classes
            of the graph.
        vectors: (B, 2, 3) of mu, angstrom, used where they are `well_conditioned`; None to leave the frame to the
            classes.
    """
    mask = z > 0
    classes = graph.classes if scores is None else refined(ranks(scores, SAME_SCORE), graph.adjacency)
    classes = refined_by_isotope(classes, isotope, graph.adjacency)
    axes = class_axes(classes, pos, mask)
    given = np.zeros(len(z), dtype=bool) if vectors is None else well_conditioned(vectors)
    frames = axes.rotation.transpose(0, 2, 1)[:, :2].copy()
    stability = axes.margin.min(axis=1)
    if vectors is not None:
        frames[given], stability[given] = vectors[given], np.inf
    for b in np.flatnonzero(~given & ~axes.defined).tolist():
        n = int(mask[b].sum())
        first = axes.rotation[b, :, 0] if axes.margin[b, 0] >= 0 else None
        frames[b], wins_by = frame_of_atoms(classes[b, :n], pos[b, :n], first)
        stability[b] = min(float(-axes.margin[b].min()), wins_by)
    frames = orthonormal(frames)
    third = np.cross(frames[:, 0], frames[:, 1])[:, None]
    canonical = pos @ np.concatenate([frames, third], axis=1).transpose(0, 2, 1)
    steps = walk(classes, graph.adjacency, canonical, mask)
    stability = np.minimum.reduce([stability, graph.margin, steps.margin])
    order = np.where(mask, (classes * (z.shape[1] + 1) + steps.place).astype(np.float64), np.inf)
    return Completion(frames, order, _diagnosis(classes, pos, mask, axes.depth, stability))


def _diagnosis(classes: Ints, pos: Floats, mask: Bools, depth: Floats, stability: Floats) -> Diagnosis:
    size = len(classes)
    pose, group = np.full(size, "full"), np.full(size, "C1", dtype="U16")
    ordered, number = np.ones(size, dtype=bool), np.ones(size, dtype=np.int64)
    # every symmetry but the identity leaves sums over classes on a line or in a plane
    for b in np.flatnonzero(depth <= SYMMETRY_TOLERANCE * np.sqrt(mask.sum(axis=1))).tolist():
        n = int(mask[b].sum())
        found = symmetry_of(classes[b, :n], pos[b, :n])
        pose[b], ordered[b] = found.pose_defined, found.order_defined
        number[b], group[b] = found.symmetry_number, found.point_group
    return Diagnosis(pose, ordered, number, group, stability)


def orthonormal(vectors: Floats) -> Floats:
    """Return the first two axes (B, 2, 3) of the frames that vectors (B, 2, 3) span, by Gram-Schmidt."""
    first = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    second = vectors[:, 1] / np.linalg.norm(vectors[:, 1], axis=1, keepdims=True)
    for _ in range(2):  # once more: exact for nearly collinear vectors too
        second = second - (second * first).sum(axis=1, keepdims=True) * first
        second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second], axis=1)


def well_conditioned(vectors: Floats) -> Bools:
    """Return (B,) whether the first vector and the part of the second across it reach `MIN_FRAME_LENGTH`."""
    first, second = vectors[:, 0], vectors[:, 1]
    length = np.linalg.norm(first, axis=1)
    area = np.linalg.norm(np.cross(first, second), axis=1)
    return (length >= MIN_FRAME_LENGTH) & (area >= MIN_FRAME_LENGTH * length)
