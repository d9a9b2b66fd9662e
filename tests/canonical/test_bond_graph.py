"""Ranks and classes: gaps decide, never a grid that round-off could cross; the stream of hashes stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.canonical import bond_graph as bond_graphs
from molgiae.canonical.bond_graph import BondGraph, bond_graph, ranks, refined
from molgiae.canonical.forms import canonical_forms
from tests.conformers import random_conformer

HUNDREDTHS = st.integers(-300, 300).map(lambda k: k / 100 + 0.003)


@settings(max_examples=100, deadline=None)
@given(values=hnp.arrays(np.float64, (3, 7), elements=HUNDREDTHS), seed=st.integers(0, 99))
def test_round_off_and_order_change_no_rank(values, seed):
    """Values stand on a grid of 0.01; half of it is a tolerance that round-off of 1e-9 does not reach."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(7)
    noisy = values[:, order] + rng.uniform(-1e-9, 1e-9, values.shape)
    assert_array_equal(ranks(noisy, 0.005), ranks(values, 0.005)[:, order])
    for row, found in zip(values, ranks(values, 0.005), strict=True):
        assert_array_equal(found, np.unique(row, return_inverse=True)[1])


def test_ranks_are_chains_of_small_gaps_row_by_row():
    values = np.array([[0.0, 0.02, 0.009, 0.018], [1.0, 0.0, 2.0, 0.0]])
    assert ranks(values, 0.01).tolist() == [[0, 0, 0, 0], [1, 0, 2, 0]]
    assert ranks(values[:1]).tolist() == [[0, 3, 1, 2]]


def test_infinite_values_come_last_and_share_a_rank():
    assert ranks(np.array([[np.inf, 1.0, np.inf, -2.0]]), 0.01).tolist() == [[2, 1, 2, 0]]


def test_classes_are_refined_by_neighbours_and_keep_the_order_given():
    """Of a path of five equal atoms the ends, their neighbours and the middle are told apart."""
    path = np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    [classes] = refined(np.zeros((1, 5), np.int64), path[None])
    assert classes[0] == classes[4] and classes[1] == classes[3] and len(set(classes.tolist())) == 3
    [marked] = refined(np.array([[1, 0, 0, 0, 0]]), path[None])
    assert sorted(marked.tolist()) == [0, 1, 2, 3, 4] and marked[0] == 4


def test_the_stream_of_hashes_never_changes():
    """Another one would put classes in another order: other canonical forms, other embeddings."""
    assert_allclose(
        bond_graphs._hashes(3), [0.9700530018065531, 0.707819864399788, 0.45938294312745087], rtol=1e-15
    )
    assert_array_equal(bond_graphs._hashes(50)[:3], bond_graphs._hashes(3))


@pytest.mark.parametrize("broken", ["classes", "margin"])
def test_a_form_does_depend_on_classes_and_stability_on_the_margin(broken, monkeypatch):
    """What is read off the graph is used: a graph broken on purpose shows in the result."""
    conformers = [random_conformer(9, seed) for seed in range(4)]
    sound = canonical_forms(conformers)

    def spoilt(z, pos):
        graph = bond_graph(z, pos)
        if broken == "margin":
            return BondGraph(graph.adjacency, graph.classes, 0 * graph.margin)
        return BondGraph(graph.adjacency, graph.classes.max() - graph.classes, graph.margin)

    monkeypatch.setattr("molgiae.canonical.forms.bond_graph", spoilt)
    found = canonical_forms(conformers)
    if broken == "margin":
        assert not found["stability"].any() and sound["stability"].all()
    else:
        assert (found["permutation"] != sound["permutation"]).any()
