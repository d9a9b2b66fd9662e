"""Matching within elements: assignment, bound and verdict against all permutations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from molgiae.matching import atoms as atoms_module
from molgiae.matching.atoms import (
    assigned,
    blocks_of,
    match_atoms,
    principal_starts,
    radial_bound,
    superpose,
)
from molgiae.matching.kabsch import kabsch, rmsd
from tests.conformers import mirrored, moved, random_conformer
from tests.matching.enumeration import GEOMETRIES, least_rmsd, matchings, pair, rmsd_of

SEARCHED = 0
"""In place of `MAX_TRIED`: small formulas are searched like large ones."""
FORMULAS = ([18] * 5, [1, 1, 1, 1, 6], [1, 1, 1, 6, 6, 8], [1, 1, 1, 1, 8, 8], [6, 7], [6], [1, 6, 7, 8])

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
def test_the_radial_bound_of_a_scaled_copy_is_its_rmsd(formula, factor, monkeypatch):
    """The bound is sharp: any larger one would be wrong here."""
    monkeypatch.setattr(atoms_module, "MAX_TRIED", SEARCHED)
    z = np.array(formula)
    maps = matchings(z, z)
    x, y = pair("exact copy", maps, np.random.default_rng(1))
    y = factor * y
    assert_allclose(bound_of(z, x, y), least_rmsd(x, y, maps), atol=1e-9)
    orders, proven = match_atoms(z, x[None], y[None], [])
    assert proven[0]
    assert_allclose(rmsd_of(x, y[orders[0]]), bound_of(z, x, y), atol=1e-9)


@pytest.mark.parametrize("few", [SEARCHED, atoms_module.MAX_TRIED])
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_what_is_proven_is_the_least_of_all_and_copies_are(formula, few, monkeypatch):
    monkeypatch.setattr(atoms_module, "MAX_TRIED", few)
    z = np.array(formula)
    maps = matchings(z, z)
    rng = np.random.default_rng(2)
    for geometry in GEOMETRIES:
        x, y = (np.array(side) for side in zip(*(pair(geometry, maps, rng) for _ in range(3)), strict=True))
        orders, proven = match_atoms(z, x, y, [])
        assert (z[orders] == z).all() and (np.sort(orders, axis=1) == np.arange(len(z))).all()
        least = [least_rmsd(a, b, maps) for a, b in zip(x, y, strict=True)]
        found = [rmsd_of(a, b[order]) for a, b, order in zip(x, y, orders, strict=True)]
        assert_allclose(np.array(found)[proven], np.array(least)[proven], rtol=0, atol=3e-6)
        assert geometry != "exact copy" or proven.all()
        assert not few or proven.all()


@pytest.mark.parametrize("apart", [1e-5, 1e-3, 0.1])
def test_a_matching_that_is_not_the_best_is_not_proven(apart, monkeypatch):
    """Two atoms change places, which costs next to nothing: what was found is as near to zero as one likes."""
    z = np.array([1, 1, 1, 6, 8])
    x = np.random.default_rng(0).normal(0, 1.5, (5, 3))
    x[1] = x[0] + [apart, 0, 0]
    x -= x.mean(axis=0)
    swapped = np.array([1, 0, 2, 3, 4])
    worse = rmsd_of(x, x[swapped])
    assert 1e-6 < worse < apart
    monkeypatch.setattr(atoms_module, "MAX_TRIED", SEARCHED)
    monkeypatch.setattr(atoms_module, "_refined", lambda *_: (swapped, worse))
    assert not match_atoms(z, x[None], x[None], [])[1][0]
    longer = 1.01 * x  # not near to zero, but to the bound
    worse = rmsd_of(x, longer[swapped])
    assert worse - bound_of(z, x, longer) > 1e-6 or apart < 0.01
    assert apart < 0.01 or not match_atoms(z, x[None], longer[None], [])[1][0]


def test_misses_of_a_poor_search_are_not_proven(monkeypatch):
    for name, value in (("MAX_TRIED", SEARCHED), ("SAMPLES", 1), ("FRAMES", 0), ("REFINED", 1)):
        monkeypatch.setattr(atoms_module, name, value)
    atoms_module.sampled_rotations.cache_clear()
    z = np.array([18] * 6)
    maps, rng, missed = matchings(z, z), np.random.default_rng(4), 0
    for geometry in (*GEOMETRIES, *GEOMETRIES):
        x, y = pair(geometry, maps, rng)
        [order], [proven] = match_atoms(z, x[None], y[None], [])
        worse = rmsd_of(x, y[order]) - least_rmsd(x, y, maps)
        assert not (proven and worse > 3e-6), geometry
        missed += worse > 3e-6
    atoms_module.sampled_rotations.cache_clear()
    assert missed > 1


@pytest.mark.parametrize("seed", range(10))
def test_assignment_is_the_best_of_all_within_elements(seed):
    rng = np.random.default_rng(seed)
    z, x, y = np.sort(rng.choice([1, 6], 6)), points(6, seed), points(6, seed + 100)
    maps = matchings(z, z)
    for probe, order in zip((y, x, 2 * y), assigned(blocks_of(z), x, np.stack([y, x, 2 * y])), strict=True):
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
        assert_array_equal(assigned([slice(0, 10)], reference, turned[None])[0], order)
        changed += not np.array_equal(assigned([slice(0, 10)], reference, probe[None])[0], order)
    assert changed > 5


def test_mirror_images_of_chiral_conformers_stay_apart():
    c = random_conformer(10, 4)
    image = mirrored(c)
    z = c.atomic_number
    starts = principal_starts(c.position, image.position)
    assert superpose(z, c.position, z, image.position, starts)[1] > 0.1
