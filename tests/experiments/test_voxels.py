"""The voxel experiment: its data, the action of rotations on grids, and the whole of it on shapes made here."""

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
from molgiae.experiments.labelled import Labelled, knn_accuracy
from molgiae.experiments.voxels import SIZE, quarter_turns, rotated, turned, voxel_orders
from molgiae.groups import SO3

TINY = replace(
    voxels.FAST,
    highest=2,
    rings=4,
    channels=2,
    features=4,
    width=8,
    batch_size=8,
    steps=3,
    known=20,
    repeats=2,
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
    def test_occupancies(self, data):
        train, test = voxels.read(data)
        assert train.x.shape == (30, SIZE, SIZE, SIZE)
        assert train.x.sum().item() * 8 == shapes(30, 0).sum()
        assert (train.x * 8 == (train.x * 8).round()).all()
        assert train.label.tolist() == [k % 10 for k in range(30)]
        # the brick begins at voxel 8, the fourth pair, of which the first is cut off
        assert train.x[0, 3, 3, 3] == 1
        assert train.x[0, 2].sum() == 0
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
        with pytest.raises(MolgiaeError, match="reach the margin"):
            voxels.read(write(tmp_path / "x.npz", np.ones((2, 30, 30, 30), dtype=np.uint8), shapes(1, 0)))
        with pytest.raises(MolgiaeError, match=r"x_train is uint8 .* expected"):
            voxels.read(write(tmp_path / "x.npz", shapes(2, 0)[:, :, :12], shapes(1, 0)))
        (tmp_path / "x.npz").write_text("no")
        with pytest.raises(MolgiaeError, match=r"x\.npz"):
            voxels.read(tmp_path / "x.npz")


class TestRotations:
    @pytest.fixture
    def grid(self):
        return torch.rand(24, SIZE, SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def test_there_are_24_and_they_are_closed(self):
        turns = quarter_turns().matrix
        products = (turns[:, None] @ turns[None]).flatten(0, 1)
        assert len(torch.unique(turns, dim=0)) == 24
        assert len(torch.unique(torch.cat([turns, products]), dim=0)) == 24
        assert_close(torch.det(turns), torch.ones(24, dtype=torch.float64))

    def test_quarter_turns_are_exact(self, grid):
        """Of the voxels, and of interpolation up to round-off."""
        turns = quarter_turns()
        assert_close(turned(grid, voxel_orders(turns)), rotated(turns, grid), atol=1e-5, rtol=0)
        about_z = next(
            k for k, m in enumerate(turns.matrix) if m.tolist() == [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
        )
        # x goes to y: what was at (i, j) is at (-j, i)
        assert torch.equal(
            turned(grid, voxel_orders(turns))[about_z], torch.rot90(grid[about_z], k=1, dims=(0, 1))
        )

    def test_rotations_act_one_after_the_other(self):
        """On a function that is smooth enough for interpolation."""
        place = torch.arange(SIZE) - SIZE // 2.0
        point = torch.cartesian_prod(place, place, place).double()
        middle = torch.tensor([2.5, -1.5, 0.5], dtype=torch.float64)
        g, h = (SO3.random(1, generator=torch.Generator().manual_seed(k)) for k in (0, 1))

        def blob(at: torch.Tensor) -> torch.Tensor:
            return torch.exp(-(point - at).square().sum(dim=1) / 18).view(1, SIZE, SIZE, SIZE)

        x, both = blob(middle), blob((g @ h).act(middle[None])[0, 0])
        inner = (slice(None), *(slice(3, -3),) * 3)
        assert (rotated(g, rotated(h, x)) - both)[inner].abs().max() < 0.08
        assert (rotated(h, rotated(g, x)) - both)[inner].abs().max() > 0.2


class TestModels:
    @pytest.fixture
    def x(self):
        """A shape without symmetry in all the ways a cube can be turned; the first as it is."""
        grid = torch.zeros(1, SIZE, SIZE, SIZE)
        grid[:, 3:6, 3:11, 4:7] = 1
        grid[:, 6:10, 4:6, 5:9] = 0.5
        grid[:, 5, 8, 6:12] = 0.75
        turns = quarter_turns().matrix
        first = [k for k, m in enumerate(turns) if torch.equal(m, torch.eye(3).double())]
        order = torch.tensor(first + [k for k in range(24) if k not in first])
        return turned(grid.expand(24, -1, -1, -1), voxel_orders(quarter_turns())[order])

    def test_invariant_and_equivariant(self, x):
        torch.manual_seed(0)
        model = voxels.build("invariant", replace(TINY, channels=6), 0.1)
        for _ in range(20):
            model.encode(x + 0.1 * torch.rand_like(x))
        model.eval()
        encoding, canonical = model.encode(x), model.canonical(x)
        assert_close(encoding.embedding, encoding.embedding[:1].expand(24, -1), atol=1e-4, rtol=1e-3)
        assert_close(canonical, canonical[:1].expand_as(x), atol=1e-3, rtol=0)
        undone = model.undo(encoding.action, model.reconstruct(x))
        assert_close(undone, undone[:1].expand_as(x), atol=1e-3, rtol=0)
        assert (x - x[:1]).abs().amax(dim=(1, 2, 3))[1:].min() == 1

    def test_a_brick_has_one_canonical_form(self, x):
        """All vectors of it are round-off, the rotation is made of its axes."""
        torch.manual_seed(0)
        model = voxels.build("invariant", replace(TINY, channels=6), 0.1)
        brick = torch.zeros(1, SIZE, SIZE, SIZE)
        brick[:, 2:11, 4:9, 5:8] = 1
        bricks = turned(brick.expand(24, -1, -1, -1), voxel_orders(quarter_turns()))
        with torch.no_grad():
            model.encoder.stretches.weight *= 30
            for _ in range(20):
                model.encode(x + 0.1 * torch.rand_like(x))
            canonical = model.eval().canonical(bricks)
        assert_close(canonical, canonical[:1].expand_as(bricks), atol=0.02, rtol=0)

    def test_the_classical_one_is_not(self, x):
        torch.manual_seed(0)
        model = voxels.build("classical", TINY, 0.1).eval()
        z = model.encode(x).embedding
        assert (z - z[:1]).norm(dim=1).max() > 0.01 * z.norm(dim=1).max()
        assert torch.equal(model.canonical(x), x)

    def test_training_begins_at_the_mean(self):
        model = voxels.build("invariant", TINY, 0.2)
        assert_close(
            model.decode(torch.zeros(1, TINY.embedding_dim)).mean(), torch.tensor(0.2), atol=0.05, rtol=0
        )

    def test_the_rotation_is_trained(self, x):
        torch.manual_seed(0)
        model = voxels.build("invariant", TINY, 0.1)
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


def test_run(data, tmp_path):
    findings = voxels.run(TINY, Setting(tmp_path, data=data))
    figures = findings.figures
    assert (figures["train"], figures["test"]) == (30, 14)
    for kind in voxels.KINDS:
        assert 0 <= figures[kind]["accuracy"] <= 1
        assert figures[kind]["mse"] > 0
    assert figures["symmetry"]["embedding_change_max"] < 1e-3
    assert findings.bars[0].value == pytest.approx(
        figures["invariant"]["accuracy"] - figures["classical"]["accuracy"]
    )
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in findings.pictures)
    json.dumps(figures)
