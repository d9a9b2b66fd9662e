"""Files that have their names only when they are complete, and what is left of those that never were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from molgiae.data.partial import PartialFile
from molgiae.errors import MolgiaeError


def dead_process() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_what_is_written_gets_its_name_at_the_end_only(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with PartialFile(path).writing() as temporary:
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_of_what_was_not_completed(tmp_path: Path, error: BaseException) -> None:
    expected = MolgiaeError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), PartialFile(tmp_path / "out.csv").writing() as temporary:
        temporary.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_leavings_of_dead_processes_are_cleared_and_of_no_others(tmp_path: Path) -> None:
    """Those of living processes, of other machines and of other files stay."""
    dead, alive = dead_process(), os.getppid()
    path = tmp_path / "out (1).h5"
    mine = PartialFile(path).temporary.name
    gone = [mine.replace(str(os.getpid()), str(dead)), f".{path.name}.part-{dead}"]
    kept = [
        mine.replace(str(os.getpid()), str(alive)),
        f".{path.name}.part-{alive}",
        f".{path.name}.part-{dead}@another-machine",
        f".another.h5.part-{dead}",
        f".{path.name}.part-{dead}.bak",
        f".{path.name}.part",
    ]
    for name in (*gone, *kept):
        (tmp_path / name).touch()
    PartialFile(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)


def test_a_process_of_another_user_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", denied)
    (tmp_path / ".out.h5.part-1").touch()
    PartialFile(tmp_path / "out.h5")
    assert (tmp_path / ".out.h5.part-1").exists()
