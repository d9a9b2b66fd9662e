"""Nearest rows are those that brute force finds, in blocks of any size; parts that are not there are named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.commands import nearest as module
from molgiae.commands.nearest import Measure, Molecules, nearest, parts_by
from molgiae.errors import ConfigError
from molgiae.parts import TOGETHER, parts_of

EUCLIDEAN, WEIGHTED = Measure((slice(0, 8),), (1.0,)), Measure((slice(0, 3), slice(5, 8)), (1.0, 0.1))
TANIMOTO = Measure((slice(0, 3), slice(3, 8)), (1.0, 1.0), is_tanimoto=True)


class Table:
    """Embeddings in memory that are read as a file is."""

    def __init__(self, embedding: np.ndarray, titles: list[str] | None = None) -> None:
        self.columns = {"embedding": embedding, "title": np.array(titles or [], object)}

    def __len__(self) -> int:
        return len(self.columns["embedding"])

    def column(self, name: str, first: int, last: int, columns: slice = slice(None)) -> np.ndarray:
        assert last - first <= module.ROWS
        found = self.columns[name][first:last]
        return found if columns == slice(None) else found[:, columns]


def tanimoto(a: np.ndarray, b: np.ndarray) -> float:
    return (a @ b) / (a @ a + b @ b - a @ b)


def brute_force(z: np.ndarray, targets: np.ndarray, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    pairs = [[(t, x) for x in z.astype(float)] for t in targets]
    weighted = list(zip(measure.columns, measure.weight, strict=True))
    apart = [
        [np.hypot.reduce([w * np.linalg.norm((t - x)[c]) for c, w in weighted]) for t, x in row]
        for row in pairs
    ]
    alike = [
        [
            np.average([tanimoto(t[c], x[c]) for c, _ in weighted], weights=[1, 0.2][: len(weighted)])
            for t, x in row
        ]
        for row in pairs
    ]
    return np.array(apart), np.array(alike)


@pytest.mark.parametrize("measure", [EUCLIDEAN, WEIGHTED, TANIMOTO])
@pytest.mark.parametrize("rows", [7, 1000])
def test_nearest_is_what_brute_force_finds(monkeypatch, measure, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "QUERIES", 2)
    rng = np.random.default_rng(0)
    z = rng.normal(1, 1, (60, 8)).astype(np.float32)
    z[50] = z[10]
    targets = z[[3, 17, 30, 31, 10]] + rng.normal(0, 0.01, (5, 8))
    seen = []
    found = nearest(Table(z), targets, 6, measure, seen.append)
    apart, alike = brute_force(z, targets, measure)
    cost = -alike if measure.is_tanimoto else apart
    assert_array_equal(found.rows, np.argsort(cost, axis=1, kind="stable")[:, :6])
    assert_allclose(found.distances, np.take_along_axis(apart, found.rows, axis=1), rtol=1e-9)
    if measure.is_tanimoto:
        assert_allclose(found.tanimotos, np.take_along_axis(alike, found.rows, axis=1), rtol=1e-9)
    else:
        assert np.isnan(found.tanimotos).all()
    assert sum(seen) == 60
    everything = nearest(Table(z), targets, 1000, measure).rows
    assert_array_equal(np.sort(everything, axis=1), np.tile(np.arange(60), (5, 1)))


@pytest.mark.parametrize("measure", [EUCLIDEAN, TANIMOTO])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("rows", [7, 1000])
def test_a_few_of_each_molecule_are_those_that_all_of_them_leave(monkeypatch, measure, each, rows):
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "QUERIES", 2)
    rng = np.random.default_rng(1)
    z, titles = rng.normal(1, 1, (60, 8)).astype(np.float32), [f"t{k}" for k in rng.integers(0, 9, 60)]
    titles[5], titles[6] = "", ""
    file, targets = Table(z, titles), rng.normal(1, 1, (5, 8)).astype(np.float32)
    every = nearest(file, targets, 60, measure).rows
    for k in (4, 60):
        found = nearest(file, targets, k, measure, molecules=Molecules.by_title(file, each)).rows
        for line, all_of_it in zip(found, every, strict=True):
            seen = [titles[row] or f"row {row}" for row in all_of_it]
            wanted = [row for m, row in enumerate(all_of_it) if seen[:m].count(seen[m]) < each]
            assert line.tolist() == wanted[:k]


def test_no_queries_and_no_rows():
    z = np.ones((4, 8), np.float32)
    assert nearest(Table(z), z[:0], 3, EUCLIDEAN).rows.shape == (0, 3)
    assert nearest(Table(z[:0]), z, 3, TANIMOTO).rows.shape == (4, 0)
    assert_allclose(nearest(Table(0 * z), 0 * z, 3, TANIMOTO).tanimotos, 0)


def test_units_and_sizes_of_parts_do_not_matter_where_all_are_compared(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 100)
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(1e4, 1e3, (1000, 3)), rng.normal(0, 0.01, (1000, 5))], axis=1)
    parts = parts_of({"features": 3, "overlay": 5})
    weights = module._weights(Table(z), parts)
    one, other = z[rng.integers(1000, size=(2, 20_000))]
    for part, weight in zip(parts, weights, strict=True):
        squares = np.square(weight * (one - other)[:, part.columns]).sum(axis=1)
        assert_allclose(squares.mean(), 2 * TOGETHER.get(part.name, 1) ** 2, rtol=0.05)
    assert module._weights(Table(0 * z), parts) == (1.0, 1.0)


def test_what_is_compared():
    every = ("features", "overlay", "color", "shape", "detail")
    assert parts_by(None, every, every, "f") == parts_by("shape", every, every, "f") == ("shape",)
    assert parts_by("overlay", every, every, "f") == ("overlay", "color")
    assert parts_by("overlay", ("overlay",), every, "f") == ("overlay",)
    assert parts_by("all", every, every, "f") == every[:-1]
    assert parts_by(None, ("detail",), ("detail",), "f") == ()
    assert parts_by("all", ("shape", "detail"), ("shape", "detail"), "f") == ("shape",)


@pytest.mark.parametrize(
    ("by", "available", "of_model", "message"),
    [
        (
            "overlay",
            ("shape", "detail"),
            ("shape", "detail"),
            "no part overlay.*only shape, detail.*makes none",
        ),
        ("features", ("shape",), ("features", "shape"), "no part features.*embed it again.*--parts features"),
        (None, ("features",), ("features", "shape"), "no part shape.*embed it again"),
        ("all", ("detail",), ("detail",), "no part whose distances mean something"),
        ("color", ("color",), ("color",), "'color' is nothing to search by"),
    ],
)
def test_parts_that_are_not_there_are_named(by, available, of_model, message):
    with pytest.raises(ConfigError, match=message):
        parts_by(by, available, of_model, "f.h5")
