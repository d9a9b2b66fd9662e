"""Superposed pairs of conformers against all matchings: order, reflection, verdict, with bonds and without."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.conformer import Conformer
from molgiae.matching import branch_and_bound as search_module
from molgiae.matching import superpose_pairs
from tests.commands.test_dedup import bonded
from tests.conformers import moved
from tests.matching.enumeration import GEOMETRIES, GRAPHS, automorphisms, least_rmsd, matchings, pair, rmsd_of

NAMES = (
    "atom",
    "hydrogen",
    "water",
    "methane",
    "carbon dioxide",
    "prismane",
    "butyne",
    "five hydrogens",
    "two rings",
)


def conformers(name: str, geometry: str, rng: np.random.Generator) -> tuple[Conformer, Conformer, np.ndarray]:
    """A pair of a graph of `GRAPHS`, the atoms of the probe in an order of their own, and its isomorphisms (K, n)."""
    z, bonds = GRAPHS[name]
    x, y = pair(geometry, automorphisms(name), rng)
    order = rng.permutation(len(z))
    place = np.argsort(order)
    there = [(int(place[a]), int(place[b])) for a, b in bonds]
    z = np.array(z, np.uint8)
    reference = bonded(Conformer(z, x), np.array(bonds, np.int64).reshape(-1, 2))
    probe = bonded(
        Conformer(z[order], y[order] + rng.normal(size=3)), np.array(there, np.int64).reshape(-1, 2)
    )
    return reference, probe, place[automorphisms(name)]


@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_matches_by_bonds_are_the_best_of_all_isomorphisms(name, allow_reflection):
    rng = np.random.default_rng(0)
    made = [conformers(name, geometry, rng) for geometry in GEOMETRIES]
    reference, probe, _ = map(list, zip(*made, strict=True))
    found = superpose_pairs(reference, probe, allow_reflection=allow_reflection)
    assert found.proven.all()
    for k, (x, y, every) in enumerate(made):
        assert any((found.order[k] == mapping).all() for mapping in every)
        least = least_rmsd(x.position, y.position, every, reflect=allow_reflection)
        assert_allclose(found.rmsd[k], least, rtol=0, atol=1e-6)
        sign = -1 if found.reflected[k] else 1
        assert_allclose(rmsd_of(x.position, sign * y.position[found.order[k]]), found.rmsd[k], atol=1e-9)
        proper = least_rmsd(x.position, y.position, every)
        assert found.reflected[k] == (allow_reflection and least < proper - 1e-6)


@pytest.mark.parametrize("allow_reflection", [False, True])
def test_matches_by_atoms_are_the_best_of_all_where_they_are_proven(allow_reflection):
    rng = np.random.default_rng(0)
    for name in ("atom", "water", "methane", "carbon dioxide", "prismane"):
        made = [conformers(name, geometry, rng) for geometry in GEOMETRIES]
        reference, probe, _ = map(list, zip(*made, strict=True))
        found = superpose_pairs(reference, probe, match="atoms", allow_reflection=allow_reflection)
        for k, (x, y, _) in enumerate(made):
            every = matchings(x.atomic_number, y.atomic_number)
            least = least_rmsd(x.position, y.position, every, reflect=allow_reflection)
            assert found.rmsd[k] >= least - 1e-9
            assert not found.proven[k] or found.rmsd[k] <= least + 3e-6


@pytest.mark.parametrize("match", ["bonds", "atoms"])
def test_what_a_plane_mirrors_is_not_called_reflected(match):
    """Of two that are as good the proper one is taken, whatever the round-off."""
    rng = np.random.default_rng(1)
    for name in ("benzene", "water", "carbon dioxide", "hydrogen"):
        made = [conformers(name, geometry, rng)[:2] for geometry in ("planar", "linear") for _ in range(10)]
        reference, probe = map(list, zip(*made, strict=True))
        if match == "atoms":  # finds the same of a pair and its mirror image only where it finds the best
            probe = [moved(c, seed) for seed, c in enumerate(reference)]
        found = superpose_pairs(reference, probe, match=match, allow_reflection=True)
        assert not found.reflected.any()


def test_of_a_pair_and_its_mirror_image_both_must_be_proven(monkeypatch):
    """What was given up as a mirror image may be better than what is proven without reflection."""
    rng = np.random.default_rng(2)
    x, y, _ = conformers("tert-butanol", "unrelated", rng)
    assert superpose_pairs([x], [y], allow_reflection=True).proven[0]
    run = search_module.BranchAndBound.run

    def second_unproven(self):
        core, choices, proven = run(self)
        calls.append(proven)
        return core, choices, proven & (len(calls) < 2)

    calls: list = []
    monkeypatch.setattr(search_module.BranchAndBound, "run", second_unproven)
    assert not superpose_pairs([x], [y], allow_reflection=True).proven[0]
    assert len(calls) == 2
