"""Embeddings as npz: rows that stand where their records do, or no file at all."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.output.npz import is_npz
from tests.conftest import TINY
from tests.data.molfiles import molecule, sdf_record, xyz_frame

STRANGER = sdf_record([("Si", 0, 0, 0), ("H", 0, 0, 1.5)], "silane")


def rows(path: Path) -> list[dict[str, str]]:
    with open(path.with_name(path.name + ".rows.csv"), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_chemprop(path: Path) -> np.ndarray:
    """What chemprop 2 does with the file of --descriptors-path."""
    with np.load(path) as file:
        return file["arr_0"]


def mixed(path: Path) -> Path:
    """Five records, of which the model refuses the second and the reader the fourth."""
    good = [sdf_record(molecule(k), f"m{k}", data=[("H", str(-k))]) for k in range(3)]
    broken = sdf_record(molecule(9), "broken").replace("C  ", "Xx ", 1)
    path.write_text("".join([good[0], STRANGER, good[1], broken, good[2]]))
    return path


def test_rows_are_those_of_the_hdf5_file_in_the_order_of_the_input(sdf, tmp_path, model_path):
    npz, h5 = tmp_path / "x.npz", tmp_path / "x.h5"
    summary = molgiae.embed(sdf, output=npz, model=model_path, command="molgiae embed")
    molgiae.embed(sdf, output=h5, model=model_path)
    matrix = as_chemprop(npz)
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
    with h5py.File(h5) as file:
        assert_array_equal(matrix, file["embedding"][:])
        titles = file["title"].asstr()[:].tolist()
    table = rows(npz)
    assert [row["title"] for row in table] == titles == [f"m{k}" for k in range(20)]
    assert [int(row["record"]) for row in table] == list(range(1, 21))
    assert [row["k"] for row in table] == [str(k) for k in range(20)]
    assert {row["in_domain"] for row in table} <= {"0", "1"}
    assert summary.written == 20 and summary.notes == [f"its rows are described one by one in {npz}.rows.csv"]
    with np.load(npz, allow_pickle=False) as file:
        assert str(file["model"]) == model_path and len(str(file["model_sha256"])) == 64
        assert str(file["command"]) == "molgiae embed"
    assert {path.name for path in tmp_path.iterdir()} == {
        "molecules.sdf", "x.npz", "x.npz.rows.csv", "x.h5",
    }  # fmt: skip


def test_the_same_embeddings_make_the_same_file(sdf, tmp_path, model_path):
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    for path in (a, b):
        molgiae.embed(sdf, output=path, model=model_path, command="same")
    assert a.read_bytes() == b.read_bytes()


def test_a_refused_record_is_an_error_and_nothing_is_written(tmp_path, model_path):
    path = mixed(tmp_path / "a.sdf")
    with pytest.raises(ConformerError, match="--drop-rejected") as caught:
        molgiae.embed(path, output=tmp_path / "x.npz", model=model_path)
    assert caught.value.source == str(path) and caught.value.record in (2, 4)
    assert list(tmp_path.iterdir()) == [path]


def test_refused_records_are_left_out_of_matrix_and_table_alike(tmp_path, model_path):
    path, npz = mixed(tmp_path / "a.sdf"), tmp_path / "x.npz"
    summary = molgiae.embed(path, output=npz, model=model_path, drop_rejected=True)
    assert (summary.read, summary.written, summary.rejected) == (5, 3, 2)
    assert summary.rejected_in == f"{npz}.rejected.csv"
    matrix, table = as_chemprop(npz), rows(npz)
    assert np.isfinite(matrix).all()
    assert [(row["record"], row["title"], row["H"]) for row in table] == [
        ("1", "m0", "0"), ("3", "m1", "-1"), ("5", "m2", "-2"),
    ]  # fmt: skip
    for k, row in enumerate(table):
        alone = tmp_path / f"{k}.sdf"
        alone.write_text(sdf_record(molecule(int(row["title"][1:])), "alone"))
        embedded = molgiae.Embedder(model_path, device="cpu").embed(molgiae.read_conformers(alone))
        np.testing.assert_allclose(matrix[k], embedded["embedding"][0], atol=1e-5)
    with open(f"{npz}.rejected.csv", newline="", encoding="utf-8") as file:
        assert sorted(int(row["record"]) for row in csv.DictReader(file)) == [2, 4]
    molgiae.embed(tmp_path / "0.sdf", output=npz, model=model_path, overwrite=True)
    assert not Path(f"{npz}.rejected.csv").exists()
    assert len(as_chemprop(npz)) == len(rows(npz)) == 1


def test_several_inputs_and_properties_of_some_records_only(tmp_path, model_path):
    (tmp_path / "a.sdf").write_text(sdf_record(molecule(0), "a", data=[("title", "mine"), ("p", "1,5")]))
    (tmp_path / "b.xyz").write_text(xyz_frame(molecule(1), "b"))
    molgiae.embed([tmp_path / "b.xyz", tmp_path / "a.sdf"], output=tmp_path / "x.npz", model=model_path)
    first, second = rows(tmp_path / "x.npz")
    assert (first["title"], first["p"]) == ("b", "")
    assert (second["title"], second["title (property)"], second["p"]) == ("a", "mine", "1,5")


@pytest.mark.parametrize("option", [["--npz"], ["--format", "npz"]], ids=["now", "before"])
def test_npz_alone_by_option_names_itself_after_the_input(option, sdf, model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["embed", str(sdf), *option, "--model", model_path]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "-> molecules.npz" in done.stderr and "molecules.npz.rows.csv" in done.stderr
    assert as_chemprop(tmp_path / "molecules.npz").shape == (20, TINY.embedding_dim)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--npz", "-o", "x.h5"], "end the name of the output in .npz"),
        (["--drop-rejected", "-o", "x.h5"], "rejected records are listed anyway"),
        (["-o", "x.sdf"], "end the name of the output in .h5 or .npz"),
    ],
)
def test_names_that_contradict_are_one_line_errors(words, message, sdf, model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["embed", str(sdf), "--model", model_path, *words])
    assert done.exit_code == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("molgiae: error: x.") and message in line


def test_statuses_of_refusals(tmp_path, model_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["embed", str(mixed(tmp_path / "a.sdf")), "-o", "x.npz", "--model", model_path]
    assert CliRunner().invoke(app, words).exit_code == 1
    assert not Path("x.npz").exists()
    assert CliRunner().invoke(app, [*words, "--drop-rejected"]).exit_code == 3


def test_neither_file_is_replaced_unasked(sdf, tmp_path, model_path):
    precious = tmp_path / "x.npz.rows.csv"
    precious.write_text("mine")
    with pytest.raises(MolgiaeError, match="exists already"):
        molgiae.embed(sdf, output=tmp_path / "x.npz", model=model_path)
    assert precious.read_text() == "mine" and not (tmp_path / "x.npz").exists()


def test_only_embeddings_are_matrices(sdf, tmp_path, model_path):
    assert is_npz("a.NPZ") and not is_npz("npz") and not is_npz("a.h5")
    with pytest.raises(ConfigError, match=r"\.h5 or \.sdf or \.xyz"):
        molgiae.canonicalize(sdf, output=tmp_path / "x.npz", model=model_path)
