"""What is printed: JSON alone on stdout, a summary on stderr; and what goes into the files."""

from __future__ import annotations

import json
from pathlib import Path

import h5py

from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import N_MOLECULES
from tests.data.test_bad_records import SDF_CASES


def test_json_is_alone_on_stdout_and_complete(sdf, model_path):
    result = molgiae_("embed", sdf, "-m", model_path, "--json")
    summary = json.loads(result.stdout)
    assert summary["read"] == summary["written"] == N_MOLECULES
    assert {
        "output",
        "rejected",
        "reasons",
        "rejected_in",
        "model",
        "model_sha256",
        "seconds",
        "out_of_domain",
    } <= set(summary)
    assert summary["output"] == "molecules.h5" and summary["model"] == model_path
    assert "embedded" in result.stderr


def test_quiet_says_nothing_even_of_rejected_records(sdf, tmp_path, model_path):
    sdf.write_text(sdf.read_text() + SDF_CASES["NaN"][0])
    result = molgiae_("embed", sdf, "-m", model_path, "--quiet")
    assert (result.exit_code, result.output) == (3, "")
    alone = molgiae_("embed", sdf, "-m", model_path, "-q", "--json", "--overwrite")
    assert alone.stderr == "" and json.loads(alone.stdout)["rejected"] == 1


def test_the_command_line_is_written_to_the_file(sdf, model_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["molgiae", "embed", "a file.sdf"])
    molgiae_("embed", sdf, "-m", model_path)
    with h5py.File("molecules.h5") as file:
        assert file.attrs["command"] == "molgiae embed 'a file.sdf'"


def test_standard_input_to_structures(sdf):
    result = molgiae_("canonicalize", "-", "-o", "out.sdf", stdin=sdf.read_bytes())
    assert result.exit_code == 0
    assert Path("out.sdf").read_text().count("$$$$") == N_MOLECULES


def test_hdf5_of_one_command_is_input_of_another(sdf, model_path):
    assert molgiae_("embed", sdf, "-m", model_path).exit_code == 0
    again = molgiae_("embed", "molecules.h5", "-m", model_path, "-o", "again.h5", "--json")
    assert json.loads(again.stdout)["written"] == N_MOLECULES
    both = molgiae_("embed", "molecules.h5", "again.h5", "-m", model_path, "-o", "both.h5", "--json")
    assert json.loads(both.stdout)["written"] == 2 * N_MOLECULES
    assert_one_line(molgiae_("embed", "again.h5", sdf, "-m", model_path, "-o", "x.h5"), "is HDF5 and")
    assert_one_line(molgiae_("embed", "again.h5", "-m", model_path, "--overwrite"), "is an input, too")
