"""Conformers as padded tensors, and what is done to a batch of them."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.canonical.cloud import Cloud, pack
from molgiae.data.conformer import ConformerBlock


def whole(block: ConformerBlock, slots: int) -> Cloud:
    """All conformers in one padded batch of a fixed number of slots, centred, float32."""
    cloud = pack(block.atomic_number, block.position, block.offset).centered()
    return padded(cloud, slots).to(dtype=torch.float32)


def by_size(block: ConformerBlock) -> ConformerBlock:
    """The same conformers, smallest first, so that batches of neighbours have little padding."""
    return block.take(np.argsort(block.n_atoms, kind="stable"))


def pieces(index: Tensor, sizes: Tensor, number: int) -> Iterator[tuple[Tensor, float]]:
    """A batch cut into pieces of about one size, so that what costs the square of the atoms does not pay for padding.

    Args:
        index: (b,) places of conformers.
        sizes: (M,) their numbers of atoms.
        number: of pieces.

    Yields:
        places, and the share of the batch they are.
    """
    for piece in index[sizes[index].argsort()].chunk(number):
        yield piece, len(piece) / len(index)


def padded(x: Cloud, slots: int) -> Cloud:
    """The same batch with a fixed number of columns."""
    width = slots - x.z.shape[1]
    return Cloud(nn.functional.pad(x.z, (0, width)), nn.functional.pad(x.pos, (0, 0, 0, width)))


def trimmed(x: Cloud) -> Cloud:
    """The same batch without columns that are all padding."""
    n = int(x.mask.sum(dim=1).max())
    return Cloud(x.z[:, :n], x.pos[:, :n])


def distort(x: Cloud, largest: float, generator: torch.Generator) -> Cloud:
    """Displace atoms at random: each conformer by its own standard deviation up to the largest, angstrom."""
    if largest == 0:
        return x
    device, dtype = x.pos.device, x.pos.dtype
    scale = largest * torch.rand(len(x), 1, 1, generator=generator, device=device, dtype=dtype)
    noise = torch.randn(x.pos.shape, generator=generator, device=device, dtype=dtype)
    return Cloud(x.z, x.pos + scale * noise * x.mask[..., None])


@functools.lru_cache(maxsize=1)
def shuffled(size: int, seed: int) -> Tensor:
    """(size,) a permutation that the seed fixes."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
