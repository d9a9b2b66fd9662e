"""Whether distances of embeddings say what the conformers say: symmetry-corrected RMSD and neighbourhood."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import Floats, Panel
from molgiae.evaluation.report import Figures, Track
from molgiae.matching import superpose_pairs

Pairs = NDArray[np.int64]

PAIRS_AT_A_TIME = 100
"""Pairs superposed between two moves of the progress bar."""

ROWS_AT_A_TIME = 1024
"""Rows of a distance matrix in memory at a time."""

MIN_PAIRS_OF_MOLECULE = 6
"""Pairs of conformers of one molecule from which its own rank correlation means something."""


def names_of(block: ConformerBlock) -> list[Hashable]:
    """Return what tells molecules apart: titles, or the number of the conformer where there is none."""
    return [title or m for m, title in enumerate(block.title)]


def formulas_of(block: ConformerBlock) -> list[Hashable]:
    """Return the elements of each conformer, sorted."""
    return [np.sort(conformer.atomic_number).tobytes() for conformer in block]


def pairs_of_one_molecule(block: ConformerBlock, size: int, seed: int) -> Pairs:
    """Return (K, 2) at most so many pairs of conformers of one title and formula, drawn without repetition."""
    keys = list(zip(names_of(block), formulas_of(block), strict=True))
    every = [pair for group in _groups(keys) for pair in combinations(group, 2)]
    return _some(every, size, seed)


def pairs_of_one_formula(block: ConformerBlock, size: int, seed: int) -> Pairs:
    """Return (K, 2) about so many pairs of different titles with one formula, drawn without repetition."""
    names, formulas, rng = names_of(block), formulas_of(block), np.random.default_rng(seed)
    groups = {formulas[group[0]]: group for group in _groups(formulas)}
    found = set()
    members = [m for m in range(len(block)) if formulas[m] in groups]
    for m in rng.choice(members, 2 * size).tolist() if members else []:
        other = int(rng.choice(groups[formulas[m]]))
        if names[other] != names[m]:
            found.add((min(m, other), max(m, other)))
    return _some(sorted(found), size, seed)


def _groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Return the places of equal keys, groups of two and more."""
    places = defaultdict(list)
    for m, key in enumerate(keys):
        places[key].append(m)
    return [group for group in places.values() if len(group) > 1]


def _some(pairs: Sequence[tuple[int, int]], size: int, seed: int) -> Pairs:
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:size]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)[np.sort(chosen)]


def symmetry_corrected_rmsd(
    block: ConformerBlock, pairs: Pairs, *, match: str, track: Track = iter
) -> Floats:
    """Return (K,) symmetry-corrected RMSD over proper motions, angstrom; nan where bonds differ.

    `pairs` (K, 2) are places in the block, one formula each. `match` is "bonds", over the symmetries of the bond
    graph, or "atoms", over all matchings within elements: the least of many starts, an upper bound.
    """
    rmsd = np.empty(len(pairs))
    for start in track(range(0, len(pairs), PAIRS_AT_A_TIME)):
        part = pairs[start : start + PAIRS_AT_A_TIME]
        conformers = {m: block[m] for m in np.unique(part).tolist()}
        first, second = ([conformers[m] for m in column] for column in part.T.tolist())
        rmsd[start : start + len(part)] = superpose_pairs(first, second, match=match).rmsd
    return rmsd


def fidelity(
    panel: Panel, block: ConformerBlock, pairs: Pairs, match: str, lengths: Collection[str] = ()
) -> dict[str, Figures]:
    """Return the rank correlation of distances of embeddings with symmetry-corrected RMSD.

    Pairs (K, 2) without an RMSD are left out. For each descriptor `pairs`, their `rmsd_median`, `spearman` over all,
    and `spearman_each`, the mean over molecules with at least `MIN_PAIRS_OF_MOLECULE` pairs of their own; None where
    undefined. For those in `lengths`, whose distances claim to be RMSDs, the `slope`, see `slope`.
    """
    rmsd = symmetry_corrected_rmsd(block, pairs, match=match, track=panel.track)
    pairs, rmsd = pairs[np.isfinite(rmsd)], rmsd[np.isfinite(rmsd)]
    values = panel(block)[1]
    names = names_of(block)
    molecules = _groups([names[a] if names[a] == names[b] else (a, b) for a, b in pairs.tolist()])
    figures: dict[str, Figures] = {}
    for name, value in values.items():
        distance = np.linalg.norm(value[pairs[:, 0]] - value[pairs[:, 1]], axis=1)
        each = [rank_correlation(distance[k], rmsd[k]) for k in molecules if len(k) >= MIN_PAIRS_OF_MOLECULE]
        defined = [value for value in each if value is not None]
        figures[name] = {
            "pairs": len(pairs),
            "rmsd_median": float(np.median(rmsd)) if len(rmsd) else None,
            "spearman": rank_correlation(distance, rmsd),
            "spearman_each": float(np.mean(defined)) if defined else None,
        }
        if name in lengths:
            figures[name]["slope"] = slope(distance, rmsd)
    return figures


def slope(distance: Floats, rmsd: Floats) -> float | None:
    """Return the slope of the line of least squares through the origin, RMSD against distance (K,); None of zeros."""
    square = float(distance @ distance)
    return float(distance @ rmsd) / square if square else None


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Return Spearman's coefficient; None if either is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def neighbours(panel: Panel, block: ConformerBlock) -> dict[str, Figures]:
    """Return how often the nearest other embedding is one of the same molecule.

    For each descriptor `gallery` (M), `queries` (conformers whose molecule has another one) and `same`, the share of
    queries whose nearest neighbour is of the same title.
    """
    _, molecule = np.unique([str(name) for name in names_of(block)], return_inverse=True)
    queries = np.bincount(molecule)[molecule] > 1
    figures: dict[str, Figures] = {}
    for name, value in panel(block)[1].items():
        same = molecule[nearest(value)] == molecule
        figures[name] = {
            "gallery": len(block),
            "queries": int(queries.sum()),
            "same": float(same[queries].mean()) if queries.any() else None,
        }
    return figures


def nearest(values: Floats) -> NDArray[np.int64]:
    """Return (M,) the place of the nearest other row of (M, D)."""
    every = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    found = np.empty(len(values), dtype=np.int64)
    for start in range(0, len(values), ROWS_AT_A_TIME):
        rows = torch.arange(start, min(start + ROWS_AT_A_TIME, len(values)))
        # by matrix products: SOAP of many elements has ten thousand columns
        apart = torch.cdist(every[rows], every, compute_mode="use_mm_for_euclid_dist")
        apart[rows - start, rows] = torch.inf
        found[rows.numpy()] = apart.argmin(dim=1).numpy()
    return found
