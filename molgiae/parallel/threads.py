"""Blocks computed by several threads, while the caller reads the next and writes the last.

Tensor operations on a batch of small molecules are too short to be split among cores: threads inside each
operation wait for each other at its end. Where other programs take the cores, each of these waits lasts until the
scheduler gives the last thread its turn, milliseconds for an operation of microseconds: fine-tuning for two epochs on
two contended cores took 31 s with one thread in each operation, and was not done after 213 s with two, whether
waiting threads spin or sleep (OMP_WAIT_POLICY). Whole blocks do not wait for each other.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from molgiae.errors import MolgiaeError

T = TypeVar("T")
R = TypeVar("R")


OMP = "OMP_NUM_THREADS"
"""What says how many threads an operation has; torch reads it when it is loaded."""

_shared: list[int] = []
"""Threads that blocks are shared among within `threads_used`."""


def free_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Return the number of threads worth running: those of `threads_used`, ``OMP_NUM_THREADS``, or the free cores."""
    return _shared[-1] if _shared else _asked() or free_cores()


def _asked() -> int:
    asked = os.environ.get(OMP, "")
    return int(asked) if asked.isdecimal() else 0


@contextmanager
def threads_used(number: int | None) -> Iterator[None]:
    """Compute with so many threads: blocks are shared among them, and each operation of a network in training is.

    None leaves that to ``OMP_NUM_THREADS``; without it blocks are shared among the free cores, and operations are not
    split: that pays on idle cores and for large batches alone, and other numbers of threads add up in another order.
    """
    each, before = number or _asked() or 1, os.environ.get(OMP)
    torch = sys.modules.get("torch")
    torch_before = torch.get_num_threads() if torch else 0
    _shared.append(number or cores())
    os.environ[OMP] = str(each)
    if torch:
        torch.set_num_threads(each)
    try:
        yield
    finally:
        _shared.pop()
        os.environ.pop(OMP)
        if before is not None:
            os.environ[OMP] = before
        if torch:
            torch.set_num_threads(torch_before)


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield the function of each item, in the order of the items.

    Args:
        function: called in other threads, each with one torch thread of its own.
        items: taken one by one in the thread of the caller, at most `workers` + 1 ahead of the results. If taking
            one raises a `MolgiaeError`, the results of those before it come first.
        workers: threads; with one, the function is called in the thread of the caller and torch is left alone.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    torch = sys.modules.get("torch")  # where it is not loaded, no function can use it
    before = torch.get_num_threads() if torch else 0
    single: dict[str, Any] = {"initializer": torch.set_num_threads, "initargs": (1,)} if torch else {}
    try:
        with ThreadPoolExecutor(workers, "molgiae", **single) as pool:
            yield from in_flight(pool, function, items, workers + 1)
    finally:
        if torch:
            torch.set_num_threads(before)  # the initializer also changes what all threads share


def in_flight(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Generator[R, None, None]:
    """Yield what `ordered_map` does, from a pool of threads, with at most so many items ahead of the results."""
    waiting: deque[Future[R]] = deque()
    failure: MolgiaeError | None = None
    source = iter(items)
    try:
        while failure is None:
            try:
                waiting.append(pool.submit(function, next(source)))
            except StopIteration:
                break
            except MolgiaeError as error:
                failure = error
            while len(waiting) > ahead or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
    if failure is not None:
        raise failure
