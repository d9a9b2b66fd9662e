"""Pairs of conformers with their symmetry-corrected RMSD: what the shape part of an embedding learns from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from molgiae.data.conformer import ConformerBlock
from molgiae.matching import superpose_pairs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CHUNK = 1000
"""Pairs superposed between two moves of the progress bar."""

MAX_OF_MOLECULES, MAX_OF_ISOMERS = 80_000, 100_000
"""Most pairs of conformers of one molecule, and of isomers; with mirror images twice as many."""

MAX_OF_ONE_MOLECULE = 20
"""Most pairs from one molecule, so that flexible ones do not rule the others."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of M conformers and their mirror images.

    Attributes:
        ends: (K, 2) m for a conformer, M + m for the mirror image of conformer m.
        rmsd: (K,) angstrom, symmetry-corrected.
    """

    ends: Ints
    rmsd: Floats

    def __len__(self) -> int:
        return len(self.rmsd)


def conformer_pairs(
    block: ConformerBlock, seed: int, file: Path | None, progress: bool
) -> tuple[Pairs, Pairs]:
    """Return pairs of conformers of one molecule, and of isomers, each as they are and with one of the two mirrored.

    Conformers of one molecule are those of one title with the same bonds, superposed over the symmetries of the
    bond graph; isomers have one formula and are superposed over all matchings within elements. An npz file keeps what
    was found for a run that is resumed.
    """
    if file is not None and file.exists():
        with np.load(file) as saved:
            if {"bonds_ends", "atoms_ends"} <= set(saved.files):
                one, other = (
                    Pairs(saved[f"{kind}_ends"], saved[f"{kind}_rmsd"]) for kind in ("bonds", "atoms")
                )
                return one, other
    rng = np.random.default_rng(seed)
    titles = [title or m for m, title in enumerate(block.title)]
    formulas = [np.sort(c.atomic_number).tobytes() for c in block]
    drawn = (
        draw_pairs(titles, MAX_OF_MOLECULES, MAX_OF_ONE_MOLECULE, rng),
        draw_pairs(formulas, MAX_OF_ISOMERS, None, rng),
    )
    mirror = np.array([0, len(block)])
    one_molecule, one_formula = (np.concatenate([ends, ends + mirror]) for ends in drawn)
    total = len(one_molecule) + len(one_formula)
    with tqdm(total=total, desc="pairs", unit="pair", disable=not progress) as bar:
        one = _superposed(block, one_molecule, "bonds", bar)
        other = _superposed(block, one_formula, "atoms", bar)
    if file is not None:
        np.savez(file, bonds_ends=one.ends, bonds_rmsd=one.rmsd, atoms_ends=other.ends, atoms_rmsd=other.rmsd)
    return one, other


def _superposed(block: ConformerBlock, ends: Ints, match: str, bar: tqdm[None]) -> Pairs:
    """Return pairs with their RMSD, without those that have none as their bonds differ."""
    mirrored = replace(block, position=-block.position)
    rmsd = np.empty(len(ends))
    for start in range(0, len(ends), CHUNK):
        part = ends[start : start + CHUNK]
        first, second = (
            [(mirrored if place >= len(block) else block)[place % len(block)] for place in column]
            for column in part.T.tolist()
        )
        rmsd[start : start + CHUNK] = superpose_pairs(first, second, match=match).rmsd
        bar.update(len(part))
    return Pairs(ends[np.isfinite(rmsd)], rmsd[np.isfinite(rmsd)])


def draw_pairs(keys: Sequence[Hashable], most: int, of_each: int | None, rng: np.random.Generator) -> Ints:
    """Return (K, 2) distinct pairs of places with equal keys, at most so many in all and of each key."""
    groups = defaultdict(list)
    for m, key in enumerate(keys):
        groups[key].append(m)
    found: list[tuple[int, int]] = []
    members = [group for group in groups.values() if len(group) > 1]
    total = sum(map(len, members))
    for group in members:
        size = len(group)
        every = size * (size - 1) // 2
        limit = min(every, of_each or max(1, round(most * size / total)))
        if every <= 4 * limit:
            pairs = [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
        else:
            some = rng.integers(size, size=(2 * limit, 2))
            pairs = sorted({(group[min(a, b)], group[max(a, b)]) for a, b in some.tolist() if a != b})
        found += [pairs[k] for k in rng.permutation(len(pairs))[:limit].tolist()]
    chosen = rng.permutation(len(found))[:most]
    return np.array(found, dtype=np.int64).reshape(-1, 2)[np.sort(chosen)]
