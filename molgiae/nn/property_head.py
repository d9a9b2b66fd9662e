"""Values of properties from the features of atoms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from molgiae.tensors import Mask

MIN_UNCERTAINTY = 1e-3
"""In standard deviations of the training values."""


class PropertyHead(nn.Module):
    """Sums over atoms for what grows with a molecule, means weighted by attention for what does not.

    The uncertainty is the scale of a Laplace distribution about the value, from features that it cannot change: to
    learn it does not disturb learning the values. Its weights are called doubt in checkpoints. An atom has F (`width`)
    features; `extensive` (T,) says of each property whether it grows with the molecule.
    """

    extensive: Tensor

    def __init__(self, width: int, extensive: Sequence[bool]) -> None:
        super().__init__()
        size = len(extensive)
        self.value = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size))
        self.weight = nn.Linear(width, size)
        self.doubt = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, size))
        self.register_buffer("extensive", torch.tensor(list(extensive)), persistent=False)

    def forward(self, features: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Map features of atoms (B, n, F) to values and uncertainties, both (B, T), of standardized properties."""
        there = mask[..., None]
        of_atoms = self.value(features) * there
        share = self.weight(features).masked_fill(~there, -torch.inf).softmax(dim=1)
        value = torch.where(self.extensive, of_atoms.sum(dim=1), (of_atoms * share).sum(dim=1))
        still = features.detach()
        mean = still.sum(dim=1) / there.sum(dim=1)
        spread = (((still - mean[:, None]) * there).square().sum(dim=1) / there.sum(dim=1) + 1e-6).sqrt()
        scale = nn.functional.softplus(self.doubt(torch.cat([mean, spread], dim=-1)))
        return value, MIN_UNCERTAINTY + scale
