"""Embeddings of unlabelled things: what a nearest-neighbour classifier, and an eye on a map, make of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.errors import ConfigError


def knn_accuracy(
    known: Tensor,
    labels: NDArray[np.uint8],
    asked: Tensor,
    truth: NDArray[np.uint8],
    neighbours: int,
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


def check_tsne() -> None:
    """Check, before hours of training, that maps can be made.

    Raises:
        ConfigError: if scikit-learn is not installed.
    """
    try:
        import sklearn.manifold  # noqa: F401, PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise ConfigError(
            "maps of embeddings need scikit-learn; install it with pip install 'molgiae[search]'"
        ) from error


def tsne(embedding: Tensor, seed: int) -> NDArray[np.float32]:
    """Return (M, 2) places in the plane of embeddings (M, D) by t-SNE (van der Maaten and Hinton 2008)."""
    from sklearn.manifold import TSNE  # noqa: PLC0415 (see `check_tsne`)

    perplexity = min(30.0, (len(embedding) - 1) / 3)
    model = TSNE(init="pca", perplexity=perplexity, random_state=seed)
    return np.asarray(model.fit_transform(embedding.double().cpu().numpy()), dtype=np.float32)
