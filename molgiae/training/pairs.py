"""Pairs of conformers with their symmetric RMSD: what the shape part of an embedding learns from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
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

ONE_MOLECULE, ONE_FORMULA = 80_000, 10_000
"""Most pairs of conformers of one molecule, and of isomers."""

OF_A_MOLECULE = 20
"""Most pairs from one molecule, so that flexible ones do not rule the others."""


def conformer_pairs(
    block: ConformerBlock, seed: int, file: Path | None, progress: bool
) -> tuple[Ints, Floats]:
    """Pairs of conformers of one molecule, and of isomers, with their RMSD.

    Conformers of one molecule are those of one title with the same bonds, superposed over the symmetries of the
    bond graph; isomers have one formula and are superposed over all matchings within elements.

    Args:
        block: M conformers.
        seed: of the choice.
        file: npz file that keeps what was found for a run that is resumed; None for none.
        progress: whether to show a bar on stderr.

    Returns:
        pairs (K, 2) of places in the block, and RMSD (K,) in angstrom.
    """
    if file is not None and file.exists():
        with np.load(file) as saved:
            return saved["pairs"], saved["rmsd"]
    rng = np.random.default_rng(seed)
    kinds = {
        "bonds": drawn([t or m for m, t in enumerate(block.title)], ONE_MOLECULE, OF_A_MOLECULE, rng),
        "atoms": drawn([np.sort(c.atomic_number).tobytes() for c in block], ONE_FORMULA, None, rng),
    }
    pairs, rmsd = [], []
    with tqdm(total=sum(map(len, kinds.values())), desc="pairs", unit="pair", disable=not progress) as bar:
        for match, chosen in kinds.items():
            for start in range(0, len(chosen), CHUNK):
                part = chosen[start : start + CHUNK]
                conformers = {m: block[m] for m in np.unique(part).tolist()}
                first, second = ([conformers[m] for m in column] for column in part.T.tolist())
                found = superpose_pairs(first, second, match=match).rmsd
                pairs.append(part[np.isfinite(found)])
                rmsd.append(found[np.isfinite(found)])
                bar.update(len(part))
    result = np.concatenate([np.empty((0, 2), np.int64), *pairs]), np.concatenate([np.empty(0), *rmsd])
    if file is not None:
        np.savez(file, pairs=result[0], rmsd=result[1])
    return result


def drawn(keys: Sequence[Hashable], most: int, of_each: int | None, rng: np.random.Generator) -> Ints:
    """(K, 2) distinct pairs of places with equal keys, at most so many in all and of each key."""
    groups = defaultdict(list)
    for m, key in enumerate(keys):
        groups[key].append(m)
    found: list[tuple[int, int]] = []
    members = [group for group in groups.values() if len(group) > 1]
    for group in members:
        size = len(group)
        every = size * (size - 1) // 2
        limit = min(every, of_each or max(1, round(most * size / sum(map(len, members)))))
        if every <= 4 * limit:
            pairs = [(a, b) for i, a in enumerate(group) for b in group[i + 1 :]]
            found += [pairs[k] for k in rng.permutation(every)[:limit].tolist()]
        else:
            some = rng.integers(size, size=(2 * limit, 2))
            distinct = {(group[min(a, b)], group[max(a, b)]) for a, b in some.tolist() if a != b}
            found += sorted(distinct)[:limit] if len(distinct) > limit else sorted(distinct)
    chosen = rng.permutation(len(found))[:most]
    return np.array(found, dtype=np.int64).reshape(-1, 2)[np.sort(chosen)]
