"""Sorting with ties: exact where nothing is close, and the same for round-off apart."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from molgiae.canonical.ordering import tolerant_lexsort

INF = torch.inf
WHOLE = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(-2, 2)
)


def sort(*rows: tuple[float, ...], tolerance: float = 0.01) -> tuple[list[int], list[int]]:
    order, group = tolerant_lexsort(torch.tensor(rows, dtype=torch.float64), tolerance)
    return order.tolist(), group.tolist()


def assert_sorts_like_numpy(function, keys: np.ndarray) -> None:
    """Without close values it is the stable lexicographic sort, first column first."""
    order, group = (t.numpy() for t in function(torch.from_numpy(keys), 0.01))
    np.testing.assert_array_equal(order, np.lexsort(keys.T[::-1]))
    distinct = np.any(np.diff(keys[order], axis=0) != 0, axis=1)
    np.testing.assert_array_equal(group, np.concatenate([[0], np.cumsum(distinct)]))


@settings(deadline=None, max_examples=60)
@given(WHOLE)
def test_distinct_values_sort_lexicographically(keys):
    assert_sorts_like_numpy(tolerant_lexsort, keys)


def test_that_check_fails_for_other_sorts():
    def last_key_first(keys, tolerance):
        return tolerant_lexsort(keys.flip(-1), tolerance)

    def one_group(keys, tolerance):
        order, group = tolerant_lexsort(keys, tolerance)
        return order, 0 * group

    keys = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    for broken in (last_key_first, one_group):
        try:
            assert_sorts_like_numpy(broken, keys)
        except AssertionError:
            continue
        raise AssertionError("a wrong sort passed")


@settings(deadline=None, max_examples=60)
@given(WHOLE, st.integers(0, 2**32 - 1))
def test_round_off_changes_neither_groups_nor_sorted_rows(keys, seed):
    rng = np.random.default_rng(seed)
    noisy = keys + rng.uniform(-1e-9, 1e-9, keys.shape)
    shuffled = rng.permutation(len(keys))
    order, group = tolerant_lexsort(torch.from_numpy(keys), 0.01)
    order_2, group_2 = tolerant_lexsort(torch.from_numpy(noisy[shuffled]), 0.01)
    assert torch.equal(group, group_2)
    np.testing.assert_allclose(noisy[shuffled][order_2], keys[order], atol=1e-8)


def test_a_tie_in_the_first_key_is_decided_by_the_second():
    assert sort((0.005, 1.0), (0.0, 2.0), (1.0, 0.0)) == ([0, 1, 2], [0, 1, 2])
    assert sort((0.0, 2.0), (0.02, 1.0)) == ([0, 1], [0, 1])


def test_ties_are_chains_of_small_gaps():
    chain = [(0.009 * k, -float(k)) for k in range(5)]
    assert sort(*chain)[0] == [4, 3, 2, 1, 0]
    assert sort(*[(value,) for value, _ in chain], (0.06,))[1] == [0, 0, 0, 0, 0, 1]


def test_rows_that_are_equal_throughout_share_a_group_and_keep_their_order():
    assert sort((1.0, 1.0), (0.0, 0.0), (1.0, 1.0)) == ([1, 0, 2], [0, 1, 1])


def test_infinite_keys_are_equal_to_each_other_and_come_last():
    assert sort((INF, 1.0), (5.0, 9.0), (INF, 0.0)) == ([1, 2, 0], [0, 1, 2])
    assert sort((INF,), (5.0,), (INF,)) == ([1, 0, 2], [0, 1, 1])
    assert sort((INF,), (-INF,)) == ([1, 0], [0, 1])


def test_a_batch_sorts_row_by_row():
    keys = torch.randn(4, 3, 6, 2, generator=torch.Generator().manual_seed(0)).round()
    order, group = tolerant_lexsort(keys, 0.01)
    for i, j in np.ndindex(4, 3):
        one = tolerant_lexsort(keys[i, j], 0.01)
        assert torch.equal(order[i, j], one[0])
        assert torch.equal(group[i, j], one[1])
