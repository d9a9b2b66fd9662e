"""Clusters: those of brute force, in any order of the input; populations add up; representatives stand for them."""

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
from molgiae.commands.cluster import cluster
from molgiae.commands.clusters import NONE, Vectors, butina, hdbscan, k_means, representative
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.properties.averaging import BOLTZMANN
from tests.conformers import conformer, moved, random_conformer
from tests.conftest import TINY, TINY_DOMAIN


def brute_force(distance: np.ndarray, threshold: float) -> list[set[int]]:
    """Count the neighbours that are left again for every cluster, and try every center."""
    left, found = set(range(len(distance))), []
    while left:
        near = {i: {j for j in left if distance[i][j] <= threshold} for i in left}
        center = max(left, key=lambda i: (len(near[i]), -sum(distance[i]), -i))
        found.append(near[center])
        left -= near[center]
    return found


def sets_of(label) -> list[set[int]]:
    return [set(np.flatnonzero(label == k).tolist()) for k in range(max(label) + 1)]


def apart(seed: int, n: int = 30) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 1, (n, 2))
    return np.linalg.norm(points[:, None] - points, axis=2)


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_butina_is_brute_force_in_any_order(seed, threshold):
    distance = apart(seed)
    label = butina(distance, threshold)
    assert sets_of(label) == brute_force(distance, threshold)
    order = np.random.default_rng(seed).permutation(len(distance))
    shuffled = butina(distance[np.ix_(order, order)], threshold)
    assert sorted(map(sorted, sets_of(label))) == sorted(
        sorted(order[list(rows)].tolist()) for rows in sets_of(shuffled)
    )
    assert sets_of(np.roll(label, 1)) != brute_force(distance, threshold) or threshold in (0.0, 2.0)


def test_blobs_are_found():
    rng = np.random.default_rng(0)
    centers, which = np.array([[0.0, 0], [10, 0], [0, 10]]), np.repeat([0, 1, 2], 20)
    vectors = np.vstack([centers[which] + rng.normal(0, 0.1, (60, 2)), [[50.0, 50.0]]])
    by_density = hdbscan(vectors, 5)
    assert by_density[60] == NONE
    for label in (by_density[:60], k_means(vectors[:60], 3, 0)):
        assert len(set(label)) == 3 and all(len(set(label[which == k])) == 1 for k in range(3))
    assert (hdbscan(vectors[:4], 5) == NONE).all()
    assert len(set(k_means(np.zeros((5, 2)), 3, 0))) == 1


def test_a_representative_is_the_medoid_or_lowest_in_energy():
    vectors = np.random.default_rng(0).normal(0, 1, (3000, 3))
    rows = np.arange(1, 2500)
    total = [np.linalg.norm(vectors[rows] - vectors[row], axis=1).sum() for row in rows]
    assert representative(rows, Vectors(vectors), None) == rows[np.argmin(total)]
    energy = np.random.default_rng(1).normal(0, 1, 3000)
    assert representative(rows, Vectors(vectors), energy) == rows[np.argmin(energy[rows])]


# From file to file


def ensembles() -> list:
    """Two molecules: five conformers about one geometry, three about another; four of another molecule."""
    made = []
    for size, seeds, shape in ((5, range(5), 0), (3, range(10, 13), 1), (4, range(20, 24), 2)):
        base = random_conformer(7 if shape < 2 else 6, min(shape, 1) + 3, elements=(6,))
        for seed in seeds:
            rng = np.random.default_rng(seed)
            position = base.position + rng.normal(0, 0.02, base.position.shape)
            made.append(conformer([6] * len(base), position, f"c{shape}"))
        assert size == len(seeds)
    return made


def written(path: Path, order, energies=None) -> Path:
    with StructureWriter(path) as writer:
        for k in order:
            one = moved(ensembles()[k], k)
            data = {"k": str(k)} if energies is None else {"k": str(k), "E": f"{energies[k]} eV"}
            writer.write(one, properties=data)
    return path


def labels_of(path: Path) -> dict[int, tuple[int, str]]:
    found = list(molgiae.read_conformers(path))
    return {
        int(c.properties["k"]): (
            int(c.properties["molgiae_cluster"]),
            c.properties["molgiae_representative"],
        )
        for c in found
    }


def test_by_rmsd_each_molecule_by_itself_in_any_order(tmp_path):
    path = written(tmp_path / "in.xyz", range(12))
    result = cluster(path, output=tmp_path / "out.xyz", threshold=0.3, representatives=tmp_path / "reps.xyz")
    assert [(row.size, row.population) for row in result.clusters] == [(5, 5 / 8), (3, 3 / 8), (4, 1.0)]
    assert result.molecules == 2 and result.unclustered == 0 and result.written == 12
    found = labels_of(tmp_path / "out.xyz")
    assert [found[k][0] for k in range(12)] == [1] * 5 + [2] * 3 + [3] * 4
    matrix = molgiae.rmsd_matrix(path).rmsd
    for k, (first, last) in enumerate(((0, 5), (5, 8), (8, 12))):
        own = matrix[first:last, first:last]
        medoid = first + int(np.argmin(own.sum(axis=1)))
        assert [row for row in range(first, last) if found[row][1] == "1"] == [medoid]
        assert result.clusters[k].record == medoid + 1
        assert_allclose(result.clusters[k].radius, own[medoid - first].max(), atol=1e-9)
    reps = list(molgiae.read_conformers(tmp_path / "reps.xyz"))
    assert [c.properties["molgiae_cluster_size"] for c in reps] == ["5", "3", "4"]
    order = np.random.default_rng(0).permutation(12)
    cluster(written(tmp_path / "shuffled.xyz", order), output=tmp_path / "b.xyz", threshold=0.3)
    other = labels_of(tmp_path / "b.xyz")
    for a in range(12):
        assert other[a][1] == found[a][1]
        assert all((other[a][0] == other[b][0]) == (found[a][0] == found[b][0]) for b in range(12))


def test_energies_give_populations_and_representatives(tmp_path):
    energies = np.random.default_rng(0).uniform(0, 0.1, 12)
    energies[7] -= 0.2
    path = written(tmp_path / "in.xyz", range(8), energies)
    result = cluster(path, output=tmp_path / "out.csv", threshold=0.3, energy="E", temperature=500)
    weight = np.exp(-energies[:8] / (BOLTZMANN * 500))
    weight /= weight.sum()
    assert_allclose([row.population for row in result.clusters], [weight[5:].sum(), weight[:5].sum()])
    assert [row.record - 1 for row in result.clusters] == [7, int(np.argmin(energies[:5]))]
    assert result.clusters[0].relative_energy == 0
    expected = (energies[:5].min() - energies[7]) * 23.0605
    assert_allclose(result.clusters[1].relative_energy, expected, rtol=1e-4)
    assert "Boltzmann weights at 500 K by E in eV" in result.notes
    with pytest.raises(ConfigError, match=r"has a property 'F' for --energy; properties found: .*E"):
        cluster(path, output=tmp_path / "b.csv", energy="F")


@pytest.fixture(scope="module")
def stored(tmp_path_factory, model_path) -> Path:
    directory = tmp_path_factory.mktemp("stored")
    written(directory / "in.xyz", range(12))
    molgiae.embed(directory / "in.xyz", output=directory / "all.h5", model=model_path)
    return directory / "all.h5"


@pytest.mark.parametrize("by", ["shape", "overlay", "features"])
def test_by_embeddings_stored_or_computed(stored, tmp_path, model_path, by):
    result = cluster(stored, output=tmp_path / "a.h5", by=by, k=3)
    assert sum(row.size for row in result.clusters) == 12
    assert_allclose(sum(row.population for row in result.clusters), 1)
    with EmbeddingFile(tmp_path / "a.h5") as file:
        number, chosen = file.column("cluster"), file.column("representative")
        file.verify()
    assert sorted(np.bincount(number)[1:], reverse=True) == [row.size for row in result.clusters]
    assert_array_equal(np.sort(number[chosen == 1]), np.arange(1, len(result.clusters) + 1))
    now = cluster(stored.parent / "in.xyz", output=tmp_path / "b.h5", by=by, k=3, model=model_path)
    assert [row.size for row in now.clusters] == [row.size for row in result.clusters]
    dense = cluster(stored, output=tmp_path / "c.csv", by=by, min_size=2)
    assert sum(row.size for row in dense.clusters) + dense.unclustered == 12


def test_command_writes_tables_and_json(sdf, tmp_path):
    words = ["cluster", str(sdf), "-o", str(tmp_path / "o.sdf"), "--table", str(tmp_path / "t.json")]
    sdf.write_text(sdf.read_text() + "broken\n$$$$\n")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3, done.output
    assert done.stdout.split()[:3] == ["cluster", "size", "population"] and "1 rejected" in done.stderr
    assert len(list(molgiae.read_conformers(tmp_path / "o.sdf"))) == 20
    rows = json.loads((tmp_path / "t.json").read_text())["rows"]
    again = CliRunner().invoke(app, [*words, "--overwrite", "--json"])
    assert json.loads(again.stdout)["clusters"] == rows
    done = CliRunner().invoke(app, ["cluster", str(sdf), "-o", str(tmp_path / "o.csv"), "-q"])
    assert done.exit_code == 3 and done.stdout == ""
    with open(tmp_path / "o.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 20
    assert (tmp_path / "o_clusters.csv").exists() and (tmp_path / "o.csv.rejected.csv").exists()


def test_what_cannot_be_is_told_in_a_line(stored, tmp_path):
    def fails(match, *files, kind=ConfigError, **how):
        with pytest.raises(kind, match=match):
            cluster(list(files) or stored, output=tmp_path / "a.csv", **how)
        assert not (tmp_path / "a.csv").exists()

    fails("--threshold does not go with --by shape", by="shape", threshold=1.0)
    fails("-k does not go with --by rmsd", k=3)
    fails("give one of them", by="shape", k=3, min_size=3)
    fails("13 clusters of 12 conformers", by="shape", k=13)
    fails("above 0", temperature=0)
    fails("named twice", table=tmp_path / "a.csv")
    energies = written(tmp_path / "in.xyz", range(12), np.zeros(12))
    fails("energies of unlike molecules cannot be compared", energies, by="shape", energy="E", model="drug")
    for by in ("rmsd", "shape"):
        fails(
            r"none of the first 12 conformers has a property 'F' for --energy; properties found: E",
            energies,
            by=by,
            energy="F",
            model="drug",
        )
    torch.manual_seed(1)
    checkpoint.save(tmp_path / "other.safetensors", build(TINY), TINY_DOMAIN, {})
    molgiae.embed(stored, output=tmp_path / "other.h5", model=str(tmp_path / "other.safetensors"))
    fails("of two models", stored, tmp_path / "other.h5", kind=CheckpointError, by="shape")
