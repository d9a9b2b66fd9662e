"""The group action of a conformer: xi for SE(3) x S_n, exact up to the stabilizer and steady under noise.

No pooled vector of a symmetric conformer defines a frame, and no score tells equivalent atoms apart (Prop. 2.8).
Nothing continuous defines either for all conformers (Dym, Lawrence and Siegel, ICML 2024), so what can be done is
to decide rarely and by wide margins:

* the bond graph sorts the atoms into classes; only what it leaves open is decided by geometry;
* the frame is spanned by the principal axes of the sums of the positions over classes, which every symmetry of the
  graph leaves alone, their signs by the ranks of the classes; learned vectors take their place on request;
* where these vanish, as for symmetric conformers, atoms of the rarest class give candidate frames, and the candidate
  with the least value of one continuous function of the cloud wins: candidates that it cannot tell apart give the
  same cloud, nearly the same for nearly symmetric conformers;
* atoms of one class are ordered in the frame by a walk over the bond graph (`walk`), so that P and R agree.

For an exactly symmetric conformer several candidates give the same cloud; they are its stabilizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.clouds import Cloud
from molgiae.groups import SE3, SO3, Permutation, SE3xSn, Translation
from molgiae.ordering import tolerant_lexsort
from molgiae.shapes import AtomicNumbers, Points, Scores, Vectors
from molgiae.walk import bonded, refined, walk

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR = 0.1
"""Shortest learned vector that defines a direction, angstrom: noise s on the atoms turns it by about s / FLOOR."""

GAP = 0.15
"""Least difference between the singular values of sums over classes that defines their axes, angstrom."""

SIGN = 0.03
"""Shortest projection on an axis that defines its sign, angstrom."""

SAME = 0.01
"""Scores closer than this do not tell atoms apart; neither do distances from an axis, in angstrom."""

SYMMETRIC = 0.02
"""A rotation belongs to the stabilizer if it moves no atom by more than this from where another was, angstrom."""

REACH = (1.0, 0.5, SAME, 1e-7)
"""Distances from the centroid or the axis at which atoms define a direction, angstrom; the first that any does."""

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
            among equal `scores`, in place of the bond graph; None to leave it to that and the walk.
        learned_frame: whether `vectors` span the frame where they can; otherwise sums over classes do.
    """

    vectors: Vectors
    translation: Points
    scores: Scores
    posed_scores: Callable[[AtomicNumbers, Tensor], Tensor] | None = None
    learned_frame: bool = True


@dataclass(frozen=True, eq=False)
class GroupAction:
    """Psi(x), and how far x defines it.

    Attributes:
        g: B elements of SE(3) x S_n with x = g.act(canonical form).
        pose_defined: (B,) int64, index into `POSES`.
        order_defined: (B,) bool; false where a symmetry exchanges atoms.
        symmetry_number: (B,) int64, order of the proper stabilizer; 0 for an infinite one.
        stability: (B,) angstrom, about the noise on the atoms that would change frame or order by a jump:
            the least margin of all decisions. Not of those by `posed_scores`.
    """

    g: SE3xSn
    pose_defined: Tensor
    order_defined: Tensor
    symmetry_number: Tensor
    stability: Tensor


def group_action(x: Cloud, y: Equivariant) -> GroupAction:
    """Xi with completion of degenerate frames and geometric order of equal scores.

    Gradients pass through learned vectors that define a frame and through translations. Other frames are
    constants: short vectors would have gradients as large as they are short.

    Args:
        x: B conformers, float64.
        y: of the same conformers.
    """
    scores, origin = y.scores.detach().double(), y.translation.detach()
    pos = ((x.pos.detach() - origin[:, None]) * x.mask[..., None]).double()
    bonds, stability = bonded(x.z, pos)
    ranked = _classes(scores)
    classes = refined(ranked, bonds)
    learned = well_conditioned(y.vectors.detach()) & y.learned_frame
    axes, margin = class_axes(classes, pos, x.mask)
    vectors = torch.where(learned[:, None, None], y.vectors.double(), axes.mT[:, :2])
    stability = torch.minimum(stability, torch.where(learned, torch.inf, margin.amin(dim=1)))
    size = len(x)
    pose = torch.full((size,), POSES.index("full"))
    ordered = torch.ones(size, dtype=torch.bool)
    number = torch.ones(size, dtype=torch.long)
    for b in torch.nonzero(~learned & (margin.amin(dim=1) < 0)).flatten().tolist():
        n = int(x.mask[b].sum())
        first = axes[b, :, 0].cpu().numpy() if float(margin[b, 0]) >= 0 else None
        frame = complete(classes[b, :n].cpu().numpy(), pos[b, :n].cpu().numpy(), first)
        vectors = vectors.index_put((torch.tensor(b),), torch.from_numpy(frame.axes).to(vectors))
        pose[b], ordered[b], number[b] = frame.pose_defined, frame.order_defined, frame.symmetry_number
        stability[b] = min(float(-margin[b].min()), frame.margin)
    rotation = SO3.from_equivariant(vectors)
    canonical = pos @ rotation.matrix.detach()
    if y.posed_scores is not None:
        classes = _classes(ranked.double(), y.posed_scores(x.z, canonical))
    steps = walk(classes, bonds, canonical, x.mask)
    order = (classes * (x.z.shape[1] + 1) + steps.place).argsort(dim=-1)
    g = SE3xSn(SE3(rotation, Translation(y.translation.double())), Permutation(order))
    return GroupAction(g, pose, ordered, number, torch.minimum(stability, steps.margin).cpu())


def well_conditioned(vectors: Vectors) -> Tensor:
    """(B,) whether both the first vector and the part of the second orthogonal to it reach `FLOOR`."""
    first, second = vectors.unbind(dim=-2)
    length = torch.linalg.vector_norm(first, dim=-1)
    area = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    return (length >= FLOOR) & (area >= FLOOR * length)


def _classes(*scores: Tensor) -> Tensor:
    """(B, n) scores to the numbers of their groups, ties up to `SAME`; padding, which is +inf, comes last."""
    order, group = tolerant_lexsort(torch.stack([s.double() for s in scores], dim=-1), SAME)
    return torch.empty_like(group).scatter_(-1, order, group)


def class_axes(classes: Tensor, pos: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes of the sums of positions over classes, each divided by the root of its size.

    Noise s on every coordinate is noise s on every coordinate of such a sum. Signs are those of the projections
    of the sums weighted by the centred ranks of their classes.

    Args:
        classes: (B, n) int64 from 0.
        pos: (B, n, 3) float64, angstrom, from the centroid, 0 where padded.
        mask: (B, n) true for atoms.

    Returns:
        (B, 3, 3) rotations with the axes as columns, and (B, 2) by how much more than `GAP` and `SIGN` define the
        first and the second, angstrom.
    """
    count = torch.zeros_like(classes, dtype=pos.dtype).scatter_add_(1, classes, mask.to(pos.dtype))
    sums = torch.zeros_like(pos).scatter_add_(1, classes[..., None].expand_as(pos), pos)
    sums = sums / count.clamp_min(1).sqrt()[..., None]
    present = (count > 0).to(pos.dtype)
    rank = torch.arange(classes.shape[1], dtype=pos.dtype, device=pos.device) * present
    rank = (rank - rank.sum(dim=1, keepdim=True) / present.sum(dim=1, keepdim=True)) * present
    weight = torch.nn.functional.normalize(rank, dim=1)
    value, axes = torch.linalg.eigh(sums.mT @ sums)
    singular, axes = value.clamp_min(0).sqrt().flip(1), axes.flip(2)
    lean = ((weight[:, None] @ sums) @ axes)[:, 0]
    first, second = (axes * torch.where(lean < 0, -1.0, 1.0)[:, None]).unbind(dim=2)[:2]
    gap = (singular[:, :2] - singular[:, 1:]) - GAP
    # the second axis is worth no more than the gap to the first
    margin = torch.minimum(gap / 2**0.5, lean[:, :2].abs() - SIGN)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2), margin


@dataclass(frozen=True, eq=False)
class CompletedFrame:
    """A frame completed from the atoms of one conformer.

    Attributes:
        axes: (2, 3) orthonormal, first and second canonical axis.
        pose_defined: index into `POSES`.
        order_defined: whether no symmetry exchanges atoms.
        symmetry_number: order of the proper stabilizer; 0 for an infinite one.
        margin: noise on the atoms, angstrom, that would make another candidate win; infinite without one.
    """

    axes: Floats
    pose_defined: int
    order_defined: bool
    symmetry_number: int
    margin: float


def complete(classes: Ints, pos: Floats, first: Floats | None) -> CompletedFrame:
    """The best of all frames that the conformer itself singles out.

    Args:
        classes: (n,) of the atoms.
        pos: (n, 3) angstrom, from the point that translations are measured from.
        first: (3,) first axis, or None if that has to come from the atoms too.
    """
    starts = _directions(classes, pos) if first is None else first[None]
    if not len(starts):
        starts = np.eye(3)[:1]
    frames = np.concatenate([_frames(classes, pos, start) for start in starts])
    clouds = pos @ frames
    value, slope = _value(classes, clouds)
    best = int(value.argmin())
    radius = float(np.linalg.norm(pos, axis=1).max(initial=0.0))
    near = np.flatnonzero(value - value[best] <= _STEEP * np.sqrt(len(pos)) * SYMMETRIC)
    images = {int(k): _image(classes, clouds[k], clouds[best]) for k in near}
    same = [k for k, image in images.items() if image is not None]
    # two atoms may point the same way; a rotation that moves no atom is none, but for atoms on a line
    _, first_of = np.unique(np.array([images[k] for k in same]), axis=0, return_index=True)
    others = np.delete(value, same)
    line = bool(np.abs(clouds[best][:, 1:]).max(initial=0.0) <= SAME)
    stabilizer = frames[same if line else np.array(same)[first_of]] @ frames[best].T
    return CompletedFrame(
        axes=frames[best].T[:2],
        pose_defined=_pose_of_line(stabilizer @ frames[best][:, 0], radius) if line else _pose_of(stabilizer),
        order_defined=len(first_of) == 1,
        symmetry_number=0 if line else len(first_of),
        margin=float((others.min() - value[best]) / slope[best] / 2**0.5) if len(others) else np.inf,
    )


_WAVES = np.array([[1.31, 0.47, 0.73], [-0.53, 1.17, 0.91], [0.37, -0.83, 1.43]])
_PHASES = np.array([0.4, 1.3, 2.2])
_STEEP = 3.0
"""More than the root of the mean square of the gradient of `_value` at an atom."""


def _value(classes: Ints, clouds: Floats) -> tuple[Floats, Floats]:
    """A continuous function of clouds (C, n, 3) that no symmetry spares, and the length of its gradient (C,).

    A sum of waves over the atoms, weighted by class; the order of the atoms does not enter.
    """
    weight = 1.0 + np.modf(0.618034 * (classes + 1))[0]
    phase = clouds @ _WAVES.T + _PHASES
    value = (weight[:, None] * np.cos(phase)).sum(axis=(1, 2))
    gradient = weight[:, None] * (np.sin(phase) @ _WAVES)
    return value, np.sqrt((gradient**2).sum(axis=(1, 2))) + 1e-12


def _image(classes: Ints, cloud: Floats, reference: Floats) -> Ints | None:
    """(n,) which atom of the reference each atom of the cloud falls upon, or None if one falls on none."""
    apart = np.linalg.norm(cloud[:, None] - reference, axis=2)
    apart[classes[:, None] != classes] = np.inf
    image = apart.argmin(axis=1)
    fits = apart[np.arange(len(cloud)), image] <= SYMMETRIC
    return image if fits.all() and len(np.unique(image)) == len(image) else None


def _pose_of(stabilizer: Floats) -> int:
    """Index into `POSES`: how many directions all rotations of the stabilizer (m, 3, 3) leave alone.

    The mean over a group projects on what the group fixes, so its trace is the dimension.
    """
    fixed = round(float(np.trace(stabilizer, axis1=1, axis2=2).mean()))
    return POSES.index({3: "full", 1: "axis"}.get(fixed, "none"))


def _pose_of_line(axes: Floats, radius: float) -> int:
    """Index into `POSES` of a linear conformer, from the directions (m, 3) its symmetries give its axis."""
    one_way = bool(np.abs(axes - axes[0]).max() <= SAME)
    return POSES.index("axis" if one_way and radius > SAME else "none")


def _directions(classes: Ints, offset: Floats) -> Floats:
    """Unit vectors (m, 3) towards the atoms of one class, none if no offset (n, 3) reaches far enough.

    The class is the smallest of those with an atom that reaches, by the first `REACH` that any does; the first
    class of these. Graph and rank decide, so that noise seldom does.
    """
    length = np.linalg.norm(offset, axis=1)
    size = np.bincount(classes)
    for reach in REACH:
        far = length >= reach
        if far.any():
            found = np.unique(classes[far])
            chosen = far & (classes == found[size[found].argmin()])
            return offset[chosen] / length[chosen, None]
    return np.empty((0, 3))


def _frames(classes: Ints, pos: Floats, first: Floats) -> Floats:
    """(m, 3, 3) rotations with this first axis, the second towards atoms of one class, any if all lie on it."""
    offset = pos - (pos @ first)[:, None] * first
    second = _directions(classes, offset)
    if not len(second):
        axis = np.eye(3)[np.abs(first).argmin()]
        second = (axis - (axis @ first) * first)[None]
        second = second / np.linalg.norm(second)
    # once more, for offsets as short as round-off
    second = second - (second @ first)[:, None] * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([np.broadcast_to(first, second.shape), second, np.cross(first, second)], axis=2)
