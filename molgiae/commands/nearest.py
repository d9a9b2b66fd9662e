"""The rows of an embedding file that are nearest to queries by some parts of the embedding: all of them are compared.

Rows are read in blocks, each of which meets the queries in one product of matrices, so that memory does not grow with
the file. No index is kept: one that is exact gains nothing in so many dimensions, and none of scikit-learn knows the
Tanimoto of inner products.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConfigError
from molgiae.parts import COLOR_SHARE, TOGETHER, Part

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

By = Literal["shape", "overlay", "features", "all"]
BYS: tuple[By, ...] = get_args(By)

ROWS, QUERIES = 1 << 14, 64
"""Embeddings of the file and queries that are compared at once: constant memory, whatever the size of the file."""
NOT_SMOOTH = "detail"
"""The part whose distances mean nothing."""


class Rows(Protocol):
    """Embeddings that are read in blocks, as of `molgiae.data.hdf5.embeddings.Embeddings`."""

    def __len__(self) -> int: ...

    def column(
        self, name: str, first: int, last: int, columns: slice = slice(None), /
    ) -> NDArray[np.floating]:
        """Return rows ``first:last`` of a dataset, and of a matrix some columns."""


class Embedded(Rows, Protocol):
    """Embeddings with names of their parts, as of `molgiae.data.hdf5.embeddings.Embeddings`."""

    @property
    def dimension(self) -> int:
        """Size of the embeddings."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Their parts."""

    def part(self, name: str, /) -> Part:
        """Return the part of this name."""

    @property
    def path(self) -> str | os.PathLike[str]:
        """Where they are from."""


@dataclass(frozen=True)
class Measure:
    """How embeddings are compared.

    Attributes:
        columns: of the embedding that each part takes.
        weight: of each part: its numbers are multiplied by it.
        is_tanimoto: whether the nearest is that of the largest Tanimoto of the parts, T = a.b / (a.a + b.b - a.b),
            in place of that of the least Euclidean distance.
    """

    columns: tuple[slice, ...]
    weight: tuple[float, ...]
    is_tanimoto: bool = False


@dataclass(frozen=True)
class Molecules:
    """Which rows of a file are conformers of one molecule, and how many of each may be among the nearest.

    Attributes:
        number: (M,) equal for conformers of one molecule.
        each: at most so many of a molecule.
    """

    number: Ints
    each: int

    @classmethod
    def by_title(cls, file: Rows, each: int) -> Molecules:
        """Return those of equal titles; conformers without a title are molecules of their own."""
        known: dict[str, int] = {}
        number = np.empty(len(file), np.int64)
        for first in range(0, len(file), ROWS):
            for row, title in enumerate(file.column("title", first, first + ROWS), first):
                number[row] = known.setdefault(str(title), len(known)) if title else -1 - row
        return cls(number, each)

    def few(self, rows: Ints) -> Ints:
        """Return (Q, m) columns of rows (Q, n), which are nearest first, without what each molecule has too many of.

        The same rows stand in all Q lines, or at least m are left in each.
        """
        left = [np.flatnonzero(_before(self.number[line]) < self.each) for line in rows]
        most = min(map(len, left), default=0)
        return np.array([line[:most] for line in left], np.int64).reshape(len(rows), most)


def _before(labels: Ints) -> Ints:
    """Return how many equal labels stand before each."""
    order = np.argsort(labels, kind="stable")
    place = np.arange(len(labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels.min(initial=0) - 1))
    found = np.empty_like(place)
    found[order] = place - np.repeat(starts, np.diff(starts, append=len(labels)))
    return found


@dataclass(frozen=True)
class Nearest:
    """The k nearest rows of Q queries, nearest first, among equals the lower row first.

    Attributes:
        rows: (Q, k).
        distances: (Q, k) Euclidean distance of the parts compared.
        tanimotos: (Q, k) their Tanimoto, of two parts the mean weighted by `COLOR_SHARE`; NaN where rows are compared
            otherwise.
    """

    rows: Ints
    distances: Floats
    tanimotos: Floats


def parts_by(
    by: By | None, available: Collection[str], of_model: Collection[str], file: str
) -> tuple[str, ...]:
    """Return the names of the parts that a search takes; none for the whole embedding.

    Args:
        by: None for shape, where the model makes that, else the whole embedding.
        available: parts in the file.
        of_model: parts that its model makes.
        file: its name.

    Raises:
        ConfigError: if the file lacks the part.
    """
    if by is not None and by not in BYS:
        raise ConfigError(f"{by!r} is nothing to search by; use one of {', '.join(BYS)}")
    if by is None and "shape" not in of_model:
        return ()
    smooth = tuple(name for name in available if name != NOT_SMOOTH)
    needed = by or "shape"
    if by == "all" and smooth:
        return smooth
    if needed in available:
        return (
            tuple(name for name in ("overlay", "color") if name in available)
            if by == "overlay"
            else (needed,)
        )
    wanted = "part whose distances mean something" if by == "all" else f"part {needed}"
    embed = f"molgiae embed --parts {needed}"
    remedy = f"embed it again, {embed}" if needed in of_model else "its model makes none: use one that does"
    raise ConfigError(
        f"{file} has no {wanted} of the embedding, only {', '.join(available) or 'none'}; {remedy}"
    )


def measure_of(file: Embedded, by: By | None, of_model: Collection[str]) -> Measure:
    """Return how a search compares the embeddings of a file.

    By "all", each smooth part is divided by its spread in the file, the root of the sum of the variances of its
    columns: any two conformers of the file are then 2 apart on average in every part, as the square of a distance.
    Parts of `TOGETHER` count more.

    Raises:
        ConfigError: as of `parts_by`.
    """
    parts = [file.part(name) for name in parts_by(by, [p.name for p in file.parts], of_model, str(file.path))]
    if not parts:
        return Measure((slice(0, file.dimension),), (1.0,))
    weight = _weights(file, parts) if by == "all" and len(parts) > 1 else (1.0,) * len(parts)
    return Measure(tuple(part.columns for part in parts), weight, is_tanimoto=by == "overlay")


def _weights(file: Rows, parts: Collection[Part]) -> tuple[float, ...]:
    """Return how much each part counts over its spread in the file; 1 where all embeddings are equal."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 (slow to import, seldom needed)

    scaler = StandardScaler()
    for start in range(0, len(file), ROWS):
        scaler.partial_fit(file.column("embedding", start, start + ROWS).astype(np.float64))
    spreads = [float(scaler.var_[part.columns].sum()) ** 0.5 if len(file) else 0.0 for part in parts]
    return tuple(
        TOGETHER.get(part.name, 1.0) / spread if spread > 0 else 1.0
        for part, spread in zip(parts, spreads, strict=True)
    )


def nearest(
    file: Rows,
    queries: NDArray[np.floating],
    k: int,
    measure: Measure,
    advance: Callable[[int], object] = lambda rows: None,
    molecules: Molecules | None = None,
) -> Nearest:
    """Find the k nearest rows of each query; every row of the file is compared.

    Args:
        file: with embeddings.
        queries: (Q, D) whole embeddings.
        k: at most so many.
        measure: how they are compared.
        advance: called with numbers of rows that were looked at.
        molecules: of which a few conformers each are taken; None to take all.
    """
    targets = _taken(queries, measure)
    found = [Nearest(np.empty((len(t[0]), 0), np.int64), *np.empty((2, len(t[0]), 0))) for t in targets]
    for first in range(0, len(file) if len(queries) else 0, ROWS):
        rows = _read(file, first, measure)
        squares = [np.square(part).sum(axis=1) for part in rows]
        for q, target in enumerate(targets):
            most = min(k, len(rows[0]))
            costs = _costs(target, rows, squares, measure)
            if molecules is None:
                chosen = np.argpartition(costs, most - 1, axis=1)[:, :most]
            else:
                order = np.argsort(costs, axis=1, kind="stable")
                chosen = np.take_along_axis(order, molecules.few(order + first)[:, :most], axis=1)
            found[q] = _merged(found[q], _exact(target, rows, chosen, first, measure), k, measure, molecules)
        advance(len(rows[0]))
    none = np.empty((0, min(k, len(file))))
    joined = [
        np.concatenate([getattr(part, name) for part in found] or [none]) for name in Nearest.__annotations__
    ]
    return Nearest(joined[0].astype(np.int64), joined[1], joined[2])


def _taken(embedding: NDArray[np.floating], measure: Measure) -> list[list[Floats]]:
    """Return the weighted numbers of each part, some queries at a time."""
    wide = [
        weight * embedding[:, columns].astype(np.float64)
        for columns, weight in zip(measure.columns, measure.weight, strict=True)
    ]
    return [[part[first : first + QUERIES] for part in wide] for first in range(0, len(embedding), QUERIES)]


def _read(file: Rows, first: int, measure: Measure) -> list[Floats]:
    """Return the weighted numbers of each part of rows from one on; the other parts are not read."""
    return [
        weight * file.column("embedding", first, first + ROWS, columns).astype(np.float64)
        for columns, weight in zip(measure.columns, measure.weight, strict=True)
    ]


def _costs(target: list[Floats], rows: list[Floats], squares: list[Floats], measure: Measure) -> Floats:
    """Return (Q, n) what is least for the nearest."""
    products = [t @ r.T for t, r in zip(target, rows, strict=True)]
    if not measure.is_tanimoto:
        return np.sum([square - 2 * both for square, both in zip(squares, products, strict=True)], axis=0)
    own = [np.square(t).sum(axis=1, keepdims=True) for t in target]
    return -tanimoto(products, own, squares)


def _exact(target: list[Floats], rows: list[Floats], chosen: Ints, first: int, measure: Measure) -> Nearest:
    """Return distances and Tanimotos of chosen rows (Q, k) of a block that starts with a row of the file."""
    pairs = [(t[:, None], r[chosen]) for t, r in zip(target, rows, strict=True)]
    distances = np.sqrt(sum(np.square(t - r).sum(axis=2) for t, r in pairs))
    if not measure.is_tanimoto:
        return Nearest(chosen + first, distances, np.full(chosen.shape, np.nan))
    products, own, squares = (
        [np.einsum("qkd,qkd->qk", *np.broadcast_arrays(x, y)) for x, y in sides]
        for sides in (pairs, [(t, t) for t, _ in pairs], [(r, r) for _, r in pairs])
    )
    return Nearest(chosen + first, distances, tanimoto(products, own, squares))


def tanimoto(products: list[Floats], own: list[Floats], squares: list[Floats]) -> Floats:
    """Return the Tanimoto of one part or the weighted mean of overlay and color; 0 where both sides of a part are 0."""
    values = []
    for both, a, b in zip(products, own, squares, strict=True):
        union = a + b - both
        values.append(np.divide(both, union, out=np.zeros_like(both), where=union > 0))
    return np.average(values, axis=0, weights=(1.0, COLOR_SHARE)[: len(values)])


def _merged(one: Nearest, other: Nearest, k: int, measure: Measure, molecules: Molecules | None) -> Nearest:
    rows, distances, tanimotos = (
        np.hstack([getattr(one, name), getattr(other, name)]) for name in Nearest.__annotations__
    )
    order = np.lexsort((rows, -tanimotos if measure.is_tanimoto else distances), axis=1)
    if molecules is not None:
        few = molecules.few(np.take_along_axis(rows, order, axis=1))
        order = np.take_along_axis(order, few, axis=1)
    taken = (np.take_along_axis(values, order[:, :k], axis=1) for values in (rows, distances, tanimotos))
    return Nearest(*taken)
