"""Rotations of pictures that agree with those which lay them onto one another: angular synchronization.

Of two pictures of one thing the group actions should differ by the rotation between them (Singer, Appl. Comput. Harmon.
Anal. 30, 20, 2011). Only pictures that come near one another when rotated say so; which class they are of is not asked,
nor which way is up.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from molgiae.experiments.steerable2d import DiscHarmonics

ROTATIONS = 36
"""That are tried between two pictures, a multiple of 10 degrees each."""


@torch.no_grad()
def matches(disc: DiscHarmonics, picture: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Return for each picture (B, n, n) so many others that come nearest when rotated, and the rotations.

    Returns:
        * (B, number) int64, which they are;
        * (B, number) radians: rotated by so much they are nearest.
    """
    (p, q), (a, b) = disc.products(picture).unbind(dim=-1), disc(picture).unbind(dim=-1)
    even = torch.einsum("imr,jmr->ijm", p, a) + torch.einsum("imr,jmr->ijm", q, b)
    odd = torch.einsum("imr,jmr->ijm", q, a) - torch.einsum("imr,jmr->ijm", p, b)
    angle = torch.arange(ROTATIONS, dtype=even.dtype, device=even.device) * (2 * math.pi / ROTATIONS)
    phase = torch.arange(even.shape[2], dtype=even.dtype, device=even.device)[:, None] * angle
    overlap, turn = (even @ phase.cos() + odd @ phase.sin()).max(dim=2)
    # square distances, less what is the same for all others
    distance = even.diagonal().sum(dim=0) - 2 * overlap
    nearest = distance.fill_diagonal_(torch.inf).topk(number, largest=False).indices
    return nearest, angle[turn.gather(1, nearest)]


def disagreement(angle: Tensor, nearest: Tensor, turn: Tensor) -> Tensor:
    """Return the mean of 1 - cos of how far rotations (B,), radians, are from agreeing with `matches`."""
    return (1 - (angle[:, None] - angle[nearest] - turn).cos()).mean()
