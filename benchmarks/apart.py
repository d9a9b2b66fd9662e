"""Calls of a library in a process of its own: CPU time of each, peak memory of all, an end to those that take too long.

CPU time is what a single thread needs on an idle machine; unlike wall-clock time it bears a busy one.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WATCH = 0.1
"""Seconds after which the memory of a busy process is looked at."""


@dataclass(frozen=True)
class Peer:
    """How to call a library; the functions belong to modules, so that another process finds them.

    Attributes:
        load: imports the library; ImportError if it is not there.
        prepare: a task to the objects that the library takes.
        call: what is measured.
        finish: what was prepared and what the call returned to plain data.
    """

    load: Callable[[], object]
    prepare: Callable[[Any], Any]
    call: Callable[[Any], Any]
    finish: Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        value: plain data; None if the call failed.
        seconds: CPU time.
        failure: why; empty if it did not fail.
    """

    value: Any
    seconds: float
    failure: str = ""


@dataclass(frozen=True)
class Calls:
    """Calls of one library.

    Attributes:
        calls: one for each task.
        memory: peak of the process, MB.
        memory_before: peak after loading and one call that is not counted, MB.
        missing: why the library could not be loaded; there are no calls then.
    """

    calls: list[Call]
    memory: float = 0.0
    memory_before: float = 0.0
    missing: str = ""


def peak_memory(process: int | str = "self") -> float:
    """Return the most memory that a process ever held, MB; ru_maxrss would count the parent's before exec."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return int(status.split("VmHWM:")[1].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def cpu_seconds(process: int) -> float:
    """CPU time that a process has used so far."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_apart(peer: Peer, tasks: Sequence[Any], warm: Any, limit: float) -> Calls:
    """Call a library on each task, in a process that is begun anew after a call that had to be ended.

    Args:
        peer: the library.
        tasks: plain data.
        warm: a task that is done first and not counted.
        limit: CPU seconds for each call.

    Raises:
        RuntimeError: the library does not even do the call that is not counted.
    """
    os.environ.update(dict.fromkeys(THREADS, "1"))
    calls: list[Call] = []
    memory = before = 0.0
    while len(calls) < len(tasks):
        mine, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, peer, tasks[len(calls) :], warm), daemon=True
        )
        process.start()
        theirs.close()
        ready, started = False, 0.0
        with mine:
            while len(calls) < len(tasks):
                over = False
                while not mine.poll(WATCH) and not over:
                    memory = max(memory, peak_memory(process.pid or 0))
                    over = ready and cpu_seconds(process.pid or 0) > started + limit
                if over:
                    process.kill()
                    calls.append(Call(None, limit, f"over {limit:g} s"))
                    break
                try:
                    what, content, peak = mine.recv()
                except EOFError:
                    if not ready:
                        raise RuntimeError(f"{peer.load.__name__} or the first call failed") from None
                    calls.append(Call(None, 0.0, "died"))
                    break
                memory = max(memory, peak)
                if what == "missing":
                    return Calls([], missing=content)
                if what == "prepared":
                    ready, before, started = True, before or peak, content
                if what == "done":
                    calls.append(content)
                    started = float("inf")
        process.join()
    return Calls(calls, memory, before)


def _serve(connection: Connection, peer: Peer, tasks: Sequence[Any], warm: Any) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        peer.load()
    except ImportError as error:
        connection.send(("missing", str(error), peak_memory()))
        return
    _timed(peer, peer.prepare(warm))
    for task in tasks:
        prepared = peer.prepare(task)
        connection.send(("prepared", time.process_time(), peak_memory()))
        connection.send(("done", _timed(peer, prepared), peak_memory()))


def _timed(peer: Peer, prepared: Any) -> Call:
    start = time.process_time()
    try:
        result = peer.call(prepared)
    except Exception as error:  # a library's failure is a result
        return Call(None, time.process_time() - start, f"{type(error).__name__}: {error}"[:200])
    seconds = time.process_time() - start
    return Call(peer.finish(prepared, result), seconds)
