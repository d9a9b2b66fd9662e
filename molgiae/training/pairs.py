"""Pairs of conformers with their symmetry-corrected RMSD: what the shape part of an embedding learns from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from molgiae.data.blocks import concatenate
from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import ConformerBlock
from molgiae.matching import superpose_pairs
from molgiae.parallel.progress import progress_bar

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CHUNK = 1000
"""Pairs superposed between two moves of the progress bar."""

MAX_PAIRS, MAX_MIRRORED = 100_000, 40_000
"""Most pairs of conformers of one molecule, with mirror images twice as many, and of conformers and mirror images."""

MAX_OF_ONE_MOLECULE = 20
"""Most pairs from one molecule, so that flexible ones do not rule the others."""


ACHIRAL = 0.1
"""RMSD of a conformer from its mirror image, angstrom, up to which its methyl groups are turned."""

TURNED = 12
"""Copies of such a conformer with turned methyl groups."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of M conformers and their mirror images.

    Attributes:
        block: the conformers.
        ends: (K, 2) m for a conformer, M + m for the mirror image of conformer m.
        rmsd: (K,) angstrom, symmetry-corrected.
    """

    block: ConformerBlock
    ends: Ints
    rmsd: Floats

    def __len__(self) -> int:
        return len(self.rmsd)


def conformer_pairs(block: ConformerBlock, seed: int, file: Path | None, progress: bool) -> Pairs:
    """Return pairs of conformers of one molecule, as they are and with one of the two mirrored, and with own images.

    Conformers of one molecule are those of one title with the same bonds, superposed over the symmetries of the
    bond graph. Copies of conformers that equal their mirror image but for their methyl groups, which are turned, are
    added: their mirror images are what a network learns last. An npz file keeps what was found for a run that is
    resumed.
    """
    if file is not None and file.exists():
        with np.load(file) as saved:
            added = replace(block.take(saved["copied"]), position=saved["position"])
            return Pairs(concatenate([block, added]), saved["ends"], saved["rmsd"])
    rng = np.random.default_rng(seed)
    titles = [title or m for m, title in enumerate(block.title)]
    drawn = draw_pairs(titles, MAX_PAIRS, MAX_OF_ONE_MOLECULE, rng)
    own = np.repeat(np.sort(rng.permutation(len(block))[:MAX_MIRRORED]), 2).reshape(-1, 2)
    with progress_bar(desc="pairs", unit="pair", show=progress) as bar:
        images = _superposed(block, own, True, bar)
        copied = np.repeat(own[images <= ACHIRAL, 0], TURNED)
        added = with_turned_methyls(block.take(copied), rng)
        whole, copies = concatenate([block, added]), len(block) + np.arange(len(added))
        moved = np.any(added.position != block.take(copied).position, axis=1)
        copies = copies[np.add.reduceat(moved, added.offset[:-1]) > 0] if len(added) else copies
        again = np.repeat(copies, 2).reshape(-1, 2)
        parts = [(drawn, False), (drawn, True), (again, True)]
        rmsd = [*(_superposed(whole, ends, mirror, bar) for ends, mirror in parts), images]
    parts.append((own, True))
    ends = np.concatenate([ends + np.array([0, len(whole) * mirror]) for ends, mirror in parts])
    known = np.isfinite(np.concatenate(rmsd))
    pairs = Pairs(whole, ends[known], np.concatenate(rmsd)[known])
    if file is not None:
        np.savez(file, ends=pairs.ends, rmsd=pairs.rmsd, copied=copied, position=added.position)
    return pairs


def with_turned_methyls(block: ConformerBlock, rng: np.random.Generator) -> ConformerBlock:
    """Return the conformers with every XH3 group turned about its bond by a random angle."""
    position = block.position.copy()
    for m, conformer in enumerate(block):
        partners = defaultdict(list)
        for a, b in known_bonds(conformer).tolist():
            partners[a].append(b)
            partners[b].append(a)
        for center, around in partners.items():
            hydrogens = [a for a in around if conformer.atomic_number[a] == 1]
            others = [a for a in around if conformer.atomic_number[a] > 1]
            if len(hydrogens) == 3 and len(others) == 1:
                pivot = conformer.position[center]
                axis = pivot - conformer.position[others[0]]
                turn = Rotation.from_rotvec(2 * np.pi * rng.random() * axis / np.linalg.norm(axis))
                rows = int(block.offset[m]) + np.array(hydrogens)
                position[rows] = pivot + turn.apply(conformer.position[hydrogens] - pivot)
    return replace(block, position=position)


def _superposed(block: ConformerBlock, ends: Ints, mirror: bool, bar: tqdm[None]) -> Floats:
    """Return (K,) RMSDs of pairs, the second mirrored if asked; NaN where their bonds differ."""
    second = replace(block, position=-block.position) if mirror else block
    rmsd = np.empty(len(ends))
    for start in range(0, len(ends), CHUNK):
        part = ends[start : start + CHUNK]
        pairs = [block[m] for m in part[:, 0].tolist()], [second[m] for m in part[:, 1].tolist()]
        rmsd[start : start + CHUNK] = superpose_pairs(*pairs, match="bonds").rmsd
        bar.update(len(part))
    return rmsd


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
