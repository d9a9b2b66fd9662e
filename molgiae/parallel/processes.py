"""Processes that answer questions, one each at a time; one that hangs or crashes costs a single answer."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from molgiae.errors import MolgiaeError

Plain = dict[str, Any]


class NoAnswerError(MolgiaeError):
    """A process took too long or died over a question."""


class Worker:
    """One process, started when it is needed, and again when it was lost.

    Args:
        module: run as ``python -m``; it reads the setup and then questions from standard input, and writes a line
            when it is ready and one for every answer. All lines are JSON.
        setup: first line for the process.
        time_limit: seconds for an answer.
    """

    def __init__(self, module: str, setup: Plain, time_limit: float) -> None:
        self._module, self._setup, self._time_limit = module, setup, time_limit
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def ask(self, question: Plain) -> Plain:
        """The answer to a question.

        Raises:
            NoAnswerError: there was none, with the reason.
            MolgiaeError: the process does not start.
        """
        process = self._process = self._process or self._started()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._time_limit, stop)
        timer.start()
        try:
            reply = _exchange(process, question)
        finally:
            timer.cancel()
        if reply is not None:
            return reply
        self._process = None
        status = _end(process)
        if late.is_set():
            raise NoAnswerError(f"took longer than {self._time_limit:g} s; try a longer --time-limit")
        raise NoAnswerError(f"the process that worked on it died (status {status})")

    def close(self) -> None:
        """End the process, if need be in the middle of an answer."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            _end(self._process)

    def _started(self) -> subprocess.Popen[str]:
        if self._closed:
            raise NoAnswerError("the run was stopped")
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
            | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        )
        if _exchange(process, self._setup) is None:
            raise MolgiaeError(
                f"{self._module} does not start (status {_end(process)}); its own message is above"
            )
        return process


class Workers:
    """Several workers; whoever asks gets one that is free. A context manager that ends all of them.

    Args:
        size: how many, as many as threads that ask at a time.
        module: of `Worker`.
        setup: of `Worker`.
        time_limit: of `Worker`.
    """

    def __init__(self, size: int, module: str, setup: Plain, time_limit: float) -> None:
        self._all = [Worker(module, setup, time_limit) for _ in range(size)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._all:
            worker.close()

    def ask(self, question: Plain) -> Plain:
        """As `Worker.ask`."""
        worker = self._free.get()
        try:
            return worker.ask(question)
        finally:
            self._free.put(worker)


def _exchange(process: subprocess.Popen[str], question: Plain) -> Plain | None:
    """The answer; None if the process is gone."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):  # a pipe that broke, or was closed while it was read
        return None
    return json.loads(line) if line.endswith("\n") else None


def _end(process: subprocess.Popen[str]) -> int:
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.close()
    return process.wait()
