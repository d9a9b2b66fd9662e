"""Mu and eta of an autoencoder whose group action is learned: no bonds, no order of elements, no principal axes.

Mu: a network of atoms (`molgiae.nn.tensor_messages`, without its rounds over bonds) gives two vectors, a translation
and one score for each atom, which sees where the atom lies along the vectors. Eta: attention over the atoms, with one
learned query for each slot, of what stands where in the learned frame and order. It is a function of the set of
(element, position, rank), and so invariant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.nn.linear import Linear
from molgiae.nn.slots import LinearPlusResidual
from molgiae.nn.tensor_messages import MIXED, EquivariantNetwork
from molgiae.nn.vectors import cross, pooled_directions
from molgiae.tensors import AtomicNumbers, Embedding, Mask, Positions

SCORE_SCALE = 20.0
"""Scale of the scores: two of a conformer then hardly ever fall within `molgiae.canonical.completion.SAME_SCORE`."""

FADING = 0.1
"""Length of pooled vectors, angstrom, at which their directions fade out of the scores, as in symmetric conformers."""

LENGTH = 2.0
"""Angstrom by which coordinates are divided where networks read them."""

SEEN, TAKEN = 32, 16
"""Numbers by which a query and an atom are compared, and numbers that it takes of what it finds."""

ATTENTION = 4.0
"""Logit by which an untrained query prefers the atom of its own rank."""


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

    element: Tensor

    def __init__(
        self, elements: tuple[int, ...], slots: int, width: int, layers: int, size: int, radius: Tensor
    ) -> None:
        super().__init__()
        self.atoms = EquivariantNetwork(width, layers, 0, radius)
        self.weight, self.rotation = Linear(width, 2), Linear(MIXED, 2, bias=False)
        self.shift = Linear(MIXED, 1, bias=False)
        self.score = nn.Sequential(Linear(width + 3, width), nn.SiLU(), Linear(width, 1))
        self.enter = nn.Sequential(Linear(len(elements) + 3, width), nn.SiLU())
        self.rank = nn.Parameter(torch.randn(slots, width) / 10)
        self.token = nn.Sequential(Linear(width, width), nn.SiLU())
        self.key, self.value = Linear(width, SEEN), Linear(width, TAKEN)
        self.query = nn.Parameter(torch.randn(slots, SEEN))
        self.prefer = nn.Parameter(ATTENTION * torch.eye(slots))
        self.compress = LinearPlusResidual(slots * TAKEN, 2 * width, layers, size)
        self.register_buffer("element", torch.tensor(elements), persistent=False)

    def forward(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor, Tensor]:
        """Return mu of atoms (B, n), with positions from the centroid.

        Returns:
            * (B, 2, 3) vectors, see `pooled_directions`;
            * (B, 3) translation in angstrom, in the same frame as the positions;
            * (B, n) scores, +inf where padded.
        """
        s, v = self.atoms(z, pos)
        return self.mu(s, v, pos, z > 0)

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

    def embed(self, z: AtomicNumbers, pos: Positions) -> Embedding:
        """Return eta, (B, D), of canonical forms (B, n), whose k-th atom has rank k."""
        kind = (z[..., None] == self.element).to(pos.dtype)
        entered = self.enter(torch.cat([kind, pos / LENGTH], dim=-1)) + self.rank[: z.shape[1]]
        tokens = self.token(entered)
        logits = self.query @ self.key(tokens).mT / SEEN**0.5 + self.prefer[:, : z.shape[1]]
        found = logits.masked_fill((z == 0)[:, None], -torch.inf).softmax(dim=-1) @ self.value(tokens)
        return self.compress(found.flatten(1))


def _axes(vectors: Tensor) -> Tensor:
    """Return (B, 3, 3) rows that are orthonormal, and shorter where the vectors (B, 2, 3) are short or parallel."""
    first, second = vectors.unbind(dim=1)
    first = first / (first.square().sum(dim=-1, keepdim=True) + FADING**2).sqrt()
    second = second - (first * second).sum(dim=-1, keepdim=True) * first
    second = second / (second.square().sum(dim=-1, keepdim=True) + FADING**2).sqrt()
    return torch.stack([first, second, cross(first, second, dim=1)], dim=1)
