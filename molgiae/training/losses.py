"""Losses of pretraining."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from molgiae.model.cloud import Cloud, squared_deviation
from molgiae.nn.slots import SlotPrediction
from molgiae.parallel import ranks
from molgiae.tensors import AtomicNumbers, Positions, Vectors
from molgiae.training.batches import displacements

MIN_FRAME_LENGTH = 0.5
"""Length of pooled vectors, in angstrom, beyond which a frame is defined well enough."""
DISTORTION = 0.3
"""Largest standard deviation of displacements, angstrom, from which distances of shape parts are learned."""
MIN_INERTIA = 1e-3
"""Added to moments of inertia about an axis, square angstrom."""
QUADRATIC = 0.1
"""Error of a distance, in angstrom, beyond which the loss grows linearly."""


class Denoiser(Protocol):
    """A network that reads displacements of atoms off their positions."""

    def displacement(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return (B, n, 3) for atoms (B, n)."""


def reconstruction_loss(
    prediction: SlotPrediction, target: Cloud, elements: Tensor, type_weight: float
) -> Tensor:
    """Mean RMSD in angstrom plus the weighted cross-entropy of the slots' types (Eq. 3 with both in one pose).

    Atom k of a target belongs to slot k of its prediction. Elements are (E + 1,), the atomic number of each type, 0 for
    "empty" first; the weight is angstrom per nat.
    """
    slots = prediction.pos.shape[1]
    z = torch.nn.functional.pad(target.z, (0, slots - target.z.shape[1]))
    kind = torch.searchsorted(elements, z)
    entropy = torch.nn.functional.cross_entropy(prediction.logits.flatten(0, 1).float(), kind.flatten())
    # a floor below the noise of the data keeps the root differentiable at a perfect reconstruction
    return (squared_deviation(prediction.pos, target) + 1e-7).sqrt().mean() + type_weight * entropy


def conditioning_loss(vectors: Vectors) -> Tensor:
    """How far pooled vectors fall short of `MIN_FRAME_LENGTH`: mean square of the missing fractions.

    Nothing else keeps a frame that is trained together with the rest from degeneracy, from which it does not come
    back: completed frames have no gradient. Symmetric conformers, whose vectors cancel whatever the weights, add a
    constant. Vectors are (B, 2, 3) in angstrom.
    """
    first, second = vectors.double().unbind(dim=1)
    length = (first.square().sum(dim=-1) + 1e-4).sqrt()
    height = (torch.linalg.cross(first, second).square().sum(dim=-1) + 1e-6).sqrt() / length
    missing = torch.relu(1 - torch.stack([length, height]) / MIN_FRAME_LENGTH)
    return missing.square().sum(dim=0).mean()


def shape_loss(
    embed: Callable[[Cloud], Tensor], alone: Cloud, pairs: Cloud, rmsd: Tensor, generator: torch.Generator
) -> Tensor:
    """How far distances of shape parts are from symmetry-corrected RMSDs (smooth L1, angstrom).

    Conformers that are given alone are compared with distorted copies of themselves, whose RMSD is that of the
    displacements without the motion of the whole: of all atoms, or of a few that may even leave their bonds.

    Args:
        embed: conformers to their shape parts (B, size).
        alone: B conformers, any pose.
        pairs: 2 P conformers, each followed by its partner.
        rmsd: (P,) of the pairs, angstrom.
        generator: source of the displacements.
    """
    shift = displacements(alone, DISTORTION, generator)
    moved = torch.rand(alone.mask.shape, generator=generator, device=shift.device)
    share = torch.rand(len(alone), 1, generator=generator, device=shift.device)
    shift = shift * (moved < (2 * share).clamp(max=1))[..., None]
    inner = without_motion(alone, shift)
    target = (inner.square().sum(dim=(1, 2)) / alone.mask.sum(dim=1)).sqrt()
    both = embed(pairs)
    apart = torch.cat([embed(alone) - embed(Cloud(alone.z, alone.pos + shift)), both[::2] - both[1::2]])
    distance = (apart.square().sum(dim=1) + 1e-6).sqrt()
    return torch.nn.functional.smooth_l1_loss(distance, torch.cat([target, rmsd]), beta=QUADRATIC)


def without_motion(x: Cloud, shift: Tensor) -> Tensor:
    """Return displacements (B, n, 3) less the translation and, to first order, the rotation of the whole conformer."""
    there = x.mask[..., None].to(shift.dtype)
    count = there.sum(dim=1, keepdim=True)
    pos = (x.pos - (x.pos * there).sum(dim=1, keepdim=True) / count) * there
    shift = (shift - (shift * there).sum(dim=1, keepdim=True) / count) * there
    outer = pos.mT @ pos
    identity = torch.eye(3, dtype=pos.dtype, device=pos.device)
    inertia = identity * outer.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None] - outer
    momentum = torch.linalg.cross(pos, shift).sum(dim=1)
    # about the axis of a linear conformer nothing turns
    turn = torch.linalg.solve(inertia + MIN_INERTIA * identity, momentum)
    return shift - torch.linalg.cross(turn[:, None].expand_as(pos), pos) * there


def denoising_loss(atoms: Denoiser, x: Cloud, noise: float, generator: torch.Generator) -> Tensor:
    """How well displacements of the atoms are read off displaced conformers: mean square error over that of 0.

    At minima of the energy this is learning forces without labels (Zaidi et al., ICLR 2023). Noise is a standard
    deviation in angstrom.
    """
    normal = torch.randn(x.pos.shape, generator=generator, device=x.pos.device, dtype=x.pos.dtype)
    shift = Cloud(x.z, normal * x.mask[..., None]).centered().pos
    found = ranks.shared(atoms.displacement, x.z, x.pos + noise * shift)
    return (found.float() - shift).square().sum() / (3 * x.mask.sum())
