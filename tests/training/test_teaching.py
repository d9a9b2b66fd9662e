"""Teaching: a model's network of properties learns from labels, and nothing else of the model changes."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from molgiae.commands.pretrain import pretrain, teach
from molgiae.config import TrainConfig
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.training import Run, teaching
from molgiae.training.batches import SORTED_BATCHES, drawn_by_size
from molgiae.training.labels import Labels, read_labels
from molgiae.training.property_stage import standardize_sums, told_errors, weighted
from tests.cli.invoke import assert_one_line, molgiae_
from tests.training.made_up import ENERGY, labels_of, some_conformers, write
from tests.training.test_loop import CONFIG, PLAIN, assert_equal_states, state_of, write_xyz

RECIPE = TrainConfig(property_steps=60, property_batch=16, warmup_steps=5, learning_rate=3e-3, ema=0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has been taught a little, and labels of other conformers."""
    folder = tmp_path_factory.mktemp("data")
    write_xyz(folder / "a.xyz", *"abcdefgh")
    arrays = labels_of(some_conformers(60))
    write(folder / "labels.npz", arrays, solvation_water=np.linspace(-1, 0, 60))
    write(folder / "first.npz", labels_of(some_conformers(20)))
    pretrain([folder / "a.xyz"], folder / "origin", PLAIN, CONFIG, labels=[folder / "first.npz"])
    return folder


def metrics_of(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "stage"} for row in csv.DictReader(file)]


def test_it_learns_and_the_rest_of_the_model_stays_bit_by_bit(folder, tmp_path):
    metrics = teach([folder / "labels.npz"], tmp_path, folder / "origin", RECIPE, evaluate_every=10)
    rows = metrics_of(tmp_path)
    assert metrics["complete"] == 1.0 and rows[-1]["loss"] < 0.95 * rows[0]["loss"]
    assert set(teaching.UNITS) < set(rows[0])
    before, after = (checkpoint.load(str(run)) for run in (folder / "origin", tmp_path))
    old, new = before.model.state_dict(), after.model.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed and all(name.startswith("encoder.properties.") for name in changed)
    assert after.domain == before.domain
    said = after.provenance["properties"]
    assert (said["files"], said["from"], said["labels"]) == (["labels.npz"], before.sha256, 57)
    best = min(rows, key=lambda row: row["told"])
    assert said["validation"]["step"] == best["step"]
    assert {k: v for k, v in after.provenance.items() if k != "properties"} == before.provenance


def test_it_is_resumed_to_the_step(folder, tmp_path):
    config = replace(RECIPE, property_steps=7)
    teach([folder / "labels.npz"], tmp_path / "whole", folder / "origin", config, evaluate_every=3)
    metrics = {"complete": 0.0}
    while not metrics["complete"]:
        metrics = teach(
            [folder / "labels.npz"],
            tmp_path / "parts",
            folder / "origin",
            config,
            evaluate_every=3,
            stop_after=0,
            resume=True,
        )
    assert_equal_states(state_of(tmp_path / "parts"), state_of(tmp_path / "whole"))
    with pytest.raises(CheckpointError, match="written with other data or settings"):
        teach([folder / "first.npz"], tmp_path / "parts", folder / "origin", config, resume=True)


def test_a_file_named_twice_is_learned_twice_and_never_validated_by_what_is_learned(
    folder, tmp_path, monkeypatch
):
    seen: dict[str, torch.Tensor] = {}
    real = teaching.told_stage

    def told_stage(network, labels, config, run, rows, **more):
        stage = real(network, labels, config, run, rows, **more)
        seen["rows"] = rows
        return stage

    monkeypatch.setattr(teaching, "told_stage", told_stage)
    files = [folder / "labels.npz", folder / "first.npz", folder / "first.npz"]
    teach(files, tmp_path, folder / "origin", replace(RECIPE, property_steps=1))
    count = torch.bincount(seen["rows"], minlength=80)
    assert ((count[:60] == 1) | (count[:60] == 0)).all() and ((count[60:] == 2) | (count[60:] == 0)).all()
    assert int((count == 0).sum()) == round(teaching.HELD_SHARE * 80)


def test_what_cannot_be_taught_is_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", str(folder / "labels.npz"), "-o", "run", "--teach"]
    assert_one_line(molgiae_(*words, "gone"), "no such model")
    assert_one_line(molgiae_(*words, "qm9-64"), "has no network of properties")
    assert_one_line(
        molgiae_("pretrain", "gone.npz", "--teach", str(folder / "origin")), "gone.npz: no such file"
    )
    one = Labels.joined([read_labels([folder / "labels.npz"])])
    one = Labels(one.offset[:2], {k: v[: int(one.offset[1])] for k, v in one.arrays.items()})
    with pytest.raises(ConfigError, match="at least two"):
        teaching.teach(checkpoint.load(str(folder / "origin")), one, RECIPE, Run(tmp_path / "run"))


def test_the_command_says_what_was_learned(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--property-steps", "2", "--property-batch-size", "8"]
    found = molgiae_(
        "pretrain", str(folder / "labels.npz"), "--teach", str(folder / "origin"), "-o", "run", *words
    )
    assert found.exit_code == 0 and "validation, mean absolute errors: energy" in found.output
    again = molgiae_("pretrain", str(folder / "labels.npz"), "--teach", str(folder / "origin"), "-o", "run")
    assert_one_line(again, "continue it with --resume")


# What earlier labels have set


def network_of(folder: Path) -> torch.nn.Module:
    encoder: torch.nn.Module = checkpoint.load(str(folder / "origin")).model.encoder
    return encoder.get_submodule("properties")


def test_what_is_known_stays_and_new_elements_and_solvents_are_added(folder, tmp_path):
    network = network_of(folder)
    before = network.composition.clone(), network.scale.clone(), network.center.clone()
    assert before[0][8, 0] == pytest.approx(ENERGY[8], abs=0.2) and not before[0][:, 4].any()
    arrays = labels_of(some_conformers(60))
    chlorine = -400.0
    z, first = arrays["atomic_number"].copy(), np.r_[0, np.cumsum(arrays["n_atoms"])[:-1]]
    arrays["energy"][::2] += chlorine - np.array([ENERGY[k] for k in z[first[::2]].tolist()])
    z[first[::2]] = 17
    water = np.full(60, np.nan)
    water[::3] = -0.5
    known = read_labels([write(tmp_path / "l.npz", arrays | {"atomic_number": z}, solvation_water=water)])
    standardize_sums(network, known)
    old = before[0][:, 0] != 0
    assert torch.equal(network.composition[old, 0], before[0][old, 0])
    assert network.composition[17, 0] == pytest.approx(chlorine, abs=0.5)
    assert torch.equal(network.scale[:4], before[1][:4]) and torch.equal(network.center, before[2])
    assert network.composition[:, 4].any() and not network.composition[:, 5].any()


def test_unknown_solvents_cost_nothing_and_give_no_nan(folder):
    network = network_of(folder).requires_grad_(True)
    known = read_labels([folder / "first.npz"])
    errors = told_errors(network, known, torch.arange(6))
    weighted(errors).backward()
    assert errors["solvation_water"].item() == 0 and errors["energy"].item() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


# Batches of like sizes


@pytest.mark.parametrize(("size", "batch"), [(100, 7), (64, 8), (5, 8), (57, 3)])
def test_an_epoch_of_batches_has_every_conformer_once(size, batch):
    sizes = torch.randint(3, 30, (size,), generator=torch.Generator().manual_seed(0))
    steps = -(-size // batch)
    for epoch in range(2):
        drawn = [drawn_by_size(sizes, batch, 3, epoch * steps + k) for k in range(steps)]
        assert torch.cat(drawn).sort().values.tolist() == list(range(size))
        assert all(len(part) <= batch for part in drawn)


def test_batches_are_of_like_sizes_and_come_in_no_order_of_size():
    sizes = torch.randint(3, 80, (4000,), generator=torch.Generator().manual_seed(0))
    drawn = [sizes[drawn_by_size(sizes, 50, 0, k)] for k in range(80)]
    spread = np.mean([float(part.max() - part.min()) for part in drawn])
    assert spread < 1.5 * 77 / SORTED_BATCHES
    rising = np.mean([float(b.float().mean() > a.float().mean()) for a, b in pairwise(drawn)])
    assert 0.3 < rising < 0.7
