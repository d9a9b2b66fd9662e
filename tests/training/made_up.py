"""Labels and overlays that no chemistry made, as files and in memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from molgiae.data.conformer import Conformer
from molgiae.nn.labels import CHEMISTRY
from molgiae.training.overlays import Overlays, read_overlays
from tests.conformers import random_conformer

ENERGY = {1: -13.5, 6: -50.25, 7: -70.75, 8: -110.0}
"""What an atom of each element adds to a made-up energy, eV."""

Arrays = dict[str, np.ndarray[Any, Any]]


def some_conformers(count: int, first: int = 0) -> list[Conformer]:
    return [random_conformer(3 + seed % 7, seed) for seed in range(first, first + count)]


def _of_atoms(conformers: list[Conformer]) -> Arrays:
    return {
        "n_atoms": np.array([len(c) for c in conformers]),
        "atomic_number": np.concatenate([c.atomic_number for c in conformers]),
        "position": np.concatenate([c.position for c in conformers]).astype(np.float32),
    }


def labels_of(conformers: list[Conformer], seed: int = 0) -> Arrays:
    """Energies are those of the atoms but for a tenth of an eV; the rest is random."""
    rng = np.random.default_rng(seed)
    size, atoms = len(conformers), sum(map(len, conformers))
    energy = np.array([sum(ENERGY[z] for z in c.atomic_number.tolist()) for c in conformers])
    shares, member = rng.normal(size=(atoms, 2)), rng.integers(2, size=(atoms, CHEMISTRY - 2))
    return _of_atoms(conformers) | {
        "energy": energy + 0.1 * rng.uniform(-1, 1, size),
        "gap": rng.normal(5, 2, size),
        "formal_charge": np.zeros(size, np.int64),
        "dipole": rng.normal(size=(size, 3)),
        "polarizability": rng.normal(80, 20, size),
        "forces": rng.normal(size=(atoms, 3)).astype(np.float32),
        "charges": rng.normal(size=atoms).astype(np.float32),
        "chemistry": np.hstack([shares, member]).astype(np.float32),
    }


def similarities(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return (k, G, G) Tanimoto similarities of vectors (k, G, D)."""
    both = np.einsum("kad,kbd->kab", vectors, vectors)
    square = np.einsum("kaa->ka", both)
    return both / (square[:, :, None] + square[:, None] - both)


def vectors_of(
    index: np.ndarray[Any, Any], mirrored: np.ndarray[Any, Any], size: int
) -> list[np.ndarray[Any, Any]]:
    """Return (k, G, D) vectors, of shape and of color, that each conformer and each mirror image has in all groups."""
    rng = np.random.default_rng(7)
    return [rng.normal(1.0, 0.5, (2, size, dimension))[mirrored.astype(int), index] for dimension in (6, 4)]


def overlays_of(conformers: list[Conformer], groups: int = 6, of: int = 5, seed: int = 0) -> Arrays:
    """Groups whose similarities are those of `vectors_of`; the last of each group is a mirror image."""
    rng = np.random.default_rng(seed)
    index = np.stack([rng.permutation(len(conformers))[:of] for _ in range(groups)])
    mirrored = np.arange(of) == of - 1
    mirrored = np.broadcast_to(mirrored, index.shape).copy()
    shape, color = vectors_of(index, mirrored, len(conformers))
    return _of_atoms(conformers) | {
        "index": index,
        "mirrored": mirrored,
        "tanimoto": np.stack([similarities(shape), similarities(color)], axis=-1).astype(np.float32),
        "color_volume": np.square(color).sum(axis=-1).astype(np.float32),
    }


def write(path: Path, arrays: Arrays, **changes: Any) -> Path:
    """Write with other arrays; None leaves one out."""
    changed = {name: array for name, array in (arrays | changes).items() if array is not None}
    np.savez(path, **changed)
    return path


def overlays_in_memory() -> Overlays:
    with TemporaryDirectory() as folder:
        return read_overlays([write(Path(folder) / "overlays.npz", overlays_of(some_conformers(12)))])
