"""RMSDs of the pairs that pretraining learns from, against all matchings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.training import pairs as pairs_module
from molgiae.training.pairs import conformer_pairs
from tests.conformers import conformer, moved
from tests.matching.enumeration import isomorphisms, least_rmsd, matchings

GEOMETRIES = {
    "water": ([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    "peroxide": ([8, 8, 1, 1], [[0, 0, 0.73], [0, 0, -0.73], [0.9, 0.3, 0.95], [-0.5, 0.8, -0.95]]),
    "methanol": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.5, 0.9],
                                      [-0.4, -0.5, -0.9], [1.7, 0.6, 0.7]]),
    "methanol turned": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.5, 0.9],
                                              [-0.4, -0.5, -0.9], [1.7, -0.9, 0.3]]),
    "methanol of another graph": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.8, 0.5],
                                                       [1.7, -0.5, -0.8], [1.7, 0.6, 0.7]]),
}  # fmt: skip
"""Which are conformers of which, the first word of the name says; bonds do not always agree."""


def block() -> ConformerBlock:
    """Four of each, displaced, in any pose and order."""
    rng = np.random.default_rng(0)
    made = []
    for name, (z, position) in GEOMETRIES.items():
        for seed in range(4):
            shifted = np.array(position) + 0.05 * rng.normal(size=(len(z), 3))
            copy = moved(conformer(z, shifted), seed)
            made.append(Conformer(copy.atomic_number, copy.position, title=name.split()[0]))
    return ConformerBlock.of(made)


@pytest.mark.parametrize("chunk", [5, 1000])
def test_their_rmsds_are_the_least_of_all_matchings(chunk, monkeypatch):
    monkeypatch.setattr(pairs_module, "CHUNK", chunk)
    conformers = block()
    other_graph = np.arange(len(conformers)) >= 4 * (len(GEOMETRIES) - 1)
    for kind, found in zip(("bonds", "atoms"), conformer_pairs(conformers, 0, None, False), strict=True):
        assert len(found) > 30
        formulas = {conformers[a].title for a, _ in found.ends.tolist()}
        assert formulas == {"water", "peroxide", "methanol"}
        graphs = {len(set(other_graph[ends % len(conformers)])) for ends in found.ends}
        assert graphs == ({1} if kind == "bonds" else {1, 2})
        for (a, b), rmsd in zip(found.ends.tolist(), found.rmsd, strict=True):
            x, y = conformers[a], conformers[b % len(conformers)]
            bonds = [perceived_bonds(c.atomic_number, c.position).tolist() for c in (x, y)]
            maps = (
                isomorphisms(x.atomic_number, bonds[0], y.atomic_number, bonds[1])
                if kind == "bonds"
                else matchings(x.atomic_number, y.atomic_number)
            )
            sign = -1 if b >= len(conformers) else 1
            assert len(maps), "of one formula, and by bonds of one graph"
            assert_allclose(rmsd, least_rmsd(x.position, sign * y.position, maps), atol=1e-6)
