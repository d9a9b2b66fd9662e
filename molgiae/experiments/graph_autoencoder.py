"""A variational autoencoder of graphs that is equivariant under permutations of the nodes: a latent for every node.

Encoder: messages along the bonds (Gilmer et al. 2017) beside the mean over all nodes. Decoder: attention among the
latents (Vaswani et al. 2017), then a network of each node for its kind and one of each pair for its bond. Both do the
same to every node. What is equivariant gives equal nodes equal latents, of which no decoder can say which is bonded to
which; so equal nodes are numbered (`molecular_graphs.among_equals`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from molgiae.experiments.molecular_graphs import KINDS, Graphs
from molgiae.nn.slots import DenseResidual

MIN_LOG_VARIANCE = -8.0


class Messages(nn.Module):
    """A layer: features of a node from its own, the sum of those of its neighbours and the mean of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(3 * width, width)
        self.dense = DenseResidual(width)

    def forward(self, h: Tensor, bonded: Tensor) -> Tensor:
        """Map features (B, n, W) and edges (B, n, n), 0 or 1, to features."""
        own = self.norm(h)
        around = [own, bonded @ own, own.mean(dim=1, keepdim=True).expand_as(own)]
        return self.dense(h + self.mix(torch.cat(around, dim=2)))


class Attention(nn.Module):
    """A layer: features of a node from its own and, by attention, from those of all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.dense = DenseResidual(width)

    def forward(self, h: Tensor) -> Tensor:
        """Map features (B, n, W) to features."""
        query, key, value = (
            self.project(self.norm(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        weight = (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)
        return self.dense(h + self.mix((weight @ value).transpose(1, 2).flatten(2)))


class GraphAutoencoder(nn.Module):
    """Latents (B, n, F) of graphs and back.

    Args:
        nodes: n.
        features: F, of a latent.
        width: of the layers.
        layers: of messages, and half as many of attention.
        heads: of attention.
    """

    def __init__(self, nodes: int, features: int, width: int, layers: int, heads: int = 4) -> None:
        super().__init__()
        self.nodes = nodes
        self.read = nn.Linear(len(KINDS) + nodes, width)
        self.messages = nn.ModuleList(Messages(width) for _ in range(layers))
        self.posterior = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * features))
        self.open = nn.Linear(features, width)
        self.attention = nn.Sequential(*(Attention(width, heads) for _ in range(layers // 2)))
        self.kind = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(KINDS)))
        self.ends = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.bond = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def encode(self, graphs: Graphs, number: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, (B, n, F) each, of the latents.

        Args:
            graphs: B of them.
            number: (B, n) int64 of nodes `among_equals`.
        """
        bonded = graphs.bonded.float()
        h = self.read(
            torch.cat([one_hot(graphs.kind, len(KINDS)), one_hot(number, self.nodes)], dim=2).float()
        )
        for layer in self.messages:
            h = layer(h, bonded)
        mean, log_variance = self.posterior(h).chunk(2, dim=2)
        return mean, log_variance.clamp_min(MIN_LOG_VARIANCE)

    def decode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of kinds (B, n, `KINDS`), and of bonds of the pairs i < j (B, n (n - 1) / 2)."""
        h = self.attention(self.open(z))
        ends = self.ends(h)
        i, j = torch.triu_indices(self.nodes, self.nodes, 1)
        first, second = ends[:, i], ends[:, j]
        return self.kind(h), self.bond(torch.cat([first + second, first * second], dim=2))[..., 0]

    def loss(self, graphs: Graphs, number: Tensor, noise: Tensor, weight: float = 1.0) -> Tensor:
        """Return the negative evidence lower bound of a graph, nats, mean over a batch.

        Args:
            graphs: B of them.
            number: (B, n) int64 of nodes `among_equals`.
            noise: (B, n, F) standard normal.
            weight: of the divergence of the posterior from the prior.
        """
        mean, log_variance = self.encode(graphs, number)
        kind, bond = self.decode(mean + noise * (log_variance / 2).exp())
        i, j = torch.triu_indices(self.nodes, self.nodes, 1)
        error = cross_entropy(kind.flatten(0, 1), graphs.kind.flatten(), reduction="sum")
        error = error + binary_cross_entropy_with_logits(
            bond, graphs.bonded[:, i, j].float(), reduction="sum"
        )
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return (error + weight * divergence) / len(graphs)

    @torch.no_grad()
    def decoded(self, z: Tensor) -> Graphs:
        """Return the likeliest graphs of latents (B, n, F)."""
        kind, bond = self.decode(z.float())
        i, j = torch.triu_indices(self.nodes, self.nodes, 1)
        bonded = torch.zeros(len(z), self.nodes, self.nodes, dtype=torch.bool)
        bonded[:, i, j] = bonded[:, j, i] = (bond > 0).cpu()
        return Graphs(kind.argmax(dim=2).cpu(), bonded)
