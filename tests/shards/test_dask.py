"""The same parts by the workers of a Dask scheduler, also when one of them is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from molgiae.errors import ConfigError
from molgiae.shards import drive, engines
from molgiae.shards.drive import in_shards
from tests.data.molfiles import molecule, sdf_record
from tests.shards.test_drive import Inline, files

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask itself


def a_cluster(threads=1, **how):
    distributed = pytest.importorskip("distributed")
    return distributed.LocalCluster(
        threads_per_worker=threads, dashboard_address=None, silence_logs="CRITICAL", **how
    )


def test_workers_of_dask_make_the_same_bytes(tmp_path, sdf, monkeypatch):
    with a_cluster(
        n_workers=1, processes=False
    ) as cluster:  # threads of this process, which take no time to start
        summary = in_shards(
            "canonicalize", sdf, tmp_path / "out", shards=3, scheduler=cluster.scheduler_address
        )
    assert summary.written == 20 and summary.fatal == 0
    monkeypatch.setattr(drive, "engine_of", Inline)
    in_shards("canonicalize", sdf, tmp_path / "right", shards=3)
    assert files(tmp_path / "out") == files(tmp_path / "right")


def test_a_worker_looks_less_often_at_itself_while_it_answers(monkeypatch):
    distributed = pytest.importorskip("distributed")
    both, seen = threading.Barrier(2), []

    def pauses(worker):
        return {name: worker.periodic_callbacks[name].callback_time for name in engines.PAUSES}

    def answer(job, question):
        both.wait(30)
        seen.append(pauses(distributed.get_worker()))
        both.wait(30)
        if question:
            raise ValueError
        return {}

    monkeypatch.setattr(engines, "answer", answer)
    with (
        a_cluster(n_workers=1, processes=False, threads=2) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        worker = next(iter(cluster.workers.values()))
        usual = pauses(worker)
        asked = [
            client.submit(engines.answer_undisturbed, "", question, pure=False)
            for question in ({}, {"part": 1})
        ]
        assert [type(one.exception()) for one in asked] == [type(None), ValueError]
        assert pauses(worker) == usual
    assert len(seen) == 2
    assert all(one[name] == engines.PAUSES[name] > usual[name] for one in seen for name in usual)


@pytest.fixture
def cluster():
    with a_cluster(n_workers=2, processes=True, env={"PYTHONPATH": os.pathsep.join(sys.path)}) as cluster:
        yield cluster


@pytest.mark.slow  # many parts, so that one is under way when the worker is killed
def test_a_killed_worker_of_dask_costs_nothing(tmp_path, cluster):
    path = tmp_path / "a.sdf"
    path.write_text("".join(sdf_record(molecule(k % 20), f"m{k}") for k in range(60)))
    in_shards("canonicalize", path, tmp_path / "right", shards=30, jobs=1)

    victim = next(iter(cluster.workers.values())).process.pid

    def kill():
        end = time.monotonic() + 30
        while time.monotonic() < end and not any((tmp_path / "out").glob("part-*.h5")):
            time.sleep(0.05)
        os.kill(victim, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    summary = in_shards(
        "canonicalize", path, tmp_path / "out", shards=30, scheduler=cluster.scheduler_address
    )
    thread.join()
    assert summary.written == 60 and summary.fatal == 0
    assert files(tmp_path / "out") == files(tmp_path / "right")


def test_where_no_scheduler_is_the_error_says_so(tmp_path, sdf, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("molgiae.shards.engines.STARTING", 0.5)
    for scheduler, words in (
        ("tcp://127.0.0.1:1", "no Dask scheduler"),
        ("none.json", "no such file"),
        ("here", "is no scheduler"),
    ):
        with pytest.raises(ConfigError, match=words):
            in_shards("canonicalize", sdf, tmp_path / "out", shards=2, scheduler=scheduler)
