"""The experiments: their data, what they claim on small configurations, their reports and the command."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from molgiae import __version__, experiments
from molgiae.cli import app
from molgiae.errors import ConfigError
from molgiae.experiments import EXPERIMENTS, Bar, Setting, digits, tetris
from molgiae.experiments.autoencoders import classical, fit, parameters
from molgiae.experiments.deep_sets import DeepSets, PositionDecoder
from molgiae.groups import Permutation
from molgiae.model.autoencoder import GroupInvariantAutoencoder
from molgiae.model.cloud import Cloud

TINY_DIGITS = replace(
    digits.FAST,
    sizes=(12,),
    dims=(2, 12),
    train_sets=500,
    test_sets=50,
    width=16,
    steps=5,
    few_size=4,
    few_steps=5,
)
TINY_TETRIS = replace(tetris.FAST, width=8, train_copies=4, test_copies=1, steps=20)


@pytest.fixture
def setting(tmp_path):
    return Setting(tmp_path)


class TestTheTable:
    @pytest.mark.parametrize("name", EXPERIMENTS)
    def test_every_row_has_its_module(self, name):
        module = import_module(f"molgiae.experiments.{name}")
        assert type(module.CONFIG) is type(module.FAST)
        assert callable(module.run)

    def test_bars_go_both_ways(self):
        assert Bar("accuracy", 1.0, 1.0).met
        assert not Bar("accuracy", 0.999, 1.0).met
        assert Bar("error", 3e-5, 4e-5, at_least=False).met
        assert not Bar("error", 5e-5, 4e-5, at_least=False).met


class TestTheCommand:
    @pytest.fixture
    def small(self, monkeypatch):
        monkeypatch.setattr(tetris, "FAST", TINY_TETRIS)

    def test_list(self):
        result = CliRunner().invoke(app, ["experiments", "list", "--json"])
        assert [row["name"] for row in json.loads(result.stdout)] == list(EXPERIMENTS)

    def test_run(self, small, tmp_path):
        folder = tmp_path / "made" / "here"
        words = [
            "experiments",
            "run",
            "tetris",
            "--fast",
            "--seed",
            "3",
            "-o",
            str(folder),
            "--json",
            "--quiet",
        ]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        report = json.loads((folder / "report.json").read_text())
        assert json.loads(result.stdout) == report
        assert report["experiment"]["group"] == "SE(3) x S_n"
        assert (report["molgiae"], report["fast"], report["seed"]) == (__version__, True, 3)
        assert report["config"]["steps"] == TINY_TETRIS.steps
        assert report["seconds"] > 0
        assert all(bar["met"] in (True, False) for bar in report["bars"])
        figures = report["figures"]  # exact, whatever was learned in so few steps
        assert figures["orders"] == 24
        assert figures["mse_worst_order"] == pytest.approx(figures["mse_best_order"], rel=1e-6)
        assert figures["embedding_change_max"] < 1e-5
        assert set(figures["mse_by_shape"]) == set(figures["pose_defined"]) == set(tetris.SHAPES)
        for name in report["pictures"]:
            assert (folder / name).read_bytes().startswith(b"\x89PNG")
        again = CliRunner().invoke(app, words)
        assert again.exit_code == 1
        assert "--overwrite" in again.output

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["nothing"], "there are digits, mnist, tetris"),
            (["digits", "--data", "file"], "leave out --data file"),
            (["digits", "-o", __file__], "name another directory"),
        ],
    )
    def test_mistakes_are_one_line(self, words, says):
        result = CliRunner().invoke(app, ["experiments", "run", *words])
        assert result.exit_code == 1
        assert says in result.output
        assert result.output.count("\n") == 1

    @pytest.mark.parametrize("name", [row.name for row in EXPERIMENTS.values() if row.data])
    def test_every_experiment_asks_for_its_file(self, name, tmp_path):
        with pytest.raises(ConfigError, match="name it with --data"):
            experiments.run(name, tmp_path, fast=True)

    def test_without_matplotlib_nothing_is_trained(self, small, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        monkeypatch.setattr(tetris, "run", None)
        with pytest.raises(ConfigError, match=r"molgiae\[plots\]"):
            experiments.run("tetris", tmp_path, fast=True)

    def test_data_that_are_needed(self, tmp_path, monkeypatch):
        row = replace(EXPERIMENTS["tetris"], data="an npz file")
        monkeypatch.setitem(EXPERIMENTS, "tetris", row)
        with pytest.raises(ConfigError, match="needs an npz file; name it with --data"):
            experiments.run("tetris", tmp_path)
        with pytest.raises(ConfigError, match="there is no such file"):
            experiments.run("tetris", tmp_path, data=tmp_path / "missing.npz")


class TestDigitsData:
    def test_no_two_sets_are_the_same_up_to_order(self):
        train, test = digits.draw(TINY_DIGITS, 12, np.random.default_rng(0))
        everything = np.sort(np.concatenate([train, test]), axis=1)
        assert train.shape == (500, 12)
        assert test.shape == (50, 12)
        assert len(np.unique(everything, axis=0)) == 550

    def test_distinct_keeps_the_first(self):
        labels = np.array([[1, 0, 0], [0, 1, 0], [2, 2, 2], [0, 0, 1]], dtype=np.uint8)
        assert digits.distinct(labels, 3).tolist() == [[1, 0, 0], [2, 2, 2]]

    def test_uneven_sets_are_more_uneven(self):
        def largest(labels):
            return digits.composition(labels, 10).max(axis=1).mean()

        generator = np.random.default_rng(0)
        even, less, least = (digits.uneven(500, 40, 10, a, generator) for a in (1e6, 4.0, 1.0))
        assert largest(even) < largest(less) < largest(least)
        assert np.bincount(even.ravel(), minlength=10) == pytest.approx(2000, rel=0.1)

    def test_more_than_there_are(self):
        with pytest.raises(ConfigError, match="there are 55"):
            digits.draw(replace(TINY_DIGITS, classes=10), 2, np.random.default_rng(0))

    @pytest.mark.parametrize(("n", "classes"), [(4, 3), (5, 2), (3, 4)])
    def test_every_composition_is_there_once(self, n, classes):
        labels = digits.all_compositions(n, classes, np.random.default_rng(0))
        counts = digits.composition(labels, classes)
        assert len(np.unique(counts, axis=0)) == len(labels) == math.comb(n + classes - 1, n)
        assert (counts.sum(axis=1) == n).all()


class TestDigits:
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        return digits.build("invariant", 12, 10, 4, 16).eval()

    def test_invariant_and_equivariant(self, model):
        x = digits.one_hot(np.random.default_rng(0).integers(10, size=(20, 12), dtype=np.uint8), 10, "cpu")
        g = Permutation.random(20, n=12, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model.encode(g.act(x)).embedding, model.encode(x).embedding)
        torch.testing.assert_close(model.canonical(g.act(x)), model.canonical(x))

    def test_reconstructions_of_distinct_elements_are_equivariant(self):
        """Equal elements may exchange what is decoded for them: that is the stabilizer."""
        model = digits.build("invariant", 10, 10, 4, 16).eval()
        x = torch.eye(10)[None].expand(20, -1, -1)
        g = Permutation.random(20, n=10, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(model.reconstruct(g.act(x)), g.act(model.reconstruct(x)))

    def test_the_classical_one_is_not(self):
        model = digits.build("classical", 12, 10, 4, 16).eval()
        x = digits.one_hot(np.arange(12, dtype=np.uint8)[None] % 10, 10, "cpu")
        g = Permutation(torch.arange(12).flip(0)[None])
        assert not torch.allclose(model.encode(g.act(x)).embedding, model.encode(x).embedding)
        assert torch.equal(model.canonical(x), x)

    @pytest.mark.parametrize(("n", "dim"), [(20, 2), (40, 12)])
    def test_both_are_of_one_size(self, n, dim):
        sizes = [parameters(digits.build(kind, n, 10, dim, 64)) for kind in digits.KINDS]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.05)

    def test_elements_see_nothing_but_themselves(self):
        network = DeepSets(10, 4, 16)
        x = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1, 2], [2, 3, 4, 0]]), 10).float()
        scores, _ = network.equivariant(x)
        assert scores[0, 0] == scores[1, 3]
        assert scores[0, 1] == scores[0, 2] != scores[0, 3]

    def test_positions_are_decoded_alike_alone_and_together(self):
        decoder = PositionDecoder(4, 12, 10, 16)
        z, some = torch.randn(3, 4), torch.tensor([7, 0])
        torch.testing.assert_close(decoder(z, some), decoder(z)[:, some])

    def test_scores_are_trained(self, model):
        model.train()
        x = digits.one_hot(np.random.default_rng(0).integers(10, size=(8, 12), dtype=np.uint8), 10, "cpu")
        digits.loss(model, x, 0.1, torch.arange(12)).backward()
        assert model.encoder.score.weight.grad.abs().max() > 0

    def test_accuracy_is_of_the_order_of_the_input(self):
        """Delta that knows the one canonical element there is reconstructs it wherever it stands."""
        network = DeepSets(3, 2, 4).eval()
        labels = np.array([[0, 1, 2, 1], [1, 2, 1, 0], [2, 1, 0, 1]], dtype=np.uint8)
        x = digits.one_hot(labels, 3, "cpu")

        class Known(torch.nn.Module):
            def forward(self, embedding):
                return model.canonical(x[:1]).expand(len(embedding), -1, -1)

        model = GroupInvariantAutoencoder(network, Known(), Permutation)
        assert digits.accuracy(model, labels, 3, "cpu") == 1
        model = GroupInvariantAutoencoder(classical(torch.nn.Flatten(), Permutation), Known(), Permutation)
        assert digits.accuracy(model, labels, 3, "cpu") < 1

    def test_run(self, setting):
        findings = digits.run(TINY_DIGITS, setting)
        assert [(row["model"], row["dim"]) for row in findings.figures["sweep"]] == [
            ("invariant", 2),
            ("classical", 2),
            ("invariant", 12),
            ("classical", 12),
        ]
        assert sorted(findings.figures["canonical"]["learned_order"]) == list(range(10))
        assert findings.figures["canonical"]["embedding_change_max"] < 1e-4
        assert findings.figures["plane"]["compositions"] == 15
        assert all((setting.folder / name).exists() for name in findings.pictures)
        json.dumps(findings.figures)

    @pytest.mark.slow
    def test_one_size_is_enough_for_the_invariant_one_alone(self, setting):
        config = replace(digits.CONFIG, sizes=(20,), test_sets=5_000)
        train, test = digits.draw(config, 20, np.random.default_rng(0))
        right = {}
        for kind in digits.KINDS:
            torch.manual_seed(0)
            model = digits.build(kind, 20, 10, config.sufficient, config.width)
            digits.train(model, train, 10, config.steps, config, setting, kind)
            right[kind] = digits.accuracy(model, test, 10, "cpu")
        assert right["invariant"] == 1
        assert right["classical"] < 0.95


class TestTetris:
    def test_the_first_two_shapes_are_mirror_images_and_no_others(self):
        cloud = tetris.noisy(1, 0.0, torch.Generator().manual_seed(0))
        distances = torch.cdist(cloud.pos, cloud.pos).flatten(1).sort(dim=1).values
        alike = torch.cdist(distances, distances) < 1e-9
        assert torch.nonzero(alike.triu(1)).tolist() == [[0, 1]]

    def test_all_orders_are_all_orders(self):
        x = tetris.noisy(1, 0.01, torch.Generator().manual_seed(0))
        moved = tetris.all_orders(x, 5.0, torch.Generator().manual_seed(1))
        assert len(moved) == 24 * 8
        first = torch.cdist(moved.pos, moved.pos)[::8]
        assert len({tuple(d.flatten().round(decimals=6).tolist()) for d in first}) == 24
        same = torch.cdist(x.pos, x.pos).flatten(1).sort(dim=1).values
        torch.testing.assert_close(
            torch.cdist(moved.pos, moved.pos).flatten(1).sort(dim=1).values, same.repeat(24, 1)
        )
        shift = moved.centroid - x.centroid.repeat(24, 1)
        assert shift.std().item() == pytest.approx(tetris.EDGE * 5, rel=0.15)

    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_every_order_of_every_shape_has_one_canonical_form(self, noise):
        """The straight and the square shape too, whose pose is degenerate; without any training."""
        model = tetris.build(TINY_TETRIS)
        x = tetris.noisy(1, noise, torch.Generator().manual_seed(2))
        moved = tetris.all_orders(x, 5.0, torch.Generator().manual_seed(1))
        encoding = model.encode(moved)
        canonical = model.undo(encoding.action, moved).pos.view(24, 8, 4, 3)
        assert (canonical - canonical[:1]).abs().max() < 1e-6
        back = model.act(encoding.action, Cloud(moved.z, canonical.view(-1, 4, 3))).pos
        torch.testing.assert_close(back, moved.pos)
        mirrored = Cloud(x.z, x.pos * x.pos.new_tensor([1.0, 1.0, -1.0]))
        apart = (model.canonical(mirrored).pos - canonical[0]).abs().amax(dim=(1, 2))
        assert (apart[:2] > 0.5).all()
        assert noise > 0 or (apart[2:] < 1e-6).all()

    @pytest.mark.slow
    def test_the_bars_are_met(self, setting):
        findings = tetris.run(replace(tetris.CONFIG, test_copies=40), setting)
        assert all(bar.met for bar in findings.bars), findings.bars


def test_fit_fits_and_is_quiet(capfd):
    model = torch.nn.Linear(1, 1)
    x = torch.linspace(-1, 1, 20)[:, None]
    fit(model, lambda: (model(x) - 3 * x).square().mean(), 200, 0.1, name="line", progress=False)
    assert model.weight.item() == pytest.approx(3, abs=0.01)
    assert not model.training
    assert capfd.readouterr().err == ""
