"""An autoencoder of canonical forms: atom k of the canonical order lives in slot k.

In the canonical frame and order a conformer is a plain vector, so eta and delta may be any network (method of
canonicalization; exactly invariant because the canonical form is). Here both are residual networks of dense
layers (He et al. 2016, pre-activation) beside a linear map: the linear map alone is the principal component
autoencoder, and the residual network has only to learn what that misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from molgiae.nn.linear import Linear
from molgiae.tensors import AtomicNumbers, Embedding, Positions

DETAIL = 2.0**-7
"""Scale of the detail part of an embedding beside its shape part, whose unit is the angstrom.

Small, so that distances of embeddings are those of the smooth parts to a few percent; a power of two, so that nothing
is rounded.
"""

PART_SCALE = {"overlay": 32.0, "color": 8.0, "detail": DETAIL}
"""What the decoder divides parts by, so that all are about one."""


@dataclass(frozen=True, eq=False)
class SlotPrediction:
    """What delta says of each slot.

    Attributes:
        logits: (B, S, E + 1) for "empty" and each element.
        pos: (B, S, 3) angstrom.
    """

    logits: Tensor
    pos: Tensor


class DenseResidual(nn.Module):
    """x + W2 gelu(W1 norm(x)), with twice as many features inside; the identity at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = Linear(width, 2 * width)
        self.down = Linear(2 * width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width) to the same shape."""
        hidden = torch.nn.functional.gelu(self.up(self.norm(x)), approximate="tanh")
        return x + self.down(hidden)


class LinearPlusResidual(nn.Module):
    """A linear map plus a stack of residual blocks between two other linear maps.

    Only the blocks follow autocast: bfloat16 at the ends would round coordinates to hundredths of an angstrom.
    """

    def __init__(self, inputs: int, width: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.linear = Linear(inputs, outputs)
        self.up = Linear(inputs, width)
        self.blocks = nn.Sequential(*(DenseResidual(width) for _ in range(layers)), nn.LayerNorm(width))
        self.down = Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs) to (B, outputs), in the type of the weights."""
        x = x.to(self.linear.weight.dtype)
        with torch.autocast(x.device.type, enabled=False):
            straight, hidden = self.linear(x), self.up(x)
        hidden = self.blocks(hidden).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            return straight + self.down(hidden)


class SlotEncoder(nn.Module):
    """Eta on canonical forms.

    Args:
        elements: atomic numbers the model knows.
        slots: S, atoms of the largest conformer.
        width: features of a hidden layer.
        layers: residual blocks.
        size: numbers of the result.
        scale: of the result; `DETAIL` beside a shape part.
    """

    def __init__(
        self,
        elements: tuple[int, ...],
        slots: int,
        width: int,
        layers: int,
        size: int,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.elements, self.slots, self.scale = elements, slots, scale
        self.net = LinearPlusResidual(slots * (len(elements) + 4), width, layers, size)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return self.net.linear.weight.dtype

    def forward(self, z: AtomicNumbers, pos: Positions) -> Embedding:
        """Encode.

        Args:
            z: (B, n) atomic numbers in canonical order, n up to S; 0 where padded.
            pos: (B, n, 3) angstrom in the canonical frame, 0 where padded.
        """
        return self.scale * self.net(self.features(z, pos))

    def features(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return (B, S (E + 4)) what each slot holds: one of the elements or "empty", and a position."""
        padding = self.slots - z.shape[1]
        z, pos = nn.functional.pad(z, (0, padding)), nn.functional.pad(pos, (0, 0, 0, padding))
        kind = (z[..., None] == z.new_tensor([0, *self.elements])).to(pos.dtype)
        return torch.cat([kind[..., 1:], kind[..., :1], pos], dim=-1).flatten(1)


class SlotDecoder(nn.Module):
    """Delta: embeddings to canonical forms.

    Args:
        elements: atomic numbers the model knows.
        slots: S, atoms of the largest conformer.
        width: features of a hidden layer.
        layers: residual blocks.
        parts: sizes of the parts of the embedding, D together; the last one is detail.
        scale: what each part is divided by.
    """

    scale: Tensor

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
        self.slots, self.smooth = slots, sum(parts[:-1])
        self.net = LinearPlusResidual(sum(parts), width, layers, slots * (len(elements) + 4))
        # not by torch, which loads half of its compiler for it on the meta device, where checkpoints are compared
        columns = [by for size, by in zip(parts, scale, strict=True) for _ in range(size)]
        self.register_buffer("scale", torch.tensor(columns, dtype=torch.float32), persistent=False)

    def forward(self, embedding: Embedding) -> SlotPrediction:
        """Decode (B, D)."""
        out = self.net(embedding / self.scale).unflatten(-1, (self.slots, -1))
        return SlotPrediction(logits=out[..., :-3], pos=out[..., -3:])
