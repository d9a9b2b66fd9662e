"""Small molecules with values, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.properties.labels import Labelled
from molgiae.properties.targets import Target
from tests.data.molfiles import molecule, sdf_record, xyz_frame

FREE = {"C": -37.844411, "H": -0.497912, "O": -75.062219, "N": -54.581501, "Cl": -460.0}


def energy(k: int) -> float:
    """A total energy, Ha, a little below that of the free atoms; molecules below differ in composition."""
    return sum(FREE[atom[0]] for atom in molecule(k)) - 0.15 * len(molecule(k)) - 0.001 * k


def write_sdf(path: Path, data: list[list[tuple[str, str]]], titles: list[str] | None = None) -> Path:
    names = titles or [f"m{k}" for k in range(len(data))]
    path.write_text("".join(sdf_record(molecule(k), names[k], data=items) for k, items in enumerate(data)))
    return path


def write_xyz(path: Path, comments: list[str]) -> Path:
    path.write_text("".join(xyz_frame(molecule(k), comment) for k, comment in enumerate(comments)))
    return path


def chain(n: int, title: str = "", z: int = 6, seed: int = 0, ring: bool = False, tail: int = 0) -> Conformer:
    """n heavy atoms in a zigzag or a ring, 1.5 angstrom apart, with a tail on the ring; atoms in any order."""
    if ring:
        angle = 2 * np.pi * np.arange(n) / n
        radius = 0.75 / np.sin(np.pi / n)
        position = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1)
        away = np.stack([radius + 1.5 * np.arange(1, tail + 1), np.zeros(tail), np.zeros(tail)], axis=1)
        position = np.concatenate([position, away])
    else:
        step = np.arange(n)
        position = np.stack([1.25 * step, 0.83 * (step % 2), 0.0 * step], axis=1)
    rng = np.random.default_rng(seed)
    number = np.array([z] * (n + tail), np.uint8) if ring else np.array([6] * (n - 1) + [z], np.uint8)
    order = rng.permutation(len(number))
    return Conformer(number[order], position[order] + rng.normal(0, 0.01, position.shape), title=title)


def labelled_of(
    conformers: list[Conformer], values: np.ndarray | None = None, split: list[int] | None = None
) -> Labelled:
    target = Target.of("x")
    column = np.arange(len(conformers), dtype=float)[:, None] if values is None else values
    parts = None if split is None else np.array(split, np.int8)
    return Labelled(ConformerBlock.of(conformers), column, (target,) * column.shape[1], parts)
