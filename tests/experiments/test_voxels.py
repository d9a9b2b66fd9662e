"""The voxel experiment: its data, its models, and the whole of it on shapes made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molgiae.errors import MolgiaeError
from molgiae.experiments import Setting, voxels
from molgiae.experiments.ball import Ball
from molgiae.experiments.grids import RADIUS, SIZE, Projection, quarter_turns, turned, voxel_orders
from molgiae.experiments.labelled import Labelled, knn_accuracy
from molgiae.groups import SO3

TINY = replace(
    voxels.FAST,
    limit=6.0,
    channels=2,
    width=8,
    batch_size=8,
    steps=3,
    known=20,
    repeats=2,
    pairs=50,
    mapped=12,
)


def shapes(number: int, seed: int) -> np.ndarray:
    """(M, 30, 30, 30) bricks that meet in a corner."""
    generator = np.random.default_rng(seed)
    grid = np.zeros((number, 30, 30, 30), dtype=np.uint8)
    for one in grid:
        for axis in range(3):
            stop = np.full(3, 12)
            stop[axis] = generator.integers(14, 25)
            one[tuple(slice(8, end) for end in stop)] = 1
    return grid


def write(path: Path, train: np.ndarray, test: np.ndarray) -> Path:
    np.savez(
        path,
        x_train=np.packbits(train, axis=-1),
        y_train=(np.arange(len(train)) % 10).astype(np.uint8),
        x_test=np.packbits(test, axis=-1),
        y_test=(np.arange(len(test)) % 10).astype(np.uint8),
    )
    return path


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "voxels.npz", shapes(30, 0), shapes(14, 1))


class TestRead:
    def test_voxels_and_classes(self, data):
        train, test = voxels.read(data)
        assert np.array_equal(train.x.numpy(), shapes(30, 0))
        assert train.label.tolist() == [k % 10 for k in range(30)]
        assert len(test) == 14

    def test_empty_shapes_and_known_ones_are_left_out(self, tmp_path):
        train = shapes(6, 0)
        train[4] = 0
        test = shapes(5, 1)
        test[1] = np.rot90(train[2], axes=(0, 2))
        test[3] = np.rot90(np.rot90(train[0], axes=(0, 1)), axes=(1, 2))
        kept, fresh = voxels.read(write(tmp_path / "x.npz", train, test))
        assert kept.label.tolist() == [0, 1, 2, 3, 5]
        assert fresh.label.tolist() == [0, 2, 4]

    def test_mirror_images_are_not_known(self, tmp_path):
        chiral = shapes(1, 3)
        chiral[0, 14:16, 8:12, 18] = 1
        _, fresh = voxels.read(write(tmp_path / "x.npz", chiral, np.concatenate([chiral, chiral[:, ::-1]])))
        assert len(fresh) == 1

    def test_files_of_another_kind(self, tmp_path):
        with pytest.raises(MolgiaeError, match="reach beyond 20 voxels"):
            voxels.read(write(tmp_path / "x.npz", np.ones((2, 30, 30, 30), dtype=np.uint8), shapes(1, 0)))
        with pytest.raises(MolgiaeError, match=r"x_train is uint8 .* expected"):
            voxels.read(write(tmp_path / "x.npz", shapes(2, 0)[:, :, :12], shapes(1, 0)))
        (tmp_path / "x.npz").write_text("no")
        with pytest.raises(MolgiaeError, match=r"x\.npz"):
            voxels.read(tmp_path / "x.npz")


class TestModels:
    @pytest.fixture
    def ball(self):
        return Ball(RADIUS, 8.0)

    @pytest.fixture
    def x(self, ball):
        """Something without symmetry, as it is and turned."""
        g = SO3.random(23, generator=torch.Generator().manual_seed(1))
        x = torch.randn(1, ball.numbers, generator=torch.Generator().manual_seed(0))
        return torch.cat([x, ball.turned(g, x.expand(23, -1))])

    @staticmethod
    def used(model: voxels.Model, x: torch.Tensor) -> voxels.Model:
        """Batch norms have seen data."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for _ in range(20):
                model.encode(x + torch.randn(x.shape, generator=generator))
        return model.eval()

    def test_invariant_and_equivariant(self, x, ball):
        torch.manual_seed(0)
        model = self.used(voxels.build(voxels.LEARNED, replace(TINY, channels=6), ball), x)
        encoding, canonical = model.encode(x), model.canonical(x)
        assert_close(encoding.embedding, encoding.embedding[:1].expand(24, -1), atol=2e-3, rtol=1e-3)
        assert_close(canonical, canonical[:1].expand_as(x), atol=2e-3, rtol=0)
        undone = model.undo(encoding.action, model.reconstruct(x))
        assert_close(undone, undone[:1].expand_as(x), atol=2e-3, rtol=0)
        assert (x - x[:1]).norm(dim=1)[1:].min() > 0.1 * x[0].norm()

    def test_a_brick_has_one_embedding(self, ball):
        """Its vectors are round-off, and of its canonical form nothing is taken."""
        torch.manual_seed(0)
        brick = torch.zeros(1, SIZE, SIZE, SIZE)
        brick[:, 6:24, 10:20, 12:18] = 1
        orders = voxel_orders(quarter_turns())
        x = Projection(ball, brick)(turned(brick.expand(24, -1, -1, -1), orders))
        model = self.used(voxels.build(voxels.LEARNED, replace(TINY, channels=6), ball), x)
        z = model.encode(x).embedding
        assert_close(z, z[:1].expand(24, -1), atol=2e-3, rtol=1e-3)

    def test_the_classical_one_is_not(self, x, ball):
        torch.manual_seed(0)
        model = self.used(voxels.build("classical", TINY, ball), x)
        z = model.encode(x).embedding
        assert (z - z[:1]).norm(dim=1).max() > 0.01 * z.norm(dim=1).max()
        assert torch.equal(model.canonical(x), x)

    def test_the_rotation_is_trained(self, x, ball):
        torch.manual_seed(0)
        model = voxels.build(voxels.LEARNED, TINY, ball)
        (model.reconstruct(x) - x).square().sum().backward()
        assert model.encoder.vectors.weight.grad.abs().max() > 0


class TestNeighbours:
    def test_votes(self):
        known = Labelled(torch.tensor([[0.0], [0.1], [0.2], [5.0]]), np.array([1, 2, 2, 7], dtype=np.uint8))
        asked = Labelled(torch.tensor([[0.0], [4.0]]), np.array([1, 7], dtype=np.uint8))
        twos = Labelled(asked.x, np.array([2, 2], dtype=np.uint8))
        assert knn_accuracy(known, asked, 1) == 1
        assert knn_accuracy(known, asked, 3) == 0
        assert knn_accuracy(known, twos, 3) == 1


@pytest.mark.slow
def test_run(data, tmp_path):
    findings = voxels.run(TINY, Setting(tmp_path, data=data))
    figures = findings.figures
    assert (figures["train"], figures["test"]) == (30, 14)
    for kind in voxels.KINDS:
        assert 0 <= figures[kind]["accuracy"] <= 1
        assert figures[kind]["variance_unexplained"] > 0
    assert figures["symmetry"]["quarter_turns_max"] < 1e-4
    assert figures["symmetry"]["any_rotation_median"] < 0.5
    assert figures["symmetry"]["any_rotation_of_coefficients_median"] < 1e-3
    assert figures["symmetry"]["any_rotation_of_coefficients_90_percent"] < 0.01
    assert findings.bars[0].value == pytest.approx(
        figures["invariant"]["accuracy"] - figures["classical"]["accuracy"]
    )
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in findings.pictures)
    json.dumps(figures)
