"""Exit statuses, and errors of one line."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from molgiae.data.hdf5.reader import EmbeddingFile
from tests.cli.invoke import START, assert_one_line, molgiae_
from tests.conftest import N_MOLECULES
from tests.data.molfiles import molecule, sdf_record
from tests.data.test_bad_records import SDF_CASES

DONE = {
    "embed": "embedded",
    "canonicalize": "canonicalized",
    "reconstruct": "reconstructed",
    "align": "aligned",
}
"""Commands that write something for every conformer, and what they say they have done."""
WITH_A_MODEL = ("embed", "reconstruct")


@pytest.mark.parametrize("command", DONE)
def test_status_0_and_a_summary_on_stderr(command, tmp_path, model_path):
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(molecule(0), "a") * 3)
    model = ["--model", model_path] if command in WITH_A_MODEL else []
    result = molgiae_(command, path, *model, "-o", tmp_path / "out.h5")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.startswith(f"{DONE[command]} 3 of 3 conformers in ")
    assert f"-> {tmp_path / 'out.h5'}\n" in result.stderr
    assert "rejected" not in result.stderr


@pytest.mark.parametrize("command", DONE)
def test_status_3_if_records_were_rejected_and_where_they_are_listed(command, tmp_path, model_path):
    path, output = tmp_path / "a.sdf", tmp_path / "out.h5"
    path.write_text(sdf_record(molecule(0), "a") + SDF_CASES["NaN"][0] + sdf_record(molecule(0), "b"))
    model = ["--model", model_path] if command in WITH_A_MODEL else []
    result = molgiae_(command, path, *model, "-o", output)
    assert result.exit_code == 3
    assert " 2 of 3 conformers in " in result.stderr
    assert f"1 rejected, listed in {output}: group rejected:" in result.stderr
    assert "1 x line" in result.stderr and "'nan' is not a finite number" in result.stderr
    with EmbeddingFile(output) as file:
        assert len(file) == 2 and len(list(file.rejected())) == 1


def test_status_3_if_all_records_were_rejected(tmp_path, model_path):
    path = tmp_path / "a.sdf"
    path.write_text(SDF_CASES["NaN"][0])
    result = molgiae_("embed", path, "-m", model_path)
    assert result.exit_code == 3
    assert "embedded 0 of 1 conformers" in result.stderr


def test_many_reasons_are_cut_short_but_counted(tmp_path, model_path):
    cases = ["NaN", "unknown element", "no atoms", "2D drawing", "all zero"]
    path = tmp_path / "a.sdf"
    path.write_text("".join(SDF_CASES[case][0] for case in cases) + SDF_CASES["no atoms"][0])
    result = molgiae_("embed", path, "-m", model_path)
    lines = result.stderr.splitlines()
    assert lines[1].startswith("6 rejected") and lines[2].startswith("  2 x such as: ")
    assert len(lines) == 6 and lines[-1] == "  and 2 other reasons"


def test_stop_is_status_1(tmp_path, model_path):
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(molecule(0), "a") + SDF_CASES["NaN"][0])
    result = molgiae_("embed", path, "-m", model_path, "--on-error", "stop")
    assert_one_line(result, f"{path}, record 2, line ", "(bad one)", "'nan'")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "a.sdf", "--no-such-option"],
        ["embed", "a.sdf", "--batch-size", "0"],
        ["embed", "a.sdf", "--device", "tpu"],
        ["canonicalize", "a.sdf", "--model", "qm9"],
        ["align", "a.sdf", "--device", "cpu"],
        ["embed", "a.sdf", "--format", "pdb"],
        ["embed", "a.sdf", "--on-error", "ignore"],
        ["no-such-command"],
        ["info"],
        ["pretrain", "a.sdf", "--steps", "many"],
    ],
)
def test_status_2_for_a_wrong_command_line(words):
    result = molgiae_(*words)
    assert result.exit_code == 2
    assert "Usage: " in result.output


def test_missing_input(model_path):
    assert_one_line(molgiae_("embed", "gone.sdf", "-m", model_path), "gone.sdf: no such file or directory")


def test_missing_input_among_others_stops_before_anything_is_computed(sdf, model_path):
    assert_one_line(molgiae_("embed", sdf, "gone.xyz", "-m", model_path), "gone.xyz: no such file")


def test_empty_and_binary_and_useless_inputs(tmp_path, model_path):
    empty, binary, folder = tmp_path / "empty.sdf", tmp_path / "a.bin", tmp_path / "folder"
    empty.touch()
    binary.write_bytes(bytes(range(256)) * 9)
    folder.mkdir()
    (folder / "readme.txt").write_text("nothing")
    assert_one_line(molgiae_("embed", empty, "-m", model_path), "empty.sdf: no records")
    assert_one_line(molgiae_("embed", binary, "-m", model_path), "a.bin: neither SDF nor XYZ")
    assert_one_line(molgiae_("embed", folder, "-m", model_path), "folder: no conformer files here")
    assert_one_line(molgiae_("embed", "-", "-m", model_path, stdin=b""), "no records")
    assert not list(Path.cwd().iterdir())


def test_unknown_model(sdf):
    assert_one_line(molgiae_("embed", sdf, "-m", "nope"), "nope: no such model; give one of ")


def test_damaged_model(sdf, tmp_path, model_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(model_path).read_bytes()[:1000])
    assert_one_line(
        molgiae_("embed", sdf, "-m", broken), "broken.safetensors: not a checkpoint, or a damaged one"
    )
    assert_one_line(molgiae_("info", broken), "broken.safetensors: not a checkpoint, or a damaged one")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_where_there_is_none(sdf, model_path):
    assert_one_line(molgiae_("embed", sdf, "-m", model_path, "--device", "cuda"), "use --device cpu")


def test_existing_output(sdf, model_path):
    words = ["embed", sdf, "-m", model_path]
    assert molgiae_(*words).exit_code == 0
    assert_one_line(molgiae_(*words), "molecules.h5: exists already", "--overwrite")
    assert molgiae_(*words, "--overwrite").exit_code == 0


def test_wrong_output_names(sdf, model_path):
    assert_one_line(molgiae_("embed", sdf, "-m", model_path, "-o", "x.txt"), "x.txt: end the name", ".h5")
    assert_one_line(molgiae_("embed", sdf, "-m", model_path, "-o", "x.sdf"), "x.sdf: end the name", ".h5")
    assert_one_line(molgiae_("align", sdf, "-o", "no/x.sdf"), "no/x.sdf: there is no directory")


def test_a_reference_of_another_formula_rejects_all(sdf, tmp_path):
    reference = tmp_path / "water.xyz"
    reference.write_text("3\nwater\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
    result = molgiae_("align", sdf, "-r", reference, "--json")
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert (summary["written"], summary["rejected"]) == (0, N_MOLECULES)
    assert all("differs from that of the reference, H2O" in reason for reason in summary["reasons"])


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback(before, model_path):
    words = ["embed", "gone.sdf", "-m", model_path]
    words.insert(0 if before else 2, "--debug")
    done = subprocess.run([*START, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Traceback") and "gone.sdf: no such file or directory" in done.stderr


def test_debug_behind_two_dashes_is_a_file(model_path):
    assert_one_line(molgiae_("embed", "-m", model_path, "--", "--debug"), "--debug: no such file")


FAULTS = {
    ZeroDivisionError("division by zero"): (
        "ZeroDivisionError: division by zero; this is a fault in molgiae; --debug shows the traceback"
    ),
    ValueError("several\nlines"): "ValueError: several lines; this is a fault in molgiae",
    MemoryError("Unable to allocate 66.7 GiB"): "out of memory (Unable to allocate 66.7 GiB); give smaller",
    torch.OutOfMemoryError("CUDA out of memory"): "out of memory (CUDA out of memory); give smaller",
    RecursionError("maximum recursion depth exceeded"): "the input is nested too deeply",
    OSError(28, "No space left on device", "out.h5"): "out.h5: No space left on device",
    OSError("no errno"): "no errno",
}


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_an_error_that_nobody_made_for_users_is_one_line_too(error, monkeypatch, sdf, model_path):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("molgiae.commands.embed.run", fail)
    assert_one_line(molgiae_("embed", sdf, "-m", model_path), FAULTS[error])
    assert molgiae_("--debug", "embed", sdf, "-m", model_path).exception is error


def test_a_closed_pipe_is_no_error_to_tell_of(monkeypatch, sdf, model_path):
    def fail(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("molgiae.commands.embed.run", fail)
    result = molgiae_("embed", sdf, "-m", model_path)
    assert (result.exit_code, result.output) == (141, "")


@pytest.mark.parametrize("words", ["convert a.sdf -o -", "--help", "embed --help", "models", "info gone.h5"])
def test_a_command_ends_in_silence_where_its_reader_has_gone(words, tmp_path):
    """As head does; of what is said on both streams nothing is left over for the end of Python to complain of."""
    Path("a.sdf").write_text(sdf_record(molecule(0), "a") * 300)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed, open("said", "wb") as said:
        errors = closed if words.endswith("gone.h5") else said
        status = subprocess.run(
            [*START, *words.split()], stdout=closed, stderr=errors, check=False
        ).returncode
    assert (status, Path("said").read_text()) == (141, "")


def test_a_second_termination_does_not_stop_the_cleaning_up(monkeypatch, sdf, model_path):
    cleaned = []

    def terminated(*_, **__):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append(True)

    monkeypatch.setattr("molgiae.commands.embed.run", terminated)
    result = molgiae_("embed", sdf, "-m", model_path)
    assert (result.exit_code, cleaned) == (143, [True])
    assert result.stderr == "molgiae: interrupted; unfinished outputs were removed\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
