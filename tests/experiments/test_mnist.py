"""Rotated MNIST: its data, group and rows, on pictures drawn here."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from molgiae.errors import MolgiaeError
from molgiae.experiments import Setting, mnist, rotated_pictures
from molgiae.experiments.labelled import Labelled
from molgiae.experiments.mnist import KINDS, OURS, PROJECTED, reconstructed
from molgiae.experiments.rotated_pictures import distance_of_digits, rotated
from molgiae.experiments.steerable2d import DiscHarmonics, turned
from molgiae.groups import SO2

TINY = replace(
    mnist.FAST,
    orders=8,
    width=16,
    frame_width=8,
    steerable_width=8,
    vectors=4,
    embedding_dim=8,
    batch_size=16,
    steps=3,
    known=40,
    repeats=2,
    pairs=30,
    mapped=30,
)


def drawn(number, seed=0):
    """Bars and hooks, (number, 28, 28) uint8: ten kinds."""
    generator = np.random.default_rng(seed)
    picture = np.zeros((number, 28, 28), dtype=np.uint8)
    label = np.arange(number, dtype=np.uint8) % 10
    for one, kind in zip(picture, label, strict=True):
        top, left = generator.integers(5, 8, size=2)
        one[top : 22 - kind, left : left + 3] = 200
        one[20 - kind : 22 - kind, left : left + 6 + kind] = 255
    return picture, label


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("mnist") / "drawn.npz"
    (x_train, y_train), (x_test, y_test) = drawn(100), drawn(80, seed=1)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="module")
def disc():
    return DiscHarmonics(28, TINY.rings, TINY.orders)


def read(path, **sizes):
    config = replace(TINY, **sizes)
    return mnist.read(Setting(path.parent, data=path), config, torch.Generator().manual_seed(0))


def model_of(kind):
    torch.manual_seed(0)
    return mnist.build(KINDS[kind].encoder, TINY).eval()


class TestData:
    def test_read(self, data):
        train, test = read(data)
        assert (train.x.shape, test.x.shape) == ((100, 28, 28), (80, 28, 28))
        assert (train.x.min(), train.x.max()) == (0, 1)
        pictures = torch.from_numpy(drawn(100)[0]).float() / 255
        for picture, label in zip(train.x[:5], train.label[:5], strict=True):
            place = int((pictures - picture).abs().sum(dim=(1, 2)).argmin())
            assert label == place % 10

    def test_as_many_as_asked_for(self, data):
        train, test = read(data, train_digits=7, test_digits=50)
        assert (len(train), len(test)) == (7, 50)
        labelled = Labelled(torch.arange(5.0)[:, None, None], np.array([3, 1, 4, 1, 5], dtype=np.uint8))
        assert labelled[torch.tensor([2, 0])].label.tolist() == [4, 3]
        assert labelled.first_of_each.tolist() == [1, 0, 2, 4]

    def test_other_arrays(self, tmp_path):
        path = tmp_path / "other.npz"
        x, y = drawn(4)
        np.savez(path, x_train=x[:, 1:], y_train=y, x_test=x, y_test=y)
        with pytest.raises(
            MolgiaeError, match=r"x_train is uint8 \(4, 27, 28\), expected uint8 \(M, 28, 28\)"
        ):
            read(path)
        np.savez(path, x_train=x)
        with pytest.raises(MolgiaeError, match="lacks an array"):
            read(path)

    def test_rotations_are_counter_clockwise(self):
        x = torch.from_numpy(drawn(3)[0]).float() / 255
        quarter = rotated(x, torch.full((3,), math.pi / 2))
        torch.testing.assert_close(quarter, torch.rot90(x, 1, (1, 2)), atol=1e-4, rtol=0)


class TestModels:
    @pytest.fixture
    def pictures(self):
        return rotated(torch.from_numpy(drawn(10)[0]).float() / 255, torch.linspace(0, 1, 10))

    def after_a_quarter(self, kind, pictures, disc):
        model, turned = model_of(kind), torch.rot90(pictures, 1, (1, 2))
        before, after = model.encode(disc(pictures)), model.encode(disc(turned))
        outputs = [reconstructed(model, disc, x, 1)[1] for x in (pictures, turned)]
        return before, after, (outputs[1] - torch.rot90(outputs[0], 1, (1, 2))).abs().max()

    def test_invariant(self, pictures, disc):
        before, after, error = self.after_a_quarter(OURS, pictures, disc)
        torch.testing.assert_close(after.embedding, before.embedding, atol=1e-4, rtol=1e-4)
        quarter = SO2.from_angle(torch.tensor(math.pi / 2))
        assert after.action.distance(quarter @ before.action).max() < 1e-4
        assert error < 1e-4

    def test_equivariant(self, pictures, disc):
        """Its embedding turns: x, y to -y, x."""
        before, after, error = self.after_a_quarter("equivariant", pictures, disc)
        x, y = before.embedding.unflatten(1, (-1, 2)).unbind(dim=-1)
        torch.testing.assert_close(
            after.embedding, torch.stack([-y, x], dim=-1).flatten(1), atol=1e-4, rtol=1e-4
        )
        assert error < 1e-4

    def test_classical_is_neither(self, pictures, disc):
        before, after, error = self.after_a_quarter("classical", pictures, disc)
        assert (after.embedding - before.embedding).abs().max() > 0.1
        assert error > 1e-3

    def test_the_quotient_forgets_the_rotation_of_the_output(self, pictures, disc):
        """Delta that gives the picture turned: its error is that of the harmonics, with the quotient alone."""
        model = model_of("classical")
        c = disc(pictures)
        given = turned(c, torch.full((10,), 2 * math.pi * 7 / 36))
        model.decode = lambda embedding: given
        errors = [
            (reconstructed(model, disc, pictures, rotations)[1] - pictures).square().mean()
            for rotations in (36, 1)
        ]
        assert errors[0] == pytest.approx((disc.picture(c) - pictures).square().mean().item(), rel=1e-3)
        assert errors[1] > 5 * errors[0]

    @pytest.mark.parametrize("kind", KINDS)
    def test_all_of_it_is_trained(self, kind, pictures, disc):
        model = model_of(kind).train()
        rotations = 36 if KINDS[kind].quotient else 1
        (reconstructed(model, disc, pictures, rotations)[1] - pictures).square().mean().backward()
        assert all(weight.grad is not None for weight in model.parameters())

    def test_upright_training_digits_become_the_canonical_ones(self, data, disc, tmp_path):
        digits = read(data)[0]
        config = replace(TINY, steps=40, upright=1.0)
        cosine = {}
        for kind in ("invariant", "invariant, upright"):
            model = model_of(kind)
            mnist.train(model, disc, kind, digits, config, Setting(tmp_path))
            cosine[kind] = model.group_function(disc(digits.x)).angle.cos().mean().item()
        assert cosine["invariant, upright"] > max(0.8, cosine["invariant"] + 0.1)

    def test_group_actions_are_drawn_to_poses(self, data, disc, tmp_path, monkeypatch):
        """Poses that are all two radians: shown rotated digits, the autoencoder learns them for upright ones."""
        monkeypatch.setattr(rotated_pictures, "canonical_angles", lambda *_: torch.full((100,), 2.0))
        digits, model = read(data)[0], model_of(OURS)
        config = replace(TINY, steps=40, synchronized=1.0)
        mnist.train(model, disc, OURS, digits, config, Setting(tmp_path))
        assert (model.group_function(disc(digits.x)).angle - 2).cos().mean() > 0.5

    def test_distance_over_rotations(self, pictures, disc):
        turned = rotated(pictures, torch.full((10,), 2.0))
        same = distance_of_digits(disc, pictures, turned)
        other = distance_of_digits(disc, pictures, turned.roll(1, dims=0))
        assert same.mean() < 0.7 * other.mean()


@pytest.mark.slow
def test_run(data, tmp_path):
    findings = mnist.run(TINY, Setting(tmp_path, data=data))
    rows = findings.figures["table"]
    assert [row["model"] for row in rows] == list(KINDS)
    assert all(0 <= row["accuracy"] <= 1 and row["reconstruction_loss"] > 0 for row in rows)
    assert {row["embedding"] for row in findings.figures["projections"]} >= set(PROJECTED)
    assert findings.figures["symmetry"]["embedding_change_quarter_max"] < 1e-3
    assert findings.figures["symmetry"]["action_error_quarter_max_degrees"] < 0.1
    for name in findings.pictures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    json.dumps(findings.figures)


def test_with_too_few_digits(data, tmp_path):
    with pytest.raises(MolgiaeError, match="80 test digits, more than 1000 are needed"):
        mnist.run(replace(TINY, known=1000), Setting(tmp_path, data=data))


def test_bars_ask_for_the_first_place():
    ours = {"model": OURS, "accuracy": 0.91, "reconstruction_loss": 0.016}
    other = {"model": "quotient", "accuracy": 0.82, "reconstruction_loss": 0.017}
    projected = [{"embedding": "gram", "accuracy": 0.9}, {"embedding": "learned invariant", "accuracy": 0.99}]
    assert all(bar.met for bar in mnist.bars([ours, other], projected))
    better = [{"embedding": "gram", "accuracy": 0.92}]
    assert [bar.met for bar in mnist.bars([ours, other], better)] == [True, False, True]
    assert [bar.met for bar in mnist.bars([ours, other | {"reconstruction_loss": 0.015}], projected)] == [
        True,
        True,
        False,
    ]
