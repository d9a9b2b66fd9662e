"""Losses of pretraining."""

from __future__ import annotations

import torch
from torch import Tensor

from molgiae.clouds import Cloud
from molgiae.nn.atom_scores import AtomScores
from molgiae.nn.pooled_vectors import PooledVectors
from molgiae.nn.slots import SlotPrediction
from molgiae.shapes import Vectors

WELL = 0.5
"""Length of pooled vectors, in angstrom, beyond which a frame is defined well enough."""


def reconstruction_loss(
    prediction: SlotPrediction, target: Cloud, elements: Tensor, type_weight: float
) -> Tensor:
    """Mean RMSD in angstrom plus the weighted cross-entropy of the slots' types (Eq. 3 with both in one pose).

    Args:
        prediction: of B conformers and S slots.
        target: the same conformers, atom k belonging to slot k; n up to S.
        elements: (E + 1,) atomic number of each type, 0 for "empty" first.
        type_weight: angstrom per nat.
    """
    slots = prediction.pos.shape[1]
    z = torch.nn.functional.pad(target.z, (0, slots - target.z.shape[1]))
    kind = torch.searchsorted(elements, z)
    entropy = torch.nn.functional.cross_entropy(prediction.logits.flatten(0, 1).float(), kind.flatten())
    # a floor below the noise of the data keeps the root differentiable at a perfect reconstruction
    return (squared_deviation(prediction.pos, target) + 1e-7).sqrt().mean() + type_weight * entropy


def squared_deviation(pos: Tensor, target: Cloud) -> Tensor:
    """(B,) mean squared distance of atoms, square angstrom; pos (B, S, 3) with atom k in slot k."""
    mask = target.mask
    square = (pos[:, : mask.shape[1]].float() - target.pos).square().sum(dim=-1) * mask
    return square.sum(dim=1) / mask.sum(dim=1)


def conditioning_loss(vectors: Vectors) -> Tensor:
    """How far pooled vectors fall short of `WELL`: mean square of the missing fractions.

    Nothing else keeps a frame that is trained together with the rest from wandering into degeneracy, from which
    it does not come back: completed frames have no gradient. Symmetric conformers, whose vectors cancel whatever the
    weights, add a constant.

    Args:
        vectors: (B, 2, 3) angstrom.
    """
    first, second = vectors.double().unbind(dim=1)
    length = (first.square().sum(dim=-1) + 1e-4).sqrt()
    height = (torch.linalg.cross(first, second).square().sum(dim=-1) + 1e-6).sqrt() / length
    missing = torch.relu(1 - torch.stack([length, height]) / WELL)
    return missing.square().sum(dim=0).mean()


def frame_loss(frame: PooledVectors, x: Cloud, noise: float, generator: torch.Generator) -> Tensor:
    """How far noise on the atoms turns the frame: mean of the logarithm of |R - R'|^2.

    The logarithm makes every conformer count, the well-conditioned ones too; symmetric conformers, whose frame
    is lost whatever the weights, add a constant.

    Args:
        frame: the network.
        x: B conformers, centred.
        noise: standard deviation of the displacements, angstrom.
        generator: of the displacements.
    """
    shift = noise * torch.randn(x.pos.shape, generator=generator, device=x.pos.device, dtype=x.pos.dtype)
    moved = Cloud(x.z, (x.pos + shift) * x.mask[..., None]).centered()
    turned = _axes(frame(x.z, x.pos)) - _axes(frame(moved.z, moved.pos))
    return (turned.square().sum(dim=(1, 2)) + 1e-4).log().mean()


STILL = 0.1
"""Change of scores under noise that counts as none; a tenth of the gap that counts as wide."""


def order_loss(scores: AtomScores, x: Cloud, noise: float, generator: torch.Generator) -> Tensor:
    """How easily noise changes the order of atoms of one element.

    Gaps narrower than one are pushed apart while the response to noise is held below `STILL`. Noise also turns
    the frame, and with it every atom: by about as many radians as it has angstrom, see `PooledVectors`.
    Logarithms keep conformers with unavoidable crossings from ruling the others.

    Args:
        scores: the network.
        x: B canonical forms.
        noise: standard deviation of the displacements, angstrom.
        generator: of the displacements.
    """
    mask = x.mask
    device, dtype = x.pos.device, x.pos.dtype
    turn = torch.randn((len(x), 1, 3), generator=generator, device=device, dtype=dtype).expand(x.pos.shape)
    shake = torch.randn(x.pos.shape, generator=generator, device=device, dtype=dtype)
    shift = noise * (shake + torch.linalg.cross(turn, x.pos))
    here, there = scores(x.z, x.pos), scores(x.z, x.pos + shift * mask[..., None])
    n = mask.shape[1]
    rivals = (x.z[:, :, None] == x.z[:, None]) & mask[:, :, None]
    rivals = rivals & ~torch.eye(n, dtype=torch.bool, device=mask.device)
    narrow = (1 - (here[:, :, None] - here[:, None]).abs()).relu().square() * rivals
    response = ((here - there).square() * mask).sum(dim=1) / mask.sum(dim=1)
    return (narrow.sum(dim=(1, 2)).log1p() + (response / STILL**2).log1p()).mean()


def _axes(vectors: Tensor) -> Tensor:
    """Gram-Schmidt of (B, 2, 3), softened where it is degenerate; (B, 2, 3)."""
    first, second = vectors.unbind(dim=1)
    first = first / first.square().sum(dim=-1, keepdim=True).add(1e-6).sqrt()
    second = second - (first * second).sum(dim=-1, keepdim=True) * first
    second = second / second.square().sum(dim=-1, keepdim=True).add(1e-6).sqrt()
    return torch.stack([first, second], dim=1)
