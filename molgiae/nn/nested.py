"""A code of canonical forms of which every prefix decodes: types of atoms first, then waves along the canonical order.

Types are written exactly, two in a number, so that no element is too rare to come back. The positions of n atoms are
expanded in cosines along the canonical order (the orthonormal discrete cosine transform of n points, Ahmed, Natarajan
and Rao, IEEE Trans. Comput. 23, 90, 1974), the longest waves first: 3 n numbers give n atoms back exactly. Where a code
ends before, a network predicts the waves that are missing from those that are there, the types and the smooth parts;
it learns from codes that end at random (nested dropout, Rippel, Gelbart and Adams, ICML 2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.errors import ConfigError
from molgiae.nn.slots import LinearPlusResidual, SlotPrediction
from molgiae.tensors import AtomicNumbers, Embedding, Positions

TYPE_UNIT = 2.0**-4
"""What 1 of a pair of types counts in the code, so that pairs are about as large as waves; a power of two."""

CERTAIN = 20.0
"""Logit of a type that was read; those of all others are 0."""

WAVE_SCALE = 4.0
"""Angstrom by which the network divides waves, so that most are about one."""


def type_numbers(slots: int) -> int:
    """Return how many numbers write the types of so many slots."""
    return (slots + 1) // 2


def lossless(slots: int) -> int:
    """Return how many numbers give every conformer back exactly, with up to so many atoms."""
    return type_numbers(slots) + 3 * slots


def cosines(slots: int) -> Tensor:
    """Return (S + 1, S, S) float32, the orthonormal cosine transform of n points for each n; 0 beyond n.

    wave_k(i) = sqrt((2 - [k = 0]) / n) cos(pi k (i + 1/2) / n).
    """
    table = np.zeros((slots + 1, slots, slots), np.float32)
    for n in range(1, slots + 1):
        wave, place = np.arange(n)[:, None], np.arange(n) + 0.5
        table[n, :n, :n] = np.where(wave > 0, 2**0.5, 1) / n**0.5 * np.cos(np.pi * wave * place / n)
    return torch.from_numpy(table)


class NestedEncoder(nn.Module):
    """Eta on canonical forms, without a weight.

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
        kind = nn.functional.pad(
            torch.searchsorted(self.element, z.contiguous()), (0, 2 * type_numbers(self.slots) - n)
        )
        pair = kind[:, ::2] + len(self.element) * kind[:, 1::2]
        waves = (self.waves[:, :n, :n][(z > 0).sum(dim=1)] @ pos).flatten(1)
        waves = nn.functional.pad(waves, (0, 3 * (self.slots - n)))
        return self.scale * torch.cat([TYPE_UNIT * pair.to(pos.dtype), waves], dim=-1)[:, : self.size]


class NestedDecoder(nn.Module):
    """Delta: embeddings, or prefixes of them from `least` numbers on, to canonical forms.

    Args:
        elements: atomic numbers the model knows.
        slots: S, atoms of the largest conformer.
        width: features of a hidden layer of the network that completes codes.
        layers: its residual blocks.
        parts: sizes of the parts of the embedding; the last one is detail.
        scale: what each part is divided by.
    """

    scale: Tensor
    waves: Tensor

    def __init__(
        self,
        elements: tuple[int, ...],
        slots: int,
        width: int,
        layers: int,
        parts: Sequence[int],
        scale: Sequence[float],
    ) -> None:
        super().__init__()
        self.slots, self.kinds, self.smooth = slots, len(elements) + 1, sum(parts[:-1])
        self.least = self.smooth + type_numbers(slots)
        self.net = LinearPlusResidual(self.smooth + slots * (self.kinds + 6), width, layers, 3 * slots)
        columns = [by for size, by in zip(parts, scale, strict=True) for _ in range(size)]
        self.register_buffer("scale", torch.tensor(columns, dtype=torch.float32), persistent=False)
        self.register_buffer("waves", cosines(slots), persistent=False)

    def forward(self, embedding: Embedding) -> SlotPrediction:
        """Decode (B, W), W from `least` to D."""
        smooth, types, waves = (embedding / self.scale[: embedding.shape[1]]).tensor_split(
            (self.smooth, self.least), dim=-1
        )
        kind = self.kinds_of(types)
        n = (kind > 0).sum(dim=1)
        seen = torch.nn.functional.one_hot(kind, self.kinds).to(embedding.dtype)
        most = int(n.max()) if len(n) else 0
        wave = self.completed(smooth, seen, waves, most).unflatten(-1, (-1, 3))[:, :most]
        pos = self.waves[:, :most, :most][n].mT @ wave
        return SlotPrediction(CERTAIN * seen, nn.functional.pad(pos, (0, 0, 0, self.slots - most)))

    def kinds_of(self, types: Tensor) -> Tensor:
        """Return (B, S) the kind in each slot, 0 for empty, of the numbers that write them."""
        pair = (types / TYPE_UNIT).round().long().clamp(0, self.kinds**2 - 1)
        return torch.stack([pair % self.kinds, pair // self.kinds], dim=-1).flatten(1)[:, : self.slots]

    def completed(self, smooth: Tensor, seen: Tensor, waves: Tensor, most: int) -> Tensor:
        """Return (B, 3 S) waves in angstrom, those that are given and what the network makes of the others.

        Conformers have up to `most` atoms.
        """
        given, missing = waves.shape[1], 3 * self.slots - waves.shape[1]
        known = nn.functional.pad(waves, (0, missing))
        # of conformers that have no more waves nothing is missing; in training every weight takes part
        if not torch.is_grad_enabled() and 3 * most <= given:
            return known
        there = (torch.arange(3 * self.slots, device=waves.device) < given).to(waves.dtype)
        inputs = [smooth, seen.flatten(1), known / WAVE_SCALE, there.expand_as(known)]
        return torch.where(there > 0, known, WAVE_SCALE * self.net(torch.cat(inputs, dim=-1)))
