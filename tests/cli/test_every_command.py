"""What holds for every command, whatever it does: shared options, help, errors, what is loaded when."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from molgiae.cli import app
from molgiae.cli.command import GROUPS, WORDS
from molgiae.parallel import threads
from tests.cli.invoke import molgiae_
from tests.data.molfiles import molecule, sdf_record
from tests.data.test_bad_records import SDF_CASES


def commands(group: typer.core.TyperGroup, *words: str):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *words, name)
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))
ONLY_TELL = {"info", "models", "warmup", "experiments list"}
"""Commands that compute nothing that threads could share, and read no records."""
WITHOUT_RECORDS = ONLY_TELL | {"evaluate", "experiments run"}

every_command = pytest.mark.parametrize("name", COMMANDS)


def options(name: str) -> set[str]:
    return {word for p in COMMANDS[name].params for word in p.opts}


@every_command
def test_shared_options(name):
    assert ("--threads" in options(name)) == (name not in ONLY_TELL)
    assert ("--allow-rejected" in options(name)) == (name not in WITHOUT_RECORDS)


@every_command
def test_help_has_plain_words_and_groups(name):
    text = molgiae_(*name.split(), "--help").stdout
    assert not re.search(r"<(list|str|int|float|tuple)", text)
    heads = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert set(heads) <= {"Arguments", "Options", *GROUPS} and heads[-1] == "Messages and status"
    if "--target" in options(name):
        assert f"--target {WORDS['str']} " in text


def test_every_name_in_a_group_is_an_option_somewhere():
    known = {p.name for command in COMMANDS.values() for p in command.params} | {"help"}
    assert {name for names in GROUPS.values() for name in names.split()} <= known


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if "--json" in options(name) and COMMANDS[name].params[0].required]
)
def test_errors_are_json_where_that_is_wanted(name):
    words = ["gone.h5"] * sum(p.required for p in COMMANDS[name].params)
    result = molgiae_(*name.split(), *words, "--json")
    assert result.exit_code == 1, result.output
    error = json.loads(result.stdout)
    assert error["status"] == 1 and error["error"] and error["kind"].endswith("Error")
    assert result.stderr.splitlines()[-1] == f"molgiae: error: {error['error']}"
    assert molgiae_(*name.split(), *words).stdout == ""


def test_a_wrong_command_line_is_json_too():
    result = molgiae_("embed", "a.sdf", "--json", "--batch-size", "0")
    assert result.exit_code == 2 and "Usage:" in result.stderr
    assert json.loads(result.stdout)["status"] == 2 and "--batch-size" in json.loads(result.stdout)["error"]


REJECTING = {
    "embed": ["-o", "out.h5"],
    "reconstruct": ["-o", "out.h5"],
    "canonicalize": [],
    "align": [],
    "dedup": [],
    "rmsd": [],
    "select": ["--by", "all"],
    "cluster": [],
    "report": [],
}


@pytest.mark.parametrize("name", REJECTING)
def test_rejected_records_that_are_allowed_do_not_break_make(name, model_path):
    Path("a.sdf").write_text(sdf_record(molecule(0), "a") * 2 + SDF_CASES["NaN"][0])
    words = [name, "a.sdf", *REJECTING[name], "--overwrite"]
    words += ["--model", model_path] if "--model" in options(name) else []
    plain, allowed = molgiae_(*words), molgiae_(*words, "--allow-rejected")
    assert (plain.exit_code, allowed.exit_code) == (3, 0)
    assert "1 rejected" in allowed.stderr and "1 x line" in allowed.stderr


TAKING = [
    name
    for name in COMMANDS
    if {"inputs", "ensemble", "query", "a", "data"} & {p.name for p in COMMANDS[name].params}
]
OTHERWISE = {"conformers", "experiments run", "predict"}
"""Which read molecules, data of their own, and a model first."""


@pytest.mark.parametrize("suffix", [".pdb", ".mol2", ".cif", ".smi", ".pdb.gz"])
@pytest.mark.parametrize("name", [name for name in TAKING if name not in OTHERWISE])
def test_files_of_other_formats_get_the_advice_for_their_type(name, suffix, model_path):
    Path(f"a{suffix}").write_bytes(b"")
    if name == "search":  # which opens the file of embeddings first
        Path("b.sdf").write_text(sdf_record(molecule(0), "b"))
        assert molgiae_("embed", "b.sdf", "-o", f"b{suffix}.h5", "-m", model_path).exit_code == 0
    others = {
        "search": [f"b{suffix}.h5"],
        "compare": [f"a{suffix}"],
        "interpolate": [f"a{suffix}"],
        "finetune": ["-t", "gap"],
        "convert": ["-o", "b.xyz"],
    }
    words = [f"a{suffix}", *others.get(name, [])]
    line = molgiae_(name, *words).stderr.splitlines()[-1]
    tool = "molgiae conformers" if suffix == ".smi" else "obabel"
    assert (
        line.startswith(f"molgiae: error: a{suffix}: ") and f"{tool} a{suffix} " in line and "a.sdf" in line
    )


def test_what_is_left_out_in_a_directory_is_said():
    Path("d").mkdir()
    for name in ("1.pdb", "2.pdb", "x.smi", "notes.txt", "fine.sdf"):
        Path("d", name).write_text(sdf_record(molecule(0), "a") if name == "fine.sdf" else "")
    result = molgiae_("canonicalize", "d", "-o", "out.sdf")
    lines = [line for line in result.stderr.splitlines() if "left out" in line]
    assert result.exit_code == 0 and len(lines) == 2
    assert lines[0].startswith("d: 2 .pdb files left out, 1.pdb: ") and lines[1].startswith(
        "d: 1 .smi file left out, "
    )
    Path("d/fine.sdf").unlink()
    assert "molgiae: error: d: 1 .smi file left out" in molgiae_("canonicalize", "d", "-o", "b.sdf").stderr


def test_threads_reach_the_work(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "molgiae.commands.rmsd.write_rmsd_matrix", lambda *_, **__: seen.append(threads.cores()) or 1 / 0
    )
    Path("a.sdf").touch()
    before = threads.cores()
    molgiae_("rmsd", "a.sdf", "--threads", "7")
    assert seen == [7] and threads.cores() == before


def test_models_are_completed():
    words = {"_MOLGIAE_COMPLETE": "complete_bash", "COMP_WORDS": "molgiae embed --model q", "COMP_CWORD": "3"}
    code = [sys.executable, "-c", "import sys; sys.argv[0] = 'molgiae'; from molgiae.cli import main; main()"]
    done = subprocess.run(code, env={**os.environ, **words}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["qm9", "qm9-64"], done.stderr
