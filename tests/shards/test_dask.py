"""The same parts by the workers of a Dask scheduler, also when one of them is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from molgiae.errors import ConfigError
from molgiae.shards.drive import in_shards
from tests.data.molfiles import molecule, sdf_record
from tests.shards.test_drive import files

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask itself


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


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
    for scheduler, words in (("tcp://127.0.0.1:1", "no Dask scheduler"), ("none.json", "no such file")):
        with pytest.raises(ConfigError, match=words):
            in_shards("canonicalize", sdf, tmp_path / "out", shards=2, scheduler=scheduler)
