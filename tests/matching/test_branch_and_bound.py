"""Verdicts and bounds of the search by bonds against trying everything."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from molgiae.matching import automorphisms as automorphisms_module
from molgiae.matching import branch_and_bound as search_module
from molgiae.matching.automorphisms import Automorphisms, automorphisms_of
from molgiae.matching.branch_and_bound import BranchAndBound, Pairs, Search, View, largest_turn
from molgiae.matching.chain import _bounds as chain_bounds
from molgiae.matching.chain import promising
from molgiae.matching.graphs import Graphs, graphs_of, isomorphism, products, transversals
from molgiae.matching.kabsch import best_rotations
from molgiae.matching.molecules import reordered
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
LEAFY = [
    *("methane", "pentafluoride", "butyne", "propane", "tert-butanol", "four waters"),
    pytest.param("neopentane", marks=pytest.mark.slow),
]
"""Graphs with bunches of leaves."""
CHAINS = ("heptafluoride", "two rings", "five hydrogens", "six atoms")
"""Graphs of more core automorphisms than are tried one by one."""
CHAINED = ("two rings", "six atoms", "four waters", "tert-butanol", "cubane", "cuneane", "benzene", "butyne")
"""Graphs small enough to look at every step of a chain."""


def graph_of(graph: Graph) -> Graphs:
    z, bonds = graph
    return graphs_of(np.array([z]), [np.array(bonds, np.int64).reshape(-1, 2)])


def assert_right(name: str, search: Search, geometry: str, pairs: int, seed: int) -> None:
    maps = automorphisms(name)
    rng = np.random.default_rng(seed)
    x, y = (np.array(side) for side in zip(*(pair(geometry, maps, rng) for _ in range(pairs)), strict=True))
    orders, proven = search(x, y)
    known = {mapping.tobytes() for mapping in maps}
    assert all(order.tobytes() in known for order in orders), "an order is no automorphism"
    found = np.array([rmsd_of(a, b[order]) for a, b, order in zip(x, y, orders, strict=True)])
    least = np.array([least_rmsd(a, b, maps) for a, b in zip(x, y, strict=True)])
    assert (found >= least - 1e-9).all(), "the enumeration has missed one"
    assert_allclose(found[proven], least[proven], rtol=0, atol=ROUND_OFF, err_msg=f"{name}, {geometry}")
    assert proven.mean() > 0.6, f"{name}, {geometry}: hardly anything is proven"


def searches(name: str, monkeypatch: pytest.MonkeyPatch) -> list[Search]:
    """The search as it is; with bounds where it would try all; down the chain where it would take all of the core."""
    graph = graph_of(GRAPHS[name])
    found = [Search(automorphisms_of(graph))]
    symmetry = found[0].symmetry
    if (
        symmetry.bunches and found[0].direct and name != "hexafluoride"
    ):  # of 720 permutations, too slow with bounds
        found.append(Search(symmetry))
        found[-1].direct = False
    if len(symmetry.core) > 1:
        monkeypatch.setattr(automorphisms_module, "MAX_CORE", 1)
        found.append(Search(automorphisms_of(graph)))
        assert found[-1].symmetry.levels
        monkeypatch.undo()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proven_is_the_least_of_all(name, monkeypatch):
    for search in searches(name, monkeypatch):
        for seed, geometry in enumerate(GEOMETRIES):
            assert_right(name, search, geometry, 1 if len(automorphisms(name)) > 5000 else 4, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(GRAPHS))
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_what_is_proven_is_the_least_of_all_of_many(name, geometry, monkeypatch):
    pairs = min(200, max(10, 100_000 // len(automorphisms(name))))
    for search in searches(name, monkeypatch):
        assert_right(name, search, geometry, pairs, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_core_automorphisms_times_permutations_of_leaves_are_all_automorphisms(name):
    graph = graph_of(GRAPHS[name])
    symmetry, maps = automorphisms_of(graph), automorphisms(name)
    assert_same_rows(products(transversals(graph), maps.shape[1]), maps)
    order = math.prod(map(len, symmetry.tables))
    if symmetry.levels:
        core = products([level.transversal for level in symmetry.levels], maps.shape[1])
    else:
        core = symmetry.core
    assert len(core) * order == len(maps)
    assert (core[0] == np.arange(maps.shape[1])).all()
    assert_same_rows(np.concatenate([core, maps]), maps)
    known = {atoms.tobytes() for atoms in symmetry.bunches}
    for atoms in symmetry.bunches:
        assert all(image.tobytes() in known for image in core[:, atoms]), "leaf by leaf"


def assert_same_rows(found: np.ndarray, expected: np.ndarray) -> None:
    assert {row.tobytes() for row in found} == {row.tobytes() for row in expected}


@pytest.mark.parametrize("name", NAMES)
def test_isomorphisms_are_found_where_there_are_any(name):
    z, bonds = GRAPHS[name]
    first, known = graph_of((z, bonds)), {row.tobytes() for row in automorphisms(name)}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(z))
        mapping = isomorphism(first, reordered(first, order))
        assert mapping is not None
        assert order[mapping].tobytes() in known
    others = [graph for other, graph in GRAPHS.items() if other != name and len(graph[0]) == len(z)]
    for other in others:
        same = len(isomorphisms(z, bonds, *other)) > 0
        assert (isomorphism(first, graph_of(other)) is not None) == same


# Bounds, against an incumbent just below the best: what is too small by a trifle excludes it


@pytest.mark.parametrize("name", LEAFY)
def test_the_best_survives_all_bounds_of_the_search(name, monkeypatch):
    """Solutions are taken from finished nodes alone, and the bar is hung just below the best from the beginning."""
    maps = automorphisms(name)
    symmetry = automorphisms_of(graph_of(GRAPHS[name]))
    rng = np.random.default_rng(5)
    geometries = [g for g in GEOMETRIES for _ in range(1 if len(maps) > 5000 else 8)]
    x, y = (np.array(side) for side in zip(*(pair(g, maps, rng) for g in geometries), strict=True))
    best = np.array([overlaps(a, b, maps).max() for a, b in zip(x, y, strict=True)])
    bar = best - 1e-9 * (np.square(x).sum(axis=(1, 2)) + np.square(y).sum(axis=(1, 2)))
    finished_only(monkeypatch)
    monkeypatch.setattr(BranchAndBound, "sufficient", lambda self, pair: bar[pair])
    monkeypatch.setattr(search_module, "MAX_VISITS", 1 << 40)
    pairs = Pairs.of(symmetry, x, y)
    core, choices, proven = BranchAndBound(pairs).run()
    assert proven.all()
    orders = pairs.orders(core, choices)
    found = np.array([overlaps(a, b, order[None])[0] for a, b, order in zip(x, y, orders, strict=True)])
    lost = [g for g, reached in zip(geometries, found > bar, strict=True) if not reached]
    assert not lost


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", ["cubane", "butyne", "tert-butanol", "four waters"])
def test_of_some_core_automorphisms_the_best_is_found(name, count):
    """Any of them, not only lists that begin with the identity: what a chain leaves."""
    symmetry, rng = automorphisms_of(graph_of(GRAPHS[name])), np.random.default_rng(0)
    for geometry in GEOMETRIES:
        core = rng.permutation(symmetry.core)[:count]
        some = symmetry.with_core(core)
        x, y = pair(geometry, automorphisms(name), rng)
        maps = automorphisms(name)
        within = maps[same_but_for_leaves(symmetry, core, maps)]
        for direct in (True, False):
            search = Search(some)
            search.direct = direct or not some.bunches
            [order], [proven] = search(x[None], y[None])
            assert proven
            assert_allclose(rmsd_of(x, y[order]), least_rmsd(x, y, within), atol=ROUND_OFF)


def test_turning_by_more_than_the_largest_turn_costs_more_than_the_excess():
    rng = np.random.default_rng(0)
    c = rng.normal(size=(9, 2000))
    overlap, rotation, fall = best_rotations(c)
    excess = rng.uniform(0, 1, 2000) * fall
    turn = largest_turn(excess, fall)
    best = rotation.T.reshape(-1, 3, 3)
    axes = np.linalg.svd(c.T.reshape(-1, 3, 3))[0]
    cost = [
        overlap - np.einsum("nij,nij->n", Rotation.from_rotvec(turn[:, None] * axes[:, :, k]).as_matrix() @ best,
                            c.T.reshape(-1, 3, 3))
        for k in range(3)
    ]  # fmt: skip
    assert (np.min(cost, axis=0) >= excess - 1e-9).all()
    assert (largest_turn(fall * 2, fall) == np.pi).all()
    assert (largest_turn(np.ones(3), np.zeros(3)) == np.pi).all(), (
        "nothing is known of a rotation that is not defined"
    )
    assert (largest_turn(-fall, fall) == 0).all()


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", ["water", "methane", "pentafluoride", "tert-butanol"])
def test_no_permutation_is_excluded_that_is_best_within_the_turn(name, geometry):
    """At rotations about axes of all kinds, by the whole turn and less: values stay below the bounds."""
    symmetry, maps, rng = (
        automorphisms_of(graph_of(GRAPHS[name])),
        automorphisms(name),
        np.random.default_rng(0),
    )
    excluded = 0
    for angle, excess in itertools.product((0.02, 0.3, 1.2, 2.5), (0.05, 0.5, 1e9)):
        x, y = pair(geometry, maps, rng)
        pairs = Pairs.of(symmetry, x[None], y[None])
        reference, probe = (
            np.array([dx[0] for dx, _ in pairs.leaves]),
            np.array([dy[0, 0] for _, dy in pairs.leaves]),
        )
        n_bunches, table = len(symmetry.bunches), symmetry.tables[0]
        alive, is_open = np.ones((1, pairs.options.shape[3]), bool), np.ones((1, n_bunches), bool)
        rotation = Rotation.random(random_state=7)
        view = View(
            BranchAndBound(pairs), np.zeros(1, int), alive, is_open, rotation.as_matrix().reshape(9, 1)
        )
        before = view.bound.copy()
        view.contract(np.array([excess]), np.array([angle]))
        left = view.alive.reshape(n_bunches, -1)
        excluded += (~left).sum()
        turned = rotation.apply(probe.reshape(-1, 3)).reshape(probe.shape)
        towards = np.cross(turned, reference).reshape(-1, 3)
        towards = np.vstack([towards, -towards, rng.normal(size=(40, 3))])
        towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
        for axis, part in itertools.product(towards, (1.0, 0.5)):
            there = (
                Rotation.from_rotvec(part * angle * axis).apply(turned.reshape(-1, 3)).reshape(turned.shape)
            )
            value = np.einsum("gki,gpki->gp", reference, there[:, table])
            best = value.max(axis=1)
            possible = best > before[0] - excess  # less cannot make a better solution
            among = np.where(left, value, -np.inf).max(axis=1)
            assert (among >= best - 1e-9)[possible].all()
            assert (best <= view.bound[0] + 1e-9)[possible].all()
    assert excluded


@pytest.mark.parametrize("budget", [0, 1, 3, 10, 30, 100, 300])
def test_a_search_given_up_is_not_proven(budget, monkeypatch):
    """Solutions are taken from finished nodes alone, so that what was not looked at is not known by chance."""
    finished_only(monkeypatch)
    monkeypatch.setattr(search_module, "MAX_VISITS", budget)
    wrong = 0
    for name in ("propane", "butyne", "four waters", "tert-butanol"):
        search, maps, rng = (
            Search(automorphisms_of(graph_of(GRAPHS[name]))),
            automorphisms(name),
            np.random.default_rng(1),
        )
        search.direct = False
        for geometry in GEOMETRIES:
            x, y = pair(geometry, maps, rng)
            [order], [proven] = search(x[None], y[None])
            worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
            assert not (proven and worse > ROUND_OFF)
            wrong += worse > ROUND_OFF
    assert wrong or budget > 30


def finished_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let incumbents come from nodes with all bunches decided."""
    offer = BranchAndBound.offer

    def of_finished(self, row, alive, value):
        finished = (self.left(alive) == 1).all(axis=1)
        self.overlap = np.maximum(self.overlap, -1e3)
        offer(self, row[finished], alive[finished], value[finished])

    monkeypatch.setattr(BranchAndBound, "offer", of_finished)


def same_but_for_leaves(symmetry: Automorphisms, core: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(K,) whether automorphisms differ from one of the core by permutations of leaves alone."""
    place = np.arange(maps.shape[1])
    for atoms in symmetry.bunches:
        place[atoms] = atoms[0]
    known = {row.tobytes() for row in place[core]}
    return np.array([row.tobytes() in known for row in place[maps]], bool)


def chain_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Automorphisms:
    monkeypatch.setattr(automorphisms_module, "MAX_CORE", 1)
    return automorphisms_of(graph_of(GRAPHS[name]))


@pytest.mark.parametrize("name", CHAINED)
def test_no_bound_of_the_chain_is_less_than_what_it_leads_to(name, monkeypatch):
    """At every level, for every partial automorphism; without leaves the last bounds are the overlaps themselves."""
    symmetry, maps = chain_of(name, monkeypatch), automorphisms(name)
    rng = np.random.default_rng(0)
    for geometry in GEOMETRIES:
        x, y = pair(geometry, maps, rng)
        overlap = overlaps(x, y, maps)
        scale = np.square(x).sum() + np.square(y).sum()
        partial = np.arange(len(x))[None]
        for level in symmetry.levels:
            partial = partial[:, level.transversal].reshape(-1, len(x))
            partial = partial[rng.permutation(len(partial))[:200]]
            bound = chain_bounds(level, x, y[partial])
            orbit = level.member.argmax(axis=1)
            for mine, most in zip(partial, bound, strict=True):
                leads_to = (orbit[np.argsort(mine)[maps]] == orbit).all(axis=1)
                assert leads_to.any()
                assert overlap[leads_to].max() <= most + 1e-12 * scale, f"{geometry}"
        if not symmetry.bunches:
            assert_allclose(bound, overlaps(x, y, partial), atol=1e-12 * scale)


@pytest.mark.parametrize("name", CHAINED)
def test_a_chain_keeps_all_that_may_be_better_or_says_that_it_does_not(name, monkeypatch):
    symmetry, maps = chain_of(name, monkeypatch), automorphisms(name)
    rng = np.random.default_rng(1)
    cut = 0
    for geometry in GEOMETRIES:
        x, y = pair(geometry, maps, rng)
        overlap = overlaps(x, y, maps)
        everything, complete = promising(symmetry.levels, x, y, -np.inf, 1 << 20)
        assert complete and same_but_for_leaves(symmetry, everything, maps).all()
        scale = np.square(x).sum() + np.square(y).sum()
        for least in (overlap.max() - 1e-9 * scale, *np.quantile(overlap, [0.5, 0.9])):
            for width in (1 << 20, 1):
                core, complete = promising(symmetry.levels, x, y, least, width)
                left_out = (
                    (overlap > least + 1e-12 * scale) & ~same_but_for_leaves(symmetry, core, maps)
                ).any()
                assert not (complete and left_out), f"{geometry}, width {width}"
                assert complete or width == 1
                cut += left_out
    assert cut, "nothing was ever cut off"


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_that_was_cut_proves_nothing_wrong(name, monkeypatch):
    """With room for two at each step the best is often missed, and then nothing is proven."""
    monkeypatch.setattr(search_module, "FIRST_WIDTH", 1)
    monkeypatch.setattr(search_module, "WIDTH", 2)
    maps, search = automorphisms(name), Search(automorphisms_of(graph_of(GRAPHS[name])))
    maps = maps[np.random.default_rng(0).permutation(len(maps))[:6000]]
    rng = np.random.default_rng(3)
    missed = 0
    for geometry in ("unrelated", "planar", "mirror image", "far copy"):
        for _ in range(3):
            x, y = pair(geometry, maps, rng)
            [order], [proven] = search(x[None], y[None])
            worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
            assert not (proven and worse > ROUND_OFF)
            missed += worse > ROUND_OFF
    assert missed


def test_a_chain_whose_last_search_was_given_up_proves_nothing(monkeypatch):
    search = Search(chain_of("four waters", monkeypatch))
    x, y = pair("unrelated", automorphisms("four waters"), np.random.default_rng(0))
    assert search(x[None], y[None])[1][0]
    monkeypatch.setattr(search_module, "MAX_VISITS", 0)
    assert not search(x[None], y[None])[1][0]


def test_the_first_solution_of_a_chain_stays_where_no_other_is_better(monkeypatch):
    """What may be better by its bound need not be."""
    symmetry, maps = chain_of("cubane", monkeypatch), automorphisms("cubane")
    x, y = pair("copy", maps, np.random.default_rng(0))
    worst = maps[[overlaps(x, y, maps).argmin()]]

    def then_the_worst(levels, x, y, least, width):
        return promising(levels, x, y, least, width) if least == -np.inf else (worst, True)

    monkeypatch.setattr(search_module, "promising", then_the_worst)
    [order], _ = Search(symmetry)(x[None], y[None])
    assert_allclose(rmsd_of(x, y[order]), least_rmsd(x, y, maps), atol=ROUND_OFF)
