"""The command line: exit statuses, one-line errors, JSON alone on stdout, help that is quick and shows how."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from typer.testing import CliRunner, Result

import molgiae
from molgiae.cli import app
from molgiae.data.hdf5.writer import EmbeddingFile
from molgiae.model.header import FORMAT_VERSION
from tests.conftest import N_MOLECULES
from tests.data.molfiles import molecule, sdf_record
from tests.data.test_bad_records import SDF_CASES

COMMANDS = ["embed", "canonicalize", "reconstruct", "align", "pretrain", "evaluate", "info"]
CONFORMER_COMMANDS = COMMANDS[:4]
START = [sys.executable, "-c", "from molgiae.cli import main; main()"]
TINY_RUN = [
    "--steps",
    "4",
    "--frame-steps",
    "2",
    "--shape-steps",
    "2",
    "--atom-steps",
    "2",
    "--width",
    "8",
    "--layers",
    "1",
    "--dim",
    "4",
    "--shape-dim",
    "2",
    "--batch-size",
    "8",
]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path_factory, monkeypatch):
    """So that names derived from inputs do not land in the tree."""
    monkeypatch.chdir(tmp_path_factory.mktemp("home"))


def molgiae_(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def assert_one_line(result: Result, *parts: str) -> None:
    """Status 1 and one line on stderr that starts as promised, nothing on stdout, no traceback."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("molgiae: error: ")
    for part in parts:
        assert part in line


# Exit statuses


@pytest.mark.parametrize("command", CONFORMER_COMMANDS)
def test_status_0_and_a_summary_on_stderr(command, tmp_path, model_path):
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(molecule(0), "a") * 3)
    result = molgiae_(command, path, "--model", model_path, "-o", tmp_path / "out.h5")
    assert result.exit_code == 0
    assert result.stdout == ""
    done = {
        "embed": "embedded",
        "canonicalize": "canonicalized",
        "reconstruct": "reconstructed",
        "align": "aligned",
    }
    assert result.stderr.startswith(f"{done[command]} 3 of 3 conformers in ")
    assert f"-> {tmp_path / 'out.h5'}\n" in result.stderr
    assert "rejected" not in result.stderr


@pytest.mark.parametrize("command", CONFORMER_COMMANDS)
def test_status_3_if_records_were_rejected_and_where_they_are_listed(command, tmp_path, model_path):
    path, output = tmp_path / "a.sdf", tmp_path / "out.h5"
    path.write_text(sdf_record(molecule(0), "a") + SDF_CASES["NaN"][0] + sdf_record(molecule(0), "b"))
    result = molgiae_(command, path, "--model", model_path, "-o", output)
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


# Errors


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
    assert_one_line(molgiae_("embed", sdf, "-m", model_path, "-o", "x.csv"), "x.csv: end the name", ".h5")
    assert_one_line(molgiae_("embed", sdf, "-m", model_path, "-o", "x.sdf"), "x.sdf: end the name", ".h5")
    assert_one_line(
        molgiae_("align", sdf, "-m", model_path, "-o", "no/x.sdf"), "no/x.sdf: there is no directory"
    )


def test_a_reference_of_another_formula_rejects_all(sdf, tmp_path, model_path):
    reference = tmp_path / "water.xyz"
    reference.write_text("3\nwater\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
    result = molgiae_("align", sdf, "-m", model_path, "-r", reference, "--json")
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
    assert (result.exit_code, result.output) == (1, "")


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


# Output


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
        "model_choice",
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


def test_standard_input_to_structures(sdf, model_path):
    result = molgiae_("canonicalize", "-", "-m", model_path, "-o", "out.sdf", stdin=sdf.read_bytes())
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


# info


def test_info_of_embeddings_and_models(sdf, model_path):
    molgiae_("embed", sdf, "-m", model_path)
    content = json.loads(molgiae_("info", "molecules.h5", "--json").stdout)
    assert (content["kind"], content["conformers"], content["dimension"]) == ("embeddings", N_MOLECULES, 8)
    content = json.loads(molgiae_("info", model_path, "--json").stdout)
    assert (content["kind"], content["format_version"]) == ("autoencoder", FORMAT_VERSION)
    assert content["config"]["embedding_dim"] == 8 and len(content["sha256"]) == 64
    text = molgiae_("info", model_path).stdout
    assert "kind: autoencoder" in text and "  embedding_dim: 8" in text


def test_info_of_anything_else_is_an_error(sdf):
    assert_one_line(molgiae_("info", sdf), "molecules.sdf: not a checkpoint")
    assert_one_line(molgiae_("info", "gone.h5"), "gone.h5: no such file")
    assert_one_line(molgiae_("info", "gone"), "gone: no such model")


# pretrain


def test_pretraining_and_embedding_with_the_result(sdf):
    result = molgiae_("pretrain", sdf, "-o", "run", *TINY_RUN, "--json")
    assert result.exit_code == 0, result.output
    metrics = json.loads(result.stdout)
    assert (metrics["step"], metrics["complete"], metrics["rejected"]) == (4, 1.0, 0)
    assert f"-> {Path('run') / 'model.safetensors'}" in result.stderr
    assert {"model.safetensors", "metrics.csv", "curve.png", "last.pt", "pairs.npz"} == {
        p.name for p in Path("run").iterdir()
    }
    assert molgiae_("embed", sdf, "-m", "run").exit_code == 0
    assert_one_line(molgiae_("pretrain", sdf, "-o", "run", *TINY_RUN), "run holds a run already", "--resume")
    again = molgiae_("pretrain", sdf, "-o", "run", *TINY_RUN, "--resume", "-q", "--json")
    assert json.loads(again.stdout)["rmsd_mean"] == pytest.approx(metrics["rmsd_mean"])


def test_pretraining_that_runs_out_of_time_says_how_to_go_on(sdf):
    result = molgiae_("pretrain", sdf, "-o", "run", *TINY_RUN, "--minutes", "0")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "stopped at step 1; continue with --resume"


def test_pretraining_counts_what_it_could_not_read(sdf):
    sdf.write_text(sdf.read_text() + SDF_CASES["NaN"][0])
    result = molgiae_("pretrain", sdf, "-o", "run", *TINY_RUN)
    assert result.exit_code == 3
    assert result.stderr.splitlines()[-1] == f"1 records rejected, listed in {Path('run') / 'rejected.csv'}"
    assert "'nan'" in Path("run/rejected.csv").read_text()


def test_pretraining_on_what_is_no_data(sdf, tmp_path):
    npz = tmp_path / "broken.npz"
    npz.write_bytes(b"PK\x03\x04 rubbish")
    one = tmp_path / "one.sdf"
    one.write_text(sdf_record(molecule(0), "a"))
    assert_one_line(molgiae_("pretrain", npz, "-o", "run"), "broken.npz: ")
    assert_one_line(molgiae_("pretrain", one, "-o", "run"), "at least two")
    assert_one_line(molgiae_("pretrain", "gone.sdf", "-o", "run"), "gone.sdf: no such file")
    assert_one_line(
        molgiae_("pretrain", sdf, "-o", "run", "--lr", "0"), "learning_rate=0.0: must be positive"
    )
    assert_one_line(
        molgiae_("pretrain", sdf, "-o", "run", "--architecture", "mlp"), "architecture 'mlp' is unknown"
    )


# Help


def test_version():
    assert molgiae_("--version").stdout == f"molgiae {molgiae.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example_on_a_line_of_its_own(command):
    result = molgiae_(command, "--help")
    assert result.exit_code == 0
    assert any(line.strip().startswith(f"molgiae {command} ") for line in result.stdout.splitlines())


def test_help_lists_commands_and_statuses():
    text = molgiae_("--help").stdout
    assert all(f"\n  {command} " in text for command in COMMANDS)
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


# The installed command


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
        assert file["embedding"].shape == (N_MOLECULES, 8)
