"""Numbers that a network makes of conformers, in batches of similar size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.conformer import ConformerBlock
from molgiae.model.cloud import pack
from molgiae.model.device_memory import DeviceMemory

READ_AT_ONCE = 256
"""Conformers in a batch."""


@torch.no_grad()
def numbers_of(
    network: nn.Module, read: Callable[[Tensor, Tensor], Tensor], size: int, block: ConformerBlock
) -> NDArray[np.float64]:
    """Return (M, D) what `read` makes of atomic numbers (B, n) and centered positions (B, n, 3) of conformers.

    Args:
        network: of which `read` is a method, or which it calls; says device and type.
        read: gives (B, D).
        size: D.
        block: M conformers.
    """
    weight = next(network.parameters())
    found = np.empty((len(block), size))

    def fill(chosen: NDArray[np.int64]) -> None:
        part = block.take(chosen)
        x = pack(part.atomic_number, part.position, part.offset).centered().to(weight.device, weight.dtype)
        found[chosen] = read(x.z, x.pos).double().cpu().numpy()

    DeviceMemory().each(block.n_atoms, READ_AT_ONCE, fill)
    return found
