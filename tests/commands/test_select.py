"""Diverse subsets: those of brute force, in any order of the input, of one model, far from those chosen before."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.commands.nearest import Measure
from molgiae.commands.picking import Distances, maxmin
from molgiae.commands.select import select
from molgiae.commands.warmup import WATER
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.parts import COLOR_SHARE
from tests.conformers import conformer, random_conformer
from tests.conftest import TINY, TINY_DOMAIN

N = 24


def written(path: Path, order) -> Path:
    """Four molecules, three conformers of each, twice, in an order."""
    with StructureWriter(path) as writer:
        for k in order:
            base = random_conformer(4 + k % 4, k % 8)
            made = conformer(base.atomic_number.tolist(), base.position * (1 + 0.03 * (k // 8)), f"m{k % 8}")
            writer.write(made, properties={"k": str(k)})
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory, model_path) -> tuple[Path, Path]:
    """Conformers as XYZ and as an embedding file."""
    directory = tmp_path_factory.mktemp("stored")
    xyz = written(directory / "all.xyz", range(N))
    molgiae.embed(xyz, output=directory / "all.h5", model=model_path)
    return xyz, directory / "all.h5"


def matrix(path: Path, by: str) -> np.ndarray:
    """Distances of all pairs, by other means."""
    with EmbeddingFile(path) as file:
        z = file.column("embedding").astype(np.float64)
        columns = {part.name: part.columns for part in file.parts}
    if by == "overlay":
        tanimoto = []
        for name in ("overlay", "color"):
            products = z[:, columns[name]] @ z[:, columns[name]].T
            own = np.diag(products)
            tanimoto.append(products / (own[:, None] + own - products))
        return 1 - np.average(tanimoto, axis=0, weights=(1, COLOR_SHARE))
    parts = [by] if by != "all" else ["features", "overlay", "color", "shape"]
    square = np.zeros((len(z), len(z)))
    for name in parts:
        part = z[:, columns[name]]
        weight = 1.0 if by != "all" else (4.0 if name == "features" else 1.0) / part.var(axis=0).sum() ** 0.5
        square += weight**2 * np.square(part[:, None] - part).sum(axis=2)
    return np.sqrt(square)


def brute_force(apart: np.ndarray, first: int, k: int, titles=None) -> list[tuple[int, float]]:
    """Look at all pairs again for every pick."""
    picked = [(first, np.inf)]
    while len(picked) < k:
        rows = [row for row, _ in picked]
        free = [
            row
            for row in range(len(apart))
            if row not in rows and (titles is None or titles[row] not in [titles[r] for r in rows])
        ]
        if not free:
            break
        nearest = [min(apart[row, r] for r in rows) for row in free]
        picked.append((free[int(np.argmax(nearest))], max(nearest)))
    return picked


def numbers(result) -> list[int]:
    """Picks by the number of the record, from 0."""
    return [pick.record - 1 for pick in result.picks]


def assert_is_brute_force(result, apart: np.ndarray, titles=None) -> None:
    rows = numbers(result)
    expected = brute_force(apart, rows[0], len(rows), titles)
    assert rows == [row for row, _ in expected]
    assert result.picks[0].distance is None
    assert_allclose([p.distance for p in result.picks[1:]], [d for _, d in expected[1:]], rtol=1e-4)


@pytest.mark.parametrize("by", ["features", "shape", "overlay", "all"])
def test_picks_are_those_of_brute_force(files, tmp_path, by):
    result = select(files[1], output=tmp_path / "picked.csv", k=10, by=by)
    assert len(result.picks) == 10
    assert_is_brute_force(result, matrix(files[1], by))


def test_a_pick_that_is_not_the_farthest_would_be_noticed(files, tmp_path):
    apart = matrix(files[1], "features")
    result = select(files[1], output=tmp_path / "picked.csv", k=10)
    result.picks[3], result.picks[4] = result.picks[4], result.picks[3]
    with pytest.raises(AssertionError):
        assert_is_brute_force(result, apart)


def test_records_that_are_embedded_now_are_picked_alike(files, tmp_path, model_path):
    stored = select(files[1], output=tmp_path / "a.csv", k=10)
    now = select(files[0], output=tmp_path / "b.csv", k=10, model=model_path)
    assert numbers(stored) == numbers(now)
    assert now.conformers == N and now.model == stored.model and now.model_sha256 == stored.model_sha256


def test_the_order_of_the_input_does_not_matter(files, tmp_path, model_path):
    order = np.random.default_rng(0).permutation(N)
    other = written(tmp_path / "shuffled.xyz", order)
    shuffled = select(other, output=tmp_path / "b.csv", k=12, model=model_path)
    assert order[numbers(shuffled)].tolist() == numbers(select(files[1], output=tmp_path / "a.csv", k=12))


def test_a_seed_draws_the_first_and_decides_all(files, tmp_path):
    firsts = set()
    for seed in range(8):
        one, again = (
            select(files[1], output=tmp_path / "a.csv", k=6, seed=seed, overwrite=True) for _ in range(2)
        )
        assert one.picks == again.picks
        assert_is_brute_force(one, matrix(files[1], "features"))
        firsts.add(one.picks[0].record)
    assert len(firsts) > 3


def test_new_ones_are_far_from_those_chosen_before(files, tmp_path, model_path):
    """What is picked in two steps is what is picked in one."""
    whole = select(files[1], output=tmp_path / "whole.csv", k=12)
    for by_now in ("first.xyz", "first.h5"):
        select(files[1], output=tmp_path / by_now, k=5)
        rest = select(files[1], output=tmp_path / f"{by_now}.csv", k=7, seed_with=tmp_path / by_now)
        assert numbers(rest) == numbers(whole)[5:] and rest.chosen_before == 5
        assert_allclose([p.distance for p in rest.picks], [p.distance for p in whole.picks[5:]], rtol=1e-3)


def test_the_model_of_embeddings_chosen_before_is_that_of_all(files, tmp_path, model_path):
    result = select(files[0], output=tmp_path / "a.csv", k=3, seed_with=files[1])
    assert result.model_sha256 == select(files[1], output=tmp_path / "b.csv", k=1).model_sha256
    assert max(pick.distance for pick in result.picks) < 1e-3


def test_at_most_one_conformer_of_each_title(files, tmp_path):
    titles = [f"m{k % 8}" for k in range(N)]
    result = select(files[1], output=tmp_path / "a.xyz", k=20, per_molecule=True)
    assert len(result.picks) == 8 and "no more molecules to pick: 8 of 20" in result.notes[-1]
    assert_is_brute_force(result, matrix(files[1], "features"), titles)
    three = select(files[1], output=tmp_path / "b.xyz", k=3, per_molecule=True)
    others = select(
        files[1], output=tmp_path / "c.csv", k=20, per_molecule=True, seed_with=tmp_path / "b.xyz"
    )
    assert {pick.title for pick in others.picks} == set(titles) - {pick.title for pick in three.picks}


@pytest.mark.parametrize("name", ["out.sdf", "out.xyz", "out.csv", "out.h5"])
def test_outputs(files, sdf, tmp_path, model_path, name):
    output = tmp_path / name
    words = ["select", str(sdf), "-k", "5", "-m", model_path, "-o", str(output), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    picks = found["picks"]
    assert [pick["picked"] for pick in picks] == [1, 2, 3, 4, 5] and found["conformers"] == 20
    if name == "out.csv":
        with open(output, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["record"]) for row in rows] == [pick["record"] for pick in picks]
        assert rows[0]["distance"] == "" and float(rows[1]["distance"]) >= float(rows[4]["distance"])
    elif name == "out.h5":
        with EmbeddingFile(output) as file:
            assert_array_equal(file.column("picked"), [1, 2, 3, 4, 5])
            assert_allclose(file.column("picked_distance")[1:], [pick["distance"] for pick in picks[1:]])
            assert file.column("title").tolist() == [pick["title"] for pick in picks]
            file.verify()
    else:
        records = list(molgiae.read_conformers(output))
        assert [c.properties["k"] for c in records] == [pick["title"][1:] for pick in picks]
        assert [c.properties["molgiae_picked"] for c in records] == list("12345")
        assert "molgiae_distance" not in records[0].properties
        if name == "out.sdf":
            text = records[0].text
            assert text[: text.index("M  END")] in sdf.read_text()
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1 and "exists already" in again.stderr


def test_bonds_of_records_without_tables_are_written(tmp_path, model_path):
    with StructureWriter(tmp_path / "water.xyz") as writer:
        writer.write(WATER)
    select(tmp_path / "water.xyz", output=tmp_path / "a.sdf", model=model_path)
    [water] = molgiae.read_conformers(tmp_path / "a.sdf")
    assert len(water.bonds) == 2 and water.properties["molgiae_picked"] == "1"


def test_embeddings_of_two_models_are_refused_by_name(files, tmp_path):
    torch.manual_seed(1)
    checkpoint.save(tmp_path / "other.safetensors", build(TINY), TINY_DOMAIN, {})
    other = tmp_path / "other.h5"
    molgiae.embed(files[0], output=other, model=str(tmp_path / "other.safetensors"))
    wrong = (
        r"other\.h5: was embedded with model .*other\.safetensors.*all\.h5 with .*tiny.*cannot be compared"
    )
    with pytest.raises(CheckpointError, match=wrong):
        select([files[1], other], output=tmp_path / "a.csv")
    with pytest.raises(CheckpointError, match=wrong):
        select(files[1], output=tmp_path / "a.csv", seed_with=other)
    with pytest.raises(CheckpointError, match=r"not with .*other\.safetensors"):
        select(files[1], output=tmp_path / "a.csv", model=str(tmp_path / "other.safetensors"))
    assert not (tmp_path / "a.csv").exists()


def test_what_cannot_be_is_told_in_a_line(files, tmp_path, model_path):
    molgiae.embed(files[1], output=tmp_path / "some.h5", model=model_path, parts="shape,detail")
    with pytest.raises(ConfigError, match=r"some\.h5 has no part features of the embedding"):
        select(tmp_path / "some.h5", output=tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="have the parts shape, those before it features, overlay"):
        select([files[1], tmp_path / "some.h5"], output=tmp_path / "a.csv", by="all")
    with pytest.raises(ConfigError, match="at least 1"):
        select(files[1], output=tmp_path / "a.csv", k=0)
    with pytest.raises(ConfigError, match=r"\.h5 or \.csv or \.tsv or \.sdf or \.xyz"):
        select(files[1], output=tmp_path / "a.png")


def test_copies_and_few_rows():
    rows = np.zeros((3, 2), np.float32)
    found, apart = maxmin(Distances(rows, Measure((slice(0, 2),), (1.0,))), 5, before=np.full(3, np.inf))
    assert sorted(found.tolist()) == [0, 1, 2] and apart.tolist() == [np.inf, 0, 0]
