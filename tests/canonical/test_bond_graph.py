"""Ranks and classes: gaps decide, never a grid that round-off could cross; the stream of hashes stays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.canonical.bond_graph import hashes_of, neighbours_of, ranks, refined, split

HUNDREDTHS = st.integers(-300, 300).map(lambda k: k / 100 + 0.003)


@settings(max_examples=100, deadline=None)
@given(values=hnp.arrays(np.float64, 7, elements=HUNDREDTHS), seed=st.integers(0, 99))
def test_round_off_and_order_change_no_rank(values, seed):
    """Values stand on a grid of 0.01; half of it is a tolerance that round-off of 1e-9 does not reach."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(7)
    noisy = values[order] + rng.uniform(-1e-9, 1e-9, 7)
    assert_array_equal(ranks(noisy, 0.005), ranks(values, 0.005)[order])
    assert_array_equal(ranks(values, 0.005), np.unique(values, return_inverse=True)[1])


def test_ranks_are_chains_of_small_gaps():
    assert ranks(np.array([0.0, 0.02, 0.009, 0.018]), 0.01).tolist() == [0, 0, 0, 0]
    assert ranks(np.array([1.0, 0.0, 2.0, 0.0]), 0.01).tolist() == [1, 0, 2, 0]
    assert ranks(np.array([0.0, 0.02, 0.009, 0.018]), 0.0).tolist() == [0, 3, 1, 2]


def test_neighbours_of_an_atom_stand_together():
    start, neighbour = neighbours_of(4, np.array([0, 0, 1]), np.array([1, 3, 3]))
    assert [neighbour[a:b].tolist() for a, b in pairwise(start)] == [
        [1, 3],
        [0, 3],
        [],
        [0, 1],
    ]


def test_classes_are_refined_by_neighbours_and_keep_the_order_given():
    """Of a path of five equal atoms the ends, their neighbours and the middle are told apart."""
    path = *neighbours_of(5, np.arange(4), np.arange(1, 5)), hashes_of(5)
    classes = refined(np.zeros(5, np.int64), *path)
    assert classes[0] == classes[4] and classes[1] == classes[3] and len(set(classes.tolist())) == 3
    marked = refined(np.array([1, 0, 0, 0, 0]), *path)
    assert sorted(marked.tolist()) == [0, 1, 2, 3, 4] and marked[0] == 4


def test_isotopes_split_classes_and_keep_their_order():
    assert split(np.array([1, 0, 1, 0]), np.array([0, 2, 3, 0])).tolist() == [2, 1, 3, 0]


def test_the_stream_of_hashes_never_changes():
    """Another one would put classes in another order: other canonical forms, other embeddings."""
    assert_allclose(
        hashes_of(3)[:3], [0.9700530018065531, 0.707819864399788, 0.45938294312745087], rtol=1e-15
    )
    assert_array_equal(hashes_of(1000)[:3], hashes_of(3)[:3])
