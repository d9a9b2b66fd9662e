"""A code of canonical forms without a weight, of which every prefix decodes: types first, then waves along the order.

Types of atoms are written exactly, two in a number, so that no element is too rare to come back. The positions of n
atoms are expanded in cosines along the canonical order (the orthonormal discrete cosine transform of n points, Ahmed,
Natarajan and Rao, IEEE Trans. Comput. 23, 90, 1974), the longest waves first: 3 n numbers give n atoms back exactly,
fewer give them without the shortest waves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.errors import ConfigError
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import AtomicNumbers, Embedding, Positions

TYPE_UNIT = 2.0**-4
"""What 1 of a pair of types counts in the code, so that pairs are about as large as waves; a power of two."""

CERTAIN = 20.0
"""Logit of a type that was read; those of all others are 0."""


def type_numbers(slots: int) -> int:
    """Return how many numbers write the types of so many slots."""
    return (slots + 1) // 2


def lossless(slots: int) -> int:
    """Return how many numbers give every conformer back exactly, with up to so many atoms."""
    return type_numbers(slots) + 3 * slots


def cosines(slots: int) -> Tensor:
    """Return (S + 1, S, S) float32, the orthonormal cosine transform of n points for each n, 0 beyond.

    wave_k(i) = sqrt((2 - [k = 0]) / n) cos(pi k (i + 1/2) / n).
    """
    table = np.zeros((slots + 1, slots, slots), np.float32)
    for n in range(1, slots + 1):
        wave, place = np.arange(n)[:, None], np.arange(n) + 0.5
        table[n, :n, :n] = np.where(wave > 0, 2**0.5, 1) / n**0.5 * np.cos(np.pi * wave * place / n)
    return torch.from_numpy(table)


class NestedEncoder(nn.Module):
    """Eta on canonical forms.

    Args:
        elements: atomic numbers the model knows.
        slots: S, atoms of the largest conformer.
        size: numbers of the result, from `type_numbers` up to `lossless`.
        scale: of the result.

    Raises:
        ConfigError: if the size is not within these bounds.
    """

    element: Tensor
    waves: Tensor

    def __init__(self, elements: tuple[int, ...], slots: int, size: int, scale: float = 1.0) -> None:
        super().__init__()
        if not type_numbers(slots) <= size <= lossless(slots):
            raise ConfigError(
                f"a nested detail part of {size} numbers: for up to {slots} atoms it has {type_numbers(slots)} to "
                f"{lossless(slots)}"
            )
        self.slots, self.size, self.scale = slots, size, scale
        self.register_buffer("element", torch.from_numpy(np.array([0, *elements])), persistent=False)
        self.register_buffer("waves", cosines(slots), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.waves.dtype

    def forward(self, z: AtomicNumbers, pos: Positions) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers in canonical order, n up to S; 0 where padded.
            pos: (B, n, 3) angstrom in the canonical frame, 0 where padded.
        """
        n = z.shape[1]
        kind = torch.searchsorted(self.element, z.contiguous())
        kind = nn.functional.pad(kind, (0, 2 * type_numbers(self.slots) - n))
        pair = kind[:, ::2] + len(self.element) * kind[:, 1::2]
        waves = (self.waves[:, :n, :n][(z > 0).sum(dim=1)] @ pos).flatten(1)
        waves = nn.functional.pad(waves, (0, 3 * (self.slots - n)))
        return self.scale * torch.cat([TYPE_UNIT * pair.to(pos.dtype), waves], dim=-1)[:, : self.size]


class NestedDecoder(nn.Module):
    """Delta: embeddings, or prefixes of them from `least` numbers on, to canonical forms.

    Args:
        elements: atomic numbers the model knows.
        slots: S, atoms of the largest conformer.
        parts: sizes of the parts of the embedding; the last one is detail.
        scale: what each part is divided by.
    """

    waves: Tensor

    def __init__(
        self, elements: tuple[int, ...], slots: int, parts: Sequence[int], scale: Sequence[float]
    ) -> None:
        super().__init__()
        self.slots, self.kinds, self.scale = slots, len(elements) + 1, scale[-1]
        self.smooth = sum(parts[:-1])
        self.least = self.smooth + type_numbers(slots)
        self.register_buffer("waves", cosines(slots), persistent=False)

    def forward(self, embedding: Embedding) -> SlotPrediction:
        """Decode (B, W), W from `least` to D."""
        _, types, waves = (embedding / self.scale).tensor_split((self.smooth, self.least), dim=-1)
        kind = self.kinds_of(types)
        n = (kind > 0).sum(dim=1)
        most = int(n.max()) if len(n) else 0
        waves = nn.functional.pad(waves, (0, 3 * self.slots - waves.shape[1])).unflatten(-1, (-1, 3))
        pos = self.waves[:, :most, :most][n].mT @ waves[:, :most]
        logits = CERTAIN * nn.functional.one_hot(kind, self.kinds).to(pos.dtype)
        return SlotPrediction(logits, nn.functional.pad(pos, (0, 0, 0, self.slots - most)))

    def kinds_of(self, types: Tensor) -> Tensor:
        """Return (B, S) the kind in each slot, 0 for empty, of the numbers that write them."""
        pair = (types / TYPE_UNIT).round().long().clamp(0, self.kinds**2 - 1)
        return torch.stack([pair % self.kinds, pair // self.kinds], dim=-1).flatten(1)[:, : self.slots]
