"""Runs in shards: the same bytes whoever makes the parts, nothing lost or doubled by a kill, fatal records listed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import ClassVar

import pytest

from molgiae.commands import canonicalize as command
from molgiae.commands.embed import embed
from molgiae.data.hdf5.dataset import part_name
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.pieces import FATAL
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.parallel.processes import NoAnswerError
from molgiae.shards import drive
from molgiae.shards.drive import in_shards
from molgiae.shards.engines import Engine
from molgiae.shards.manifest import MANIFEST
from molgiae.shards.part import PROBES, PROGRESS, Job, one_of
from molgiae.shards.worker import answer
from tests.data.molfiles import molecule, sdf_record

N = 40


@pytest.fixture
def sdf(tmp_path: Path) -> Path:
    path = tmp_path / "a.sdf"
    path.write_text("".join(sdf_record(molecule(k % 20), f"m{k}") for k in range(N)) + "garbage\n$$$$\n")
    return path


class Inline(Engine):
    """Answers in this process, which takes no time to start."""

    def __init__(self, job, *_):
        self._job = json.dumps(job.to_dict())

    def __exit__(self, *exception):
        pass

    def ask(self, question):
        return answer(self._job, question)

    @property
    def workers(self):
        return 1


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive, "engine_of", Inline)


class Killed(BaseException):
    """In place of the end of a process."""


class Mortal(Inline):
    """Answers in this process, where what kills one only raises."""

    def ask(self, question):
        try:
            return super().ask(question)
        except Killed as killed:
            raise NoAnswerError("the process died") from killed


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process as with `fatal` in others."""
    forms = command.canonical_forms

    def deadly(block):
        if "fatal" in block.title:
            raise Killed
        if "faulty" in block.title:
            raise RuntimeError("a fault of molgiae")
        return forms(block)

    monkeypatch.setattr(command, "canonical_forms", deadly)
    monkeypatch.setattr(drive, "engine_of", Mortal)


@pytest.fixture
def fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conformers of the title "fatal" kill the process that makes canonical forms of them."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, signal\n"
        "import molgiae.commands.canonicalize as command\n"
        "forms = command.canonical_forms\n"
        "def deadly(block):\n"
        "    if 'fatal' in block.title:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    if 'faulty' in block.title:\n"
        "        raise RuntimeError('a fault of molgiae')\n"
        "    return forms(block)\n"
        "command.canonical_forms = deadly\n"
    )
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != MANIFEST}


def rows(directory: Path) -> list[str]:
    found = []
    for path in sorted(directory.glob("part-*.h5")):
        with EmbeddingFile(path) as file:
            found += file.column("title").tolist()
    return found


def rejected(directory: Path) -> list[tuple[str, str]]:
    found = []
    for path in sorted(directory.glob("part-*.h5")):
        with EmbeddingFile(path) as file:
            found += [(bad.title, bad.reason) for bad in file.rejected()]
    return found


def canonicalize(*args, **how):
    return in_shards("canonicalize", *args, **{"shards": 5, "jobs": 1, **how})


@pytest.mark.usefixtures("inline")
def test_parts_hold_every_record_once_and_nothing_else_is_left(sdf, tmp_path):
    summary = canonicalize(sdf, tmp_path / "out")
    assert (summary.written, summary.rejected, summary.made, summary.kept) == (N, 1, 5, 0)
    assert rows(tmp_path / "out") == [f"m{k}" for k in range(N)]
    names = [part_name(k, 5) for k in range(1, 6)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST, *names]
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert [part["name"] for part in manifest["parts"]] == names
    assert sum(part["written"] for part in manifest["parts"]) == N == manifest["written"]


def test_bytes_do_not_depend_on_who_makes_the_parts_and_in_which_order(sdf, tmp_path, monkeypatch):
    canonicalize(sdf, tmp_path / "two", jobs=2)
    monkeypatch.setattr(drive, "engine_of", Inline)
    canonicalize(sdf, tmp_path / "one")
    for k in (4, 2, 5, 1, 3):
        summary = canonicalize(sdf, tmp_path / "three", shards=None, shard=f"{k}/5")
        assert summary.made == 1 and summary.shards == 5
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "three")


@pytest.mark.usefixtures("inline")
def test_the_same_call_makes_only_what_is_missing_or_of_something_else(sdf, tmp_path):
    out = tmp_path / "out"
    canonicalize(sdf, out)
    before = files(out)
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    (out / part_name(2, 5)).unlink()
    (out / part_name(4, 5)).write_bytes(before[part_name(4, 5)][:5000])  # cut off
    summary = canonicalize(sdf, out)
    assert (summary.made, summary.kept, summary.written, summary.rejected) == (2, 3, N, 1)
    assert files(out) == before
    same = {path.name for path in out.glob("part-*") if path.stat().st_mtime_ns == times[path.name]}
    assert same == {part_name(k, 5) for k in (1, 3, 5)}
    sdf.write_text(sdf.read_text().replace("m7\n", "x7\n"))
    summary = canonicalize(sdf, out)
    assert summary.made == 5 and "5 parts were made from other inputs" in summary.notes[0]
    assert "x7" in rows(out)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("change", [{"on_error": "skip"}, {"format": "sdf"}])
def test_other_options_make_other_parts(sdf, tmp_path, change):
    canonicalize(sdf, tmp_path / "out")
    assert canonicalize(sdf, tmp_path / "out", **change).made == 5


@pytest.mark.usefixtures("inline")
def test_a_directory_of_another_number_of_parts_is_refused(sdf, tmp_path):
    canonicalize(sdf, tmp_path / "out")
    with pytest.raises(ConfigError, match="holds parts of 5, and 4 are wanted"):
        canonicalize(sdf, tmp_path / "out", shards=4)
    assert canonicalize(sdf, tmp_path / "out", shards=4, overwrite=True).made == 4
    assert rows(tmp_path / "out") == [f"m{k}" for k in range(N)]


@pytest.mark.usefixtures("inline")
def test_a_directory_of_another_command_is_refused(sdf, tmp_path, model_path):
    canonicalize(sdf, tmp_path / "out")
    with pytest.raises(ConfigError, match="holds parts of canonicalize, and those of embed are wanted"):
        in_shards("embed", sdf, tmp_path / "out", shards=5, jobs=1, model=model_path)
    assert canonicalize(sdf, tmp_path / "out").kept == 5
    in_shards("embed", sdf, tmp_path / "out", shards=5, jobs=1, model=model_path, overwrite=True)
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["command"] == "embed"


@pytest.mark.usefixtures("inline")
def test_more_parts_than_records_are_empty_files(sdf, tmp_path):
    assert canonicalize(sdf, tmp_path / "out", shards=50).written == N
    assert len(list((tmp_path / "out").glob("part-*"))) == 50
    assert rows(tmp_path / "out") == [f"m{k}" for k in range(N)]


@pytest.mark.usefixtures("inline")
def test_the_number_of_parts_follows_from_their_size(sdf, tmp_path):
    assert 3 <= canonicalize(sdf, tmp_path / "out", shards=None, shard_size=10).shards <= 6


@pytest.mark.usefixtures("inline")
def test_a_bad_record_with_on_error_stop_ends_the_run_and_keeps_the_parts(sdf, tmp_path):
    with pytest.raises(MolgiaeError, match=r"a\.sdf@\d+-\d+"):
        canonicalize(sdf, tmp_path / "out", on_error="stop")
    assert part_name(1, 5) in files(tmp_path / "out")


@pytest.mark.parametrize("kills", ["mortal", pytest.param("fatal", marks=pytest.mark.slow)])
def test_fatal_records_are_found_and_listed_and_all_others_written(sdf, tmp_path, kills, request):
    request.getfixturevalue(kills)
    text = sdf.read_text().replace("m7\n", "fatal\n").replace("m8\n", "fatal\n").replace("m33\n", "faulty\n")
    sdf.write_text(text)
    summary = canonicalize(sdf, tmp_path / "out", shards=2, jobs=2)
    assert (summary.written, summary.fatal) == (N - 3, 3)
    assert rows(tmp_path / "out") == [f"m{k}" for k in range(N) if k not in (7, 8, 33)]
    listed = [title for title, reason in rejected(tmp_path / "out") if reason == FATAL]
    assert listed == ["fatal", "fatal", "faulty"]
    assert canonicalize(sdf, tmp_path / "out", shards=2).kept == 2


@pytest.mark.usefixtures("fatal")
def test_a_record_that_kills_its_process_costs_no_other(tmp_path):
    (tmp_path / "b.sdf").write_text(sdf_record(molecule(0), "sound") + sdf_record(molecule(1), "fatal"))
    summary = canonicalize(tmp_path / "b.sdf", tmp_path / "out", shards=1)
    assert (summary.written, summary.fatal) == (1, 1)
    assert rows(tmp_path / "out") == ["sound"] and rejected(tmp_path / "out") == [("fatal", FATAL)]


@pytest.mark.slow
def test_a_process_that_is_killed_from_outside_costs_nothing(sdf, tmp_path):
    canonicalize(sdf, tmp_path / "right", shards=8)
    code = (
        "from molgiae.shards.drive import in_shards\n"
        f"in_shards('canonicalize', {str(sdf)!r}, {str(tmp_path / 'out')!r}, shards=8, jobs=2)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    killed, chance = 0, random.Random(0)
    while run.poll() is None and killed < 3:
        time.sleep(chance.uniform(0.1, 0.6))
        workers = subprocess.run(
            ["pgrep", "-P", str(run.pid), "-f", "shards.worker"], capture_output=True, text=True, check=False
        ).stdout.split()
        if workers:
            os.kill(int(chance.choice(workers)), signal.SIGKILL)
            killed += 1
    run.wait()
    if run.returncode:  # the same part was hit as often as it is tried
        canonicalize(sdf, tmp_path / "out", shards=8)
    assert killed
    assert files(tmp_path / "out") == files(tmp_path / "right")


@pytest.mark.usefixtures("inline")
def test_a_run_that_is_killed_is_continued_by_the_same_call(sdf, tmp_path):
    canonicalize(sdf, tmp_path / "right", shards=8)
    out = tmp_path / "out"
    out.mkdir()
    (out / part_name(3, 8)).write_bytes((tmp_path / "right" / part_name(3, 8)).read_bytes())
    (out / PROGRESS).mkdir()
    (out / PROGRESS / "4").write_text("7")
    (out / PROBES).mkdir()
    (out / PROBES / ".0123.h5.part-999999999@elsewhere").write_text("half")
    (out / f".{part_name(4, 8)}.part-999999999@{os.uname().nodename}").write_text("half")
    assert canonicalize(sdf, out, shards=8).kept == 1
    assert files(out) == files(tmp_path / "right")
    assert not (out / PROGRESS).exists() and not (out / PROBES).exists()


def test_every_setting_but_the_device_is_in_the_key(sdf):
    def key(**how):
        return Job("embed", (str(sdf),), "out", 3, {"model": "qm9", **how}).key_of(1)

    assert key() == key(device="cpu")
    assert len({key(), key(model="qm9-64"), key(parts="shape"), key(batch_size=7), key(on_error="stop")}) == 5


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match="7/64"):
        one_of(text)


def test_unknown_commands_are_refused(sdf, tmp_path):
    with pytest.raises(ConfigError, match="not run in shards"):
        in_shards("rmsd", sdf, tmp_path / "out")


@pytest.mark.usefixtures("inline")
def test_embeddings_in_parts_are_those_of_one_file(sdf, tmp_path, model_path):
    summary = in_shards("embed", sdf, tmp_path / "out", shards=3, jobs=1, model=model_path, parts="shape")
    assert summary.model == model_path and summary.model_sha256
    embed([sdf], output=tmp_path / "whole.h5", model=model_path, parts="shape")
    with EmbeddingFile(tmp_path / "whole.h5") as whole:
        first = 0
        for k in range(1, 4):
            with EmbeddingFile(tmp_path / "out" / part_name(k, 3)) as part:
                last = first + len(part)
                assert abs(part["embedding"] - whole.column("embedding", first, last)).max() < 1e-5
                assert (part["position"] == whole.column("position", first, last)).all()
                first = last
        assert first == len(whole)


def test_bytes_do_not_depend_on_who_looks_at_the_stack(sdf, tmp_path):
    """Profilers, such as that of Dask, keep frames and with them open datasets alive for a while."""
    job = Job("canonicalize", (str(sdf),), str(tmp_path), 3, {})
    job.make(1)
    before, held, stop = job.path(1).read_bytes(), deque(maxlen=50), threading.Event()

    def look():
        while not stop.wait(0.0005):
            held.extend(sys._current_frames().values())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        for _ in range(5):
            job.make(1)
            assert job.path(1).read_bytes() == before
    finally:
        stop.set()
        thread.join()


class Stopping(Inline):
    """Refuses part 1; at part 2 it leaves an unfinished file and dies when the run is stopped."""

    workers = 2  # type: ignore[assignment]
    asked: ClassVar[list[dict]] = []

    def __init__(self, job, *_):
        self._path, self._begun, self._closed = job.path(2), threading.Event(), threading.Event()

    def __exit__(self, *exception):
        self.is_closed = True
        self._closed.set()

    def ask(self, question):
        self.asked.append(question)
        if question["part"] == 1:
            self._begun.wait(30)
            return {"error": "the disk is full"}
        self._path.with_name(f".{self._path.name}.part-999999999").write_text("")
        self._begun.set()
        self._closed.wait(30)
        raise NoAnswerError("killed")


def test_a_run_that_is_stopped_looks_for_no_fatal_record_and_leaves_nothing_behind(
    sdf, tmp_path, monkeypatch
):
    monkeypatch.setattr(drive, "engine_of", Stopping)
    with pytest.raises(MolgiaeError, match="disk is full"):
        canonicalize(sdf, tmp_path / "out", shards=2)
    assert sorted(question["part"] for question in Stopping.asked) == [1, 2]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [MANIFEST]


@pytest.mark.usefixtures("inline")
def test_parts_do_not_go_where_inputs_are(sdf, tmp_path):
    with pytest.raises(ConfigError, match="among the inputs"):
        canonicalize(tmp_path, tmp_path / ".")
    canonicalize(tmp_path, tmp_path / "out")
    assert canonicalize(tmp_path, tmp_path / "out").kept == 5


def test_a_model_is_named_or_the_default(sdf, tmp_path):
    with pytest.raises(ConfigError, match="name a fine-tuned model"):
        in_shards("predict", sdf, tmp_path / "out")
    for how in ({}, {"model": "auto"}, {"model": "drug"}):
        assert drive._completed("embed", {"parts": "shape", **how}) == {"model": "drug", "parts": "shape"}
    assert drive._completed("canonicalize", {}) == {}


@pytest.mark.usefixtures("inline")
def test_a_fault_that_is_no_records_is_told(sdf, tmp_path):
    with pytest.raises(MolgiaeError, match="unexpected keyword argument 'nonsense'"):
        canonicalize(sdf, tmp_path / "out", nonsense=3)


@pytest.mark.usefixtures("inline")
def test_one_shard_made_anew_leaves_the_others_alone(sdf, tmp_path):
    canonicalize(sdf, tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    canonicalize(sdf, tmp_path / "out", shards=None, shard="2/5", overwrite=True)
    changed = {
        path.name for path in (tmp_path / "out").glob("part-*") if path.stat().st_mtime_ns != times[path.name]
    }
    assert changed == {part_name(2, 5)}


def test_a_part_that_is_lost_for_no_record_does_not_keep_the_others_from_being_made(
    sdf, tmp_path, monkeypatch
):
    class Losing(Inline):
        def ask(self, question):
            if question.get("part") == 3:
                raise NoAnswerError("died")
            return super().ask(question)

    monkeypatch.setattr(drive, "engine_of", Losing)
    with pytest.raises(MolgiaeError, match=r"no record could be found.*4 parts are made"):
        canonicalize(sdf, tmp_path / "out")
    assert sorted(files(tmp_path / "out")) == [part_name(k, 5) for k in (1, 2, 4, 5)]


@pytest.mark.usefixtures("inline")
def test_parts_of_other_files_do_not_mix(sdf, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other.sdf"
    canonicalize(sdf, out)
    other.write_text(sdf.read_text())
    (out / part_name(2, 5)).unlink()
    before = files(out)
    for how in ({"shards": 5}, {"shard": "2/5"}):
        with pytest.raises(
            ConfigError, match=rf"holds parts of {sdf.name}, and those of other.sdf are wanted"
        ):
            in_shards("canonicalize", str(other), out, **how)
    assert files(out) == before
    assert in_shards("canonicalize", str(other), out, shard="2/5", overwrite=True).made == 1
    assert set(files(out)) >= {part_name(2, 5)} and part_name(1, 5) not in files(out)
    assert in_shards("canonicalize", str(other), out, shards=5).made == 4
