"""Blocks computed by several threads, while the caller reads the next and writes the last.

Tensor operations on a batch of small molecules are too short to be split among cores: threads inside each
operation spend their time waiting for each other, the more so on a busy machine. Whole blocks are not.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from molgiae.errors import MolgiaeError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Return the number of threads worth running: ``OMP_NUM_THREADS``, or the cores of the machine."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else os.cpu_count() or 1


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
