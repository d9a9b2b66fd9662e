"""Automorphisms, and verdicts and bounds of the search by bonds, against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.matching import chain as chain_module
from molgiae.matching.assignment import nothing_yet
from molgiae.matching.automorphisms import Symmetry, symmetry_of
from molgiae.matching.chain import MAX_WORK, _orbit_means, bound_of, search_chain
from molgiae.matching.graphs import Graph as Coloured
from molgiae.matching.graphs import graph_of as coloured_graph
from molgiae.matching.graphs import isomorphism, refine, reordered
from tests.matching.enumeration import (
    GEOMETRIES,
    GRAPHS,
    Graph,
    automorphisms,
    isomorphisms,
    least_rmsd,
    overlaps,
    pair,
    rmsd_of,
)

ROUND_OFF = 1e-6
"""Angstrom by which a proven RMSD may exceed the least one."""
NAMES = [
    pytest.param(name, marks=pytest.mark.slow)
    if name in ("neopentane", "two pentafluorides", "six waters")
    else name
    for name in GRAPHS
]
"""Those of tens of thousands of automorphisms are for the slow tests."""
CHAINED = ("two rings", "six atoms", "four waters", "tert-butanol", "cubane", "cuneane", "benzene", "butyne")
"""Graphs small enough to look at every step of a chain."""


def graph_of(graph: Graph) -> Coloured:
    z, bonds = graph
    return coloured_graph(np.array(z), np.array(bonds, np.int64).reshape(-1, 2))


def searched(
    symmetry: Symmetry, x: np.ndarray, y: np.ndarray, work: int = MAX_WORK
) -> tuple[np.ndarray, bool]:
    best = nothing_yet(x, y, work)
    proven = search_chain(symmetry, x, y, best)
    return best.order, proven and symmetry.complete


def products(symmetry: Symmetry) -> np.ndarray:
    """All core automorphisms (K, n)."""
    found = np.arange(symmetry.transversal.shape[1])[None]
    for a, b in itertools.pairwise(symmetry.level):
        found = found[:, symmetry.transversal[a:b]].reshape(-1, found.shape[1])
    return found


def bunches_of(symmetry: Symmetry) -> list[np.ndarray]:
    start, member = symmetry.bunches
    return [member[a:b] for a, b in itertools.pairwise(start)]


def assert_right(name: str, geometry: str, pairs: int, seed: int) -> None:
    maps, symmetry = automorphisms(name), symmetry_of(graph_of(GRAPHS[name]))
    rng, proven = np.random.default_rng(seed), 0
    known = {mapping.tobytes() for mapping in maps}
    for _ in range(pairs):
        x, y = pair(geometry, maps, rng)
        order, sure = searched(symmetry, x, y)
        assert order.tobytes() in known, "an order is no automorphism"
        worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
        assert worse >= -1e-9, "the enumeration has missed one"
        assert not sure or worse <= ROUND_OFF, f"{name}, {geometry}"
        proven += sure
    assert proven > 0.6 * pairs, f"{name}, {geometry}: hardly anything is proven"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proven_is_the_least_of_all(name):
    for seed, geometry in enumerate(GEOMETRIES):
        assert_right(name, geometry, 1 if len(automorphisms(name)) > 5000 else 4, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_is_proven_is_the_least_of_all_of_many(name, geometry):
    assert_right(name, geometry, min(200, max(10, 100_000 // len(automorphisms(name)))), 1000)


@pytest.mark.parametrize("name", NAMES)
def test_core_automorphisms_times_permutations_of_leaves_are_all_automorphisms(name):
    symmetry, maps = symmetry_of(graph_of(GRAPHS[name])), automorphisms(name)
    core, bunches = products(symmetry), bunches_of(symmetry)
    order = 1
    for atoms in bunches:
        order *= int(np.prod(np.arange(1, len(atoms) + 1)))
    assert symmetry.complete
    assert len(core) * order == len(maps)
    assert (core[0] == np.arange(maps.shape[1])).all()
    known, leaves = {row.tobytes() for row in maps}, {atoms.tobytes() for atoms in bunches}
    assert len({row.tobytes() for row in core}) == len(core)
    assert all(row.tobytes() in known for row in core)
    for atoms in bunches:
        assert all(image.tobytes() in leaves for image in np.ascontiguousarray(core[:, atoms])), (
            "leaf by leaf"
        )
    for orbit, stop in zip(symmetry.orbit, symmetry.level[1:], strict=True):
        later = [row for row in symmetry.transversal[stop:]]
        assert all((orbit[row] == orbit).all() for row in later)
        assert all((orbit[atoms] == orbit[atoms[0]]).all() for atoms in bunches)


def test_a_group_too_large_is_cut_short_and_nothing_is_proven():
    symmetry = symmetry_of(graph_of(([18] * 40, [])))
    assert not symmetry.complete
    x = np.random.default_rng(0).normal(size=(40, 3))
    assert not searched(symmetry, x - x.mean(axis=0), x - x.mean(axis=0), 1000)[1]


@pytest.mark.parametrize("name", NAMES)
def test_isomorphisms_are_found_where_there_are_any(name):
    z, bonds = GRAPHS[name]
    first, known = graph_of((z, bonds)), {row.tobytes() for row in automorphisms(name)}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(z))
        second = reordered(first, order)
        mapping = isomorphism(first, second, refine(first), refine(second))
        assert len(mapping)
        assert order[mapping].tobytes() in known
    others = [graph for other, graph in GRAPHS.items() if other != name and len(graph[0]) == len(z)]
    for other in others:
        same = len(isomorphisms(z, bonds, *other)) > 0
        second = graph_of(other)
        assert (len(isomorphism(first, second, refine(first), refine(second))) > 0) == same


# Bounds


@pytest.mark.parametrize("name", ["propane", "butyne", "tert-butanol", "four waters", "cubane", "two rings"])
def test_the_best_survives_an_incumbent_just_below_it(name):
    """What is too small by a trifle excludes the best, which is then not found."""
    maps, symmetry, rng = automorphisms(name), symmetry_of(graph_of(GRAPHS[name])), np.random.default_rng(5)
    for geometry in GEOMETRIES:
        for _ in range(4):
            x, y = pair(geometry, maps, rng)
            best = nothing_yet(x, y, 1 << 40)
            bar = overlaps(x, y, maps).max() - 1e-6 * best.square
            best.overlap[0] = bar
            assert search_chain(symmetry, x, y, best)
            assert best.overlap[0] > bar, geometry


@pytest.mark.parametrize("work", [0, 1000, 3000, 10_000, 30_000])
def test_a_search_given_up_is_not_proven(work):
    missed = 0
    for name in ("propane", "two rings", "four waters", "tert-butanol"):
        maps, rng = automorphisms(name), np.random.default_rng(1)
        symmetry = symmetry_of(graph_of(GRAPHS[name]))
        for geometry in GEOMETRIES:
            x, y = pair(geometry, maps, rng)
            order, proven = searched(symmetry, x, y, work)
            worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
            assert not (proven and worse > ROUND_OFF)
            missed += worse > ROUND_OFF
    assert missed or work > 1000


def means(position: np.ndarray, image: np.ndarray, orbit: np.ndarray) -> np.ndarray:
    found = np.empty((len(orbit), 5))
    _orbit_means(position, image, orbit, found)
    return found


@pytest.mark.parametrize("name", CHAINED)
def test_no_bound_of_the_chain_is_less_than_what_it_leads_to(name):
    """At every level, for every partial automorphism; without leaves the last bounds are the overlaps themselves."""
    symmetry, maps = symmetry_of(graph_of(GRAPHS[name])), automorphisms(name)
    rng = np.random.default_rng(0)
    for geometry in GEOMETRIES:
        x, y = pair(geometry, maps, rng)
        overlap = overlaps(x, y, maps)
        scale = np.square(x).sum() + np.square(y).sum()
        partial = np.arange(len(x))[None]
        for level, orbit in enumerate(symmetry.orbit):
            rows = symmetry.transversal[symmetry.level[level] : symmetry.level[level + 1]]
            partial = partial[:, rows].reshape(-1, len(x))
            partial = partial[rng.permutation(len(partial))[:200]]
            mine = means(x, np.arange(len(x)), orbit)
            bound = [bound_of(mine, means(y, image, orbit)) for image in partial]
            for image, most in zip(partial, bound, strict=True):
                leads_to = (orbit[np.argsort(image)[maps]] == orbit).all(axis=1)
                assert leads_to.any()
                assert overlap[leads_to].max() <= most + 1e-12 * scale, f"{geometry}"
        if len(symmetry.orbit) and not bunches_of(symmetry):
            assert_allclose(bound, overlaps(x, y, partial), atol=1e-12 * scale)


@pytest.mark.parametrize("name", ["two rings", "cubane"])
def test_a_bound_of_the_chain_that_is_too_small_is_found_out(name, monkeypatch):
    """The tests above would see it: the best is then missed, and called proven."""
    maps, symmetry = automorphisms(name), symmetry_of(graph_of(GRAPHS[name]))
    rng, missed = np.random.default_rng(3), 0
    right = chain_module.bound_all
    monkeypatch.setattr(chain_module, "bound_all", lambda *of: 0.8 * right(*of))
    for geometry in GEOMETRIES:
        x, y = pair(geometry, maps, rng)
        best = nothing_yet(x, y, MAX_WORK)
        proven = search_chain(symmetry, x, y, best)
        missed += proven and rmsd_of(x, y[best.order]) > least_rmsd(x, y, maps) + ROUND_OFF
    assert missed
