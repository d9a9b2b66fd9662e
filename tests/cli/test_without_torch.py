"""Commands that run no network do not load torch, whose import takes longer than their work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import molgiae
from molgiae.cli.command import DERIVED
from tests.cli.test_every_command import COMMANDS
from tests.data.molfiles import molecule, sdf_record

CODE = """
import os, sys
from molgiae.cli import app
before = set(os.listdir())
for words in %r:
    status = app(words, standalone_mode=False)
    if status or "torch" in sys.modules:
        sys.exit(f"{' '.join(words)}: " + (f"status {status}" if status else "loads torch"))
    for name in set(os.listdir()) - before:
        os.remove(name)
"""

WITHOUT = [
    ["dedup", "a.sdf", "-o", "unique.sdf"],
    ["dedup", "a.sdf", "-o", "unique.h5", "--threshold", "0.3"],
    ["rmsd", "a.sdf", "-o", "rmsd.h5"],
    ["compare", "a.sdf", "a.sdf", "-o", "compared.csv"],
    ["cluster", "a.sdf", "-o", "clustered.sdf"],
    ["info", "embeddings.h5"],
    ["info", "qm9"],
    ["models"],
    ["warmup"],
    ["conformers", "a.smi", "-n", "1", "-j", "1", "-o", "made.sdf"],
    ["experiments", "list"],
    ["canonicalize", "a.sdf", "-o", "canonical.sdf"],
    ["canonicalize", "a.sdf", "-o", "canonical.h5"],
    ["align", "a.sdf", "-o", "aligned.sdf"],
    ["align", "a.sdf", "-o", "aligned.csv", "--to", "title"],
]


def complaint(commands: list[list[str]]) -> str:
    """What is wrong with the first of these commands that loads torch or fails, one after the other in a process."""
    done = subprocess.run(
        [sys.executable, "-c", CODE % commands], capture_output=True, text=True, check=False
    )
    return done.stderr.splitlines()[-1] if done.returncode else ""


@pytest.fixture
def inputs(model_path: str) -> None:
    Path("a.sdf").write_text(sdf_record(molecule(0), "a") * 3)
    Path("a.smi").write_text("CCO ethanol\n")
    molgiae.embed("a.sdf", output="embeddings.h5", model=model_path)


@pytest.mark.usefixtures("inputs")
def test_torch_is_not_loaded():
    assert not complaint(WITHOUT)


@pytest.mark.usefixtures("inputs")
def test_the_check_notices_torch(model_path):
    words = ["embed", "a.sdf", "-m", model_path]
    assert complaint([["models"], words]) == f"{' '.join(words)}: loads torch"


WRONG = """
import contextlib, io, sys
from molgiae.cli import app
for words in %r:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        app(words, standalone_mode=False)
    if "torch" in sys.modules or "molgiae: error" not in said.getvalue():
        sys.exit(" ".join(words))
"""


@pytest.mark.usefixtures("inputs")
def test_arguments_are_looked_at_before_torch_is_loaded():
    """Inputs that are not there or are not read, models that are not known, outputs that are there."""
    taking = [
        name
        for name, c in COMMANDS.items()
        if {"inputs", "query"} & {p.name for p in c.params} and name != "predict"
    ]
    others = {"search": ["embeddings.h5"]}
    words = [[name, "gone.sdf", *others.get(name, [])] for name in taking]
    words += [[name, "a.pdb", *others.get(name, [])] for name in taking if name != "conformers"]
    words += [[name, "a.sdf", "--model", "nope"] for name in ("embed", "reconstruct", "select", "finetune")]
    words += [
        [name, "a.sdf", "-o", "embeddings.h5"] for name in ("embed", "reconstruct", "select", "cluster")
    ]
    words += [[name, "a.sdf"] for name in DERIVED]
    words += [["select", "a.sdf", "--seed-with", "gone.sdf"], ["search", "a.sdf", "gone.h5"]]
    words += [["search", "a.sdf", "embeddings.h5", "--poses", "a.sdf"]]
    for ending in DERIVED.values():
        Path(f"a{ending}").touch()
    Path("a.pdb").touch()
    done = subprocess.run([sys.executable, "-c", WRONG % words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
