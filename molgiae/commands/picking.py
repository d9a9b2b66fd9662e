"""MaxMin: conformers picked one after the other, each the farthest from its nearest among those picked before.

Kennard, Stone, Technometrics 1969, 11, 137; Ashton et al., Quant. Struct.-Act. Relat. 2002, 21, 598. For every pick all
rows are gone through once, in blocks: no matrix of distances is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.nearest import ROWS, Measure, Rows, nearest, tanimoto

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CACHED = 1 << 10
"""Rows that are compared at once, so that what is computed of them stays in the cache."""
OUT = -1.0
"""In place of the distance of what cannot be picked any more."""


class Distances:
    """Distances of all rows to one point: Euclidean, or 1 - Tanimoto.

    Args:
        embedding: (n, D).
        measure: how rows are compared.
    """

    def __init__(self, embedding: NDArray[np.float32], measure: Measure) -> None:
        self._is_tanimoto = measure.is_tanimoto
        self._parts = [
            embedding[:, columns] if weight == 1 else np.float32(weight) * embedding[:, columns]
            for columns, weight in zip(measure.columns, measure.weight, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._parts[0])

    def to(self, row: int) -> Floats:
        """Return (n,) distances to a row."""
        return self._to([part[row].astype(np.float64) for part in self._parts])

    def central(self) -> int:
        """Return the row that is nearest to the mean of all."""
        return int(np.argmin(self._to([part.mean(axis=0, dtype=np.float64) for part in self._parts])))

    def _to(self, point: list[Floats]) -> Floats:
        found = np.empty(len(self))
        compare = _unlikeness if self._is_tanimoto else _euclidean
        for first in range(0, len(self), CACHED):
            block = slice(first, first + CACHED)
            found[block] = compare([part[block].astype(np.float64) for part in self._parts], point)
        return found


def _euclidean(rows: list[Floats], point: list[Floats]) -> Floats:
    apart = [part - p for part, p in zip(rows, point, strict=True)]
    return np.sqrt(sum(np.einsum("nd,nd->n", d, d) for d in apart))


def _unlikeness(rows: list[Floats], point: list[Floats]) -> Floats:
    products = [part @ p for part, p in zip(rows, point, strict=True)]
    squares = [np.einsum("nd,nd->n", part, part) for part in rows]
    own = [np.full(len(rows[0]), p @ p) for p in point]
    return 1 - tanimoto(products, own, squares)


def nearest_of(rows: Rows, chosen: Rows, measure: Measure, advance: Callable[[int], object]) -> Floats:
    """Return (n,) the distance of each row to the nearest of those chosen already; infinite where there are none."""
    found = np.full(len(rows), np.inf)
    if not len(chosen):
        advance(len(rows))
        return found
    for first in range(0, len(rows), ROWS):
        block = rows.column("embedding", first, first + ROWS)
        near = nearest(chosen, block, 1, measure)
        distance = 1 - near.tanimotos if measure.is_tanimoto else near.distances
        found[first : first + ROWS] = distance[:, 0]
        advance(len(block))
    return found


def maxmin(
    distances: Distances,
    k: int,
    *,
    before: Floats,
    first: int | None = None,
    groups: Sequence[int] | NDArray[np.integer] | None = None,
    advance: Callable[[int], object] = lambda picks: None,
) -> tuple[Ints, Floats]:
    """Pick rows, each the farthest from its nearest among those picked and chosen before; of equals the first.

    Args:
        distances: of the n rows.
        k: at most so many.
        before: (n,) distance to the nearest of those chosen before, infinite if there are none, `OUT` for rows that
            cannot be picked.
        first: row to begin with; None for the farthest.
        groups: (n,) numbers; of one number at most one row is picked.
        advance: called with numbers of rows that were picked.

    Returns:
        (k,) rows in the order of picking, and (k,) the distance of each to the nearest of those before it.
    """
    left = before.copy()
    group = None if groups is None else np.asarray(groups)
    rows: list[int] = []
    apart: list[float] = []
    while len(rows) < min(k, len(left)):
        row = first if first is not None and not rows else int(np.argmax(left))
        if left[row] < 0:
            break
        rows.append(row)
        apart.append(float(left[row]))
        np.minimum(left, distances.to(row), out=left)
        left[row if group is None else group == group[row]] = OUT
        advance(1)
    return np.array(rows, np.int64), np.array(apart)
