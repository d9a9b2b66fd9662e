"""Features of atoms in their surroundings, for properties: invariant, and smooth in the coordinates.

A layer sees what surrounds an atom as moments: sums over neighbours of their features times radial functions times
the traceless tensors of rank 0, 1 and 2 of the direction. The lengths of moments are invariants (of two and three
bodies in the first layer, as the tensor sensitivities of Chigaev et al., J. Chem. Phys. 158, 184108, 2023). Only
invariants pass to the next layer, so nothing has to be kept equivariant.

The features of mirror images are the same, as their energies are. For the same reason they are no embedding: what
tells mirror images apart is `molgiae.nn.shape`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.tensors import AtomicNumbers, Positions

NEAREST, CUTOFF = 0.8, 6.0
"""Distances, angstrom, of the first and the last radial function; atoms farther apart do not see each other."""

RADIAL, CHANNELS, MIXED = 10, 16, 32
"""Radial functions, features that an atom shows the others, and linear combinations of the moments of one rank."""

MIN_MOMENT = 0.1
"""Length of a moment that is zero, which keeps its gradient finite."""


class AtomNetwork(nn.Module):
    """Conformers to features of their atoms, F (`width`) of each, by so many rounds of messages (`layers`)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, width)
        self.layers = nn.ModuleList(MomentLayer(width) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.gate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, MIXED))

    def forward(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return features (B, n, F), 0 where padded, of conformers in any pose and order."""
        return self.features_and_vectors(z, pos)[0]

    def displacement(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return what `training.losses.denoising_loss` trains: (B, n, 3), turns with the conformer, 0 where padded."""
        features, vectors = self.features_and_vectors(z, pos)
        return (vectors * self.gate(features)[:, :, None]).sum(dim=-1) * (z > 0)[..., None]

    def features_and_vectors(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor]:
        """Return features as `forward` gives them, and moments of rank 1 of the last layer, (B, n, 3, MIXED)."""
        mask = (z > 0).to(pos.dtype)[..., None]
        seen = surroundings(z, pos)
        s = self.element(z) * mask
        vectors = s.new_zeros(*pos.shape, MIXED)
        for layer in self.layers:
            s, vectors = layer(s, seen)
            s = s * mask
        return self.last(s) * mask, vectors


class MomentLayer(nn.Module):
    """Moments of the surroundings, their lengths, and a residual step of the F features of the atom itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sent = nn.Linear(width, CHANNELS)
        # the scalars need no length, so there may be more of them; vectors also serve `displacement`
        sizes = (3 * MIXED, 2 * MIXED, MIXED)
        self.mix = nn.ModuleList(nn.Linear(RADIAL * CHANNELS, size, bias=False) for size in sizes)
        self.hidden = nn.Linear(width + sum(sizes), 2 * width)
        self.out = nn.Linear(2 * width, width)

    def forward(self, s: Tensor, seen: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Map features (B, n, F) and `surroundings` to the next features and moments of rank 1, (B, n, 3, MIXED)."""
        own = self.norm(s)
        sent = self.sent(own)
        scalars, vectors, tensors = (
            mix((rank @ sent).view(*s.shape[:2], -1, RADIAL * CHANNELS))
            for mix, rank in zip(self.mix, seen, strict=True)
        )
        invariants = torch.cat([own, scalars[:, :, 0], _length(vectors), _length(tensors)], dim=-1)
        s = s + self.out(nn.functional.silu(self.hidden(invariants)))
        return s, vectors[..., :MIXED]


def _length(moments: Tensor) -> Tensor:
    """Map (B, n, components, C) to (B, n, C)."""
    return (moments.square().sum(dim=2) + MIN_MOMENT**2).sqrt()


def surroundings(z: AtomicNumbers, pos: Positions) -> list[Tensor]:
    """Return what each atom sees of each other: radial functions times the tensors of the direction.

    For each rank l it is (B, n (2 l + 1) RADIAL, n); 0 between an atom and itself, where padded and beyond `CUTOFF`.
    """
    size, n = z.shape
    between = pos[:, None] - pos[:, :, None]
    distance = (between.square().sum(dim=-1) + 1e-12).sqrt()
    pair = (z > 0)[:, :, None] & (z > 0)[:, None] & ~torch.eye(n, dtype=torch.bool, device=z.device)
    fade = 0.5 * (torch.cos(math.pi * (distance / CUTOFF).clamp(max=1)) + 1) * pair
    # evenly spaced in 1/r: narrow where bonds are
    centre = torch.linspace(1 / NEAREST, 1 / CUTOFF, RADIAL, dtype=pos.dtype, device=pos.device)
    breadth = 1.2 * (centre[0] - centre[1])
    inverse = 1 / distance.clamp_min(NEAREST / 2)
    radial = torch.exp(-(((inverse[:, :, None] - centre[:, None]) / breadth) ** 2)) * fade[:, :, None]
    x, y, w = (between / distance[..., None]).unbind(dim=-1)
    root = 3**0.5
    ranks = (
        [torch.ones_like(x)],
        [x, y, w],
        [root * x * y, root * y * w, root * x * w, root / 2 * (x * x - y * y), (3 * w * w - 1) / 2],
    )
    return [
        (torch.stack(rank, dim=2)[:, :, :, None] * radial[:, :, None]).reshape(size, -1, n) for rank in ranks
    ]
