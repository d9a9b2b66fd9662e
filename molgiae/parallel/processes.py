"""Processes that answer questions, one each at a time; one that hangs or crashes costs a single answer.

Pools of `multiprocessing`, that of pebble among them, do not fit: started afresh, a process runs the script of the user
once more, which fails where that is not guarded; forked, it inherits locks of running threads. These run one module.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from typing import Any, Self, TypeVar

from molgiae.errors import MolgiaeError
from molgiae.parallel.announcements import unannounced
from molgiae.parallel.threads import in_flight

Plain = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")

MAX_AHEAD = 64
"""Questions for each process that wait behind one that takes long."""


class NoAnswerError(MolgiaeError):
    """A process took too long or died over a question."""


class Workers:
    """Processes of one module, started when they are needed, and again when they were lost.

    A context manager that ends all of them, if need be in the middle of an answer.

    Args:
        size: how many, as many as threads that ask at a time.
        module: run as ``python -m``; it calls `serve`.
        setup: first line for each process.
        time_limit: seconds for an answer; None for no limit.
        environments: of each process, what its environment says beside that of this one; none for nothing.
    """

    def __init__(
        self,
        size: int,
        module: str,
        setup: Plain,
        time_limit: float | None,
        environments: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self._module, self._setup, self._time_limit = module, setup, time_limit
        self._free: queue.SimpleQueue[tuple[Mapping[str, str], subprocess.Popen[str] | None]]
        self._free = queue.SimpleQueue()
        for environment in environments or [{}] * size:
            self._free.put((environment, None))
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        for process in list(self._running):
            process.kill()
            self._end(process)

    def ask(self, question: Plain) -> Plain:
        """Return the answer of a process that is free.

        Raises:
            NoAnswerError: there was none, with the reason.
            MolgiaeError: the process does not start.
        """
        environment, process = self._free.get()
        try:
            process = process or self._started(environment)
            asked = time.monotonic()
            with _killed_after(self._time_limit, process):
                reply = _exchange(process, question)
            if reply is not None:
                return reply
            is_late = self._time_limit is not None and time.monotonic() - asked >= self._time_limit
            lost, process = process, None
            status = self._end(lost)
        finally:
            self._free.put((environment, process))
        if is_late:
            raise NoAnswerError(f"took longer than {self._time_limit:g} s; try a longer --time-limit")
        raise NoAnswerError(f"the process that worked on it died (status {status})")

    def _started(self, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        if self._closed:
            raise NoAnswerError("the run was stopped")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
            | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        )
        self._running.add(process)
        if _exchange(process, self._setup) is None:
            status = self._end(process)
            raise MolgiaeError(f"{self._module} does not start (status {status}); its own message is above")
        return process

    def _end(self, process: subprocess.Popen[str]) -> int:
        self._running.discard(process)
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
        return process.wait()


def in_order(
    workers: Workers, jobs: int, work: Callable[[T], R], items: Iterable[T]
) -> Generator[R, None, None]:
    """Yield what work makes of each item, in the order of the items.

    Args:
        workers: what work asks, not yet entered; all are ended when the last item is done or the caller stops.
        jobs: their number.
        work: called in as many threads.
        items: taken in the thread of the caller, up to `MAX_AHEAD` times `jobs` ahead of the results.
    """
    with (
        ThreadPoolExecutor(jobs, "molgiae") as pool,
        workers,
        closing(in_flight(pool, work, items, MAX_AHEAD * jobs)) as answers,
    ):
        yield from answers


def serve(answering: Callable[[Plain], Callable[[Plain], Plain]]) -> None:
    """Answer the questions of `Workers`, in a process of its own, until there are no more; all lines are JSON.

    Args:
        answering: from the setup to what answers.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):  # the process that asks decides when to stop
        signal.signal(stop, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
    answer = answering(json.loads(sys.stdin.readline()))
    try:
        with unannounced():
            for reply in chain([{"ready": True}], (answer(json.loads(line)) for line in sys.stdin)):
                output.write(json.dumps(reply) + "\n")
                output.flush()
    except BrokenPipeError:  # whoever asked is gone
        os._exit(1)


@contextlib.contextmanager
def _killed_after(seconds: float | None, process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill a process that is still at work after so many seconds."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _exchange(process: subprocess.Popen[str], question: Plain) -> Plain | None:
    """Return the answer; None if the process is gone."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):  # a pipe that broke, or was closed while it was read
        return None
    return json.loads(line) if line.endswith("\n") else None
