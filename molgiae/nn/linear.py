"""Linear layers that take the faster of the two matrix libraries of PyTorch.

`torch.nn.Linear` multiplies by MKL, which leaves half of the speed of processors not made by Intel unused. oneDNN, the
other library that PyTorch brings, does not; it has no gradients of its own, so that training stays with the first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WORK = 1_000_000
"""Multiplications from which on a call of oneDNN is worth its start."""

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has it."""


class Linear(nn.Linear):
    """A linear layer, by oneDNN where no gradients are wanted and there is much to multiply in float32 on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        plain = torch.is_grad_enabled() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu")
        if plain or x.dtype != torch.float32 or x.numel() * self.out_features < WORK or not ONEDNN:
            return super().forward(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product
