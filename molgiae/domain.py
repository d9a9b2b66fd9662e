"""What training data covered, and whether a conformer lies within."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.clouds import Cloud, batches
from molgiae.config import Domain
from molgiae.data.conformer import ConformerBlock

BATCH = 1024
SLACK = 1e-3
"""Angstrom by which bounds on distances may be missed: coordinates have been rounded in files."""


def measure_domain(block: ConformerBlock) -> Domain:
    """What a set of conformers covers."""
    conformers = np.repeat(np.arange(len(block)), block.n_atoms)
    elements = [
        element
        for element in np.unique(block.atomic_number).tolist()
        if len(np.unique(conformers[block.atomic_number == element])) >= len(block) / 1000
    ]
    heavy = np.add.reduceat(block.atomic_number > 1, block.offset[:-1], dtype=np.int64)
    radius, low, high = 0.0, math.inf, 0.0
    for cloud in batches(block.atomic_number, block.position, block.offset, BATCH):
        far, near = extent(cloud)
        radius, low, high = (
            max(radius, float(far.max())),
            min(low, float(near.min())),
            max(high, float(near.max())),
        )
    return Domain(
        elements=tuple(elements),
        n_atoms=(int(block.n_atoms.min()), int(block.n_atoms.max())),
        radius=radius,
        nearest=(low, high),
        charge=(int(block.charge.min()), int(block.charge.max())),
        n_heavy=(int(heavy.min()), int(heavy.max())),
    )


def extent(x: Cloud) -> tuple[Tensor, Tensor]:
    """(B,) largest distance from the centroid and (B, n) distance to the nearest atom, angstrom.

    Padding and single atoms have the nearest distance of the first atom of the row, or 0.
    """
    pos = x.centered().pos.float()
    apart = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")
    apart = apart + torch.where(x.mask[:, None, :], 0.0, torch.inf)
    apart = apart + torch.diag(torch.full((x.z.shape[1],), torch.inf, device=apart.device))
    nearest = apart.amin(dim=2).nan_to_num(posinf=0.0)
    return torch.linalg.vector_norm(pos, dim=-1).amax(dim=1), torch.where(x.mask, nearest, nearest[:, :1])


def in_domain(domain: Domain, block: ConformerBlock, x: Cloud) -> NDArray[np.bool_]:
    """(B,) whether elements, size, charge, extent and distances are within those of the training data.

    Args:
        domain: of the model.
        block: B conformers.
        x: the same conformers.
    """
    trained = torch.zeros(256, dtype=torch.bool, device=x.z.device)
    trained[[0, *domain.elements]] = True
    far, near = extent(x)
    n = torch.from_numpy(block.n_atoms).to(x.z.device)
    charge = torch.from_numpy(block.charge).to(x.z.device)
    inside = trained[x.z].all(dim=1)
    heavy = (x.z > 1).sum(dim=1)
    inside &= (heavy >= domain.n_heavy[0]) & (heavy <= domain.n_heavy[1])
    inside &= (n >= domain.n_atoms[0]) & (n <= domain.n_atoms[1]) & (far <= domain.radius + SLACK)
    inside &= near.amin(dim=1) >= domain.nearest[0] - SLACK
    inside &= near.amax(dim=1) <= domain.nearest[1] + SLACK
    inside &= (charge >= domain.charge[0]) & (charge <= domain.charge[1])
    return inside.cpu().numpy()
