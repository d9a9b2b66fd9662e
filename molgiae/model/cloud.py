"""Conformers as a padded batch of typed point clouds, the data that SE(3) x S_n acts on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.errors import ConfigError, check_shape
from molgiae.groups import SE3xSn
from molgiae.tensors import AtomicNumbers, Mask, Points, Positions

MAX_PAIRS = 1 << 20
"""Pairs of atoms in a batch, whose distances are held at once; large conformers go in smaller batches."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """B conformers of up to n atoms.

    Attributes:
        z: (B, n) int64 atomic numbers; 0 marks padding, which stands at the end of a row.
        pos: (B, n, 3) coordinates in angstrom, 0 where padded.
        isotope: (B, n) int64 mass numbers, 0 for natural atoms and padding; None where all atoms are natural.
    """

    z: AtomicNumbers
    pos: Positions
    isotope: AtomicNumbers | None = None

    def __post_init__(self) -> None:
        check_shape("pos", self.pos.shape, (*self.z.shape, 3))

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, index: slice | torch.Tensor) -> Cloud:
        isotope = None if self.isotope is None else self.isotope[index]
        return Cloud(self.z[index], self.pos[index], isotope)

    @property
    def mask(self) -> Mask:
        """(B, n) true for atoms."""
        return self.z > 0

    @property
    def centroid(self) -> Points:
        """(B, 3) mean of the atoms of each conformer."""
        return self.pos.sum(dim=1) / self.mask.sum(dim=1, keepdim=True)

    def columns(self, n: int) -> Cloud:
        """Return the first n columns, beyond which all is padding."""
        isotope = None if self.isotope is None else self.isotope[:, :n]
        return Cloud(self.z[:, :n], self.pos[:, :n], isotope)

    def centered(self) -> Cloud:
        """Return the same conformers with their centroids at the origin; padding stays at 0."""
        return replace(self, pos=(self.pos - self.centroid[:, None]) * self.mask[..., None])

    def moved(self, g: SE3xSn) -> Cloud:
        """Rho(g) x: atoms turned, shifted and reordered; padding must be fixed by the permutation."""
        z = g.permutation.act(self.z, dim=-1)
        isotope = None if self.isotope is None else g.permutation.act(self.isotope, dim=-1)
        return Cloud(z, g.act(self.pos) * (z > 0)[..., None], isotope)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Cloud:
        """Return the same conformers on another device, with coordinates of another type."""
        isotope = None if self.isotope is None else _sent(self.isotope, device)
        return Cloud(_sent(self.z, device), _sent(self.pos, device).to(dtype=dtype), isotope)


def _sent(tensor: torch.Tensor, device: torch.device | str | None) -> torch.Tensor:
    """Return a tensor on a device; a GPU reads it from pinned memory while the CPU goes on."""
    if device is None or torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def squared_deviation(pos: torch.Tensor, target: Cloud) -> torch.Tensor:
    """Return (B,) mean squared distance of atoms, square angstrom; pos (B, S, 3) with atom k in slot k."""
    mask = target.mask
    square = (pos[:, : mask.shape[1]].float() - target.pos).square().sum(dim=-1) * mask
    return square.sum(dim=1) / mask.sum(dim=1)


def pack(
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    offset: NDArray[np.int64],
    isotope: NDArray[np.uint16] | None = None,
) -> Cloud:
    """Return compressed sparse rows as a padded batch, float64.

    Args:
        atomic_number: (N,).
        position: (N, 3) angstrom.
        offset: (B + 1,) atoms of conformer b are ``offset[b]:offset[b + 1]``.
        isotope: (N,) mass numbers, 0 for natural atoms; None for natural atoms alone.
    """
    sizes = np.diff(offset)
    mask = np.arange(sizes.max(initial=0)) < sizes[:, None]
    z, pos = np.zeros(mask.shape, dtype=np.int64), np.zeros((*mask.shape, 3))
    atoms = slice(offset[0], offset[-1])
    z[mask], pos[mask] = atomic_number[atoms], position[atoms]
    if isotope is None or not isotope[atoms].any():
        return Cloud(torch.from_numpy(z), torch.from_numpy(pos))
    mass = np.zeros(mask.shape, dtype=np.int64)
    mass[mask] = isotope[atoms]
    return Cloud(torch.from_numpy(z), torch.from_numpy(pos), torch.from_numpy(mass))


def batches_by_size(sizes: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Yield indices of conformers of similar size; no batch of two or more has more than `MAX_PAIRS` pairs of atoms.

    Args:
        sizes: (M,) atoms of each conformer.
        batch_size: most conformers in a batch.

    Raises:
        ConfigError: if the batch size is below 1.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}: must be at least 1")
    by_size = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(sizes):
        stop = min(start + batch_size, len(sizes))
        while stop > start + 1 and (stop - start) * int(sizes[by_size[stop - 1]]) ** 2 > MAX_PAIRS:
            stop = start + (stop - start) // 2
        yield by_size[start:stop]
        start = stop


def batches(
    atomic_number: NDArray[np.uint8], position: NDArray[np.float64], offset: NDArray[np.int64], size: int
) -> Iterator[Cloud]:
    """Compressed sparse rows, in order, as padded batches of a given size; arguments as of `pack`."""
    for start in range(0, len(offset) - 1, size):
        yield pack(atomic_number, position, offset[start : start + size + 1])


def as_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """Return the values of a tensor on any device, without its gradient."""
    return np.asarray(tensor.detach().cpu().numpy())
