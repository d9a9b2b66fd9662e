"""Matching within elements: bound and verdict against all permutations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.matching import atoms as atoms_module
from molgiae.matching.atoms import match_atoms
from molgiae.matching.bounds import radial_bound
from tests.matching.enumeration import GEOMETRIES, least_rmsd, matchings, pair, rmsd_of

SEARCHED = 0
"""In place of `FEW`: small formulas are searched like large ones."""
FORMULAS = ([18] * 5, [1, 1, 1, 1, 6], [1, 1, 1, 6, 6, 8], [1, 1, 1, 1, 8, 8], [6, 7], [6], [1, 6, 7, 8])


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
            assert_allclose(radial_bound(z, x + 5), radial_bound(z, x), atol=1e-12)


@pytest.mark.parametrize("formula", FORMULAS, ids=str)
@pytest.mark.parametrize("factor", [1.05, 2.0])
def test_the_radial_bound_of_a_scaled_copy_is_its_rmsd(formula, factor, monkeypatch):
    """The bound is sharp: any larger one would be wrong here."""
    monkeypatch.setattr(atoms_module, "FEW", SEARCHED)
    z = np.array(formula)
    maps = matchings(z, z)
    x, y = pair("exact copy", maps, np.random.default_rng(1))
    y = factor * y
    assert_allclose(bound_of(z, x, y), least_rmsd(x, y, maps), atol=1e-9)
    orders, proven = match_atoms(z, x[None], y[None], [])
    assert proven[0]
    assert_allclose(rmsd_of(x, y[orders[0]]), bound_of(z, x, y), atol=1e-9)


@pytest.mark.parametrize("few", [SEARCHED, atoms_module.FEW])
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_what_is_proven_is_the_least_of_all_and_copies_are(formula, few, monkeypatch):
    monkeypatch.setattr(atoms_module, "FEW", few)
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
    monkeypatch.setattr(atoms_module, "FEW", SEARCHED)
    monkeypatch.setattr(atoms_module, "_refined", lambda *_: (swapped, worse))
    assert not match_atoms(z, x[None], x[None], [])[1][0]
    longer = 1.01 * x  # not near to zero, but to the bound
    worse = rmsd_of(x, longer[swapped])
    assert worse - bound_of(z, x, longer) > 1e-6 or apart < 0.01
    assert apart < 0.01 or not match_atoms(z, x[None], longer[None], [])[1][0]


def test_misses_of_a_poor_search_are_not_proven(monkeypatch):
    for name, value in (("FEW", SEARCHED), ("SAMPLES", 1), ("FRAMES", 0), ("REFINED", 1)):
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
