"""Kernels are compiled once, said to be, and compiled anew when a kernel that they call has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from molgiae.parallel import kernels

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
    text = Path(kernels.__file__).read_text()
    (root / "molgiae/parallel/kernels.py").write_text(text)
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
