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
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.overlay import overlay, shape_of
from molgiae.data.tables import Field, write_table
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError, ConfigError, MolgiaeError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.parts import COLOR_SHARE
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


def test_the_best_hit_of_each_molecule_alone(tmp_path, model_path):
    """A conformer that is further off by embeddings may be the nearer one exactly; ranks go by what is exact."""
    with StructureWriter(tmp_path / "all.xyz") as writer:
        for k in range(24):
            base = random_conformer(6, k % 4)
            writer.write(
                conformer(base.atomic_number.tolist(), base.position * (1 + 0.03 * (k // 4)), f"m{k % 4}")
            )
    file, asked = tmp_path / "all.h5", tmp_path / "all.xyz"
    molgiae.embed(asked, output=file, model=model_path)
    for by in (None, "all"):
        found = search.search(asked, file, k=3, by=by, model=model_path, per_molecule=True)
        every = search.search(asked, file, k=24, by=by, model=model_path)
        for q in range(0, 72, 3):
            hits = found.hits[q : q + 3]
            all_hits = [h for h in every.hits if h.query_record == hits[0].query_record]
            firsts = {h.title: h.row for h in reversed(all_hits)}
            assert [h.rank for h in hits] == [1, 2, 3] and len({h.title for h in hits}) == 3
            assert all(h.row == firsts[h.title] for h in hits if by == "all" or h.relation == "molecule")


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
        "query", "rank", "row", "record", "title", "distance", "relation", "rmsd", "in_domain",
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


def copies(query: Path) -> list[Conformer]:
    return list(molgiae.read_conformers(query, on_error="skip"))


def test_by_overlay_the_exact_overlay_ranks(stored, query):
    result = search.search(query, stored, k=4, by="overlay")
    assert result.by == "overlay" and len(result.hits) == 8
    with EmbeddingFile(stored) as file:
        shapes = [shape_of(c) for block in file.blocks() for c in block]
    for q, wanted in enumerate(copies(query)):
        exact = [overlay(shape_of(wanted), shape).combination for shape in shapes]
        hits = result.hits[4 * q : 4 * q + 4]
        assert [hit.rank for hit in hits] == [1, 2, 3, 4]
        assert_allclose([hit.combination for hit in hits], sorted(exact, reverse=True)[:4], atol=1e-6)
    first = result.hits[0]
    assert first.row == 1 and first.shape_tanimoto > 0.999 and first.rmsd < 1e-6 and first.estimate > 0.999


def test_estimates_are_those_of_overlay_and_color(stored, query):
    with EmbeddingFile(stored) as file:
        z = file.column("embedding")
    for hit in search.search(query, stored, k=40, by="overlay").hits[:40]:
        parts = [(z[1, columns], z[hit.row, columns]) for columns in (slice(2, 5), slice(5, 7))]
        expected = np.average([a @ b / (a @ a + b @ b - a @ b) for a, b in parts], weights=[1, COLOR_SHARE])
        assert_allclose(hit.estimate, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("by", ["features", "all"])
def test_by_features_and_all_the_distance_ranks(stored, query, by):
    hits = search.search(query, stored, k=40, by=by).hits[:40]
    assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
    assert hits[0].row == 1 and all(hit.estimate is hit.combination is None for hit in hits)


def test_by_shape_conformers_of_the_molecule_come_first_by_rmsd(stored, query):
    hits = search.search(query, stored, k=10).hits[:10]
    same = [hit.rmsd for hit in hits if hit.rmsd is not None]
    assert len(same) == 5 and same == sorted(same) == [hit.rmsd for hit in hits[:5]]
    others = [hit.distance for hit in hits[5:]]
    assert others == sorted(others)


@pytest.mark.parametrize("by", ["shape", "overlay", "features"])
def test_poses_lie_on_their_query(stored, query, tmp_path, by):
    poses = tmp_path / "poses.sdf"
    result = search.search(query, stored, k=3, by=by, poses=poses)
    assert result.poses == str(poses)
    records = list(molgiae.read_conformers(poses))
    assert [record.properties["rank"] for record in records] == ["0", "1", "2", "3"] * 2
    first = copies(query)[0]
    assert_allclose(records[0].position, first.position, atol=1e-4)
    copy = records[1]
    apart = np.linalg.norm(copy.position[:, None] - first.position, axis=2).min(axis=1)
    assert apart.max() < (0.01 if by != "overlay" else 0.2)
    assert copy.title == "c1" and copy.properties["row"] == "1"
    assert float(copy.properties["rmsd"]) < 1e-6
    assert ("shape_tanimoto" in copy.properties) == (by == "overlay")
    with pytest.raises(MolgiaeError, match="exists already"):
        search.search(query, stored, poses=poses)


def test_poses_have_bonds(tmp_path, model_path):
    glycol = Conformer(
        np.array([8, 6, 8, 1, 1], np.uint8),
        np.array([[0, 0, 0], [1.21, 0, 0], [1.9, 1.15, 0], [1.75, -0.95, 0], [2.86, 1.0, 0.0]]),
    )
    with StructureWriter(tmp_path / "acid.xyz") as writer:
        writer.write(glycol)
    molgiae.embed(tmp_path / "acid.xyz", output=tmp_path / "acid.h5", model=model_path)
    words = [str(tmp_path / "acid.xyz"), str(tmp_path / "acid.h5"), "--poses", str(tmp_path / "poses.sdf")]
    assert CliRunner().invoke(app, ["search", *words]).exit_code == 0
    for record in molgiae.read_conformers(tmp_path / "poses.sdf"):
        assert len(record.bonds) == 4 and "  1  2  2" in record.text


def test_command_by_overlay(stored, query, tmp_path):
    output = tmp_path / "hits.csv"
    words = ["search", str(query), str(stored), "--by", "overlay", "-k", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3, result.output
    head = result.stdout.splitlines()[0].split()
    assert head[5:] == ["estimate", "combination", "shape", "color", "relation", "rmsd", "in_domain"]
    result = CliRunner().invoke(app, [*words, "-o", str(output), "--json"])
    found = json.loads(result.stdout)
    assert found["by"] == "overlay" and found["hits"][0]["shape_tanimoto"] > 0.999
    assert "shape_tanimoto" in output.read_text().splitlines()[0]


def test_parts_that_a_file_lacks_are_named(stored, query, model_path, tmp_path):
    some = tmp_path / "some.h5"
    molgiae.embed(stored, output=some, model=model_path, parts="shape,detail")
    result = CliRunner().invoke(app, ["search", str(query), str(some), "--by", "overlay"])
    assert result.exit_code == 1
    assert "no part overlay of the embedding, only shape, detail; embed it again" in result.stderr
