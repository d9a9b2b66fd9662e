"""Components: principal ones, where an autoencoder of canonical forms starts, and discriminants, the features part.

The autoencoder starts at the best linear one, so that training only has to bend it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from molgiae.model.cloud import Cloud
from molgiae.nn.features import FeaturesEncoder
from molgiae.nn.slots import SlotDecoder, SlotEncoder

CHUNK = 8192
MAX_FORMS = 100_000
"""Canonical forms, drawn at random, that components are made of; more of them cost time."""

SHARPNESS = 6.0
"""Logits of types over the components' estimate of their one-hot codes."""

CONSTANT = 1e-6
"""Standard deviation of pooled numbers below which they are constants."""

FLOOR = 0.005
"""Variance that is unwanted in every standardized number, so that none is trusted beyond measure.

Chosen by kernel ridge regression on validation molecules: less makes features steadier, more learns energies better.
"""

LONGEST = 3.0
"""Times the median: beyond it deviations are cut, as those of strained or strange conformers."""

MIN_DEVIATION = 0.01
"""Deviation, in angstrom, below which a conformer counts no more than one of this deviation."""


@torch.no_grad()
def start_from_components(encoder: SlotEncoder, decoder: SlotDecoder, forms: Cloud) -> None:
    """Set the linear maps to principal components, and what is added to them to zero.

    Types count as one-hot codes, of the same weight as an angstrom. Smooth parts, if there are any, are left to the
    networks: linear maps do not read them. The encoder is that of the detail part; forms are canonical ones.
    """
    size = encoder.net.linear.out_features
    mean, axes = principal_components(encoder, forms, size)
    axes = torch.nn.functional.pad(axes, (0, size - axes.shape[1]))
    down, up = encoder.net, decoder.net
    down.linear.weight.copy_(axes.mT)
    down.linear.bias.copy_(-mean @ axes)
    kinds = len(encoder.elements)
    of_slots, middle = (part.view(encoder.slots, kinds + 4, -1) for part in (axes, mean))
    # the decoder has "empty" before the elements, the encoder after them
    order = [kinds, *range(kinds), *range(kinds + 1, kinds + 4)]
    scale = torch.ones(kinds + 4, 1, dtype=axes.dtype, device=axes.device)
    scale[: kinds + 1] = SHARPNESS
    up.linear.weight.zero_()
    up.linear.weight[:, decoder.smooth :].copy_((of_slots[:, order] * scale).flatten(0, 1))
    up.linear.bias.copy_((middle[:, order] * scale).flatten())
    for net in (down, up):
        net.down.weight.zero_()
        net.down.bias.zero_()


@torch.no_grad()
def fit_features(features: FeaturesEncoder, sums: Tensor, moved: Tensor, molecule: Tensor) -> None:
    """Set what the features part keeps of its sums: linear discriminants, those that tell molecules apart best.

    These are the directions in which conformers differ most beside what they should not see (Fisher, Ann. Eugen. 7,
    179, 1936): how conformers of one molecule differ, and what small displacements do. Each is scaled by the root of
    that ratio of deviations. The mean square of the result is about one over all its numbers together.

    Args:
        features: whose linear map is set.
        sums: (M, P), see `FeaturesEncoder.sums`.
        moved: (M, P) of the same conformers with small displacements.
        molecule: (M,) numbers of the molecules that they are conformers of.
    """
    count, size = sums.shape[0], features.compress.out_features
    mean, spread = sums.double().mean(dim=0), sums.double().std(dim=0, correction=min(1, count - 1))
    weight = torch.where(spread > CONSTANT, 1 / spread.clamp_min(CONSTANT), 0.0)
    rows, noise = (sums.double() - mean) * weight, (moved.double() - sums) * weight
    unwanted = _within(rows, molecule) + _moment(noise) / count
    variance, basis = torch.linalg.eigh(unwanted + FLOOR * torch.eye(len(weight)).to(unwanted))
    white = basis / variance.sqrt()
    ratio, axes = torch.linalg.eigh(white.mT @ (rows.mT @ rows) @ white / count)
    ratio, axes = (kept.flip(-1)[..., :size] for kept in (ratio.clamp_min(0), axes))
    axes = _signed(weight[:, None] * (white @ axes)) * ratio.pow(0.25)
    axes = axes / ratio.pow(1.5).sum().clamp_min(CONSTANT).sqrt()
    missing = size - axes.shape[1]
    features.compress.weight.copy_(torch.nn.functional.pad(axes, (0, missing)).mT)
    features.compress.bias.copy_(torch.nn.functional.pad(-mean @ axes, (0, missing)))


def _within(rows: Tensor, molecule: Tensor) -> Tensor:
    """Return the covariance (P, P) of rows (M, P) within molecules (M,); zero if no molecule has two."""
    _, number, count = torch.unique(molecule, return_inverse=True, return_counts=True)
    total = rows.new_zeros(len(count), rows.shape[1]).index_add(0, number, rows)
    apart = rows - (total / count[:, None])[number]
    return _moment(apart) / max(len(rows) - len(count), 1)


def _moment(rows: Tensor) -> Tensor:
    """Return (P, P) sums of products of rows (M, P), of which the longest are cut: a few must not speak for all."""
    length = rows.norm(dim=1, keepdim=True)
    if length.any():
        rows = rows * (LONGEST * length[length > 0].median() / length.clamp_min(CONSTANT)).clamp(max=1)
    return rows.mT @ rows


def principal_components(encoder: SlotEncoder, forms: Cloud, size: int) -> tuple[Tensor, Tensor]:
    """Principal components of what the slots hold, with a small deviation per conformer, not per mean square.

    The loss is a mean of root mean squares, and ordinary components would serve the largest and most flexible
    conformers at the cost of all others. So they are made twice, the second time with weights that turn the square
    of each conformer's deviation into its root (iteratively reweighted least squares, one round).

    Returns:
        mean (F,) of the features in all slots, and axes (F, K) with K up to `size`, the first first.
    """
    weight = encoder.net.linear.weight
    chosen = torch.randperm(len(forms), generator=torch.Generator().manual_seed(0))[:MAX_FORMS]
    parts = [forms[index] for index in chosen.to(weight.device).split(CHUNK)]
    atoms = [part.mask.sum(dim=1) for part in parts]
    mean, axes = _components(encoder, parts, [1.0 / n for n in atoms])
    deviation = [
        _deviation(encoder, part, mean, axes[:, :size]) / n for part, n in zip(parts, atoms, strict=True)
    ]
    again = [1 / (n * (square + MIN_DEVIATION**2).sqrt()) for square, n in zip(deviation, atoms, strict=True)]
    mean, axes = _components(encoder, parts, again)
    return mean.to(weight), axes[:, :size].to(weight)


def _components(encoder: SlotEncoder, parts: list[Cloud], weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean (F,) and axes (F, F) of conformers with weights, float64."""
    size, device = encoder.net.linear.in_features, weights[0].device
    total = torch.zeros(size, dtype=torch.float64, device=device)
    square = torch.zeros(size, size, dtype=torch.float64, device=device)
    for part, weight in zip(parts, weights, strict=True):
        features = encoder.features(part.z, part.pos).double()
        heavy = features * weight.double()[:, None]
        total, square = total + heavy.sum(dim=0), square + heavy.mT @ features
    whole = torch.cat(weights).double().sum()
    mean = total / whole
    return mean, _signed(torch.linalg.eigh(square / whole - torch.outer(mean, mean)).eigenvectors.flip(1))


def _signed(axes: Tensor) -> Tensor:
    """Return columns (F, K) of the sign that makes their largest number positive, which round-off does not change."""
    largest = axes.abs().argmax(dim=0, keepdim=True)
    return axes * axes.gather(0, largest).sign()


def _deviation(encoder: SlotEncoder, part: Cloud, mean: Tensor, axes: Tensor) -> Tensor:
    """Return (b,) squared deviation of each conformer from what the axes keep of it."""
    offset = encoder.features(part.z, part.pos).double() - mean
    return offset.square().sum(dim=1) - (offset @ axes).square().sum(dim=1)
