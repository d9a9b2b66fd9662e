"""Mu and eta of an autoencoder whose group action is learned: no bonds, no order of elements, no principal axes.

Mu: a network of atoms (`molgiae.nn.tensor_messages`, without its rounds over bonds) gives two vectors, a translation
and one score for each atom, which sees where the atom lies along the vectors. Eta: a dense network of what stands in
each slot in the learned frame and order (`molgiae.nn.slots`), after averages over the atoms, which know of neither.
Where frame or order jump, as those of every model must somewhere, only what the slots give jumps, and that is small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.nn.linear import Linear
from molgiae.nn.slots import SlotEncoder
from molgiae.nn.tensor_messages import MIXED, EquivariantNetwork
from molgiae.nn.vectors import cross, pooled_directions
from molgiae.tensors import AtomicNumbers, Mask, Positions

SCORE_SCALE = 20.0
"""Scale of the scores: two of a conformer then hardly ever fall within `molgiae.canonical.completion.SAME_SCORE`."""

FADING = 0.1
"""Length of pooled vectors, angstrom, at which their directions fade out of the scores, as in symmetric conformers."""

AVERAGES = 0.25
"""Share of the numbers of an embedding that are averages over atoms."""

SLOTS = 2.0**-10
"""Scale of the others: where two atoms exchange places the embedding moves by a hundredth of the median distance of
two molecules."""

LENGTH = 2.0
"""Angstrom by which coordinates are divided where networks read them."""


class LearnedNetwork(nn.Module):
    """Mu and eta.

    Args:
        elements: atomic numbers the model knows, ascending.
        slots: S, atoms of the largest conformer.
        width: features of an atom, and of the hidden layers of eta.
        layers: rounds of messages between atoms, and residual blocks of eta.
        size: D, numbers of the embedding.
        radius: (119,) covalent radii by atomic number, angstrom.
    """

    def __init__(
        self, elements: tuple[int, ...], slots: int, width: int, layers: int, size: int, radius: Tensor
    ) -> None:
        super().__init__()
        self.atoms = EquivariantNetwork(width, layers, 0, radius)
        self.weight, self.rotation = Linear(width, 2), Linear(MIXED, 2, bias=False)
        self.shift = Linear(MIXED, 1, bias=False)
        self.score = nn.Sequential(Linear(width + 3, width), nn.SiLU(), Linear(width, 1))
        self.parts = [int(AVERAGES * size), size - int(AVERAGES * size)]
        self.average = Linear(width, self.parts[0])
        self.slots = SlotEncoder(elements, slots, 2 * width, layers, self.parts[1], SLOTS)

    def forward(self, z: AtomicNumbers, pos: Positions) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Return mu of atoms (B, n), with positions from the centroid, and averages over the atoms.

        Returns:
            * mu: (B, 2, 3) vectors, see `pooled_directions`; (B, 3) translation in angstrom, in the same frame as the
              positions; (B, n) scores, +inf where padded;
            * `averages`.
        """
        s, v = self.atoms(z, pos)
        mask = z > 0
        return self.mu(s, v, pos, mask), self.averages(s, mask)

    def averages(self, s: Tensor, mask: Mask) -> Tensor:
        """Return numbers (B, D / 4) of features (B, n, F) of the atoms, smooth and the same in any pose and order."""
        return self.average(s.sum(dim=1) / mask.sum(dim=1, keepdim=True))

    def mu(self, s: Tensor, v: Tensor, pos: Positions, mask: Mask) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `forward` does, from features (B, n, F) and vectors (B, n, 3, MIXED) of the atoms (B, n)."""
        vectors = pooled_directions(self.weight(s)[..., None] * self.rotation(v).mT * mask[..., None, None])
        shift = (self.shift(v)[..., 0] * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        local = pos @ _axes(vectors).mT / LENGTH
        scores = SCORE_SCALE * self.score(torch.cat([s, local], dim=-1))[..., 0]
        return vectors, shift, scores.masked_fill(~mask, math.inf)

    def latent(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return the vectors of the atoms, averaged, (B, MIXED, 3) angstrom; they turn with the conformer."""
        _, v = self.atoms(z, pos)
        return v.sum(dim=1).mT / (z > 0).sum(dim=1)[:, None, None]


def _axes(vectors: Tensor) -> Tensor:
    """Return (B, 3, 3) rows that are orthonormal, and shorter where the vectors (B, 2, 3) are short or parallel."""
    first, second = vectors.unbind(dim=1)
    first = first / (first.square().sum(dim=-1, keepdim=True) + FADING**2).sqrt()
    second = second - (first * second).sum(dim=-1, keepdim=True) * first
    second = second / (second.square().sum(dim=-1, keepdim=True) + FADING**2).sqrt()
    return torch.stack([first, second, cross(first, second, dim=1)], dim=1)
