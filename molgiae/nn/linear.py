"""Linear layers that take the faster of the two matrix libraries of PyTorch.

`torch.nn.Linear` multiplies by MKL, which leaves half of the speed of processors not made by Intel unused. oneDNN, the
other library that PyTorch brings, does not; it has no gradients of its own, so that training stays with the first.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

WORK = 1_000_000
"""Multiplications from which on a call of oneDNN is worth its start."""

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has it."""

CAPACITY = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
KEPT = 128
"""Where oneDNN and what calls it read how many products they keep ready, each for one shape and some 0.3 MB, and what
is enough for a few batches. By themselves they keep a thousand, which batches of ever new sizes fill up.
"""

for _name in CAPACITY:  # read at the first product
    os.environ.setdefault(_name, str(KEPT))


class Linear(nn.Linear):
    """A linear layer, by oneDNN where no gradients are wanted and there is much to multiply in float32 on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        plain = torch.is_grad_enabled() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu")
        if plain or x.dtype != torch.float32 or x.numel() * self.out_features < WORK or not ONEDNN:
            return super().forward(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product
