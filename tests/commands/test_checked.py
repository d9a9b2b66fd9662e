"""Files say what the decoder gives back: written, counted, joined with their like alone, shown by other commands."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.commands.predict import predict
from molgiae.commands.search import search
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.model.shipped import shipped_names
from tests.commands.test_predict import Fake
from tests.conformers import conformer, random_conformer
from tests.model.test_embedder import BENZENE, METHANE, WATER

pytestmark = pytest.mark.skipif("qm9" not in shipped_names(), reason="no weights in this checkout")

CHECK = Path(__file__).parents[2] / "benchmarks" / "check_hdf5.py"
STRANGE = random_conformer(24, 3)
DECODED_COLUMNS = ("decoded_rmsd", "decoded_formula")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A directory with conformers, three that come back and one that no model can know, and what is made of them."""
    directory = tmp_path_factory.mktemp("checked")
    with StructureWriter(directory / "all.xyz") as writer:
        for title, c in zip("abcd", (WATER, STRANGE, METHANE, BENZENE), strict=True):
            writer.write(conformer(c.atomic_number.tolist(), c.position, title))
    given = directory / "all.xyz"
    molgiae.embed(given, output=directory / "with.h5", model="qm9")
    molgiae.embed(given, output=directory / "without.h5", model="qm9", check=False)
    molgiae.reconstruct(given, output=directory / "reconstructed.h5", model="qm9")
    return directory


def columns_of(path: Path) -> dict[str, np.ndarray]:
    with EmbeddingFile(path) as file:
        return {name: file[name] for name in file.columns}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert_array_equal(found[name], values, err_msg=name)


def test_without_the_check_the_file_is_the_former_one(files):
    checked, former = columns_of(files / "with.h5"), columns_of(files / "without.h5")
    assert set(checked) - set(former) == set(DECODED_COLUMNS)
    assert_same({name: checked[name] for name in former}, former)


def test_the_summary_and_info_count_what_does_not_come_back(files):
    summary = molgiae.reconstruct(files / "all.xyz", output=files / "again.h5", model="qm9")
    stored = columns_of(files / "with.h5")
    lost = int(((stored["decoded_formula"] == 0) | (stored["decoded_rmsd"] > 0.1)).sum())
    assert 1 <= lost == summary.not_decoded == summary.to_dict()["not_decoded"]
    for name in ("with.h5", "reconstructed.h5"):
        shown = CliRunner().invoke(app, ["info", str(files / name), "--json"])
        assert json.loads(shown.stdout)["decoded"] == {"0": lost, "1": 4 - lost}
    said = CliRunner().invoke(app, ["embed", str(files / "all.xyz"), "-o", str(files / "c.h5"), "-m", "qm9"])
    assert f"{lost} do not come back from their embeddings" in said.stderr
    unchecked = molgiae.embed(files / "all.xyz", output=files / "d.h5", model="qm9", check=False)
    assert unchecked.not_decoded is None


def test_files_with_and_without_are_not_joined_in_silence(files):
    both = [files / "with.h5", files / "without.h5"]
    with pytest.raises(
        ConfigError, match=r"without\.h5: has no decoded_rmsd and decoded_formula, as .*with\.h5"
    ):
        molgiae.embed(both, output=files / "no.h5")
    assert not (files / "no.h5").exists()
    molgiae.embed(both, output=files / "joined.h5", check=False)
    former, joined = columns_of(files / "without.h5"), columns_of(files / "joined.h5")
    assert set(joined) == set(former)
    for name in ("in_domain", "domain_reason", "embedding"):
        assert_array_equal(joined[name], np.concatenate([former[name]] * 2), err_msg=name)
    molgiae.embed([files / "without.h5"] * 2, output=files / "old.h5")
    assert not set(DECODED_COLUMNS) & set(columns_of(files / "old.h5"))


def test_what_was_reconstructed_is_joined_with_what_was_embedded(files):
    """Its RMSD has another name there, and is the same number."""
    molgiae.embed([files / "reconstructed.h5"], output=files / "r.h5")
    assert "decoded_rmsd" not in columns_of(files / "reconstructed.h5")
    assert_same(columns_of(files / "r.h5"), columns_of(files / "with.h5"))


def test_reasons_of_the_decoder_go_with_the_check(files):
    """A file whose decoder knew nothing, as it is without."""
    path = files / "spoilt.h5"
    path.write_bytes((files / "with.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["in_domain"][2], file["domain_reason"][2] = 0, "decoding: 0.35 A off"
    former = columns_of(files / "without.h5")
    for how in ({"check": False}, {"parts": "features"}):
        molgiae.embed(path, output=files / "clean.h5", overwrite=True, **how)
        clean = columns_of(files / "clean.h5")
        assert_same(clean, former | {"embedding": former["embedding"][:, : clean["embedding"].shape[1]]})


def test_the_columns_can_be_kept_alone(files):
    molgiae.embed(
        files / "all.xyz",
        output=files / "small.h5",
        model="qm9",
        columns="title,decoded_rmsd,decoded_formula",
    )
    assert_same(
        {name: columns_of(files / "small.h5")[name] for name in DECODED_COLUMNS},
        {name: columns_of(files / "with.h5")[name] for name in DECODED_COLUMNS},
    )


def test_hits_say_what_the_file_says(files):
    stored = columns_of(files / "with.h5")
    for hit in search(files / "all.xyz", files / "with.h5", k=4).hits:
        assert hit.in_domain == bool(stored["in_domain"][hit.row])
        assert hit.decoded_rmsd == stored["decoded_rmsd"][hit.row]
        assert hit.decoded_formula == bool(stored["decoded_formula"][hit.row])
    for hit in search(files / "all.xyz", files / "without.h5", k=4).hits:
        assert hit.in_domain is not None and hit.decoded_rmsd is hit.decoded_formula is None


@pytest.mark.parametrize("name", ["with", "reconstructed"])
def test_what_is_picked_keeps_what_the_file_says(name, files, tmp_path):
    stored = columns_of(files / "with.h5")
    for command, output in ((molgiae.select, "p.h5"), (molgiae.cluster, "c.h5")):
        how = {"k": 3} if command is molgiae.select else {}
        command(files / f"{name}.h5", output=tmp_path / output, by="features", **how)
        found = columns_of(tmp_path / output)
        rows = found["record"] - 1
        for column in DECODED_COLUMNS:
            assert_array_equal(found[column], stored[column][rows])
    molgiae.select(files / f"{name}.h5", output=tmp_path / "p.csv", k=3, by="features")
    assert (
        (tmp_path / "p.csv")
        .read_text()
        .splitlines()[0]
        .endswith("domain_reason,decoded_rmsd,decoded_formula")
    )
    molgiae.select(files / "without.h5", output=tmp_path / "q.h5", k=3, by="features")
    assert not set(DECODED_COLUMNS) & set(columns_of(tmp_path / "q.h5"))


@pytest.mark.parametrize("name", ["with", "reconstructed"])
def test_predictions_stand_beside_what_the_file_says_of_their_conformers(name, files, tmp_path):
    class Picky(Fake):
        """Refuses what the model of the file does not know."""

        def predict(self, conformers):
            left = conformers.reject({1: "strange"} if len(conformers) == 4 else {})
            return super().predict(left)

    stored = columns_of(files / "with.h5")
    summary = predict(Picky(), files / f"{name}.h5", output=tmp_path / "p.csv")
    assert (summary.written, summary.rejected) == (3, 1)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["title"] for row in rows] == ["a", "c", "d"]
    assert [row["decoded_formula"] for row in rows] == [str(stored["decoded_formula"][k]) for k in (0, 2, 3)]
    assert [float(row["decoded_rmsd"]) for row in rows] == pytest.approx(
        stored["decoded_rmsd"][[0, 2, 3]].tolist(), rel=1e-3
    )
    predict(Fake(), files / f"{name}.h5", output=tmp_path / "p.h5")
    assert_array_equal(columns_of(tmp_path / "p.h5")["decoded_rmsd"], stored["decoded_rmsd"])
    predict(Fake(), files / "without.h5", output=tmp_path / "q.h5")
    assert not set(DECODED_COLUMNS) & set(columns_of(tmp_path / "q.h5"))


@pytest.mark.slow
def test_the_checker_finds_a_domain_that_the_decoder_does_not_know(files, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes((files / "with.h5").read_bytes())
    assert subprocess.run([sys.executable, CHECK, path], capture_output=True, check=False).returncode == 0
    with h5py.File(path, "r+") as file:
        file["decoded_rmsd"][0] = 0.2
    found = subprocess.run([sys.executable, CHECK, path], capture_output=True, text=True, check=False)
    assert found.returncode == 1 and "in_domain, but not decoded: 1" in found.stdout
