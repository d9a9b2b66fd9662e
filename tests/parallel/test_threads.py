"""Blocks in several threads: the same results in the same order, never far ahead, errors in their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from molgiae.errors import ConformerError
from molgiae.parallel.threads import OMP, cores, free_cores, ordered_map, threads_used

WORKERS = (1, 2, 5)


def slow_square(k: int) -> int:
    time.sleep(0.002 * (k % 3))
    return k * k


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("n", [0, 1, 2, 40])
def test_results_come_in_order(workers, n):
    assert list(ordered_map(slow_square, range(n), workers)) == [k * k for k in range(n)]


@pytest.mark.parametrize("workers", WORKERS)
def test_items_are_taken_only_a_few_ahead(workers):
    taken: list[int] = []

    def items() -> Iterator[int]:
        for k in range(50):
            taken.append(k)
            yield k

    for done, _ in enumerate(ordered_map(slow_square, items(), workers), start=1):
        assert len(taken) - done <= workers + 1


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_the_source_comes_after_the_results_before_it(workers):
    def items() -> Iterator[int]:
        yield from range(3)
        raise ConformerError("bad record")

    results = []
    with pytest.raises(ConformerError, match="bad record"):
        for result in ordered_map(slow_square, items(), workers):
            results.append(result)
    assert results == [0, 1, 4]


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_of_the_function_comes_in_its_place(workers):
    results = []
    with pytest.raises(ZeroDivisionError):
        for result in ordered_map(lambda k: 6 // (3 - k), range(10), workers):
            results.append(result)
    assert results == [2, 3, 6]


def test_threads_compute_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)
    list(ordered_map(lambda _: meeting.wait(), range(4), 2))


@pytest.mark.parametrize("whole", [True, False])
def test_the_threads_of_torch_are_as_before(whole):
    before = torch.get_num_threads()
    results = ordered_map(lambda _: torch.get_num_threads(), range(6), 3)
    assert set(results if whole else [next(results)]) == {1}
    results.close()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("number", "asked", "shared", "each"),
    [(None, "", None, 1), (3, "", 3, 3), (None, "2", 2, 2), (1, "2", 1, 1)],
)
def test_threads_that_are_asked_for_and_those_that_are_not(number, asked, shared, each, monkeypatch):
    """Without a word, blocks are shared among the cores, and operations are not split."""
    monkeypatch.setenv(OMP, asked)
    before = torch.get_num_threads(), cores()
    with threads_used(number):
        assert cores() == (shared or free_cores()) and torch.get_num_threads() == each
    assert (torch.get_num_threads(), cores()) == before
