"""Embeddings in the plane, and the few numbers that tell most of them apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.output.page.content import Map
from molgiae.parts import Part

Floats = NDArray[np.float64]

AXES = 16
"""Principal components that are kept: distances of more hardly differ, and take long to compare."""


def principal(vectors: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return the first principal components (M, A) of vectors (M, D), and the shares (A,) of the variance they have.

    A is `AXES`, or less where there are no more. The larger end of each axis is the one that is farther from the mean,
    so that the same vectors have the same picture.
    """
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variance, axes = np.linalg.eigh(centered.T @ centered)
    order = np.argsort(-variance, kind="stable")[:AXES]
    place = centered @ axes[:, order]
    flip = np.where(place.max(axis=0) < -place.min(axis=0), -1.0, 1.0)
    variance = variance.clip(min=0)
    return place * flip, variance[order] / (variance.sum() or 1.0)


def maps_of(part: Part, place: Floats, shares: Floats, *, tsne: bool, seed: int) -> list[Map]:
    """Return the map of a part by its first two principal components, and by t-SNE of all that are kept, if wanted.

    Args:
        part: of the embedding.
        place: (M, A) principal components.
        shares: (A,) of the variance.
        tsne: whether to add t-SNE; three conformers or components and fewer have none.
        seed: of t-SNE.
    """
    flat, (first, second) = np.pad(place, ((0, 0), (0, 2)))[:, :2], np.pad(shares, (0, 2))[:2]
    axes = f"principal component 1 ({first:.1%} of the variance)", f"2 ({second:.1%})"
    about = f"{part.name}: {part.meaning}."
    maps = [Map(f"{part.name}, PCA", flat, axes, about)]
    if tsne and min(place.shape) > 3:
        import torch  # noqa: PLC0415 (slow to import)

        from molgiae.evaluation import embedding_map  # noqa: PLC0415

        around = embedding_map.tsne(torch.from_numpy(place), seed).astype(np.float64)
        axes = (
            f"t-SNE of {len(shares)} principal components ({shares.sum():.1%} of the variance)",
            "its other axis",
        )
        maps.append(Map(f"{part.name}, t-SNE", around, axes, about))
    return maps
