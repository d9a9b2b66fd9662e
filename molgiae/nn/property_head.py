"""Values of properties from what is read of a conformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from molgiae.nn.tensor_messages import ODD, EquivariantNetwork, Readout
from molgiae.tensors import AtomicNumbers, Positions

Behaviour = Literal["extensive", "intensive", "odd"]
"""How a property behaves: it adds up over atoms, it does not, or it changes its sign in the mirror."""

MIN_UNCERTAINTY = 1e-3
"""In standard deviations of the training values."""


class Found(NamedTuple):
    """What is predicted of B conformers, (B, T) and standardized, and scores (B,) by which conformers are weighed."""

    value: Tensor
    uncertainty: Tensor
    score: Tensor


class PropertyHead(nn.Module):
    """A linear map of sums over atoms for what grows with a molecule, a network for what does not.

    What is odd is a linear map, without a constant, of odd numbers. The uncertainty is the scale of a Laplace
    distribution about the value, from numbers that it cannot change: to learn it does not disturb learning the values.

    Args:
        width: of hidden layers.
        readout: what is read.
        behaviour: of each of T properties.
    """

    extensive: Tensor
    odd: Tensor

    def __init__(self, width: int, readout: Readout, behaviour: Sequence[Behaviour]) -> None:
        super().__init__()
        grows, stays = readout.sizes
        size = len(behaviour)
        self.sums = nn.Linear(grows, size)
        self.all = nn.Linear(grows + stays, size)
        self.hidden = nn.Linear(grows + stays, width)
        self.bent = nn.Linear(width, size)
        self.handed = nn.Linear(ODD, size, bias=False)
        self.scale = nn.Sequential(nn.Linear(stays, width), nn.SiLU(), nn.Linear(width, size))
        self.score = nn.Linear(grows + stays, 1)
        for layer in (self.bent, self.score):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for name in ("extensive", "odd"):
            self.register_buffer(name, torch.tensor([kind == name for kind in behaviour]), persistent=False)

    def forward(self, sums: Tensor, means: Tensor, odd: Tensor) -> Found:
        """Map what `Readout` reads, (B, E), (B, I) and (B, ODD), to values, uncertainties and scores."""
        both = torch.cat([sums, means], dim=-1)
        even = torch.where(
            self.extensive, self.sums(sums), self.all(both) + self.bent(silu(self.hidden(both)))
        )
        value = torch.where(self.odd, self.handed(odd), even)
        uncertainty = MIN_UNCERTAINTY + softplus(self.scale(means.detach()))
        return Found(value, uncertainty, self.score(both)[:, 0])


class PropertyNetwork(nn.Module):
    """Conformers to values, uncertainties and scores: network of atoms, readout, head.

    Args:
        atoms: the network.
        readout: what is read of it.
        behaviour: of each of T properties.
    """

    def __init__(self, atoms: EquivariantNetwork, readout: Readout, behaviour: Sequence[Behaviour]) -> None:
        super().__init__()
        self.atoms, self.readout = atoms, readout
        self.head = PropertyHead(atoms.sizes[0], readout, behaviour)

    def read(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums, means and odd numbers of conformers, the arguments of `PropertyHead.forward`."""
        s, v = self.atoms(z, pos)
        sums, means, _ = self.readout(s, v, pos, z > 0)
        # nothing else needs them, and they cost time
        odd = self.readout.odd(s, v, z > 0) if self.head.odd.any() else s.new_zeros(len(s), ODD)
        return sums, means, odd

    def forward(self, z: AtomicNumbers, pos: Positions) -> Found:
        """Predict properties of conformers (B, n) in any pose and order of their atoms."""
        found: Found = self.head(*self.read(z, pos))
        return found
