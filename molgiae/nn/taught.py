"""What the network of properties is taught by cheap labels, or by displaced atoms, before it learns a property."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from molgiae.config import E_ANGSTROM, MAX_ATOMIC_NUMBER
from molgiae.nn.tensor_messages import MIXED, EquivariantNetwork, Readout
from molgiae.tensors import AtomicNumbers, Positions

OF_SUMS = ("energy", "polarizability", "log_p", "refractivity", "solvation_water", "solvation_octanol")
"""Labels that grow with a conformer, in the order of `Told.sums`, all less what composition explains, and scaled."""


class Told(NamedTuple):
    """What is predicted of B conformers.

    Attributes:
        sums: (B, 6), see `OF_SUMS`.
        gap: (B,) eV, less its median.
        dipole: (B, 3) debye.
        charges: (B, n) elementary charges.
        forces: (B, n, 3) eV/angstrom.
    """

    sums: Tensor
    gap: Tensor
    dipole: Tensor
    charges: Tensor
    forces: Tensor


class TaughtNetwork(nn.Module):
    """The network of atoms, what is read of it, and heads that labels teach.

    Attributes:
        composition: (119, 6) what an atom of each element adds to the labels that grow with a conformer.
        scale: (6,) what the rest of these labels is divided by.
        center: the median of the gap, eV.
    """

    composition: Tensor
    scale: Tensor
    center: Tensor

    def __init__(self, atoms: EquivariantNetwork) -> None:
        super().__init__()
        width = atoms.sizes[0]
        self.atoms, self.readout = atoms, Readout(width)
        grows, stays = self.readout.sizes
        self.sums = nn.Linear(grows, len(OF_SUMS))
        self.hidden = nn.Linear(stays, width)
        self.gap = nn.Linear(width, 1)
        self.force = nn.Linear(width, MIXED)
        self.register_buffer("composition", torch.zeros(MAX_ATOMIC_NUMBER + 1, len(OF_SUMS)))
        self.register_buffer("scale", torch.ones(len(OF_SUMS)))
        self.register_buffer("center", torch.zeros(()))

    def forward(self, z: AtomicNumbers, pos: Positions) -> Told:
        """Predict labels of conformers in any pose and order."""
        mask = z > 0
        s, v = self.atoms(z, pos)
        sums, means, dipole = self.readout(s, v, pos, mask)
        forces = self._forces(s, v, mask)
        charges = self.readout.charge(s)[..., 0] * mask
        gap = self.gap(silu(self.hidden(means)))[:, 0]
        return Told(self.sums(sums), gap, E_ANGSTROM * dipole, charges, forces)

    @property
    def described_size(self) -> int:
        """Of `described`."""
        return sum(self.readout.sizes) + len(OF_SUMS) + 1

    def described(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return (B, D) what it reads of conformers and tells: invariant numbers to learn from, of different scales.

        Without the energy, which elements make up but for a thousandth.
        """
        mask = z > 0
        s, v = self.atoms(z, pos)
        sums, means, dipole = self.readout(s, v, pos, mask)
        explained = (self.composition[z] * mask[..., None]).sum(dim=1)
        gap = self.center + self.gap(silu(self.hidden(means)))
        length = E_ANGSTROM * dipole.norm(dim=1, keepdim=True)
        told = explained + self.scale * self.sums(sums)
        return torch.cat([sums, means, told[:, 1:], gap, length], dim=1)

    def displacement(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return what `training.losses.denoising_loss` trains: (B, n, 3), turns with the conformer, 0 where padded."""
        s, v = self.atoms(z, pos)
        return self._forces(s, v, z > 0)

    def _forces(self, s: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        return (v * self.force(s)[:, :, None]).sum(dim=-1) * mask[..., None]
