"""molgiae pretrain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.invoke import assert_one_line, molgiae_
from tests.data.molfiles import molecule, sdf_record
from tests.data.test_bad_records import SDF_CASES

TINY_RUN = [
    "--steps",
    "4",
    "--shape-steps",
    "2",
    "--property-width",
    "8",
    "--property-layers",
    "1",
    "--property-steps",
    "2",
    "--atom-steps",
    "2",
    "--width",
    "8",
    "--layers",
    "1",
    "--dim",
    "6",
    "--features-dim",
    "2",
    "--shape-dim",
    "2",
    "--atom-width",
    "8",
    "--batch-size",
    "8",
]


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
