"""The group action of a conformer: xi for SE(3) x S_n, exact up to the stabilizer.

The network proposes two pooled vectors and one score per atom. Pooled vectors of a symmetric conformer are
collinear or zero, and scores of equivalent atoms are equal, for every network (Prop. 2.8). So

* a frame whose vectors are shorter than `FLOOR` is completed from the atoms: all atoms that distances cannot
  tell apart give a candidate frame, and the candidate with the lexicographically least cloud wins;
* equal scores are ordered by canonical coordinates, after the frame is fixed, so that P and R agree.

For an exactly symmetric conformer several candidates give the same cloud; they are its stabilizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from molgiae.clouds import Cloud
from molgiae.groups import SE3, SO3, Permutation, SE3xSn, Translation
from molgiae.ordering import tolerant_lexsort
from molgiae.shapes import AtomicNumbers, Points, Scores, Vectors

FLOOR = 0.1
"""Shortest pooled vector that defines a direction, angstrom: noise s on the atoms turns it by about s / FLOOR."""

SAME = 0.01
"""Coordinates and distances closer than this, in angstrom, do not tell atoms or frames apart."""

REACH = 0.3
"""Least distance, in angstrom, from the centroid or from the axis of an atom that defines a direction."""

EXACT = 1e-7
"""Differences between near-symmetric candidates that decide, in angstrom; well above float64 round-off."""

POSES = ("none", "axis", "full")
"""`pose_defined` by the number of directions that every symmetry of the conformer leaves alone: 0, 1, 3."""


@dataclass(frozen=True, eq=False)
class Equivariant:
    """What mu gives xi.

    Attributes:
        vectors: (B, 2, 3) angstrom; turn with the conformer, unmoved by translations.
        translation: (B, 3) angstrom; moves with the conformer.
        scores: (B, n) invariant under motions, permuted with the atoms; +inf where padded.
        posed_scores: from atomic numbers (B, n) and canonical positions (B, n, 3) to scores (B, n) that decide
            among equal `scores`; None to leave that to the coordinates.
    """

    vectors: Vectors
    translation: Points
    scores: Scores
    posed_scores: Callable[[AtomicNumbers, Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class GroupAction:
    """Psi(x), and how far x defines it.

    Attributes:
        g: B elements of SE(3) x S_n with x = g.act(canonical form).
        pose_defined: (B,) int64, index into `POSES`.
        order_defined: (B,) bool; false where a symmetry exchanges atoms.
        symmetry_number: (B,) int64, order of the proper stabilizer; 0 for an infinite one.
    """

    g: SE3xSn
    pose_defined: Tensor
    order_defined: Tensor
    symmetry_number: Tensor


def group_action(x: Cloud, y: Equivariant) -> GroupAction:
    """Xi with completion of degenerate frames and geometric order of equal scores.

    Gradients pass through vectors that define a frame and through translations. A completed frame is a
    constant: vectors shorter than `FLOOR` would have gradients as large as they are short.

    Args:
        x: B conformers, float64.
        y: of the same conformers.
    """
    scores, origin = y.scores.detach().double(), y.translation.detach()
    pos = ((x.pos.detach() - origin[:, None]) * x.mask[..., None]).double()
    vectors = y.vectors.double().clone()
    size = len(x)
    pose = torch.full((size,), POSES.index("full"))
    ordered = torch.ones(size, dtype=torch.bool)
    number = torch.ones(size, dtype=torch.long)
    for b in torch.nonzero(~well_conditioned(vectors.detach())).flatten().tolist():
        n = int(x.mask[b].sum())
        frame = complete(scores[b, :n].cpu(), pos[b, :n].cpu(), vectors[b].detach().cpu())
        vectors[b] = frame.axes.to(vectors)
        pose[b], ordered[b], number[b] = frame.pose_defined, frame.order_defined, frame.symmetry_number
    rotation = SO3.from_equivariant(vectors)
    canonical = pos @ rotation.matrix.detach()
    more = [] if y.posed_scores is None else [y.posed_scores(x.z, canonical)]
    order = canonical_order(scores, canonical, *more)
    g = SE3xSn(SE3(rotation, Translation(y.translation.double())), Permutation(order))
    return GroupAction(g, pose, ordered, number)


def well_conditioned(vectors: Vectors) -> Tensor:
    """(B,) whether both the first vector and the part of the second orthogonal to it reach `FLOOR`."""
    first, second = vectors.unbind(dim=-2)
    length = torch.linalg.vector_norm(first, dim=-1)
    area = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    return (length >= FLOOR) & (area >= FLOOR * length)


def canonical_order(scores: Scores, pos: Tensor, *more: Tensor) -> Tensor:
    """The order of atoms by scores, then x, y, z in the canonical frame, ties up to `SAME`.

    Args:
        scores: (..., n), +inf where padded.
        pos: (..., n, 3) coordinates in the canonical frame, angstrom.
        *more: (..., n) further scores, each deciding among atoms that are equal so far.

    Returns:
        (..., n) int64; entry k is the atom that comes k-th.
    """
    keys = torch.cat([torch.stack([scores, *more], dim=-1).double(), pos.double()], dim=-1)
    return tolerant_lexsort(keys, SAME)[0]


@dataclass(frozen=True, eq=False)
class CompletedFrame:
    """A frame completed from the atoms of one conformer.

    Attributes:
        axes: (2, 3) orthonormal, first and second canonical axis.
        pose_defined: index into `POSES`.
        order_defined: whether all equivalent frames give the same order of atoms.
        symmetry_number: order of the proper stabilizer; 0 for an infinite one.
    """

    axes: Tensor
    pose_defined: int
    order_defined: bool
    symmetry_number: int


def complete(scores: Tensor, pos: Tensor, vectors: Tensor) -> CompletedFrame:
    """The best of all frames that the conformer itself singles out.

    Args:
        scores: (n,) float64, one score per atom.
        pos: (n, 3) float64, angstrom, from the point that translations are measured from.
        vectors: (2, 3) float64 pooled vectors, of which at most one is used.
    """
    frames = [
        torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
        for first in _first_axes(scores, pos, vectors)
        for second in _second_axes(scores, pos, first)
    ]
    rotations = torch.stack(frames)
    clouds = pos @ rotations
    orders = canonical_order(scores.expand(len(frames), -1), clouds)
    clouds = clouds.take_along_dim(orders[..., None], dim=1)
    close = _least(clouds.flatten(1), torch.arange(len(frames)), SAME)
    best = int(_least(clouds.flatten(1), close, EXACT)[0])
    same = torch.nonzero((clouds - clouds[best]).abs().amax(dim=(1, 2)) <= 2 * SAME).flatten()
    extent = clouds[best].abs().amax(dim=0)
    linear = bool(extent[1:].amax() <= SAME)
    turned = rotations[same] @ rotations[best].mT
    return CompletedFrame(
        axes=rotations[best].mT[:2],
        pose_defined=_pose_of_line(turned @ rotations[best][:, 0], extent) if linear else _pose_of(turned),
        order_defined=bool((orders[same] == orders[best]).all()),
        symmetry_number=0 if linear else len(same),
    )


def _pose_of(stabilizer: Tensor) -> int:
    """Index into `POSES`: how many directions all rotations of the stabilizer (m, 3, 3) leave alone.

    The mean over a group projects on what the group fixes, so its trace is the dimension.
    """
    fixed = round(float(stabilizer.diagonal(dim1=1, dim2=2).sum(dim=-1).mean()))
    return POSES.index({3: "full", 1: "axis"}.get(fixed, "none"))


def _pose_of_line(axes: Tensor, extent: Tensor) -> int:
    """Index into `POSES` of a linear conformer, from the directions (m, 3) its symmetries give its axis."""
    one_way = bool((axes - axes[0]).abs().amax() <= SAME)
    return POSES.index("axis" if one_way and float(extent[0]) > SAME else "none")


def _first_axes(scores: Tensor, pos: Tensor, vectors: Tensor) -> list[Tensor]:
    """Unit vectors (3,): a pooled vector if one is long enough, otherwise the atoms of one class."""
    for vector in vectors:
        length = torch.linalg.vector_norm(vector)
        if length >= FLOOR:
            return [vector / length]
    radius = torch.linalg.vector_norm(pos, dim=-1)
    atoms = _rarest_class(torch.stack([scores, -radius], dim=-1), radius)
    return [pos[i] / radius[i] for i in atoms] or [torch.eye(3, dtype=pos.dtype)[0]]


def _second_axes(scores: Tensor, pos: Tensor, first: Tensor) -> list[Tensor]:
    """Unit vectors (3,) orthogonal to the first axis, towards the atoms of one class; any if all lie on it."""
    height = pos @ first
    offset = pos - height[:, None] * first
    radius = torch.linalg.vector_norm(offset, dim=-1)
    atoms = _rarest_class(torch.stack([scores, height, -radius], dim=-1), radius)
    if atoms:
        return [offset[i] / radius[i] for i in atoms]
    axis = torch.eye(3, dtype=pos.dtype)[first.abs().argmin()]
    second = axis - (axis @ first) * first
    return [second / torch.linalg.vector_norm(second)]


def _rarest_class(keys: Tensor, reach: Tensor) -> list[int]:
    """The smallest class of atoms that the keys (n, K) cannot tell apart, among those far enough out.

    Args:
        keys: (n, K) invariants of the atoms.
        reach: (n,) distance in angstrom; classes nearer than `REACH` serve only if there is no other, those
            nearer than `SAME` (a line bent by less than flags resolve) only if there are none of these, and
            classes nearer than `EXACT` never.

    Returns:
        atoms of the class with the fewest atoms, the first in the order of the keys among those.
    """
    order, group = tolerant_lexsort(keys, SAME)
    least = torch.full((int(group[-1]) + 1,), torch.inf, dtype=reach.dtype)
    least = least.scatter_reduce(0, group, reach[order], reduce="amin")
    size = torch.bincount(group)
    for limit in (REACH, SAME, EXACT):
        eligible = least > limit
        if eligible.any():
            chosen = int(torch.where(eligible, size, len(reach) + 1).argmin())
            return order[group == chosen].tolist()
    return []


def _least(values: Tensor, candidates: Tensor, tolerance: float) -> Tensor:
    """Those of the candidates whose rows of values (C, K) are lexicographically least, up to a tolerance."""
    for column in values.T:
        if len(candidates) == 1:
            break
        value = column[candidates]
        candidates = candidates[value <= value.min() + tolerance]
    return candidates
