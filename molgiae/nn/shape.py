"""The shape part of an embedding: smooth in the coordinates, and its distances are symmetric RMSDs in angstrom.

Every atom gets a code by element and by its class in the bond graph, which motion of atoms does not change. The
code weighs sums over pairs of functions of distance, and sums of positions whose scalar and triple products are
invariants (Villar et al., Scalars are universal, NeurIPS 2021). Already random codes keep distances: such sums
are random projections of the matrix of distances (Johnson and Lindenstrauss, 1984). Triple products tell mirror images
apart, and with them the many conformers that differ by the sign of a torsion.

Neither frame nor order takes part: the shape part jumps only where a bond forms or breaks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.shapes import AtomicNumbers, Embedding, Positions

HEAVIEST = 118
CLASSES = 128
"""Classes of one conformer that have codes of their own; all further ones share the last."""

FEATURES, CODES, HIDDEN = 64, 48, 256

STEPS = (0.5, 1.875, 3.25, 4.625, 6.0)
STEEP = 1.5
"""Distances, angstrom, about which a function rises from -1 to 1, and half the width of the rise."""


class ShapeEncoder(nn.Module):
    """Conformers to smooth invariants, see `molgiae.losses.shape_loss` for what their distances mean.

    Args:
        size: numbers of the result.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.element = nn.Embedding(HEAVIEST + 1, FEATURES)
        self.place = nn.Embedding(CLASSES, FEATURES)
        self.code = nn.Sequential(
            nn.Linear(FEATURES, 2 * FEATURES), nn.SiLU(), nn.Linear(2 * FEATURES, 2 * CODES)
        )
        self.vectors = nn.Linear(CODES, 5 * CODES, bias=False)
        invariants = CODES * (len(STEPS) + 1) + 2 * CODES
        self.straight = nn.Linear(invariants, size)
        self.bent = nn.Sequential(
            nn.Linear(invariants, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, size),
        )

    def forward(self, z: AtomicNumbers, pos: Positions, classes: Tensor) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers, 0 marks padding.
            pos: (B, n, 3) angstrom, in any pose and order, 0 where padded.
            classes: (B, n) int64, see `molgiae.walk.graph_classes`.

        Returns:
            (B, size) angstrom.
        """
        mask = (z > 0).to(pos.dtype)
        features = self.element(z) + self.place(classes.clamp(max=CLASSES - 1))
        pair, single = (self.code(features) * mask[..., None]).chunk(2, dim=-1)
        invariants = torch.cat([_of_pairs(pair, pos, mask), self._of_vectors(single, pos, mask)], dim=-1)
        return self.straight(invariants) + self.bent(invariants)

    def _of_vectors(self, weight: Tensor, pos: Positions, mask: Tensor) -> Tensor:
        """(B, 2 CODES) scalar and triple products of weighted sums of positions, grown no faster than lengths."""
        count = mask.sum(dim=1)[:, None, None]
        weight = (weight - weight.sum(dim=1, keepdim=True) / count) * mask[..., None]
        vectors = self.vectors((pos.mT @ weight) / count.sqrt())
        a, b, c, d, e = vectors.chunk(5, dim=-1)
        product = (a * b).sum(dim=1)
        triple = (torch.linalg.cross(c, d, dim=1) * e).sum(dim=1)
        return torch.cat(
            [product / (1 + product.abs()).sqrt(), triple / (triple.square() + 0.1).pow(1 / 3)], dim=-1
        )


def _of_pairs(code: Tensor, pos: Positions, mask: Tensor) -> Tensor:
    """(B, CODES (1 + steps)) sums over pairs of atoms i, j of c_i c_j f(r_ij), by the number of atoms.

    Args:
        code: (B, n, CODES) 0 where padded.
        pos: (B, n, 3) angstrom.
        mask: (B, n) 0 where padded.
    """
    n = mask.shape[1]
    distance = ((pos[:, :, None] - pos[:, None]).square().sum(dim=-1) + 1e-8).sqrt()[:, None]
    step = torch.tensor(STEPS, dtype=pos.dtype, device=pos.device)[:, None, None]
    functions = torch.cat([0.3 * distance, torch.tanh((distance - step) / STEEP)], dim=1)
    functions = functions * (1 - torch.eye(n, dtype=pos.dtype, device=pos.device))
    gathered = (functions.flatten(1, 2) @ code).unflatten(1, (-1, n))
    return (gathered * code[:, None]).sum(dim=2).flatten(1) / mask.sum(dim=1, keepdim=True)
