"""Vectors between atoms and their products, laid out for speed: atoms and channels last, the three components before.

A tensor whose last axis has three elements is worked on three numbers at a time; here a processor takes whole rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from molgiae.tensors import AtomicNumbers, Positions

MIN_DIRECTION = 1e-3
"""Vectors of atoms shorter than this, in angstrom, do not count as directions."""


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


def pooled_directions(of_atoms: Tensor) -> Tensor:
    """Return the mean over the atoms of each vector, in a length that says how well it defines a direction.

    Only directions matter to xi, so the length is free, and a length that a network could scale at will would
    say nothing. It is made 1 angstrom times |sum_i v_i| / sqrt(sum_i |v_i|^2): about 1 angstrom if the atoms'
    vectors point at random, up to sqrt(n) if they agree, 0 if they cancel as those of a symmetric conformer do. The
    atoms' directions turn by about s / 1 angstrom under noise s on the positions, hence this vector by about
    s / length, which is what `molgiae.canonical` expects. Vectors of atoms are (B, n, 2, 3), 0 where padded, and become
    (B, 2, 3), all in angstrom.
    """
    square = of_atoms.square().sum(dim=(1, 3)) + MIN_DIRECTION**2
    return of_atoms.sum(dim=1) / square.sqrt()[..., None]
