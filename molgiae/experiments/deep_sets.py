"""Networks of sets: Deep Sets (Zaheer et al., NeurIPS 2017) in, one element for each position out.

The networks of Appendix C of the paper. Features are averaged over the elements, so they do not depend on their
order; each element also gets a score, by which a set can be sorted. The decoder is one network for all elements: it
is told the embedding and which position to decode.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from molgiae.nn.slots import LinearPlusResidual
from molgiae.tensors import Embedding

SCORE_SCALE = 1.5
"""Scale of the scores: those of an untrained network then differ by several times the usual temperature."""

MEAN_SCALE = 5.0
"""Scale of mean features: one element among dozens has to make a difference."""

RAMP_SLOPE = 4.0
"""Slope of the ramps: an element more or less counts about as much as a position more or less."""


def dense(*sizes: int) -> nn.Sequential:
    """Return dense layers from ``sizes[0]`` to ``sizes[-1]`` features, with layer norm and ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def bottleneck(inputs: int, embedding_dim: int, width: int, layers: int) -> nn.Sequential:
    """Return a network to an embedding: (B, inputs) to (B, D), each number with unit variance over a batch."""
    network = LinearPlusResidual(inputs, width, layers, embedding_dim)
    return nn.Sequential(network, nn.BatchNorm1d(embedding_dim))


class DeepSets(nn.Module):
    """Eta and mu of sets whose elements are one of F kinds; hidden layers have a width of W features."""

    def __init__(self, kinds: int, embedding_dim: int, width: int) -> None:
        super().__init__()
        self.element = dense(kinds, width, width, width)
        self.score = nn.Linear(width, 1)
        self.whole = bottleneck(width, embedding_dim, width, layers=1)

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map one-hot sets (B, n, F) to mu, scores (B, n), and mean features (B, W) for `invariant`."""
        # the network runs once for each kind, not for each element
        features = self.element(torch.eye(x.shape[-1], dtype=x.dtype, device=x.device))
        return SCORE_SCALE * (x @ self.score(features))[..., 0], x.mean(dim=1) @ features

    def invariant(self, shared: Tensor, canonical: Tensor) -> Embedding:
        """Return eta, (B, D), of the mean features."""
        return self.whole(MEAN_SCALE * shared)


class PositionDecoder(nn.Module):
    """Delta: an embedding and a one-hot position to the logits of the element there.

    A linear map of both side by side is the sum of two. That of the position starts as ramps, since neighbours are
    alike: an element that comes before a place also comes before the next. Each ramp crosses zero somewhere else.
    """

    def __init__(self, embedding_dim: int, positions: int, kinds: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(embedding_dim, width)
        place, crossing = torch.linspace(-1, 1, positions)[:, None], torch.empty(width).uniform_(-1, 1)
        self.position = nn.Parameter(RAMP_SLOPE * (place - crossing) * torch.randn(width))
        self.element = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), dense(width, width, width, kinds))

    def forward(self, embedding: Embedding, positions: Tensor | None = None) -> Tensor:
        """Map (B, D) to logits (B, K, F) of the elements at the positions, (K,) int64, or at all n."""
        start = self.position if positions is None else self.position[positions]
        return self.element(self.embedding(embedding)[:, None] + start)
