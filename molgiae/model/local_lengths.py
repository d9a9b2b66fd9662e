"""Distances between neighbours by their surroundings: how long bonds are, and what angles span.

A pair of atoms that share a bond or a bonded neighbour goes by elements and numbers of bonds of both, and of the atom
between them, and by the small rings it is in. What it then measures hardly varies: bonds by hundredths of an angstrom,
the others, which stand for angles, by some more.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.typical_lengths import TYPICAL_LENGTHS
from molgiae.tensors import AtomicNumbers, Positions

BOND = 1.3
"""Distance over the sum of covalent radii up to which atoms are bonded; decoded bonds may be off."""

LEAST_SPREAD = 0.004
"""Angstrom: spreads are taken to be no less."""


def bonds_of(z: AtomicNumbers, pos: Positions) -> Tensor:
    """Return (B, n, n) whether atoms are bonded: those that are near, of a hydrogen only the nearest heavy one."""
    reach = torch.from_numpy(COVALENT_RADIUS).to(pos)[z]
    heavy, there = z > 1, z > 0
    ratio = torch.cdist(pos, pos) / (reach[:, :, None] + reach[:, None])
    ratio = ratio.where(there[:, :, None] & there[:, None], torch.inf)
    ratio.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    near = ratio < BOND
    to_heavy = ratio.where(heavy[:, None], torch.inf)
    nearest = (
        torch.zeros_like(near).scatter_(2, to_heavy.argmin(dim=2, keepdim=True), True) & to_heavy.isfinite()
    )
    hydrogen = (~heavy & there & heavy.any(dim=1, keepdim=True))[:, :, None]
    held = nearest & hydrogen
    return (near & ~hydrogen & ~hydrogen.mT) | held | held.mT


def kinds_of(z: AtomicNumbers, bonds: Tensor) -> Tensor:
    """Return (B, n, n) int64 kinds of pairs: of bonded ones, of those with a neighbour in common, -1 of all others."""
    degree = bonds.sum(dim=2)
    own = 10 * z + degree.clamp(max=9)
    low, high = torch.minimum(own[:, :, None], own[:, None]), torch.maximum(own[:, :, None], own[:, None])
    step = bonds.double()
    shared = step @ step
    # walks of three bonds that do not turn back close rings: of four atoms along a bond, of five across an angle
    closes = shared @ step - step * (degree[:, :, None] + degree[:, None] - 1) > 0.5
    between = (bonds[:, :, :, None] & bonds[:, None]).to(torch.uint8).argmax(dim=2)
    middle = own.gather(1, between.flatten(1)).view_as(between)
    near, across = bonds & (shared > 0), shared > 1
    bonded = (low * 2000 + high) * 2000 * 4 + near.long() + 2 * closes.long()
    angle = ((low * 2000 + high) * 2000 + middle) * 4 + across.long() + 2 * closes.long()
    apart = ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    return torch.where(bonds, bonded, torch.where((shared > 0) & apart, angle, -1))


@functools.cache
def _table() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Kinds (K,), ascending, and their mean and spread (K, 2), angstrom."""
    rows = np.array(TYPICAL_LENGTHS.split(), float).reshape(-1, 3)
    return rows[:, 0].astype(np.int64), rows[:, 1:] / 1000


def typical(z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is known of pairs of atoms, each (B, n, n).

    Returns:
        typical distances, angstrom; how stiff they are, 1/angstrom^2, 0 if not known; and whether the pair shares a
        bond or a neighbour.
    """
    known, lengths = _table()
    kind = kinds_of(z, bonds_of(z, pos)).cpu().numpy()
    place = np.searchsorted(known, kind).clip(max=len(known) - 1)
    mean, spread = np.moveaxis(lengths[place], -1, 0)
    stiff = np.where(known[place] == kind, 1 / spread.clip(min=LEAST_SPREAD) ** 2, 0.0)
    near = torch.from_numpy(kind >= 0).to(pos.device)
    return torch.from_numpy(mean.copy()).to(pos), torch.from_numpy(stiff).to(pos), near
