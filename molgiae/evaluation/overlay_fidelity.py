"""Whether an embedding says how far two conformers of any molecules cover each other: the exact overlay decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import USR, USRCAT, Floats, Panel, sample
from molgiae.evaluation.distance_fidelity import rank_correlation
from molgiae.evaluation.overlay_worker import exact_overlays
from molgiae.evaluation.report import Figures
from molgiae.parts import COLOR_SHARE

Pairs = NDArray[np.int64]
Similarity = Callable[[Floats, Pairs], Floats]
"""Descriptors (M, D) and pairs (K, 2) of rows to (K,), larger for rows that are more alike."""
Exact = Callable[[ConformerBlock, Pairs, str], Floats]
"""Conformers, pairs (K, 2) and what is made large to (K, 2) shape Tanimoto and its mean with that of color."""

PAIRS_OF_EACH = 8
"""Pairs that a conformer takes part in on average: its molecule is made once."""
GALLERY, QUERIES = 5000, 50
"""Most conformers that are searched, and how many of them are queries."""
TOP, FOUND = 10, 100
"""So many best overlays are looked for among so many first by the embedding."""
AT_ONCE = 10_000_000
"""Numbers of descriptors of pairs in memory at a time."""


def nearness(values: Floats, pairs: Pairs) -> Floats:
    """Return the negative distance."""
    return _of_pairs(values, pairs, lambda a, b: -np.linalg.norm(a - b, axis=1))


def block_nearness(values: Floats, pairs: Pairs) -> Floats:
    """Return the negative sum of absolute differences, by which USR and USRCAT are compared."""
    return _of_pairs(values, pairs, lambda a, b: -np.abs(a - b).sum(axis=1))


def tanimoto(values: Floats, pairs: Pairs, columns: slice = slice(None)) -> Floats:
    """Return <a, b> / (|a|^2 + |b|^2 - <a, b>), the estimate of the part overlay or color; 0 of zeros."""

    def of(a: Floats, b: Floats) -> Floats:
        both = np.einsum("kd,kd->k", a, b)
        union = np.einsum("kd,kd->k", a, a) + np.einsum("kd,kd->k", b, b) - both
        return np.divide(both, union, out=np.zeros_like(both), where=union > 0)

    return _of_pairs(values[:, columns], pairs, of)


def _of_pairs(values: Floats, pairs: Pairs, function: Callable[[Floats, Floats], Floats]) -> Floats:
    size = max(1, AT_ONCE // max(1, values.shape[1]))
    parts = [pairs[k : k + size] for k in range(0, len(pairs), size)]
    return np.concatenate([np.empty(0), *(function(*values[part.T]) for part in parts)])


def mean_tanimoto(values: Floats, pairs: Pairs, parts: tuple[slice, ...]) -> Floats:
    """Return `tanimoto` of overlay, and color if it is given, weighted: the estimate for shape and color together."""
    found = [tanimoto(values, pairs, columns) for columns in parts]
    return np.average(found, axis=0, weights=(1.0, COLOR_SHARE)[: len(found)])


SIMILARITIES: dict[str, Similarity] = {USR: block_nearness, USRCAT: block_nearness}
"""Of descriptors that are not compared by `nearness`."""


def random_pairs(size: int, number: int, seed: int) -> Pairs:
    """Return (K, 2) at most so many pairs of different rows of `size`, drawn without repetition."""
    rng = np.random.default_rng(seed)
    if size * (size - 1) // 2 <= number:
        return np.stack(np.triu_indices(size, 1), axis=1)
    drawn = rng.integers(size, size=(2 * number + 100, 2))
    drawn = np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1)
    _, first = np.unique(drawn, axis=0, return_index=True)
    return drawn[np.sort(first)[:number]]


def overlay_fidelity(
    panel: Panel,
    block: ConformerBlock,
    number: int,
    similarities: Mapping[str, Similarity],
    exact: Exact | None = None,
) -> dict[str, Figures]:
    """Return the rank correlation of similarities with exact overlays of random pairs of conformers.

    Pairs are drawn from so many conformers that each takes part in about `PAIRS_OF_EACH`. For each descriptor `pairs`,
    `spearman`, with the exact shape Tanimoto, at the pose where densities overlap most, and `spearman_color`, with the
    mean of shape and color Tanimoto, at the pose where that is largest.

    Args:
        panel: what is measured.
        block: conformers.
        number: most pairs.
        similarities: of descriptors that are not compared by their distance.
        exact: overlays of pairs; None for RDKit's.
    """
    exact = exact or partial(exact_overlays, track=panel.track)
    enough = int((2 * number) ** 0.5) + 2  # conformers, to have so many pairs
    chosen = sample(block, max(2 * number // PAIRS_OF_EACH, enough), panel.seed)
    pairs = random_pairs(len(chosen), number, panel.seed)
    shape, both = exact(chosen, pairs, "shape")[:, 0], exact(chosen, pairs, "combination")[:, 1]
    known, known_both = np.isfinite(shape), np.isfinite(both)
    figures: dict[str, Figures] = {}
    for name, values in panel(chosen)[1].items():
        alike = similarities.get(name, nearness)(values, pairs)
        figures[name] = {
            "pairs": int(known.sum()),
            "spearman": rank_correlation(alike[known], shape[known]),
            "spearman_color": rank_correlation(alike[known_both], both[known_both]),
        }
    return figures


def overlay_search(
    panel: Panel,
    block: ConformerBlock,
    similarities: Mapping[str, Similarity],
    gallery: int = GALLERY,
    queries: int = QUERIES,
    exact: Exact | None = None,
) -> dict[str, Figures]:
    """Return how many of the best exact overlays of a query are among the first by similarity.

    For each descriptor `gallery`, `queries` and `found`, the share of the `TOP` of largest exact shape Tanimoto that
    are among the `FOUND` of largest similarity; a query is not compared with itself.
    """
    exact = exact or partial(exact_overlays, track=panel.track)
    chosen = sample(block, gallery, panel.seed)
    size = len(chosen)
    asked = np.random.default_rng(panel.seed).permutation(size)[:queries]
    others = [np.delete(np.arange(size), m) for m in asked]
    pairs = np.concatenate(
        [np.stack([np.full(size - 1, m), rest], axis=1) for m, rest in zip(asked, others, strict=True)]
    )
    best = exact(chosen, pairs, "shape")[:, 0].reshape(len(asked), size - 1)
    top = np.argsort(-np.nan_to_num(best, nan=-1.0), axis=1, kind="stable")[:, :TOP]
    figures: dict[str, Figures] = {}
    for name, values in panel(chosen)[1].items():
        alike = similarities.get(name, nearness)(values, pairs).reshape(best.shape)
        first = np.argsort(-alike, axis=1, kind="stable")[:, :FOUND]
        found = np.mean([np.isin(mine, near).mean() for mine, near in zip(top, first, strict=True)])
        figures[name] = {"gallery": size, "queries": len(asked), "found": float(found)}
    return figures
