"""A network that sees canonical forms through noise: where the atoms are that an embedding leaves open.

Attention over slots, which also sees how far atoms are from one another and in which direction; in the canonical frame
and order nothing has to be equivariant. Input, output and loss are scaled as in Karras et al. (NeurIPS 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.nn.linear import Linear
from molgiae.tensors import AtomicNumbers, Embedding, Mask, Positions

SPREAD = 0.35
"""Typical deviation of a coordinate from where it is decoded, angstrom."""

HEADS, RADIAL, MIXED, WAVES = 8, 20, 8, 8
"""Of the attention; functions of a distance; products of features that weigh directions; waves of the noise level."""

NEAREST, FARTHEST, WIDTH = 0.6, 5.0, 0.25
"""Of the radial functions, angstrom."""

SHORT = 0.3
"""Distance at which directions fade, angstrom."""

LENGTH = 1.5
"""Angstrom by which coordinates are divided."""


class Denoiser(nn.Module):
    """Noisy positions, what was decoded and the embedding to positions without noise.

    Args:
        elements: atomic numbers the autoencoder knows.
        slots: S, atoms of the largest conformer.
        size: D, numbers of the embedding.
        width: features of an atom, a multiple of `HEADS`.
        layers: rounds of attention.
    """

    element: Tensor
    centres: Tensor

    def __init__(self, elements: tuple[int, ...], slots: int, size: int, width: int, layers: int) -> None:
        super().__init__()
        self.register_buffer("element", torch.tensor([0, *elements]), persistent=False)
        self.register_buffer("centres", torch.linspace(NEAREST, FARTHEST, RADIAL), persistent=False)
        self.atom = Linear(len(elements) + 7 + 2 * WAVES, width)
        self.code, self.slot = Linear(size, width), nn.Embedding(slots, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.free, self.mixed, self.along = Linear(width, 3), Linear(width, 2 * MIXED), Linear(RADIAL, MIXED)
        nn.init.zeros_(self.free.weight)

    def forward(
        self, z: AtomicNumbers, noisy: Positions, decoded: Positions, code: Embedding, noise: Tensor
    ) -> Positions:
        """Return the positions (B, n, 3) that are to be expected, 0 where padded.

        Args:
            z: (B, n) atomic numbers in canonical order, n up to S; 0 where padded.
            noisy: (B, n, 3) angstrom, with independent deviations of every coordinate.
            decoded: (B, n, 3) angstrom, from the embedding.
            code: (B, D) embeddings.
            noise: (B,) standard deviation of the noise over `SPREAD`.
        """
        there, level = z > 0, noise[:, None, None]
        known, off = 1 / (1 + level.square()), (noisy - decoded) / SPREAD
        kind = (z[..., None] == self.element).to(noisy.dtype)
        pos = decoded + SPREAD * known.sqrt() * off  # little of the noise where that is large
        phase = noise.log()[:, None] * torch.arange(1, WAVES + 1, device=z.device) / 2
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)[:, None].expand(-1, z.shape[1], -1)
        x = self.atom(torch.cat([kind, pos / LENGTH, known.sqrt() * off, waves], dim=-1))
        x = x + self.code(code)[:, None] + self.slot.weight[: z.shape[1]]
        apart = pos[:, :, None] - pos[:, None]
        distance = (apart.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()
        radial = torch.exp(-((distance - self.centres) / WIDTH).square())
        direction = apart / (distance + SHORT)
        for layer in self.layers:
            x = layer(x, radial, direction, there)
        x = self.last(x)
        left, right = self.mixed(x).chunk(2, dim=-1)
        weight = (left[:, :, None] * right[:, None] * self.along(radial)).sum(dim=-1) * there[:, None]
        moved = self.free(x) + (weight[:, :, None] @ direction)[:, :, 0]
        found = known * off + level * known.sqrt() * moved
        return (decoded + SPREAD * found) * there[..., None]


class _Layer(nn.Module):
    """Attention with sums of directions, and a dense step; the identity at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.within = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.pair = Linear(width, 3 * width), Linear(RADIAL, 2 * HEADS)
        self.seen, self.pointed = Linear(width, width), Linear(3 * HEADS, width, bias=False)
        self.up, self.down = Linear(width, 3 * width), Linear(3 * width, width)
        for last in (self.seen, self.pointed, self.down):
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, radial: Tensor, direction: Tensor, there: Mask) -> Tensor:
        """Map features (B, n, width), with `RADIAL` functions and direction (B, n, n, ...) of every pair."""
        query, key, value = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in self.asked(self.before(x)).chunk(3, dim=-1)
        )
        bias, gate = self.pair(radial).permute(0, 3, 1, 2).chunk(2, dim=1)
        logits = query @ key.mT / query.shape[-1] ** 0.5 + bias
        attention = logits.masked_fill(~there[:, None, None], -torch.inf).softmax(dim=-1)
        seen = (attention @ value).transpose(1, 2).flatten(2)
        pointed = torch.einsum("bhij,bijc->bihc", gate * attention, direction).flatten(2)
        x = x + self.seen(seen) + self.pointed(pointed)
        return x + self.down(nn.functional.gelu(self.up(self.within(x)), approximate="tanh"))
