"""Vectors between atoms and their products, laid out for speed: atoms and channels last, the three components before.

A tensor whose last axis has three elements is worked on three numbers at a time; here a processor takes whole rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from molgiae.tensors import AtomicNumbers, Positions


def separations(pos: Positions) -> tuple[Tensor, Tensor]:
    """Return vectors (B, 3, n, n) from atoms of rows to atoms of columns, angstrom, and their squares (B, n, n)."""
    rows = pos.mT.contiguous()
    between = rows[:, :, None] - rows[..., None]
    return between, between.square().sum(dim=1)


def others(z: AtomicNumbers, like: Tensor) -> Tensor:
    """Return (B, n, n) 1 for pairs of different atoms, 0 on the diagonal and where padded, in the type of a tensor."""
    there = (z > 0).to(like.dtype)
    return there[:, :, None] * there[:, None] * (1 - torch.eye(z.shape[1], dtype=like.dtype, device=z.device))


def cross(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Return vector products along a dimension of 3; the other dimensions are broadcast."""
    (ax, ay, az), (bx, by, bz) = a.unbind(dim), b.unbind(dim)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=dim)
