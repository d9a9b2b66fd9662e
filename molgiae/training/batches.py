"""Conformers as padded tensors, and what is done to a batch of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.data.conformer import ConformerBlock
from molgiae.model.cloud import Cloud, pack

EVALUATE_BATCH = 1024
"""Conformers of a batch without gradients."""

SEED_STRIDE = 1_000_003
"""A prime, by which seeds are apart, so that neither epochs nor steps of two runs share random numbers."""
SORTED_BATCHES = 8
"""Batches whose conformers are sorted by size among themselves, so that little is padded."""
NOISE_SEED = 500_009
"""Another prime, which parts the seeds of noise from those of epochs."""


def whole(block: ConformerBlock, slots: int) -> Cloud:
    """Return all conformers in one padded batch of a fixed number of slots, centered, float32."""
    cloud = pack(block.atomic_number, block.position, block.offset).centered()
    return padded(cloud, slots).to(dtype=torch.float32)


def padded_rows(offset: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the atoms of some conformers stand among those of all.

    Args:
        offset: (M + 1,) first atom of each conformer.
        index: (b,) conformers.

    Returns:
        (b, n) rows, those of padding any, and whether there is an atom.
    """
    sizes = offset.diff()[index]
    place = torch.arange(int(sizes.max()), device=index.device)
    there = place < sizes[:, None]
    return (offset[index][:, None] + place) * there, there


def by_size(block: ConformerBlock) -> ConformerBlock:
    """Return the same conformers, smallest first, so that batches of neighbours have little padding."""
    return block.take(np.argsort(block.n_atoms, kind="stable"))


def mean_over_pieces(loss: Callable[[Tensor], Tensor], index: Tensor, sizes: Tensor, number: int) -> Tensor:
    """Return the mean loss of a batch (b,) of places, in so many pieces of like sizes (M,), so that little is padded.

    The loss of a piece is the mean over the conformers at its places.
    """
    total = torch.zeros((), device=index.device)
    for piece in index[sizes[index].argsort()].chunk(number):
        total = total + len(piece) / len(index) * loss(piece)
    return total


def padded(x: Cloud, slots: int) -> Cloud:
    """Return the same batch with a fixed number of columns."""
    width = slots - x.z.shape[1]
    return Cloud(nn.functional.pad(x.z, (0, width)), nn.functional.pad(x.pos, (0, 0, 0, width)))


def trimmed(x: Cloud) -> Cloud:
    """Return the same batch without columns that are all padding."""
    return x.columns(int(x.mask.sum(dim=1).max()))


def displacements(x: Cloud, largest: float, generator: torch.Generator) -> Tensor:
    """Return random displacements, each conformer with its own standard deviation up to the largest, angstrom."""
    device, dtype = x.pos.device, x.pos.dtype
    scale = largest * torch.rand(len(x), 1, 1, generator=generator, device=device, dtype=dtype)
    noise = torch.randn(x.pos.shape, generator=generator, device=device, dtype=dtype)
    return scale * noise * x.mask[..., None]


def distort(x: Cloud, largest: float, generator: torch.Generator) -> Cloud:
    """Return the conformers with `displacements`; themselves if the largest is 0."""
    return x if largest == 0 else Cloud(x.z, x.pos + displacements(x, largest, generator))


@functools.lru_cache(maxsize=1)
def shuffled(size: int, seed: int, epoch: int) -> Tensor:
    """Return (size,) the order of an epoch, which seed and epoch fix."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed * SEED_STRIDE + epoch))


def drawn_by_size(sizes: Tensor, batch_size: int, seed: int, step: int) -> Tensor:
    """Return the places (b,) of a batch of conformers of like sizes (M,), a function of seed and step alone."""
    epoch, place = divmod(step, math.ceil(len(sizes) / batch_size))
    first = place - place % SORTED_BATCHES
    stretch = shuffled(len(sizes), seed, epoch)[first * batch_size : (first + SORTED_BATCHES) * batch_size]
    sorted_batches = stretch[sizes[stretch].argsort(stable=True)].split(batch_size)
    turns = torch.Generator().manual_seed(seed * SEED_STRIDE + step - place + first)
    return sorted_batches[int(torch.randperm(len(sorted_batches), generator=turns)[place - first])]


def drawn(size: int, batch_size: int, seed: int, step: int, device: str) -> tuple[Tensor, torch.Generator]:
    """Return the places of a batch (b,) and a source of noise for it, functions of seed and step alone."""
    epoch, place = divmod(step, max(size // batch_size, 1))
    start = place * batch_size
    index = shuffled(size, seed, epoch)[start : start + batch_size]
    return index.to(device), noise_of(seed, step, device)


def noise_of(seed: int, step: int, device: str) -> torch.Generator:
    """Return the source of noise of a step."""
    return torch.Generator(device).manual_seed(seed * SEED_STRIDE + step + NOISE_SEED)
