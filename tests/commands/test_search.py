"""Nearest embeddings: those of brute force, their RMSD, the right model or none."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.commands import search
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.tables import Field, write_table
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError, ConfigError, MolgiaeError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from tests.conformers import conformer, moved, random_conformer
from tests.conftest import TINY, TINY_DOMAIN


@pytest.fixture(scope="module")
def stored(tmp_path_factory, model_path) -> Path:
    """Embeddings of forty conformers, of eight molecules."""
    directory = tmp_path_factory.mktemp("stored")
    with StructureWriter(directory / "all.xyz") as writer:
        for k in range(40):
            base = random_conformer(4 + k % 8, k % 8)
            writer.write(
                conformer(base.atomic_number.tolist(), base.position * (1 + 0.02 * (k // 8)), f"c{k}")
            )
    path = directory / "all.h5"
    molgiae.embed(directory / "all.xyz", output=path, model=model_path)
    return path


@pytest.fixture
def query(tmp_path) -> Path:
    """Two copies of stored conformers in another pose and order, and one that is no conformer."""
    path = tmp_path / "query.xyz"
    with StructureWriter(path) as writer:
        for k in (1, 6):
            writer.write(moved(random_conformer(4 + k, k), k))
    path.write_text(path.read_text() + "2\nbroken\nH 0 0 0\n")
    return path


@pytest.mark.parametrize("chunk", [7, 1 << 15])
def test_nearest_is_what_brute_force_finds(stored, monkeypatch, chunk):
    monkeypatch.setattr(search, "ROWS", chunk)
    monkeypatch.setattr(search, "QUERIES", 2)
    with EmbeddingFile(stored) as file:
        z = file.column("embedding").astype(np.float64)
        targets = z[[3, 17, 30, 31, 8]] + np.random.default_rng(0).normal(0, 0.01, (5, z.shape[1]))
        apart = np.linalg.norm(z - targets[:, None], axis=2)
        for columns in (slice(None), slice(2, 5)):
            apart = np.linalg.norm(z[:, columns] - targets[:, None, columns], axis=2)
            rows, distances = search.nearest(file, targets[:, columns], 6, columns)
            assert_allclose(distances, np.sort(apart, axis=1)[:, :6], rtol=1e-9)
            assert_allclose(np.take_along_axis(apart, rows, axis=1), distances, rtol=1e-9)
        rows, _ = search.nearest(file, targets, 1000, slice(None))
        assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(40), (5, 1)))


def test_copies_are_found_with_their_rmsd(stored, query, model_path):
    result = search.search(query, stored, k=12, model=model_path)
    assert (result.read, result.queries, result.rejected) == (3, 2, 1)
    assert [hit.rank for hit in result.hits] == [*range(1, 13)] * 2
    for first, k in ((result.hits[0], 1), (result.hits[12], 6)):
        assert (first.row, first.relation, first.proven) == (k, "molecule", True)
        assert first.distance < 1e-3 and first.rmsd < 1e-6
        assert first.title == f"c{first.row}" and first.record == first.row + 1
    others = [hit for hit in result.hits if hit.relation == "other"]
    assert others and all(hit.rmsd is None and hit.proven is None for hit in others)


def test_isomers_share_a_formula_alone(tmp_path, model_path):
    """Methanol-like skeletons CO and OC with the hydrogen on either end."""
    chain = [[0.0, 0, 0], [1.4, 0, 0], [2.8, 0, 0], [3.6, 0.5, 0]]
    one, other = conformer([6, 6, 8, 1], chain, "one"), conformer([6, 8, 6, 1], chain, "other")
    for name, c in (("a.xyz", one), ("b.xyz", other)):
        with StructureWriter(tmp_path / name) as writer:
            writer.write(c)
    molgiae.embed(tmp_path / "a.xyz", output=tmp_path / "a.h5", model=model_path)
    [hit] = search.search(tmp_path / "b.xyz", tmp_path / "a.h5", model=model_path).hits
    assert (hit.relation, hit.rmsd) == ("formula", None)
    [hit] = search.search(tmp_path / "b.xyz", tmp_path / "a.h5", model=model_path, match="atoms").hits
    assert hit.relation == "formula" and hit.rmsd > 0.1


def test_command_prints_a_table_and_tells_the_truth(stored, query, model_path):
    result = CliRunner().invoke(app, ["search", str(query), str(stored), "-k", "3", "-m", model_path])
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert len(lines) == 7 and lines[0].split() == [
        "query", "rank", "row", "record", "title", "distance", "relation", "rmsd",
    ]  # fmt: skip
    assert "0.0000" in lines[1] and "searched 40 conformers for 2 of 3 queries" in result.stderr
    assert "1 rejected:" in result.stderr


@pytest.mark.parametrize("suffix", [".csv", ".json", ".h5"])
def test_tables(stored, query, model_path, tmp_path, suffix):
    output = tmp_path / f"hits{suffix}"
    words = ["search", str(query), str(stored), "-m", model_path, "-o", str(output), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3, result.output
    hits = json.loads(result.stdout)["hits"]
    assert len(hits) == 20
    if suffix == ".csv":
        with open(output, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["row"]) for row in rows] == [hit["row"] for hit in hits]
        assert {row["rmsd"] for row in rows if row["relation"] == "other"} == {""}
    elif suffix == ".json":
        found = json.loads(output.read_text())
        assert found["rows"] == hits and found["model_sha256"]
    else:
        with h5py.File(output) as file:
            assert_array_equal(file["row"], [hit["row"] for hit in hits])
            assert np.isnan(file["rmsd"][:]).sum() == sum(hit["rmsd"] is None for hit in hits)
            assert file["rmsd"].attrs["unit"] == "angstrom" and file["title"].asstr()[0] == hits[0]["title"]
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1 and "exists already" in again.stderr


def test_an_empty_table_is_a_table(tmp_path):
    fields = (Field("name", str, "text", "a name"), Field("x", float, "1", "a number"))
    for suffix in (".csv", ".json", ".h5"):
        write_table(tmp_path / f"t{suffix}", fields, [], {"command": "none"})
    with h5py.File(tmp_path / "t.h5") as file:
        assert file["name"].shape == file["x"].shape == (0,)
    with pytest.raises(ConfigError, match=r"\.csv, \.tsv, \.json"):
        write_table(tmp_path / "t.txt", fields, [], {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.h5", "t.json"]


def test_another_model_is_refused_by_name(stored, query, tmp_path, model_path):
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, build(TINY), TINY_DOMAIN, {})
    with pytest.raises(CheckpointError, match=r"tiny.*not with .*other\.safetensors.*molgiae embed"):
        search.search(query, stored, model=str(other))
    copy = shutil.copy(model_path, tmp_path / "copy.safetensors")
    assert search.search(query, stored, model=str(copy)).hits
    with pytest.raises(CheckpointError, match="no such model"):
        search.search(query, stored, model="nothing")


def test_the_model_is_the_one_that_the_file_names(stored, query, tmp_path):
    assert search.search(query, stored).hits
    moved_away = shutil.copy(stored, tmp_path / "orphan.h5")
    with h5py.File(moved_away, "r+") as file:
        file.attrs["model"] = "gone.safetensors"
    with pytest.raises(CheckpointError, match="not here; give its file with --model"):
        search.search(query, moved_away)


def test_files_without_embeddings_and_bad_options(query, tmp_path, stored, model_path, sdf):
    molgiae.canonicalize(sdf, output=tmp_path / "canonical.h5", model=model_path)
    with pytest.raises(ConfigError, match="holds no embeddings"):
        search.search(query, tmp_path / "canonical.h5")
    with pytest.raises(ConfigError, match="at least 1"):
        search.search(query, stored, k=0)
    with pytest.raises(MolgiaeError, match="no such file"):
        search.search(query, tmp_path / "missing.h5")


def test_queries_from_hdf5(stored, model_path):
    result = search.search(stored, stored, model=model_path, k=1)
    assert [hit.row for hit in result.hits] == list(range(40))
