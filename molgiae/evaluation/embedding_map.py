"""Embeddings in the plane, with what may colour them: composition, and an energy if the data have one."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.evaluation.descriptors import Floats
from molgiae.evaluation.report import Figures
from molgiae.experiments.neighbours import tsne
from molgiae.properties.labels import read_labelled
from molgiae.targets import find


def embedding_map(embedding: Floats, block: ConformerBlock, energy: Floats | None, seed: int) -> Figures:
    """A point for each conformer.

    Args:
        embedding: (M, D).
        block: M conformers.
        energy: (M,) per atom, nan where unknown; None for none.
        seed: of t-SNE.

    Returns:
        method, "t-SNE" or, without scikit-learn, "principal components"; `x` and `y`; `hetero`, the share of atoms
        other than carbon among those other than hydrogen; `energy` if there is one.
    """
    if find_spec("sklearn") and len(embedding) > 3:
        method, place = "t-SNE", tsne(torch.from_numpy(embedding), seed)
    else:
        centred = embedding - embedding.mean(axis=0)
        method, place = "principal components", centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
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
    return figures if energy is None else figures | {"energy": np.round(energy, 5).tolist()}


def energies(path: str | os.PathLike[str], block: ConformerBlock, name: str | None) -> Floats | None:
    """Energies per atom of the conformers of a block, less those of free atoms where these are known; eV by default.

    Args:
        path: the file that the block, or what it was drawn from, was read from.
        block: M conformers.
        name: a target of `molgiae.targets`, or a column; None for the enthalpy of an npz file that has it.

    Returns:
        (M,) nan where unknown; None if no name is given and there is none.

    Raises:
        ConfigError: if the column that is named is not there.
    """
    if name is None and Path(path).suffix != ".npz":
        return None
    try:
        find(name or "enthalpy")
        wanted: dict[str, list[str]] = {"targets": [name or "enthalpy"]}
    except ConfigError:
        wanted = {"target_columns": [str(name)]}
    try:
        labelled = read_labelled([str(path)], **wanted)  # type: ignore[arg-type]
    except ConfigError:
        if name is None:
            return None
        raise
    atoms = labelled.targets[0].references or {}
    free = np.add.reduceat(
        np.array([atoms.get(z, 0.0) for z in range(128)])[labelled.block.atomic_number],
        labelled.block.offset[:-1],
    )
    known = dict(
        zip(
            labelled.block.record.tolist(),
            (labelled.values[:, 0] - free) / labelled.block.n_atoms,
            strict=True,
        )
    )
    return np.array([known.get(record, np.nan) for record in block.record.tolist()])
