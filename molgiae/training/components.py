"""Where an autoencoder of canonical forms starts: at the best linear one, so that training only has to bend it."""

from __future__ import annotations

import torch
from torch import Tensor

from molgiae.clouds import Cloud
from molgiae.nn.slots import SlotDecoder, SlotEncoder

CHUNK = 8192
SHARPNESS = 6.0
"""Logits of types over the components' estimate of their one-hot codes."""


@torch.no_grad()
def start_from_components(encoder: SlotEncoder, decoder: SlotDecoder, forms: Cloud) -> None:
    """Set the linear maps to principal components, and what is added to them to zero.

    Types count as one-hot codes, of the same weight as an angstrom. The shape part, if there is one, is left to the
    networks: linear maps do not read it.

    Args:
        encoder: of the detail part.
        decoder: of the whole embedding.
        forms: canonical forms of the training set.
    """
    mean, axes = principal_components(encoder, forms)
    size = encoder.net.linear.out_features
    axes = torch.nn.functional.pad(axes[:, :size], (0, max(size - axes.shape[1], 0)))
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
    up.linear.weight[:, decoder.shape_dim :].copy_((of_slots[:, order] * scale).flatten(0, 1))
    up.linear.bias.copy_((middle[:, order] * scale).flatten())
    for net in (down, up):
        net.down.weight.zero_()
        net.down.bias.zero_()


def principal_components(encoder: SlotEncoder, forms: Cloud) -> tuple[Tensor, Tensor]:
    """Mean (F,) and axes (F, F), the first first, of what the slots hold."""
    weight = encoder.net.linear.weight
    size = weight.shape[1]
    total = torch.zeros(size, dtype=torch.float64, device=weight.device)
    square = torch.zeros(size, size, dtype=torch.float64, device=weight.device)
    for start in range(0, len(forms), CHUNK):
        part = forms[start : start + CHUNK]
        features = encoder.features(part.z, part.pos).double()
        total, square = total + features.sum(dim=0), square + features.mT @ features
    mean = total / len(forms)
    covariance = square / len(forms) - torch.outer(mean, mean)
    axes = torch.linalg.eigh(covariance).eigenvectors.flip(1)
    return mean.to(weight), axes.to(weight)
