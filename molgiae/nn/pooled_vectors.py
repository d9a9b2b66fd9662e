"""Two equivariant vectors of a conformer: positions pooled with invariant weights.

A vector v = sum_i w_i (x_i - c) with weights that depend on distances and elements only turns with the
conformer (Villar et al., Scalars are universal, NeurIPS 2021). Weights of unit norm make its length a
conditioning number: noise s on every coordinate is noise s on every coordinate of v, so it turns v by
about s / |v|.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.tensors import AtomicNumbers, Positions, Vectors

CHANNELS = 12
NEAREST, FARTHEST = 0.8, 7.0
"""Centres of the first and the last radial function, angstrom."""


class PooledVectors(nn.Module):
    """Mu of SO(3): conformers to pairs of vectors, in the floating-point type of the positions.

    Args:
        width: hidden features of the weighing network.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.neighbour = nn.Embedding(MAX_ATOMIC_NUMBER + 1, CHANNELS)
        self.own = nn.Embedding(MAX_ATOMIC_NUMBER + 1, width)
        self.hidden = nn.Linear(2 * CHANNELS, width)
        self.mix = nn.Linear(width, width)
        self.weight = nn.Linear(width, 2)

    def forward(self, z: AtomicNumbers, pos: Positions) -> Vectors:
        """Pool.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom from the centroid, 0 where padded.

        Returns:
            (B, 2, 3) angstrom.
        """
        mask = (z > 0).to(pos.dtype)
        columns = pos.mT.contiguous()
        near = _radial(_norm(columns[..., :, None] - columns[..., None, :]))
        element = self.neighbour(z).to(pos.dtype) * mask[..., None]
        environment = (near @ element.mT[..., None]).squeeze(-1)
        features = torch.cat([environment, _radial(_norm(columns))], dim=1).mT
        hidden = torch.nn.functional.silu(_linear(self.hidden, features) + self.own(z).to(pos.dtype))
        hidden = torch.nn.functional.silu(_linear(self.mix, hidden))
        weight = _linear(self.weight, hidden) * mask[..., None]
        weight = weight / weight.square().sum(dim=1, keepdim=True).add(1e-12).sqrt()
        return torch.einsum("biv,bic->bvc", weight, pos)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Apply a layer in the type of its input: frames are computed in float64, weights are stored in float32."""
    return torch.nn.functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def _norm(x: Tensor) -> Tensor:
    """Return the length of (B, 3, ...), with a finite gradient at 0."""
    first, second, third = x.unbind(dim=1)
    return (first.square() + second.square() + third.square()).add(1e-12).sqrt()


def _radial(distance: Tensor) -> Tensor:
    """Map (B, ...) angstrom to (B, CHANNELS, ...) Gaussians; most of the time of mu goes here, hence in place."""
    per_width = (CHANNELS - 1) / (FARTHEST - NEAREST)
    centre = torch.linspace(NEAREST, FARTHEST, CHANNELS, dtype=distance.dtype, device=distance.device)
    offset = distance[:, None] * per_width - (centre * per_width).view(-1, *(1,) * (distance.dim() - 1))
    return offset.square_().neg_().exp_()
