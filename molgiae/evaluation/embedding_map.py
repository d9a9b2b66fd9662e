"""Embeddings in the plane, with what may colour them: composition, and a property if the data have one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.evaluation.descriptors import Floats
from molgiae.evaluation.report import Figures
from molgiae.properties.labels import read_labelled
from molgiae.properties.targets import find

DEFAULT_COLOUR = "enthalpy"
"""What colours the map of an npz file that has it."""


@dataclass(frozen=True)
class Colour:
    """A property of conformers."""

    label: str  # its name and unit
    values: dict[tuple[str, int], float]  # by source and record

    def of(self, block: ConformerBlock) -> Floats:
        """Return (M,) the values of M conformers, nan where unknown."""
        return np.array([self.values.get(place, np.nan) for place in _places(block)])


def embedding_map(embedding: Floats, block: ConformerBlock, colour: Colour | None, seed: int) -> Figures:
    """Return a point for each of M conformers with embeddings (M, D).

    `method` is "t-SNE" or, of few numbers, "principal components"; `x` and `y`; `hetero`, the share of atoms other
    than carbon among those other than hydrogen; `colour` and `colour_label` if there is one.
    """
    if min(embedding.shape) > 3:
        method, place = "t-SNE", tsne(torch.from_numpy(embedding), seed)
    else:
        centered, method = embedding - embedding.mean(axis=0), "principal components"
        place = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
    heavy, carbon = (
        np.add.reduceat(kind, block.offset[:-1], dtype=np.int64)
        for kind in (block.atomic_number > 1, block.atomic_number == 6)
    )
    x, y = np.round(np.pad(place, ((0, 0), (0, 2 - place.shape[1]))), 3).T
    figures: Figures = {
        "method": method,
        "x": x.tolist(),
        "y": y.tolist(),
        "hetero": np.round((heavy - carbon) / np.maximum(heavy, 1), 4).tolist(),
    }
    if colour is not None:
        figures |= {"colour": np.round(colour.of(block), 5).tolist(), "colour_label": colour.label}
    return figures


def tsne(embedding: Tensor, seed: int) -> NDArray[np.float32]:
    """Return (M, 2) places in the plane of embeddings (M, D) by t-SNE (van der Maaten and Hinton 2008)."""
    from sklearn.manifold import TSNE  # noqa: PLC0415 (slow to import)

    perplexity = min(30.0, (len(embedding) - 1) / 3)
    model = TSNE(init="pca", perplexity=perplexity, random_state=seed)
    return np.asarray(model.fit_transform(embedding.double().cpu().numpy()), dtype=np.float32)


def read_colour(path: str | os.PathLike[str], name: str | None) -> Colour | None:
    """Return a property of all conformers of a file; extensive ones per atom, less that of the free atoms.

    `name` is a target of `molgiae.properties.targets` or a column; None for `DEFAULT_COLOUR` of npz files that have
    it.

    Raises:
        ConfigError: if what is named is not there.
    """
    if name is None and Path(path).suffix != ".npz":
        return None
    try:
        known, column = [find(name or DEFAULT_COLOUR).name], None
    except ConfigError:
        known, column = [], [str(name)]
    try:
        labelled = read_labelled([str(path)], known, target_columns=column)
    except ConfigError:
        if name is None:
            return None
        raise
    block, values, target = labelled.block, labelled.values[:, 0], labelled.targets[0]
    label = target.heading
    if target.extensive:
        atoms = target.references
        free = [0.0 if atoms is None else atoms.get(z, np.nan) for z in block.atomic_number.tolist()]
        values = values - np.add.reduceat(free, block.offset[:-1])
        values, label = values / block.n_atoms, f"{label} per atom"
    return Colour(label, dict(zip(_places(block), values.tolist(), strict=True)))


def _places(block: ConformerBlock) -> Iterable[tuple[str, int]]:
    return zip(block.source, block.record.tolist(), strict=True)
