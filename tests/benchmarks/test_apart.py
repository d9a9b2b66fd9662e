"""Calls in another process: what fails is told from what takes too long, and neither loses the calls after it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from apart import Peer, measure_apart  # noqa: E402 - a script's neighbour, not a package

pytestmark = pytest.mark.slow  # a process for each loss


def load() -> None:
    pass


def load_nothing() -> None:
    raise ImportError("no such peer")


def prepare(task: str) -> str:
    return task


def call(task: str) -> str:
    if task == "abort":
        os.abort()
    if task == "raise":
        raise ValueError("refused")
    if task == "sleep":
        time.sleep(1.0)
    if task == "grow":
        held = bytearray(200_000_000)
        while held:
            pass
    return task


def finish(prepared: str, result: str) -> str:
    return f"{prepared} {result}"


def test_each_call_is_accounted_for():
    tasks = ["a", "abort", "raise", "sleep", "grow", "b"]
    done = measure_apart(Peer(load, prepare, call, finish), tasks, "warm", limit=0.6)
    assert [c.value for c in done.calls] == ["a a", None, None, "sleep sleep", None, "b b"]
    assert [c.failure for c in done.calls] == ["", "died", "ValueError: refused", "", "over 0.6 s", ""]
    assert done.calls[3].seconds < 0.5 < done.calls[4].seconds
    assert done.memory > done.memory_before + 150


def test_a_missing_library_is_named_and_a_useless_one_refused():
    assert measure_apart(Peer(load_nothing, prepare, call, finish), ["a"], "a", 1.0).missing == "no such peer"
    with pytest.raises(RuntimeError, match="first call failed"):
        measure_apart(Peer(load, prepare, call, finish), ["a"], "abort", 1.0)
