"""What several experiments measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.experiments.labelled import Labelled


def parameters(model: nn.Module) -> int:
    """Count the numbers that are trained."""
    return sum(weight.numel() for weight in model.parameters())


def different_pairs(number: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw at most `size` pairs of two different ones of a number of things, (2, P) int64."""
    pair = torch.randint(number, (2, size), generator=generator)
    return pair[:, pair[0] != pair[1]]


def distances(s: Tensor, pair: Tensor) -> Tensor:
    """Return the Euclidean distances (P,) of pairs (2, P) of embeddings (M, D)."""
    return (s[pair[0]] - s[pair[1]]).norm(dim=1)


def relative_change(after: Tensor, before: Tensor) -> Tensor:
    """Return the length of the change of embeddings (B, D) over their length, (B,)."""
    return (after - before).norm(dim=1) / before.norm(dim=1)


def knn_accuracy(known: Labelled, asked: Labelled, neighbours: int) -> float:
    """Return the share of embeddings (M, D) whose nearest known ones (K, D), by vote, have their label.

    Of labels with as many votes the lowest wins.
    """
    nearest = torch.cdist(asked.x, known.x).topk(neighbours, dim=1, largest=False).indices
    votes = torch.from_numpy(known.label).long()[nearest.cpu()].mode(dim=1).values
    return float((votes.numpy() == asked.label).mean())
