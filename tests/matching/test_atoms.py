"""Matching within elements: assignment, bounds and verdict against all permutations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from molgiae.matching import atom_search
from molgiae.matching import atoms as atoms_module
from molgiae.matching.assignment import UNMATCHED, assign_within, nothing_yet
from molgiae.matching.atom_search import search_atoms
from molgiae.matching.atoms import blocks_of, match_atoms, principal_starts, superpose
from molgiae.matching.kabsch import kabsch, rmsd
from molgiae.matching.neighbours import radial_bound
from tests.conformers import mirrored, moved, random_conformer
from tests.matching.enumeration import GEOMETRIES, least_rmsd, matchings, overlaps, pair, rmsd_of

FORMULAS = ([18] * 5, [1, 1, 1, 1, 6], [1, 1, 1, 6, 6, 8], [1, 1, 1, 1, 8, 8], [6, 7], [6], [1, 6, 7, 8])
NO_STARTS = np.empty((0, 3, 3))

TURN = Rotation.from_rotvec([1.0, 2.0, 3.0]).as_matrix()


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) * 2


def bound_of(z: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(radial_bound(z, x) - radial_bound(z, y)))


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_the_radial_bound_is_never_above_the_least_of_all_matchings(formula):
    z = np.array(formula)
    maps = matchings(z, z)
    rng = np.random.default_rng(0)
    for geometry in GEOMETRIES:
        for _ in range(4):
            x, y = pair(geometry, maps, rng)
            assert bound_of(z, x, y) <= least_rmsd(x, y, maps, reflect=True) + 1e-9
            order = rng.permutation(len(z))
            assert_allclose(radial_bound(z[order], x[order] @ TURN + 5), radial_bound(z, x), atol=1e-12)
            assert_array_equal(radial_bound(z, np.stack([y, x]))[1], radial_bound(z, x))


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
@pytest.mark.parametrize("factor", [1.05, 2.0])
def test_the_radial_bound_of_a_scaled_copy_is_its_rmsd(formula, factor):
    """The bound is sharp: any larger one would be wrong here."""
    z = np.array(formula)
    maps = matchings(z, z)
    x, y = pair("exact copy", maps, np.random.default_rng(1))
    y = factor * y
    assert_allclose(bound_of(z, x, y), least_rmsd(x, y, maps), atol=1e-9)
    order, proven = matched(z, x, y)
    assert proven
    assert_allclose(rmsd_of(x, y[order]), bound_of(z, x, y), atol=1e-9)


@pytest.mark.parametrize("formula", [*FORMULAS, [18] * 6], ids=str)
def test_what_is_proven_is_the_least_of_all_and_copies_are(formula):
    z = np.array(formula)
    maps, rng = matchings(z, z), np.random.default_rng(2)
    for geometry in GEOMETRIES:
        for _ in range(5):
            x, y = pair(geometry, maps, rng)
            order, proven = matched(z, x, y)
            assert (z[order] == z).all() and (np.sort(order) == np.arange(len(z))).all()
            assert proven
            assert_allclose(rmsd_of(x, y[order]), least_rmsd(x, y, maps), rtol=0, atol=3e-6)


@pytest.mark.parametrize("formula", [*FORMULAS[:4], [18] * 6], ids=str)
def test_the_best_survives_an_incumbent_just_below_it(formula):
    """From the bar, or from nothing: what is too small by a trifle excludes the best, which is then not found."""
    assert not lost(np.array(formula))


def matched(z: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, bool]:
    """The best matching and whether it is proven."""
    best = nothing_yet(x, y, atoms_module.BUDGET)
    proven = match_atoms(blocks_of(z), x, y, NO_STARTS, best)
    return best.order, proven


def lost(z: np.ndarray, search: Callable[..., bool] = search_atoms) -> list[str]:
    """Geometries of pairs whose best solution a search that claims to be complete does not find."""
    maps, rng, found = matchings(z, z), np.random.default_rng(6), []
    for geometry in GEOMETRIES:
        for _ in range(4):
            x, y = pair(geometry, maps, rng)
            best = nothing_yet(x, y, 1 << 40)
            best.overlap[0] = bar = overlaps(x, y, maps).max() - 1e-6 * best.square
            assert search(blocks_of(z), x, y, best)
            first = nothing_yet(x, y, 1 << 40)
            assert search(blocks_of(z), x, y, first)
            found += [geometry] if min(best.overlap[0], first.overlap[0]) <= bar else []
    return found


def interpreted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """The search in Python, where functions can be replaced."""
    for name in ("_look", "_closed_by_assignment", "_fewest"):
        monkeypatch.setattr(atom_search, name, getattr(atom_search, name).py_func)
    return search_atoms.py_func


def test_the_search_in_python_loses_nothing(monkeypatch):
    assert not lost(np.array([1, 1, 1, 1, 6]), interpreted(monkeypatch))


BROKEN = {
    "the turn": ("largest_turn", lambda right, excess, fall: 0.5 * right(excess, fall)),
    "the gains": ("gains", lambda right, *of: 0.1 * right(*of)),
    "the choices": ("fits", lambda right, *of: min(right(*of), 1)),
    "the limit": ("most_square", lambda right, *of: 0.7 * right(*of)),
}


@pytest.mark.parametrize("bound", BROKEN)
def test_a_bound_that_is_too_small_is_found_out(bound, monkeypatch):
    """Each is broken on purpose: the test above must see it."""
    name, broken = BROKEN[bound]
    search, right = interpreted(monkeypatch), getattr(atom_search, name)
    monkeypatch.setattr(atom_search, name, lambda *of: broken(right, *of))
    assert lost(np.array([1, 1, 1, 1, 1, 6]), search)


def test_least_distances_that_are_too_large_are_found_out(monkeypatch):
    right = atom_search.fill

    def broken(blocks, node, best):
        right(blocks, node, best)
        node.least[:] = 1.5 * node.least
        node.total[1] = node.total[0] + 1.5 * (node.total[1] - node.total[0])

    search = interpreted(monkeypatch)
    monkeypatch.setattr(atom_search, "fill", broken)
    assert lost(np.array([1, 1, 1, 1, 1, 6]), search)


@pytest.mark.parametrize("budget", [0, 300, 1000, 3000])
def test_a_search_given_up_is_not_proven(budget, monkeypatch):
    monkeypatch.setattr(atoms_module, "BUDGET", budget)
    monkeypatch.setattr(atoms_module, "REFINED", 0)
    z = np.array([18] * 6)
    maps, rng, missed = matchings(z, z), np.random.default_rng(4), 0
    for geometry in (*GEOMETRIES, *GEOMETRIES):
        x, y = pair(geometry, maps, rng)
        order, proven = matched(z, x, y)
        worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
        assert not (proven and worse > 3e-6), geometry
        missed += worse > 3e-6
    assert missed or budget > 300


def assigned(z: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    n = len(z)
    order, u, v = np.empty(n, np.int64), np.empty(n), np.empty(n)
    assign_within(blocks_of(z), x, y, np.full(n, UNMATCHED), np.zeros(n, bool), order, u, v)
    cost = np.square(x[:, None] - y[None]).sum(axis=2) - u[:, None] - v
    assert (cost[z[:, None] == z] >= -1e-9).all(), "potentials"
    assert_allclose(cost[np.arange(n), order], 0, atol=1e-9)
    return order


@pytest.mark.parametrize("seed", range(10))
def test_assignment_is_the_best_of_all_within_elements(seed):
    rng = np.random.default_rng(seed)
    z, x, y = np.sort(rng.choice([1, 6], 6)), points(6, seed), points(6, seed + 100)
    maps = matchings(z, z)
    for probe in (y, x, 2 * y):
        order = assigned(z, x, probe)
        assert_array_equal(z[order], z)
        assert_allclose(rmsd(x, probe[order]), min(rmsd(x, probe[other]) for other in maps))


@pytest.mark.parametrize("seed", range(10))
def test_principal_starts_are_proper_and_bring_axes_onto_axes(seed):
    reference, probe = points(8, seed), points(8, seed + 100) + 3
    starts = principal_starts(reference, probe)
    assert len({np.round(r, 6).tobytes() for r, _ in starts}) == 4
    target = np.cov(reference.T, bias=True)
    for rotation, translation in starts:
        assert_allclose(np.linalg.det(rotation), 1.0)
        turned = probe @ rotation.T + translation
        assert_allclose(turned.mean(axis=0), reference.mean(axis=0), atol=1e-9)
        axes = np.linalg.eigh(target)[1]
        diagonal = axes.T @ np.cov(turned.T, bias=True) @ axes
        assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 12])
@pytest.mark.parametrize("seed", range(5))
def test_copies_are_found_from_principal_axes(n, seed):
    c = random_conformer(n, seed)
    copy = moved(c, seed + 1)
    starts = principal_starts(c.position, copy.position)
    order, distance = superpose(c.atomic_number, c.position, copy.atomic_number, copy.position, starts)
    assert distance < 1e-7
    assert_array_equal(copy.atomic_number[order], c.atomic_number)
    assert_allclose(kabsch(c.position, copy.position[order])[2], 0, atol=1e-6)


def test_superposition_refines_a_poor_start_and_keeps_the_best():
    c = random_conformer(8, 0)
    turned = Rotation.from_rotvec([0.25, -0.1, 0.2]).apply(c.position)
    poor = (np.eye(3), np.zeros(3))
    worst = (Rotation.from_rotvec([0, 3.0, 0]).as_matrix(), np.zeros(3))
    z = c.atomic_number
    assert rmsd(c.position, turned) > 0.1
    assert superpose(z, c.position, z, turned, [poor])[1] < 1e-9
    assert superpose(z, c.position, z, turned, [worst, poor, worst])[1] < 1e-9


def test_rounds_go_on_until_nothing_changes():
    """The order is the best one for the motion, and the motion the best one for the order."""
    changed = 0
    for seed in range(20):
        z, reference, probe = np.ones(10, dtype=np.int64), points(10, seed), points(10, seed + 100)
        order, distance = superpose(z, reference, z, probe, [(np.eye(3), np.zeros(3))])
        rotation, translation, expected = kabsch(reference, probe[order])
        assert_allclose(distance, expected)
        turned = probe @ rotation.T + translation
        assert_array_equal(assigned(z, reference, turned), order)
        changed += not np.array_equal(assigned(z, reference, probe), order)
    assert changed > 5


def test_mirror_images_of_chiral_conformers_stay_apart():
    c = random_conformer(10, 4)
    image = mirrored(c)
    z = c.atomic_number
    starts = principal_starts(c.position, image.position)
    assert superpose(z, c.position, z, image.position, starts)[1] > 0.1
