"""The features part of an embedding: what properties are learned from, pooled from the features of the atoms.

Sums over atoms, of features as they are and of learned functions of them, serve what grows with the molecule; the
lengths of sums of vectors what has a direction, as the dipole moment; and radii of gyration what depends on extent, as
the polarizability. One linear map compresses them all: discriminants that tell molecules of the training conformers
apart (`molgiae.training.components.fit_features`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.nn.atoms import MIXED
from molgiae.nn.linear import Linear
from molgiae.tensors import Embedding, Mask, Positions

VECTORS = 12
"""Sums of vectors whose lengths count; the first is the dipole moment."""

RADII = 3
"""Radii of gyration: from the trace of the tensor, from that of its square, and from its determinant."""

TYPICAL = 20.0
"""Atoms of a conformer whose sums are as large as its means."""


class FeaturesEncoder(nn.Module):
    """Features of atoms to features of a conformer.

    Args:
        width: F, features of an atom.
        size: numbers of the result.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.added = nn.Sequential(Linear(2 * width, 2 * width), nn.SiLU(), Linear(2 * width, 2 * width))
        self.charge = Linear(2 * width, VECTORS)
        self.mix = Linear(MIXED, VECTORS, bias=False)
        self.gate = Linear(2 * width, VECTORS)
        self.compress = Linear(4 * width + VECTORS + RADII, size)

    def forward(
        self, places: Tensor, features: Tensor, vectors: Tensor, pos: Positions, mask: Mask
    ) -> Embedding:
        """Return (B, size); arguments as of `pooled`."""
        return self.compress(self.sums(self.pooled(places, features, vectors, pos, mask), pos, mask))

    def sums(self, pooled: Tensor, pos: Positions, mask: Mask) -> Tensor:
        """Return (B, 4 F + VECTORS + RADII) of what is pooled what grows with a molecule, and its radii."""
        width = (pooled.shape[1] - VECTORS) // 3
        mean, _, added, length = pooled.split([width, width, width, VECTORS], dim=-1)
        total = mean * mask.sum(dim=1, keepdim=True) / TYPICAL
        return torch.cat([total, added, length, radii(pos, mask)], dim=-1)

    def pooled(self, places: Tensor, features: Tensor, vectors: Tensor, pos: Positions, mask: Mask) -> Tensor:
        """Return (B, 6 F + VECTORS) means, spreads, sums and lengths.

        Args:
            places: (B, n, F), see `molgiae.nn.atoms.AtomNetwork.places`.
            features: (B, n, F).
            vectors: (B, n, 3, MIXED), turn with the conformer.
            pos: (B, n, 3) angstrom.
            mask: (B, n) true for atoms.
        """
        there = mask[..., None].to(pos.dtype)
        count = there.sum(dim=1)
        of_atoms = torch.cat([features, places], dim=-1)
        mean = (there.mT @ of_atoms)[:, 0] / count
        spread = (((of_atoms - mean[:, None]) * there).square().sum(dim=1) / count + 1e-4).sqrt()
        # the last layer is linear: it takes the mean, not every atom
        added = self.added[-1]((there.mT @ self.added[:-1](of_atoms))[:, 0] / count) * (count / TYPICAL)
        length = (self.directions(of_atoms, vectors, pos, mask).square().sum(dim=1) + 1e-2).sqrt()
        return torch.cat([mean, spread, added, length], dim=-1)

    def directions(self, of_atoms: Tensor, vectors: Tensor, pos: Positions, mask: Mask) -> Tensor:
        """Return (B, 3, VECTORS) sums of charges times positions and of the vectors of atoms."""
        there = mask[..., None].to(pos.dtype)
        count = there.sum(dim=1, keepdim=True)
        centered = (pos - (pos * there).sum(dim=1, keepdim=True) / count) * there
        local = (self.mix(vectors) * (self.gate(of_atoms) * there)[:, :, None]).sum(dim=1)
        return centered.mT @ self.charge(of_atoms) + local


def radii(pos: Positions, mask: Mask) -> Tensor:
    """Return (B, RADII) radii of gyration times the root of the number of atoms, angstrom; smooth at 0."""
    there = mask[..., None].to(pos.dtype)
    centered = (pos - (pos * there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True)) * there
    tensor = centered.mT @ centered
    trace = centered.square().sum(dim=(1, 2))
    square = tensor.square().sum(dim=(1, 2))
    return torch.stack(
        [(trace + 1).sqrt(), (square + 1).pow(1 / 4), (torch.linalg.det(tensor).clamp_min(0) + 1).pow(1 / 6)],
        dim=1,
    )
