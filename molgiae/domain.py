"""What training data covered, and whether a conformer lies within."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.clouds import Cloud, batches
from molgiae.config import Domain, ModelConfig
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
    return composition_in_domain(domain, block) & extent_in_domain(domain, extent(x))


def composition_in_domain(domain: Domain, block: ConformerBlock) -> NDArray[np.bool_]:
    """(M,) whether elements, size and charge are within: the part of `in_domain` that costs next to nothing.

    Args:
        domain: of a model.
        block: M conformers.
    """
    heavy = _per_conformer(block.atomic_number > 1, block)
    return (
        _only(domain.elements, block)
        & _between(block.n_atoms, domain.n_atoms)
        & _between(heavy, domain.n_heavy)
        & _between(block.charge, domain.charge)
    )


def extent_in_domain(domain: Domain, extents: tuple[Tensor, Tensor]) -> NDArray[np.bool_]:
    """(B,) whether radius and distances to nearest neighbours are within: the rest of `in_domain`.

    Args:
        domain: of a model.
        extents: from `extent`.
    """
    far, near = extents
    inside = far <= domain.radius + SLACK
    inside &= near.amin(dim=1) >= domain.nearest[0] - SLACK
    inside &= near.amax(dim=1) <= domain.nearest[1] + SLACK
    return inside.cpu().numpy()


def accepted(config: ModelConfig, block: ConformerBlock) -> NDArray[np.bool_]:
    """(M,) whether a network takes the conformers at all: it knows their elements and has room for their atoms."""
    return _only(config.elements, block) & (block.n_atoms <= config.max_atoms)


def _only(elements: Sequence[int], block: ConformerBlock) -> NDArray[np.bool_]:
    known = np.zeros(256, dtype=bool)
    known[list(elements)] = True
    return _per_conformer(~known[block.atomic_number], block) == 0


def _per_conformer(atoms: NDArray[np.bool_], block: ConformerBlock) -> NDArray[np.int64]:
    """(M,) how many atoms of each conformer are marked."""
    marked = np.concatenate([[0], np.cumsum(atoms, dtype=np.int64)])
    return np.diff(marked[block.offset])


def _between(values: NDArray[np.int64], bounds: tuple[int, int]) -> NDArray[np.bool_]:
    return (values >= bounds[0]) & (values <= bounds[1])
