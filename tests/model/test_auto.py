"""The default model is one for all parts of a job; embeddings of one model are joined, of two refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.config import Domain, ModelConfig
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError
from molgiae.model import checkpoint
from molgiae.model import shipped as shipping
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from molgiae.model.header import sha256_of
from molgiae.model.shipped import catalogue, default_model
from tests.conformers import any_bonds, conformer, random_conformer

SMALL = ModelConfig(
    elements=(1, 6, 7, 8, 9),
    max_atoms=12,
    embedding_dim=8,
    width=16,
    layers=1,
    shape_dim=3,
    features_dim=0,
    atom_width=8,
    property_width=8,
    property_layers=1,
)
SMALL_DOMAIN = Domain(
    elements=(1, 6, 7, 8),
    n_atoms=(2, 12),
    radius=20.0,
    nearest=(0.5, 3.0),
    **any_bonds((1, 6, 7, 8, 16, 17)),
)
MODELS = {
    "small": (SMALL, SMALL_DOMAIN),
    "compact": (replace(SMALL, embedding_dim=4), SMALL_DOMAIN),
    "big": (
        replace(SMALL, elements=(1, 6, 7, 8, 9, 16, 17), max_atoms=30, embedding_dim=6),
        replace(SMALL_DOMAIN, elements=(1, 6, 7, 8, 16, 17), n_atoms=(2, 30), charge=(-1, 1)),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three untrained models as they would be shipped."""
    directory = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    for name, (config, domain) in MODELS.items():
        checkpoint.save(directory / f"{name}.safetensors", build(config), domain, {"data": "none"})
    return directory


@pytest.fixture
def shipped(folder, monkeypatch) -> Path:
    monkeypatch.setattr(shipping, "pretrained", lambda: folder)
    return folder


def small(seed: int) -> Conformer:
    return random_conformer(5 + seed % 4, seed)


def big(seed: int) -> Conformer:
    return random_conformer(20, seed, (1, 6, 16))


def written(path: Path, conformers: list[Conformer]) -> Path:
    with StructureWriter(path) as writer:
        for c in conformers:
            writer.write(c)
    return path


def run(*words: object, stdin: bytes | None = None):
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


class TestDefault:
    def test_the_widest_domain_and_of_equals_the_most_dimensions(self, shipped):
        assert [model.name for model in catalogue()] == ["compact", "small", "big"]
        assert default_model().name == "big"
        assert Embedder("auto").checkpoint.name == "big"

    def test_no_models(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shipping, "pretrained", lambda: tmp_path)
        with pytest.raises(CheckpointError, match="no model is shipped"):
            Embedder("auto")


class TestCommands:
    @pytest.fixture(autouse=True)
    def in_an_empty_directory(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("words", [["embed"], ["reconstruct"], ["select"], ["cluster", "--by", "shape"]])
    def test_chunks_of_one_job_get_one_model_whatever_is_in_them(self, shipped, words):
        """Half of the chunks would fit in a narrower model."""
        used = set()
        for k, chunk in enumerate([[small(0), small(1)], [big(0)], [small(2), big(1)]]):
            written(Path(f"{k}.xyz"), chunk)
            options = ["--by", "shape"] if words == ["select"] else []
            result = run(*words, f"{k}.xyz", "-o", f"{k}.h5", "--json", *options)
            assert result.exit_code == 0, result.output
            summary = json.loads(result.stdout)
            used.add((summary["model"], summary["model_sha256"]))
        assert used == {("big", sha256_of(shipped / "big.safetensors"))}

    def test_files_of_one_model_are_joined_without_embedding_again(self, shipped, monkeypatch):
        for k in range(3):
            written(Path(f"{k}.xyz"), [small(2 * k), big(2 * k + 1)])
            molgiae.embed(f"{k}.xyz", output=f"{k}.h5")
        molgiae.embed(["0.xyz", "1.xyz", "2.xyz"], output="whole.h5")
        monkeypatch.setattr(Embedder, "embed", None)
        parts = ["0.h5", "1.h5", "2.h5"]
        assert run("embed", *parts, "-o", "joined.h5").exit_code == 0
        assert run("embed", *parts, "--parts", "shape", "-o", "shape.npz").exit_code == 0
        with EmbeddingFile("whole.h5") as whole, EmbeddingFile("joined.h5") as joined:
            joined.verify()
            assert joined.columns == whole.columns and joined.parts == whole.parts
            for name in set(whole.columns) - {
                "embedding",
                "decoded_rmsd",
                "source",
                "record",
            }:  # last bits; files and their records
                np.testing.assert_array_equal(joined.column(name), whole.column(name), err_msg=name)
            for name in ("embedding", "decoded_rmsd"):
                np.testing.assert_allclose(joined.column(name), whole.column(name), atol=1e-6)
            shape = joined.column("embedding")[:, joined.part("shape").columns]
        np.testing.assert_array_equal(np.load("shape.npz")["arr_0"], shape)

    @pytest.mark.parametrize(
        "words",
        [
            ["embed", "a.h5", "b.h5", "-o", "c.h5"],
            ["embed", "a.h5", "b.h5", "-o", "c.npz"],
            ["select", "a.h5", "b.h5", "--by", "shape"],
            ["select", "a.h5", "--seed-with", "b.h5", "--by", "shape"],
            ["cluster", "a.h5", "b.h5", "--by", "shape"],
            ["search", "b.xyz", "a.h5", "--model", "small"],
        ],
    )
    def test_embeddings_of_two_models_are_refused_by_name(self, shipped, words):
        for name, model in (("a", "big"), ("b", "small")):
            written(Path(f"{name}.xyz"), [small(0), small(1)])
            molgiae.embed(f"{name}.xyz", output=f"{name}.h5", model=model)
        before = sorted(Path().iterdir())
        result = run(*words)
        assert result.exit_code == 1 and result.stdout == "" and sorted(Path().iterdir()) == before
        [line] = result.stderr.splitlines()
        digests = {name: sha256_of(shipped / f"{name}.safetensors")[:12] for name in ("big", "small")}
        assert all(f"{name} (sha256 {digest})" in line for name, digest in digests.items())

    def test_files_that_hold_other_parts_are_refused_by_name(self, shipped):
        written(Path("a.xyz"), [small(0), small(1)])
        molgiae.embed("a.xyz", output="a.h5")
        molgiae.embed("a.xyz", output="b.h5", parts="shape")
        line = run("embed", "a.h5", "b.h5", "-o", "c.h5").stderr
        assert "b.h5: its embeddings have the parts shape, those of a.h5 shape, detail" in line
        assert run("embed", "a.h5", "b.h5", "-o", "c.h5", "--parts", "shape").exit_code == 0

    def test_who_is_refused_hears_which_model_takes_him(self, shipped):
        written(Path("a.xyz"), [small(0), big(0), conformer([35, 35], [[0, 0, 0], [2.3, 0, 0]])])
        summary = json.loads(run("embed", "a.xyz", "-o", "a.h5", "--json", "--model", "small").stdout)
        assert sorted(reason.rpartition("; ")[2] for reason in summary["reasons"]) == [
            "no shipped model takes it, train one with molgiae pretrain",
            "use --model big",
        ]

    def test_search_embeds_queries_with_the_model_of_the_file(self, shipped):
        written(Path("a.xyz"), [small(0), big(1)])
        written(Path("q.xyz"), [small(0)])
        assert molgiae.embed("a.xyz").model == "big"
        for words in ([], ["--model", "auto"], ["--model", "big"]):
            result = run("search", "q.xyz", "a.h5", "-k", "1", "--json", *words)
            assert json.loads(result.stdout)["model"] == "big"
            assert json.loads(result.stdout)["hits"][0]["distance"] < 1e-4
        refused = run("search", "q.xyz", "a.h5", "--model", "small")
        assert refused.exit_code == 1 and refused.stdout == ""
        [line] = refused.stderr.splitlines()
        digests = [sha256_of(shipped / f"{name}.safetensors")[:12] for name in ("big", "small")]
        assert f"embedded with model big (sha256 {digests[0]}), not with small (sha256 {digests[1]})" in line

    def test_a_shipped_model_that_was_replaced_is_another_one(self, shipped, monkeypatch, tmp_path):
        written(Path("a.xyz"), [small(0)])
        molgiae.embed("a.xyz", model="small")
        update = tmp_path / "update"
        update.mkdir()
        monkeypatch.setattr(shipping, "pretrained", lambda: update)
        checkpoint.save(update / "small.safetensors", build(SMALL), SMALL_DOMAIN, {})
        line = run("search", "a.xyz", "a.h5").stderr
        assert "embedded with model small (sha256" in line and "not with small (sha256" in line
        # the old one under another name is found by its digest
        (update / "old.safetensors").write_bytes((shipped / "small.safetensors").read_bytes())
        assert run("search", "a.xyz", "a.h5").exit_code == 0
