"""Equivariant latents of conformer models, their projections, and molgiae embed --projection."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import h5py
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.cli.boundary import REJECTED
from molgiae.cli.embed import Projection
from molgiae.config import ModelConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError
from molgiae.groups import SO3
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from molgiae.model.projections import PROJECTIONS, ProjectingEmbedder
from tests.conformers import conformer, mirrored, moved, random_conformer

MODELS = {
    "slots": ModelConfig(max_atoms=20, embedding_dim=24, shape_dim=8, features_dim=0, width=16, layers=1),
    "appendix-d": ModelConfig(architecture="appendix-d", max_atoms=20, embedding_dim=8, width=16, layers=2),
}
NAMES = get_args(Projection)


def embedder_of(config):
    class Untrained:
        name, sha256, domain = "untrained", "0", None

    torch.manual_seed(0)
    Untrained.model = build(config).eval()
    embedder = Embedder.__new__(Embedder)
    embedder.checkpoint, embedder.model = Untrained(), Untrained.model
    embedder.device, embedder.batch_size = "cpu", 2
    return embedder


@pytest.fixture(scope="module", params=MODELS)
def untrained(request):
    return embedder_of(MODELS[request.param])


def test_the_command_knows_all_projections_of_space():
    assert set(NAMES) == {name for name, row in PROJECTIONS.items() if SO3 in row.groups}


def test_latents_turn_with_conformers_and_heed_neither_place_nor_order(untrained):
    first = random_conformer(12, 1)
    turn = Rotation.random(random_state=3)
    order = np.random.default_rng(0).permutation(12)
    second = conformer(
        first.atomic_number[order].tolist(), turn.apply(first.position)[order] + [5.0, 0.0, -3.0]
    )
    both = ProjectingEmbedder(untrained, "norms").latents(ConformerBlock.of([first, second])).double().numpy()
    np.testing.assert_allclose(both[1], turn.apply(both[0]), atol=1e-4)
    assert np.linalg.norm(both[0], axis=1).min() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_projections_of_conformers_are_invariant(untrained, name):
    one, other = random_conformer(12, 1), random_conformer(9, 2)
    block = ConformerBlock.of([one, other, moved(one, 5), moved(other, 6)])
    embedder = ProjectingEmbedder(untrained, name)
    found = embedder.projections(block)
    assert found.shape == (4, embedder.size)
    scale = np.abs(found).max()
    np.testing.assert_allclose(found[:2], found[2:], atol=1e-3 * scale)
    assert np.abs(found[0] - found[1]).max() > 0.05 * scale


@pytest.mark.parametrize("name", ["gram", "max-filter", "voronoi"])
def test_complete_ones_tell_mirror_images_apart_and_norms_do_not(name):
    untrained = embedder_of(MODELS["slots"])
    c = random_conformer(12, 1)
    block = ConformerBlock.of([c, mirrored(c)])
    found = ProjectingEmbedder(untrained, name).projections(block)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    norms = ProjectingEmbedder(untrained, "norms").projections(block)
    np.testing.assert_allclose(norms[0], norms[1], atol=1e-5)


def test_models_without_a_latent_say_so():
    with pytest.raises(ConfigError, match="untrained: the model has no equivariant latent"):
        ProjectingEmbedder(embedder_of(replace(MODELS["slots"], shape_dim=0)), "gram")


class TestTheCommand:
    def test_projections_are_written_beside_embeddings(self, sdf, tmp_path):
        output = tmp_path / "out.h5"
        words = ["embed", str(sdf), "-m", "qm9", "-o", str(output), "--projection", "gram", "-q"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == REJECTED, result.output
        with h5py.File(output) as file:
            data = file["projection"]
            vectors = 48
            assert data.shape == (len(file["embedding"]), vectors * (vectors + 1) // 2 + 3 * vectors - 8)
            assert data.dtype == np.float32
            assert (
                data.attrs["description"] == "invariant projection gram of 48 equivariant vectors; complete"
            )
            assert data.attrs["unit"] == "square angstrom, then cubic angstrom"
            assert np.isfinite(data[:]).all()
        with EmbeddingFile(output) as file:
            assert len(file.column("title")) == len(data_rows(output))

    def test_without_it_there_is_none(self, sdf, tmp_path):
        output = tmp_path / "out.h5"
        assert (
            CliRunner().invoke(app, ["embed", str(sdf), "-m", "qm9", "-o", str(output), "-q"]).exit_code
            == REJECTED
        )
        with h5py.File(output) as file:
            assert "projection" not in file

    def test_mistakes_are_one_line(self, sdf, tmp_path):
        words = ["embed", str(sdf), "-m", "qm9", "-o", str(tmp_path / "out.npz"), "--projection", "gram"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 1
        assert "write HDF5 for a projection" in result.output
        assert result.output.count("\n") == 1


def data_rows(path):
    with h5py.File(path) as file:
        return file["projection"][:]
