"""Kernels are compiled once, said to be once, and compiled anew when a kernel that they call has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from molgiae.parallel import announcements, kernels

CALLER = """
from {package}.parallel.kernels import kernel
from {package}.data.called import called

@kernel
def caller(x):
    return called(x) + 1

print(caller(1))
"""
CALLED = """
from {package}.parallel.kernels import kernel

@kernel
def called(x):
    return {value} * x
"""


def make_package(root: Path, value: int) -> None:
    """A copy of the module in a package with a kernel that calls one in another room."""
    for room in ("", "parallel", "data", "canonical"):
        (root / "molgiae" / room).mkdir(parents=True, exist_ok=True)
        (root / "molgiae" / room / "__init__.py").touch()
    for module in (announcements, kernels):
        name = Path(str(module.__file__))
        (root / "molgiae/parallel" / name.name).write_text(name.read_text())
    (root / "molgiae/data/called.py").write_text(CALLED.format(package="molgiae", value=value))
    (root / "molgiae/canonical/caller.py").write_text(CALLER.format(package="molgiae"))


def call(root: Path) -> tuple[str, bool]:
    """What the caller says in a fresh process, and whether that was said to compile."""
    unsafe = {
        name: text for name, text in os.environ.items() if name not in ("PYTHONSAFEPATH", "NUMBA_CACHE_DIR")
    }
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import molgiae.canonical.caller"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unsafe, cwd=root
    )
    return done.stdout.strip(), "compiling kernels once" in done.stderr


def test_kernels_are_compiled_once_and_anew_when_one_they_call_changes(tmp_path):
    make_package(tmp_path, 2)
    assert call(tmp_path) == ("3", True)
    assert call(tmp_path) == ("3", False)
    make_package(tmp_path, 5)
    assert call(tmp_path) == ("6", True)


SERVING = """
from molgiae.parallel.announcements import KERNELS
from molgiae.parallel.processes import serve

serve(lambda setup: lambda question: {"said": KERNELS.warning("compiling")})
"""


def test_workers_say_nothing_of_it_and_nor_does_who_is_asked_not_to(caplog):
    done = subprocess.run(
        [sys.executable, "-c", SERVING], input="{}\n{}\n", capture_output=True, text=True, check=True
    )
    assert (done.stdout.count("said"), done.stderr) == (1, "")
    listener = kernels._Announcement()
    compiled = SimpleNamespace(py_func=SimpleNamespace(__module__="molgiae.data.called"))
    own = SimpleNamespace(data={"dispatcher": compiled})
    with announcements.unannounced():
        listener.on_start(own)
    assert caplog.messages == []
    listener = kernels._Announcement()
    for _ in range(3):
        listener.on_start(own)
    assert len(caplog.messages) == 1
