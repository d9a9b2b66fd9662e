"""Help that is quick and shows how, and the installed command."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

import molgiae
from tests.cli.invoke import START, molgiae_
from tests.conftest import N_MOLECULES, TINY

COMMANDS = (
    *("embed", "canonicalize", "reconstruct", "align", "dedup", "rmsd", "compare", "search", "select"),
    *("cluster", "report"),
    *("conformers", "label", "pretrain", "finetune", "predict", "evaluate", "info", "models", "warmup"),
    "experiments list",
)


def test_version():
    assert molgiae_("--version").stdout == f"molgiae {molgiae.__version__}\n"


def test_the_interpreter_runs_the_package():
    words = [sys.executable, "-m", "molgiae", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == molgiae_("--version").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example_on_a_line_of_its_own(command):
    result = molgiae_(*command.split(), "--help")
    assert result.exit_code == 0
    assert any(line.strip().startswith(f"molgiae {command}") for line in result.stdout.splitlines())


def test_help_lists_commands_and_statuses():
    text = molgiae_("--help").stdout
    assert all(f"\n  {command.split()[0]} " in text for command in COMMANDS)
    assert "0 all well, 1 error, 2 usage, 3 finished but records were rejected" in " ".join(text.split())


@pytest.mark.parametrize("words", [["--help"], ["embed", "--help"], ["--version"]])
def test_help_takes_little_time(words):
    """At most 0.3 s of CPU; the least of three, for other processes disturb."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*START, *words], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) <= 0.3, times


def test_the_console_script(sdf, model_path):
    script = Path(sys.executable).with_name("molgiae")
    if not script.exists():
        pytest.skip("not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with sdf.open("rb") as stdin:
        done = subprocess.run(
            [script, "embed", "-", "-m", model_path, "-o", "out.h5", "--json"],
            stdin=stdin, capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["written"] == N_MOLECULES
    assert done.stderr.startswith(f"embedded {N_MOLECULES} of {N_MOLECULES} conformers")
    with h5py.File("out.h5") as file:
        assert file["embedding"].shape == (N_MOLECULES, TINY.embedding_dim)
