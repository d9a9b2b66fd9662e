"""Message passing between invariant scalars, vectors and a translation on complete graphs (Appendix D).

Each atom carries scalars s (F), vectors v (3, V) in angstrom and, in the encoder, a point t (3) in angstrom. A
layer is the paper's message (Eq. 20 to 26) followed by a gated equivariant block (PaiNN, Schuett et al., ICML
2021). Vectors turn with the conformer and do not move with it; t does both. The cross product of two vectors is
the term that changes its behaviour under reflection: without it mirror images get the same scalars.

Departures from the paper, all for the sake of numbers: relative positions saturate at one angstrom and the factors
of the cross product are directions, so that features stay bounded in large conformers and handedness counts from the
start; norms have a floor of physical size, so that gradients stay finite where a vector is zero; scalars pass a
layer norm (vectors never do: that would blow round-off up to order one). Handedness reaches scalars in two layers:
the first makes vectors, the second multiplies them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from molgiae.tensors import Mask, Positions

CHANNELS = 32
NEAREST, FARTHEST = 0.5, 12.0
"""Centres of the first and the last radial function, angstrom."""

MIN_LENGTH = 0.1
"""Of vectors, as scalars learn of it, angstrom."""

MIN_DISTANCE = 0.01
"""Of atoms, as radial functions see it, angstrom."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Complete graphs on N atoms of B conformers, padding left out: every ordered pair of atoms is an edge."""

    mask: Mask  # (B, n) true for atoms; node m is the m-th true entry, row by row
    edges: Tensor  # (2, M) int64 nodes: source j, target i
    radial: Tensor  # (M, CHANNELS) Gaussians of the distance d_ij
    direction: Tensor  # (M, 3) r_ij / sqrt(1 + d_ij^2), r_ij = x_j - x_i in angstrom

    def mean(self, nodes: Tensor) -> Tensor:
        """Average over the atoms of each conformer, (N, ...) to (B, ...)."""
        count = self.mask.sum(dim=1).view(-1, *(1,) * (nodes.ndim - 1))
        return self.padded(nodes).sum(dim=1) / count

    def padded(self, nodes: Tensor, fill: float = 0.0) -> Tensor:
        """Map (N, ...) to (B, n, ...)."""
        full = nodes.new_full((*self.mask.shape, *nodes.shape[1:]), fill)
        return full.masked_scatter(self.mask.view(*self.mask.shape, *(1,) * (nodes.ndim - 1)), nodes)


def complete_graph(mask: Mask, pos: Positions) -> Graph:
    """Return the graph of every ordered pair of different atoms of one conformer."""
    node = mask.flatten().cumsum(0).view(mask.shape) - 1
    pairs = mask[:, :, None] & mask[:, None, :]
    pairs = pairs & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    b, i, j = pairs.nonzero(as_tuple=True)
    between = pos[b, j] - pos[b, i]
    square = between.square().sum(dim=-1, keepdim=True)
    return Graph(
        mask=mask,
        edges=torch.stack([node[b, j], node[b, i]]),
        radial=_radial((square + MIN_DISTANCE**2).sqrt()),
        direction=between / (1 + square).sqrt(),
    )


def _radial(distance: Tensor) -> Tensor:
    """Map (M, 1) angstrom to (M, CHANNELS) Gaussians as wide as they are apart."""
    centre = torch.linspace(NEAREST, FARTHEST, CHANNELS, dtype=distance.dtype, device=distance.device)
    return torch.exp(-(((distance - centre) * ((CHANNELS - 1) / (FARTHEST - NEAREST))) ** 2))


class Message(MessagePassing):
    """One round of messages (Eq. 20 to 23 and 26).

    m_ij = W [s_i; s_j; RBF(d_ij)] is split into a_ij (F), b_ij (V), c_ij (V) and d_ij (1); W of the concatenation is
    the sum of three matrices, two of which are applied to atoms, not to pairs. With u the directions of linearly
    mixed v, shrunk where v is shorter than `MIN_LENGTH`::

        s_i gets mean_j a_ij * (W_s s_j)
        v_i gets mean_j b_ij (u_i x u_j) + c_ij r_ij
        t_i gets mean_j d_ij (t_i - t_j)

    There is a t if it `moves`.
    """

    def __init__(self, scalars: int, vectors: int, moves: bool) -> None:
        super().__init__(aggr="mean", node_dim=0)
        self.parts = [scalars, vectors, vectors, int(moves)]
        self.received = [scalars, 3 * vectors, 3 * int(moves)]
        self.of_target = nn.Linear(scalars, sum(self.parts))
        self.of_source = nn.Linear(scalars, sum(self.parts), bias=False)
        self.of_distance = nn.Linear(CHANNELS, sum(self.parts), bias=False)
        self.value = nn.Linear(scalars, scalars)
        self.mix = nn.Linear(vectors, vectors, bias=False)

    def forward(self, s: Tensor, v: Tensor, t: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Return the increments of s (N, F), v (N, 3, V) and t (N, 3) or, without translation, (N, 0).

        They are zero for an atom without neighbours.
        """
        mixed = self.mix(v)
        received = self.propagate(
            graph.edges,
            size=(len(s), len(s)),
            target=self.of_target(s),
            source=self.of_source(s),
            value=self.value(s),
            u=mixed / (MIN_LENGTH**2 + mixed.square().sum(dim=1, keepdim=True)).sqrt(),
            t=t,
            radial=graph.radial,
            direction=graph.direction,
        )
        to_s, to_v, to_t = received.split(self.received, dim=-1)
        return to_s, to_v.unflatten(-1, (3, -1)), to_t

    def message(
        self,
        target_i: Tensor,
        source_j: Tensor,
        value_j: Tensor,
        u_i: Tensor,
        u_j: Tensor,
        t_i: Tensor,
        t_j: Tensor,
        radial: Tensor,
        direction: Tensor,
    ) -> Tensor:
        """Return what atom i is sent by atom j, (M, F + 3 V + 3)."""
        a, b, c, d = (target_i + source_j + self.of_distance(radial)).split(self.parts, dim=-1)
        turn = b[:, None] * torch.linalg.cross(u_i, u_j, dim=1) + c[:, None] * direction[:, :, None]
        return torch.cat([a * value_j, turn.flatten(1), d * (t_i - t_j)], dim=-1)


class Gate(nn.Module):
    """Lengths of vectors inform scalars, scalars scale vectors (PaiNN's update block)."""

    def __init__(self, scalars: int, vectors: int) -> None:
        super().__init__()
        self.sizes = [scalars, vectors]
        self.norm = nn.LayerNorm(scalars)
        self.mix = nn.Linear(vectors, 2 * vectors, bias=False)
        self.hidden = nn.Linear(scalars + vectors, scalars)
        self.out = nn.Linear(scalars, scalars + vectors)

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Update scalars (N, F) and vectors (N, 3, V)."""
        measured, scaled = self.mix(v).chunk(2, dim=-1)
        length = (measured.square().sum(dim=1) + MIN_LENGTH**2).sqrt()
        hidden = nn.functional.silu(self.hidden(torch.cat([self.norm(s), length], dim=-1)))
        to_s, gate = self.out(hidden).split(self.sizes, dim=-1)
        return s + to_s, v + gate[:, None] * scaled


class Trunk(nn.Module):
    """Layers of messages and gates, both residual, and a last norm of the scalars."""

    def __init__(self, scalars: int, vectors: int, layers: int, moves: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(scalars) for _ in range(layers))
        self.messages = nn.ModuleList(Message(scalars, vectors, moves) for _ in range(layers))
        self.gates = nn.ModuleList(Gate(scalars, vectors) for _ in range(layers))
        self.last = nn.LayerNorm(scalars)

    def forward(self, s: Tensor, v: Tensor, t: Tensor, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """Return the final s, v and t; arguments as of `Message`."""
        for norm, message, gate in zip(self.norms, self.messages, self.gates, strict=True):
            to_s, to_v, to_t = message(norm(s), v, t, graph)
            s, v = gate(s + to_s, v + to_v)
            t = t + to_t
        return self.last(s), v, t
