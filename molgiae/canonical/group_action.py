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

from dataclasses import dataclass

import torch
from torch import Tensor

from molgiae.canonical.cloud import Cloud
from molgiae.canonical.frame import complete
from molgiae.canonical.order import bonded, by_isotope, refined, walk
from molgiae.canonical.ordering import tolerant_lexsort
from molgiae.canonical.point_group import POSES, SYMMETRIC, symmetry_of
from molgiae.groups import SE3, SO3, Permutation, SE3xSn, Translation
from molgiae.tensors import Points, Scores, Vectors

FLOOR = 0.1
"""Shortest learned vector that defines a direction, angstrom: noise s on the atoms turns it by about s / FLOOR."""

GAP = 0.50013
"""Least difference between the singular values of sums over classes that defines their axes, angstrom.

Not at the round number, which made-up structures meet, by more than coordinates of four decimals move a value.
"""

SIGN = 0.10013
"""Shortest projection on an axis that defines its sign, angstrom; not round for the same reason."""

SAME = 0.01
"""Scores closer than this do not tell atoms apart; neither do distances from an axis, in angstrom."""


@dataclass(frozen=True, eq=False)
class Equivariant:
    """What mu gives xi.

    Attributes:
        vectors: (B, 2, 3) angstrom; turn with the conformer, unmoved by translations. They span the frame where
            they can; None to leave it to sums over classes.
        translation: (B, 3) angstrom; moves with the conformer.
        scores: (B, n) invariant under motions, permuted with the atoms; +inf where padded.
    """

    vectors: Vectors | None
    translation: Points
    scores: Scores


@dataclass(frozen=True, eq=False)
class GroupAction:
    """Psi(x), and how far x defines it.

    Attributes:
        g: B elements of SE(3) x S_n with x = g.act(canonical form).
        pose_defined: (B,) int64, index into `POSES`.
        order_defined: (B,) bool; false where a symmetry exchanges atoms.
        symmetry_number: (B,) int64, order of the proper stabilizer; 0 for an infinite one.
        point_group: B Schoenflies symbols, as `symmetry.Symmetry` has them.
        stability: (B,) angstrom, about the noise on the atoms that would change frame or order by a jump:
            the least margin of all decisions.
    """

    g: SE3xSn
    pose_defined: Tensor
    order_defined: Tensor
    symmetry_number: Tensor
    point_group: list[str]
    stability: Tensor


def by_graph(x: Cloud) -> GroupAction:
    """Xi without a network: elements, heavy ones first, and the bond graph rank the atoms and span the frame."""
    scores = torch.where(x.mask, -x.z, torch.inf).double()
    return group_action(x, Equivariant(None, x.centroid, scores))


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
    bonds, doubt = bonded(x.z, pos)
    ranked = _classes(scores)
    classes = by_isotope(refined(ranked, bonds), x.isotope, bonds)
    axes, margin, depth = class_axes(classes, pos, x.mask)
    vectors, learned = axes.mT[:, :2], torch.zeros(len(x), dtype=torch.bool, device=pos.device)
    if y.vectors is not None:
        learned = well_conditioned(y.vectors.detach())
        vectors = torch.where(learned[:, None, None], y.vectors.double(), vectors)
    defined = margin.amin(dim=1) >= 0
    stability = torch.where(learned, torch.inf, margin.amin(dim=1)).cpu()
    size = len(x)
    pose = torch.full((size,), POSES.index("full"))
    ordered = torch.ones(size, dtype=torch.bool)
    number = torch.ones(size, dtype=torch.long)
    groups = ["C1"] * size
    # every symmetry but the identity leaves sums over classes on a line or in a plane
    may_be_symmetric = depth <= SYMMETRIC * x.mask.sum(dim=1).sqrt()
    incomplete = ~learned & ~defined
    for b in torch.nonzero(may_be_symmetric | incomplete).flatten().tolist():
        n = int(x.mask[b].sum())
        own = classes[b, :n].cpu().numpy(), pos[b, :n].cpu().numpy()
        if may_be_symmetric[b]:
            symmetry = symmetry_of(*own)
            pose[b], ordered[b] = POSES.index(symmetry.pose_defined), symmetry.order_defined
            number[b], groups[b] = symmetry.symmetry_number, symmetry.point_group
        if incomplete[b]:
            first = axes[b, :, 0].cpu().numpy() if float(margin[b, 0]) >= 0 else None
            frame, wins_by = complete(*own, first)
            vectors = vectors.index_put((torch.tensor(b),), torch.from_numpy(frame).to(vectors))
            stability[b] = min(float(-margin[b].min()), wins_by)
    rotation = SO3.from_equivariant(vectors)
    canonical = pos @ rotation.matrix.detach()
    steps = walk(classes, bonds, canonical, x.mask)
    stability = torch.stack([stability, doubt.cpu(), steps.margin.cpu()]).amin(dim=0)
    order = (classes * (x.z.shape[1] + 1) + steps.place).argsort(dim=-1)
    g = SE3xSn(SE3(rotation, Translation(y.translation.double())), Permutation(order))
    return GroupAction(g, pose, ordered, number, groups, stability)


def well_conditioned(vectors: Vectors) -> Tensor:
    """(B,) whether both the first vector and the part of the second orthogonal to it reach `FLOOR`."""
    first, second = vectors.unbind(dim=-2)
    length = torch.linalg.vector_norm(first, dim=-1)
    area = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    return (length >= FLOOR) & (area >= FLOOR * length)


def _classes(scores: Tensor) -> Tensor:
    """(B, n) scores to the numbers of their groups, ties up to `SAME`; padding, which is +inf, comes last."""
    order, group = tolerant_lexsort(scores.double()[..., None], SAME)
    return torch.empty_like(group).scatter_(-1, order, group)


def class_axes(classes: Tensor, pos: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The principal axes of the sums of positions over classes, each divided by the root of its size.

    Noise s on every coordinate is noise s on every coordinate of such a sum. Signs are those of the projections
    of the sums weighted by the centred ranks of their classes.

    Args:
        classes: (B, n) int64 from 0.
        pos: (B, n, 3) float64, angstrom, from the centroid, 0 where padded.
        mask: (B, n) true for atoms.

    Returns:
        (B, 3, 3) rotations with the axes as columns, (B, 2) by how much more than `GAP` and `SIGN` define the
        first and the second, and (B,) the third singular value, 0 if there is a mirror plane; in angstrom.
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
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=2), margin, singular[:, 2]
