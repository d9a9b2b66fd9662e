"""A score per atom of a canonical form: far apart for atoms of one element, and still when atoms move a little.

Atoms ordered by a coordinate change places as soon as two coordinates cross, which small displacements bring
about in every fourth molecule. Here each atom is scored by what surrounds it and where: two rounds of messages
that carry scalars and directions (the canonical frame makes directions invariant), trained for wide gaps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.shapes import AtomicNumbers, Positions

HEAVIEST = 118
CHANNELS = 10
NEAREST, FARTHEST = 0.9, 4.5
"""Centres of the first and the last radial function, angstrom."""
SPREAD = 5.0
"""Scale of the scores; a gap of one is wide, see `molgiae.losses.order_loss`."""


class Round(nn.Module):
    """One round of messages between all pairs of atoms; features (B, n, width) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.radial = nn.Linear(CHANNELS, 2 * width, bias=False)
        self.message = nn.Linear(width, 2 * width)
        self.up = nn.Linear(5 * width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, radial: Tensor, direction: Tensor) -> Tensor:
        """Sum scalars a_ij and vectors b_ij u_ij over j.

        Args:
            h: (B, n, width) features.
            radial: (B, n, n, CHANNELS) of the distances, 0 on the diagonal and where padded.
            direction: (B, n, n, 3) unit vectors from j to i.
        """
        filters = _linear(self.radial, radial).split(self.width, dim=-1)
        senders = _linear(self.message, h).split(self.width, dim=-1)
        scalars = torch.einsum("bijc,bjc->bic", filters[0], senders[0])
        vectors = torch.einsum("bijc,bijd->bidc", filters[1] * senders[1][:, None], direction)
        gathered = torch.cat([h, scalars, vectors.flatten(2)], dim=-1)
        return h + _linear(self.down, torch.nn.functional.silu(_linear(self.up, gathered)))


class AtomScores(nn.Module):
    """Scores of atoms in the canonical frame, in the floating-point type of the positions.

    Args:
        width: hidden features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.element = nn.Embedding(HEAVIEST + 1, width)
        self.place = nn.Linear(width + 3, width)
        self.rounds = nn.ModuleList([Round(width), Round(width)])
        self.score = nn.Linear(width, 1)

    def forward(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Score.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom in the canonical frame, 0 where padded.

        Returns:
            (B, n) scores; those of padding mean nothing.
        """
        n = z.shape[1]
        apart = pos[:, :, None] - pos[:, None]
        distance = apart.square().sum(dim=-1).add(1e-6).sqrt()
        pairs = (z > 0)[:, :, None] & (z > 0)[:, None] & ~torch.eye(n, dtype=torch.bool, device=z.device)
        radial = _radial(distance) * pairs[..., None]
        h = torch.cat([self.element(z).to(pos.dtype), pos], dim=-1)
        h = torch.nn.functional.silu(_linear(self.place, h))
        for step in self.rounds:
            h = step(h, radial, apart / distance[..., None])
        return SPREAD * _linear(self.score, h)[..., 0]


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A layer in the type of its input: orders are computed in float64, weights are stored in float32."""
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return torch.nn.functional.linear(x, layer.weight.to(x.dtype), bias)


def _radial(distance: Tensor) -> Tensor:
    """(...,) angstrom to (..., CHANNELS) Gaussians."""
    centre = torch.linspace(NEAREST, FARTHEST, CHANNELS, dtype=distance.dtype, device=distance.device)
    per_width = (CHANNELS - 1) / (FARTHEST - NEAREST)
    return torch.exp(-((distance[..., None] - centre) * per_width).square())
