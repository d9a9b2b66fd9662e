"""All stages on made-up data: what each trains, what it leaves, what it learns from, and models to start from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from molgiae.commands.pretrain import pretrain
from molgiae.config import ModelConfig
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from molgiae.training import Data, Run, pretrainer, train
from molgiae.training.labels import read_labels
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import TINY_DOMAIN
from tests.training.made_up import labels_of, overlays_of, some_conformers, write
from tests.training.test_loop import CONFIG, DATA, MODEL, PLAIN, assert_equal_states, state_of, write_xyz

STAGES = {
    "properties": ("encoder.properties.",),
    "atoms": ("encoder.atoms.", "encoder.features.", "encoder.labels."),
    "features": ("encoder.features.compress.",),
    "overlay": ("encoder.overlay.",),
    "shape": ("encoder.shape.", "encoder.atoms.turn."),
    "autoencoder": ("encoder.slots.", "decoder."),
}
"""What each stage trains, with labels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conformers, labels and overlays."""
    folder = tmp_path_factory.mktemp("data")
    write_xyz(folder / "a.xyz", *"abcdefgh")
    write(folder / "labels.npz", labels_of(some_conformers(20)))
    write(folder / "overlays.npz", overlays_of(some_conformers(12)))
    return folder


@pytest.fixture
def data(folder) -> Data:
    return replace(DATA, labels=read_labels([folder / "labels.npz"]))


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("with_labels", [True, False])
def test_each_stage_trains_its_own(data, tmp_path, with_labels):
    data = data if with_labels else replace(data, labels=None)
    torch.manual_seed(0)
    trainer = pretrainer(build(MODEL), data, CONFIG, Run(tmp_path, stop_after=0))
    wanted = dict(STAGES) if with_labels else STAGES | {"atoms": ("encoder.atoms.",)}
    stages = trainer.stages
    for k, (name, prefixes) in enumerate(wanted.items()):
        before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
        trainer.stages = stages[: k + 1]
        while trainer.stage <= k:
            trainer.fit()
        found = changed(before, trainer.model.state_dict())
        assert found and all(key.startswith(prefixes) for key in found), (name, found)
        for prefix in prefixes:
            assert any(key.startswith(prefix) for key in found), (name, prefix)
        idle = ("encoder.atoms.turn.", "encoder.features.compress.")
        assert name != "atoms" or not any(key.startswith(idle) for key in found)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        logged = list(dict.fromkeys(row["stage"] for row in csv.DictReader(file)))
    assert logged == [name for name in wanted if name != "features"], "which has no steps"


def test_energies_of_atoms_are_kept_with_the_model(data, tmp_path):
    train(data, MODEL, CONFIG, Run(tmp_path), False)
    heads = checkpoint.load(str(tmp_path)).model.encoder.labels
    assert float(heads.composition[8]) == pytest.approx(-110, abs=0.1)
    assert (heads.scale != 1).all()


def test_a_run_through_all_stages_is_resumed_to_the_step(data, tmp_path):
    few = dict.fromkeys(("property_steps", "atom_steps", "overlay_steps", "shape_steps"), 2)
    config = replace(CONFIG, steps=3, **few)
    train(data, MODEL, config, Run(tmp_path / "whole", evaluate_every=2), False)
    metrics, sessions = {"complete": 0.0}, 0
    while not metrics["complete"]:
        metrics = train(data, MODEL, config, Run(tmp_path / "parts", evaluate_every=2, stop_after=0), True)
        sessions += 1
        assert sessions < 25
    assert_equal_states(state_of(tmp_path / "parts"), state_of(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("stage", "steps"),
    [
        ("properties", {"property_steps": 60}),
        ("atoms", {"atom_steps": 60}),
        ("overlay", {"overlay_steps": 60}),
    ],
)
def test_stages_learn_from_labels_and_overlays(data, tmp_path, stage, steps):
    config = replace(CONFIG, steps=1, learning_rate=5e-3, **steps)
    trainer = pretrainer(build(MODEL), data, config, Run(tmp_path, evaluate_every=20))
    trainer.stages = trainer.stages[: 1 + list(STAGES).index(stage)]
    trainer.fit()
    with (tmp_path / "metrics.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["stage"] == stage]
    assert len(losses) == 3 and losses[-1] < 0.9 * losses[0]


def test_the_command_reads_labels_and_overlays_and_says_of_which(folder, tmp_path):
    learned: dict[str, Any] = {"labels": [folder / "labels.npz"], "overlays": [folder / "overlays.npz"]}
    metrics = pretrain([folder / "a.xyz"], tmp_path / "run", MODEL, CONFIG, **learned)
    assert metrics["complete"] == 1.0
    found = checkpoint.load(str(tmp_path / "run"))
    assert set(found.provenance["data_sha256"]) == {"a.xyz", "labels.npz", "overlays.npz"}
    assert [part.name for part in found.model.config.parts] == list(
        ("features", "overlay", "color", "shape", "detail")
    )
    embedding = Embedder(tmp_path / "run", device="cpu").embed(some_conformers(3))["embedding"]
    assert embedding.shape == (3, MODEL.embedding_dim) and np.isfinite(embedding).all()


def test_an_overlay_part_without_overlays_is_an_error_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match="give --overlays, or --overlay-dim 0"):
        train(replace(DATA, overlays=None), MODEL, CONFIG, Run(tmp_path / "run"), False)
    assert not list(tmp_path.glob("run/*"))


def test_missing_overlays_and_models_are_one_line(sdf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", sdf, "-o", "run", "--atom-width", "8", "--width", "8"]
    assert_one_line(
        molgiae_(*words, "--overlay-dim", "4"), "overlay part learns from overlays: give --overlays"
    )
    assert_one_line(molgiae_(*words, "--color-dim", "4"), "color part goes with an overlay part")
    assert_one_line(molgiae_(*words, "--dim", "40"), "embedding_dim=40: must be above the 96 numbers")
    assert_one_line(molgiae_(*words, "--start-from", "gone"), "no such model")
    assert_one_line(molgiae_(*words, "--labels", "gone.npz"), "gone.npz: no such file")
    assert not (tmp_path / "run" / "last.pt").exists()


# Starting from another model


@pytest.fixture(scope="module")
def origin(folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer of 16, trained a little."""
    run = tmp_path_factory.mktemp("origin") / "run"
    learned: dict[str, Any] = {"labels": [folder / "labels.npz"], "overlays": [folder / "overlays.npz"]}
    pretrain([folder / "a.xyz"], run, MODEL, CONFIG, **learned)
    return run


LARGER = ModelConfig(max_atoms=9, embedding_dim=40, width=24, layers=2, features_dim=0, shape_dim=0)
"""What is asked for; its smooth parts are those of the other model."""


def test_smooth_parts_are_taken_bit_by_bit_and_stay(folder, origin, tmp_path):
    metrics = pretrain([folder / "a.xyz"], tmp_path / "run", LARGER, CONFIG, start_from=origin)
    assert (metrics["complete"], metrics["step"]) == (1.0, CONFIG.steps)
    theirs, ours = (checkpoint.load(str(run)) for run in (origin, tmp_path / "run"))
    smooth = (
        "features_dim",
        "overlay_dim",
        "color_dim",
        "shape_dim",
        "atom_width",
        "atom_layers",
        "atom_rounds",
    )
    for name in smooth:
        assert getattr(ours.model.config, name) == getattr(theirs.model.config, name)
    assert (ours.model.config.width, ours.model.config.layers, ours.model.config.embedding_dim) == (24, 2, 40)
    before, after = theirs.model.state_dict(), ours.model.state_dict()
    for name in before:
        if name.split(".")[1] in ("atoms", "features", "overlay", "shape", "labels") and name.startswith(
            "enc"
        ):
            assert torch.equal(before[name], after[name]), name
    columns = [slice(0, MODEL.embedding_dim - 4), slice(0, 40 - 31)]
    found, expected = (
        Embedder(run, device="cpu").embed(some_conformers(5))["embedding"][:, part]
        for run, part in zip((tmp_path / "run", origin), columns, strict=True)
    )
    assert np.array_equal(found, expected)
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        assert {row["stage"] for row in csv.DictReader(file)} == {"autoencoder"}
    assert not (tmp_path / "run" / "pairs.npz").exists()


def test_only_detail_and_decoder_are_trained(origin, tmp_path):
    start = checkpoint.load(str(origin))
    train(DATA, LARGER, CONFIG, Run(tmp_path, stop_after=0), False, start)
    first = state_of(tmp_path)
    train(DATA, LARGER, CONFIG, Run(tmp_path), True, start)
    last = state_of(tmp_path)
    found = changed(first["model"], last["model"])
    assert {name.split(".")[0 if name.startswith("decoder") else 1] for name in found} == {"decoder", "slots"}


def test_smooth_parts_can_be_trained_on(origin, tmp_path):
    start = checkpoint.load(str(origin))
    train(DATA, LARGER, CONFIG, Run(tmp_path / "run"), False, start, ["shape"])
    found = checkpoint.load(str(tmp_path / "run")).model.state_dict()
    before = {name: value for name, value in start.model.state_dict().items() if name in found}
    new = {name for name in before if not torch.equal(found[name], before[name])} - {"decoder.scale"}
    smooth = {name for name in new if not name.startswith(("decoder.", "encoder.slots."))}
    assert smooth and all(name.startswith(("encoder.shape.", "encoder.atoms.turn.")) for name in smooth)
    for again, origin_ in ((["atoms"], start), (["shape"], None)):
        with pytest.raises(
            ConfigError, match="cannot be trained again; overlay, shape of a model to start from"
        ):
            train(DATA, LARGER, CONFIG, Run(tmp_path / "none"), False, origin_, again)


def test_a_start_is_resumed_with_the_same_model_alone(origin, tmp_path):
    start = checkpoint.load(str(origin))
    train(DATA, LARGER, CONFIG, Run(tmp_path / "whole"), False, start)
    metrics = {"complete": 0.0}
    while not metrics["complete"]:
        metrics = train(DATA, LARGER, CONFIG, Run(tmp_path / "parts", stop_after=0), True, start)
    assert_equal_states(state_of(tmp_path / "parts"), state_of(tmp_path / "whole"))
    with pytest.raises(CheckpointError, match="written with other data or settings"):
        train(DATA, LARGER, CONFIG, Run(tmp_path / "parts"), True, replace(start, sha256="0" * 64))


def test_overlays_are_not_needed_to_start_from_who_learned_them(origin, tmp_path):
    start = checkpoint.load(str(origin))
    data = replace(DATA, overlays=None)
    assert train(data, LARGER, CONFIG, Run(tmp_path), False, start)["complete"] == 1.0


def bare(path: Path, config: ModelConfig) -> checkpoint.Checkpoint[Any]:
    checkpoint.save(path, build(config), TINY_DOMAIN, {"data": "none"})
    return checkpoint.load(str(path))


def test_models_that_do_not_fit_are_refused(origin, tmp_path):
    start, run = checkpoint.load(str(origin)), Run(tmp_path / "run")
    nothing = replace(PLAIN, features_dim=0, shape_dim=0)
    for config in (nothing, replace(nothing, atom_width=0), ModelConfig("appendix-d", width=16, layers=1)):
        without = bare(tmp_path / "bare.safetensors", config)
        with pytest.raises(ConfigError, match="the model to start from has no smooth parts"):
            train(DATA, replace(LARGER, embedding_dim=200), CONFIG, run, False, without)
    with pytest.raises(ConfigError, match="architecture appendix-d has no smooth parts"):
        train(DATA, ModelConfig("appendix-d", width=16, layers=1), CONFIG, run, False, start)
    with pytest.raises(ConfigError, match="embedding_dim=9: must be above the 9 numbers of its smooth parts"):
        small = replace(MODEL, embedding_dim=9, features_dim=0, overlay_dim=0, color_dim=0)
        train(DATA, small, CONFIG, run, False, start)


def test_a_nested_code_has_nothing_to_learn_after_its_smooth_parts(data, folder, tmp_path):
    shipped = replace(MODEL, architecture="nested", embedding_dim=200)
    metrics = train(data, shipped, CONFIG, Run(tmp_path / "run", progress=False), False)
    assert metrics["rmsd_p100"] < 1e-5 and metrics["formula_accuracy"] == metrics["complete"] == 1
    found = checkpoint.load(str(tmp_path / "run")).model
    assert not list(found.decoder.parameters()) and not list(found.encoder.slots.parameters())
    assert found.config.embedding_dim == 9 + 4 + 27  # smooth parts, elements, waves of nine atoms and no more
