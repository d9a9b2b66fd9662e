"""What embeddings keep: how well simple methods predict properties from them.

Properties of the first molecules are known, those of the others are asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of the linear map, for each molecule, with features and targets of unit variance; the best on the last fifth of the
known ones is taken."""

WIDTHS = (0.5, 1.0, 2.0, 4.0)
"""Of the Gaussian kernel, in units of the median distance; chosen as the penalty is."""


def standardized(values: Tensor, known: int) -> Tensor:
    """Scale columns to mean 0 and variance 1 over the first `known` rows; constant ones are 0."""
    first = values[:known]
    spread = first.std(dim=0)
    scaled = (values - first.mean(dim=0)) / spread.clamp_min(1e-12)
    return torch.where(spread > 1e-9, scaled, 0.0)


def explained(predicted: Tensor, truth: Tensor) -> float:
    """Return the mean over the targets of the share of variance explained, R squared."""
    left = (predicted - truth).square().sum(dim=0) / (truth - truth.mean(dim=0)).square().sum(dim=0)
    return float((1 - left).mean())


def linear_probe(features: Tensor, targets: Tensor, known: int) -> float:
    """Return R squared of ridge regression on standardized features."""
    x, y = standardized(features, known), standardized(targets, known)

    def r_squared(penalty: float, first: int, last: int) -> float:
        gram = x[:first].mT @ x[:first] + penalty * first * torch.eye(x.shape[1], dtype=x.dtype)
        weights = torch.linalg.solve(gram, x[:first].mT @ y[:first])
        return explained(x[first:last] @ weights, y[first:last])

    penalty = max(PENALTIES, key=lambda each: r_squared(each, 4 * known // 5, known))
    return r_squared(penalty, known, len(x))


def neighbour_probe(features: Tensor, targets: Tensor, known: int, neighbours: int) -> float:
    """Return R squared of the mean over the nearest neighbours."""
    y = standardized(targets, known)
    nearest = torch.cdist(features[known:], features[:known]).topk(neighbours, largest=False).indices
    return explained(y[nearest].mean(dim=1), y[known:])


def kernel_probe(features: Tensor, targets: Tensor, known: int) -> float:
    """Return R squared of kernel ridge regression with a Gaussian kernel of distances."""
    y = standardized(targets, known)
    apart = torch.cdist(features, features[:known])
    apart = apart / apart[:known].median().clamp_min(1e-12)

    def r_squared(width: float, penalty: float, first: int, last: int) -> float:
        kernel = (-(apart[:last, :first] / width).square() / 2).exp()
        ridge = penalty * torch.eye(first, dtype=kernel.dtype)
        weights = torch.linalg.solve(kernel[:first] + ridge, y[:first])
        return explained(kernel[first:] @ weights, y[first:last])

    width, penalty = max(
        ((width, penalty) for width in WIDTHS for penalty in PENALTIES),
        key=lambda each: r_squared(each[0], each[1], 4 * known // 5, known),
    )
    return r_squared(width, penalty, known, len(y))
