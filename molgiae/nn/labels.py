"""What the network of atoms and the features part are taught by cheap labels; takes no part in embeddings."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.nn.atoms import MIXED
from molgiae.tensors import Mask

OF_CONFORMER = ("energy", "gap", "dipole", "polarizability", "log_p", "refractivity")
"""Labels of a conformer, in the order of `Taught.conformer`, all standardized; the dipole by its length."""

CHEMISTRY = 9
"""Labels of an atom that depend on its bonds: shares of logP and molar refractivity, and seven kinds of groups."""


class Taught(NamedTuple):
    """What is predicted of B conformers.

    Attributes:
        conformer: (B, 6), see `OF_CONFORMER`.
        forces: (B, n, 3) eV/angstrom.
        charges: (B, n) elementary charges.
        chemistry: (B, n, CHEMISTRY); those of groups are logits.
    """

    conformer: Tensor
    forces: Tensor
    charges: Tensor
    chemistry: Tensor


class LabelHeads(nn.Module):
    """Heads on what is pooled for the features part, P (`pooled`) numbers, and on features of atoms, F (`width`).

    Attributes:
        composition: (119,) eV that an atom of each element adds to the energy, before anything is learned.
        center: (6,) means of the labels of conformers, that of the energy after its composition.
        scale: (6,) their standard deviations.
    """

    composition: Tensor
    center: Tensor
    scale: Tensor

    def __init__(self, width: int, pooled: int) -> None:
        super().__init__()
        count = len(OF_CONFORMER)
        self.first = nn.Linear(pooled, 2 * width)
        self.straight = nn.Linear(2 * width, count)
        self.bent = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, count))
        self.force = nn.Linear(width, MIXED)
        self.charge = nn.Linear(width, 1)
        self.chemistry = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, CHEMISTRY))
        self.register_buffer("composition", torch.zeros(MAX_ATOMIC_NUMBER + 1))
        self.register_buffer("center", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))

    def forward(
        self, pooled: Tensor, places: Tensor, features: Tensor, vectors: Tensor, mask: Mask
    ) -> Taught:
        """Predict from what is pooled (B, P) and what the network of atoms says, see `FeaturesEncoder.pooled`."""
        there = mask[..., None]
        forces = (vectors * self.force(features)[:, :, None]).sum(dim=-1)
        first = self.first(pooled)
        return Taught(
            self.straight(first) + self.bent(first),
            forces * there,
            self.charge(features)[..., 0] * mask,
            self.chemistry(places),
        )
