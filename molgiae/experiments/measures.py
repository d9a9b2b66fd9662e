"""What several experiments measure."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


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


def knn_accuracy(
    known: Tensor, labels: NDArray[np.uint8], asked: Tensor, truth: NDArray[np.uint8], neighbours: int
) -> float:
    """Return the share of embeddings whose nearest known ones, by vote, have their label; ties go to the lowest label.

    Args:
        known: (K, D) embeddings, Euclidean.
        labels: (K,) of these.
        asked: (M, D) embeddings.
        truth: (M,) their labels.
        neighbours: that vote.
    """
    nearest = torch.cdist(asked, known).topk(neighbours, dim=1, largest=False).indices
    votes = torch.from_numpy(labels).long()[nearest.cpu()].mode(dim=1).values
    return float((votes.numpy() == truth).mean())
