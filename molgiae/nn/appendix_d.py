"""Encoder and decoder of the paper's Appendix D, for atoms of known elements.

As in the paper: messages on the complete graph (`equivariant`); half of the scalars, averaged, become the
embedding; the other half scores the atoms; two pooled vectors give the rotation and the mean of t the
translation. The decoder adds the embedding to a fixed positional encoding of every slot and moves atoms from
learned start positions. Unlike the authors' code and text:

* atoms start from their element, never from their place in the input, and start positions are put into the order
  of the input together with the encodings: otherwise nothing is permutation equivariant;
* vectors are averaged with weights that scalars give: those of equal atoms on both ends of a bond would cancel;
* an average forgets how many atoms there were, so a learned vector for each number is added to the embedding, and a
  linear map of it says how many slots are taken; the decoder runs on those alone;
* atoms also have learned start vectors: an equivariant network cannot leave the line through two start points;
* the decoder works in the canonical pose; the group action is applied outside.

`torch_geometric` is imported here, so import this module only when such a network is wanted. Everything runs in
the type of the weights, autocast or not: bfloat16 would round the pose.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.nn.equivariant import Graph, Trunk, complete_graph
from molgiae.nn.slots import SlotPrediction
from molgiae.nn.vectors import pooled_directions
from molgiae.tensors import AtomicNumbers, Embedding, Mask, Positions

SCORE_SCALE = 2.0
"""Scale of the scores: those of untrained networks then differ by about one, ten times the usual temperature."""

START_SCALE = 1.5
"""Standard deviation of the start positions, angstrom."""


class MessageEncoder(nn.Module):
    """Eta and mu from one trunk of F scalars, an even number, and V vectors; conformers have up to S `slots` atoms."""

    def __init__(self, slots: int, embedding_dim: int, scalars: int, vectors: int, layers: int) -> None:
        super().__init__()
        self.vectors = vectors
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, scalars)
        self.trunk = Trunk(scalars, vectors, layers, moves=True)
        self.rotation = nn.Linear(vectors, 2, bias=False)
        self.weight = nn.Linear(scalars, 2)
        self.score = nn.Linear(scalars // 2, 1)
        self.embedding = nn.Linear(scalars // 2, embedding_dim)
        self.count = nn.Embedding(slots + 1, embedding_dim)

    def forward(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode atoms with positions from the centroid, in the type of the weights.

        Returns:
            * (B, F / 2) pooled scalars, for `embed`;
            * (B, 2, 3) vectors, see `pooled_directions`;
            * (B, 3) translation in angstrom, in the same frame as the positions;
            * (B, n) scores, +inf where padded.
        """
        with torch.autocast(pos.device.type, enabled=False):
            s, v, t, graph = self._of_atoms(z, pos)
            of_conformer, of_atom = s.chunk(2, dim=-1)
            directions = graph.padded(self.weight(s)[:, :, None] * self.rotation(v).mT)
            scores = graph.padded(SCORE_SCALE * self.score(of_atom)[:, 0], fill=math.inf)
            return graph.mean(of_conformer), pooled_directions(directions), graph.mean(t), scores

    def latent(self, z: AtomicNumbers, pos: Positions) -> Tensor:
        """Return the vectors of the atoms, averaged, (B, V, 3) angstrom; they turn with the conformer."""
        with torch.autocast(pos.device.type, enabled=False):
            _, v, _, graph = self._of_atoms(z, pos)
            return graph.mean(v).mT

    def _of_atoms(self, z: AtomicNumbers, pos: Positions) -> tuple[Tensor, Tensor, Tensor, Graph]:
        """Return what the trunk makes of the atoms, (N, F), (N, 3, V) and (N, 3), and their graph."""
        mask = z > 0
        graph = complete_graph(mask, pos)
        s = self.element(z[mask])
        return *self.trunk(s, s.new_zeros(len(s), 3, self.vectors), pos[mask], graph), graph

    def embed(self, pooled: Tensor, count: Tensor) -> Embedding:
        """Return the embedding, (B, D), of pooled scalars (B, F / 2) and numbers of atoms (B,), up to S."""
        with torch.autocast(pooled.device.type, enabled=False):
            return self.embedding(pooled) + self.count(count)


class MessageDecoder(nn.Module):
    """Delta: from S slots with learned start positions, by the same kind of trunk as the encoder's, to E elements."""

    learns_order = True

    def __init__(
        self, elements: int, slots: int, embedding_dim: int, scalars: int, vectors: int, layers: int
    ) -> None:
        super().__init__()
        self.taken = nn.Linear(embedding_dim, slots)
        self.lift = nn.Linear(embedding_dim, scalars)
        self.start = nn.Parameter(START_SCALE * torch.randn(slots, 3))
        self.start_vectors = nn.Parameter(torch.randn(slots, 3 * vectors) / 10)
        self.trunk = Trunk(scalars, vectors, layers, moves=False)
        self.kind = nn.Linear(scalars, elements)
        self.shift = nn.Linear(vectors, 1, bias=False)
        self.register_buffer("encoding", sinusoids(slots, scalars), persistent=False)

    encoding: Tensor

    def forward(self, embedding: Embedding, assignment: Tensor | None = None) -> SlotPrediction:
        """Decode.

        Args:
            embedding: (B, D).
            assignment: (B, n, K) how much atom i of the input belongs to slot k, rows of padding zero; n and K
                up to S. None for the canonical order, with as many atoms as the embedding says.

        Returns:
            S slots, the first n in the order of the input if an assignment is given. The probability of
            "empty" comes from the embedding alone, that of each element, if not empty, from the network.
        """
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.to(self.start.dtype)
            taken = self.taken(embedding)
            if assignment is None:
                assignment = torch.diag_embed(leading(taken).to(embedding.dtype))
            kind, pos = self.decode(embedding, assignment.to(embedding.dtype))
        beyond = (0, 0, 0, taken.shape[1] - pos.shape[1])
        kind = nn.functional.pad(kind, beyond).log_softmax(dim=-1)
        logits = torch.cat([-taken[..., None], kind], dim=-1)
        return SlotPrediction(logits=logits, pos=nn.functional.pad(pos, beyond))

    def starts(self, embedding: Embedding) -> Tensor:
        """Return the start positions, (S, 3) angstrom, the same for every embedding (B, D)."""
        return self.start

    def decode(self, embedding: Embedding, assignment: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of elements (B, n, E) and positions (B, n, 3), 0 where padded; arguments as of `forward`."""
        mask = assignment.detach().sum(dim=-1) > 0
        slots = assignment.shape[-1]
        start = assignment @ self.starts(embedding)[..., :slots, :]
        middle = start.sum(dim=1, keepdim=True) / mask.sum(dim=1)[:, None, None]
        start = (start - middle) * mask[..., None]
        graph = complete_graph(mask, start)
        s = (self.lift(embedding)[:, None] + assignment @ self.encoding[:slots])[mask]
        v = (assignment @ self.start_vectors[:slots])[mask].unflatten(-1, (3, -1))
        s, v, _ = self.trunk(s, v, s.new_empty(len(s), 0), graph)
        return graph.padded(self.kind(s)), start + graph.padded(self.shift(v)[..., 0])


def leading(taken: Tensor) -> Mask:
    """Mark the first slots, (B, S), up to one whose logit is not positive; always the very first."""
    positive = (taken > 0).long()
    positive[:, 0] = 1
    return positive.cumprod(dim=1) > 0


def sinusoids(slots: int, width: int) -> Tensor:
    """Return the fixed positional encodings, (slots, width), of Vaswani et al. (2017)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(slots)[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)
