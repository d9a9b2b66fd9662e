"""A code of canonical forms without a weight, of which every prefix decodes: the formula, then waves along the order.

The canonical order goes by element, so that the numbers of atoms of each element say what stands in every slot, and no
element is too rare to come back. The positions of n atoms are expanded in cosines along the order (the orthonormal
discrete cosine transform of n points, Ahmed, Natarajan and Rao, IEEE Trans. Comput. 23, 90, 1974), the longest waves
first: 3 n numbers give n atoms back exactly, fewer give them without the shortest waves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.errors import ConfigError
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import AtomicNumbers, Embedding, Positions

CERTAIN = 20.0
"""Logit of a type that was read; those of all others are 0."""


def lossless(elements: int, slots: int) -> int:
    """Return how many numbers give every conformer of so many elements back exactly, with up to so many atoms."""
    return elements + 3 * slots


@lru_cache(maxsize=4)
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
        elements: E atomic numbers the model knows, ascending.
        slots: S, atoms of the largest conformer.
        size: numbers of the result, from E up to `lossless`.
        scale: of the result.

    Raises:
        ConfigError: if the size is not within these bounds.
    """

    element: Tensor
    waves: Tensor

    def __init__(self, elements: tuple[int, ...], slots: int, size: int, scale: float = 1.0) -> None:
        super().__init__()
        least, most = len(elements), lossless(len(elements), slots)
        if not least <= size <= most:
            raise ConfigError(
                f"a nested detail part of {size} numbers: with {least} elements and up to {slots} atoms it has "
                f"{least} to {most}"
            )
        self.slots, self.size, self.scale = slots, size, scale
        self.register_buffer("element", torch.from_numpy(np.array(elements)[::-1].copy()), persistent=False)
        self.register_buffer("waves", cosines(slots), persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.waves.dtype

    def forward(self, z: AtomicNumbers, pos: Positions) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers in canonical order, so descending, n up to S; 0 where padded.
            pos: (B, n, 3) angstrom in the canonical frame, 0 where padded.
        """
        n = z.shape[1]
        counts = (z[:, :, None] == self.element).sum(dim=1)
        waves = (self.waves[:, :n, :n][(z > 0).sum(dim=1)] @ pos).flatten(1)
        waves = nn.functional.pad(waves, (0, 3 * (self.slots - n)))
        return self.scale * torch.cat([counts.to(pos.dtype), waves], dim=-1)[:, : self.size]


class NestedDecoder(nn.Module):
    """Delta: embeddings, or prefixes of them from `least` numbers on, to canonical forms.

    Args:
        elements: E atomic numbers the model knows, ascending.
        slots: S, atoms of the largest conformer.
        parts: sizes of the parts of the embedding; the last one is detail.
        scale: what each part is divided by.
    """

    waves: Tensor

    def __init__(
        self, elements: tuple[int, ...], slots: int, parts: Sequence[int], scale: Sequence[float]
    ) -> None:
        super().__init__()
        self.slots, self.elements, self.scale = slots, len(elements), scale[-1]
        self.smooth = sum(parts[:-1])
        self.least = self.smooth + self.elements
        self.register_buffer("waves", cosines(slots), persistent=False)

    def forward(self, embedding: Embedding) -> SlotPrediction:
        """Decode (B, W), W from `least` to D."""
        _, counts, waves = (embedding / self.scale).tensor_split((self.smooth, self.least), dim=-1)
        kind = self.kinds(counts)
        n = (kind > 0).sum(dim=1)
        most = int(n.max()) if len(n) else 0
        waves = nn.functional.pad(waves, (0, 3 * self.slots - waves.shape[1])).unflatten(-1, (-1, 3))
        pos = self.waves[:, :most, :most][n].mT @ waves[:, :most]
        logits = CERTAIN * nn.functional.one_hot(kind, self.elements + 1).to(pos.dtype)
        return SlotPrediction(logits, nn.functional.pad(pos, (0, 0, 0, self.slots - most)))

    def kinds(self, counts: Tensor) -> Tensor:
        """Return (B, S) the kind in each slot, 0 for empty, then elements ascending, of (B, E) numbers of atoms."""
        ends = counts.nan_to_num().round().clamp(0, self.slots).long().cumsum(dim=1)
        slot = torch.arange(self.slots, device=counts.device).expand(len(counts), -1).contiguous()
        return self.elements - torch.searchsorted(ends, slot, right=True)
