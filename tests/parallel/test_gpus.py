"""Each process of a run in shards sees one GPU, also after it died, and all GPUs work alike."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgiae.parallel.gpus import VISIBLE, named, one_gpu_each
from molgiae.parallel.processes import NoAnswerError
from molgiae.shards import drive, engines
from molgiae.shards.engines import LocalEngine, gpus_for
from molgiae.shards.part import Job
from tests.shards.test_drive import Inline

REPORTER = """
import json, os, sys
setup = json.loads(sys.stdin.readline())
print('{"ready": true}', flush=True)
for line in sys.stdin:
    if json.loads(line).get("die"): sys.exit(7)
    print(json.dumps({"sees": os.environ.get("CUDA_VISIBLE_DEVICES")}), flush=True)
"""

NAMES = st.lists(st.text("0123456789GPU-abcdef", min_size=1, max_size=8), unique=True, max_size=9)


@given(NAMES, st.integers(0, 40))
def test_gpus_are_shared_in_turn(gpus, processes):
    environments = one_gpu_each(gpus, processes)
    assert len(environments) == processes
    if not gpus:
        assert not any(environments)
        return
    seen = [environment[VISIBLE] for environment in environments]
    assert seen[: len(gpus)] == gpus[:processes]
    counts = Counter({gpu: 0 for gpu in gpus} | Counter(seen))
    assert set(counts) == set(gpus) and max(counts.values()) - min(counts.values()) <= 1


@given(NAMES, st.integers(0, 9))
def test_names_are_those_that_are_visible_or_numbers(names, count):
    assert named(" , ".join(names), count) == names[:count]
    assert named(None, count) == [str(k) for k in range(count)]
    assert named("", count) == []


def test_every_process_sees_its_gpu_also_when_it_was_lost(tmp_path, monkeypatch):
    (tmp_path / "reporter.py").write_text(REPORTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(engines, "WORKER", "reporter")
    together = Barrier(3)

    def ask(question):
        together.wait(30)
        return engine.ask(question)["sees"]

    with LocalEngine(Job("embed", (), "", 1, {}), 3, ["4", "GPU-a"]) as engine, ThreadPoolExecutor(3) as pool:
        assert "3 processes, each on one of 2 GPUs" in engine.word
        assert Counter(pool.map(ask, [{}] * 3)) == {"4": 2, "GPU-a": 1}
        for _ in range(3):
            with pytest.raises(NoAnswerError):
                engine.ask({"die": True})
        assert Counter(pool.map(ask, [{}] * 3)) == {"4": 2, "GPU-a": 1}


@pytest.mark.parametrize(
    ("command", "how", "scheduler", "gpus"),
    [
        ("embed", {}, "local", ["0", "1"]),
        ("predict", {"device": "cuda"}, "local", ["0", "1"]),
        ("embed", {"device": "cpu"}, "local", []),
        ("canonicalize", {}, "local", []),
        ("embed", {}, "tcp://host:8786", []),
    ],
)
def test_only_networks_take_gpus(command, how, scheduler, gpus, monkeypatch):
    monkeypatch.setattr(engines, "visible_gpus", lambda: ["0", "1"])
    assert gpus_for(Job(command, (), "", 1, how), scheduler) == gpus


@pytest.mark.parametrize(("jobs", "processes"), [(None, 2), (3, 3), (9, 5)])
def test_a_run_has_a_process_for_each_gpu_unless_told_other_and_says_so(
    sdf, tmp_path, monkeypatch, jobs, processes
):
    class Told(Inline):
        def __init__(self, job, jobs, gpus):
            super().__init__(job)
            self.word = json.dumps([jobs, gpus])

    monkeypatch.setattr(drive, "gpus_for", lambda job, scheduler: ["0", "1"])
    monkeypatch.setattr(drive, "engine_of", lambda job, scheduler, jobs, gpus: Told(job, jobs, gpus))
    summary = drive.in_shards("canonicalize", sdf, tmp_path / "out", shards=5, jobs=jobs)
    assert json.dumps([processes, ["0", "1"]]) in summary.notes
