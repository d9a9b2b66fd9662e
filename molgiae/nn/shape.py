"""The shape part of an embedding: smooth in the coordinates, and its distances are symmetric RMSDs in angstrom.

Invariants of atoms from two rounds of messages, averaged. Messages run through a radial basis, so that a round is
a matrix product for each pair of atom and basis function, without a feature vector for every pair. Distances
alone cannot tell mirror images apart; triple products of summed directions do (Villar et al., NeurIPS 2021),
around each atom and about the whole conformer. No order, no frame and no cutoff takes part: nothing can jump.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.shapes import AtomicNumbers, Embedding, Positions

HEAVIEST = 118
BASIS = 12
ROUNDS = 2
NEAREST, FARTHEST = 0.8, 7.0
"""Centres of the first and the last radial function, angstrom."""


class Round(nn.Module):
    """Invariants of atoms, from scalars and vectors gathered from all other atoms.

    Args:
        width: features of an atom.
        channels: of them that are sent.
        triples: scalar products, and as many triple products, that become invariants.
    """

    def __init__(self, width: int, channels: int, triples: int) -> None:
        super().__init__()
        self.channels, self.triples = channels, triples
        self.sent = nn.Linear(width, channels, bias=False)
        self.vectors = nn.Linear(BASIS * channels, 5 * triples, bias=False)
        self.up = nn.Linear(width + BASIS * channels + 2 * triples, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, h: Tensor, radial: Tensor, pos: Positions, mask: Tensor) -> Tensor:
        """Gather s_i = sum_j phi(r_ij) a_j and v_i = sum_j phi(r_ij) a_j (x_j - x_i).

        Args:
            h: (B, n, width) features.
            radial: (B, n, BASIS, n) of the distances, 0 on the diagonal and where padded.
            pos: (B, n, 3) angstrom.
            mask: (B, n, 1) 0 where padded.
        """
        size, n, _ = h.shape
        sent = self.sent(h) * mask
        moments = torch.cat([sent, (pos[..., None] * sent[:, :, None]).flatten(2)], dim=-1)
        gathered = (radial.flatten(1, 2) @ moments).view(size, n, BASIS, 4, self.channels)
        scalars = gathered[:, :, :, 0]
        vectors = gathered[:, :, :, 1:] - pos[:, :, None, :, None] * scalars[:, :, :, None]
        products = invariants(self.vectors(vectors.transpose(2, 3).flatten(3)), dim=2)
        features = torch.cat([h, 0.5 * scalars.flatten(2), products], dim=-1)
        return h + self.down(nn.functional.silu(self.up(features)))


class ShapeEncoder(nn.Module):
    """Conformers to smooth invariants, see `molgiae.losses.shape_loss` for what their distances mean.

    Args:
        size: numbers of the result.
        width: features of an atom.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.element = nn.Embedding(HEAVIEST + 1, width)
        self.rounds = nn.ModuleList(Round(width, width // 8, width // 6) for _ in range(ROUNDS))
        self.atom = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))
        self.weight = nn.Linear(width, width // 2)
        self.vectors = nn.Linear(width // 2, 5 * (width // 2), bias=False)
        self.straight = nn.Linear(3 * width, size)
        self.bent = nn.Sequential(nn.Linear(3 * width, 4 * width), nn.SiLU(), nn.Linear(4 * width, size))

    def forward(self, z: AtomicNumbers, pos: Positions) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom, in any pose and order, 0 where padded.

        Returns:
            (B, size) angstrom.
        """
        mask = (z > 0).to(pos.dtype)
        h = self.atoms(z, pos)
        count = mask.sum(dim=1)[:, None]
        pooled = (self.atom(h) * mask[..., None]).sum(dim=1) / (3 * count.sqrt())
        weight = self.weight(h) * mask[..., None]
        weight = (weight - weight.sum(dim=1, keepdim=True) / count[..., None]) * mask[..., None]
        vectors = (pos.mT @ weight) / (2 * count[..., None].sqrt())
        features = torch.cat([pooled, invariants(self.vectors(vectors), dim=1)], dim=-1)
        return self.straight(features) + self.bent(features)

    def atoms(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """(B, n, width) invariants of atoms; those of padding mean nothing."""
        mask = (z > 0).to(pos.dtype)
        n = z.shape[1]
        distance = ((pos[:, :, None] - pos[:, None]).square().sum(dim=-1) + 1e-8).sqrt()
        pairs = mask[:, :, None] * mask[:, None] * (1 - torch.eye(n, dtype=pos.dtype, device=pos.device))
        centre = torch.linspace(NEAREST, FARTHEST, BASIS, dtype=pos.dtype, device=pos.device)
        offset = (distance[:, :, None] - centre[:, None]) * ((BASIS - 1) / (FARTHEST - NEAREST))
        radial = torch.exp(-offset.square()) * pairs[:, :, None]
        h = self.element(z)
        for step in self.rounds:
            h = step(h, radial, pos, mask[..., None])
        return h


def invariants(vectors: Tensor, dim: int) -> Tensor:
    """Scalar and triple products of vectors, grown no faster than their square roots.

    Args:
        vectors: (..., 3, ..., 5 K) with the three components along `dim`.
        dim: negative counts from the end.

    Returns:
        (..., 2 K) without `dim`.
    """
    a, b, c, d, e = vectors.chunk(5, dim=-1)
    products = torch.cat([(a * b).sum(dim), (torch.linalg.cross(c, d, dim=dim) * e).sum(dim)], dim=-1)
    return products / (1 + products.abs()).sqrt()
