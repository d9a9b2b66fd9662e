"""Learning properties: it learns, it is resumed to the step, what it keeps predicts the same, in any pose and order."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molgiae.commands.finetune import coverage, finetune
from molgiae.commands.info import describe
from molgiae.config import Domain, FinetuneConfig, ModelConfig
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.header import sha256_of
from molgiae.properties.fitting import initial, learn, property_loss
from molgiae.properties.labels import Labelled
from molgiae.properties.predictor import Predictor
from molgiae.properties.targets import Target
from molgiae.training import Run
from tests.conformers import mirrored, moved, random_conformer

SIZES = ModelConfig(
    elements=(1, 6, 7, 8),
    max_atoms=12,
    embedding_dim=14,
    width=8,
    layers=1,
    shape_dim=4,
    features_dim=4,
    overlay_dim=2,
    color_dim=2,
    atom_width=16,
)
BARE = replace(SIZES, atom_width=0, shape_dim=0, features_dim=0, overlay_dim=0, color_dim=0)
RECIPE = FinetuneConfig(epochs=30, learning_rate=5e-3, patience=25, batch_size=16)


def strain(c: Conformer) -> float:
    """What no composition knows: pairs of atoms that are close."""
    apart = np.linalg.norm(c.position[:, None] - c.position, axis=2)[np.triu_indices(len(c), 1)]
    return float(np.exp(-((apart - 1.0) ** 2) * 4).sum() + 3 * (c.atomic_number > 1).sum())


def molecules(count: int, first: int = 0) -> list[Conformer]:
    return [random_conformer(4 + seed % 5, seed) for seed in range(first, first + count)]


def write_xyz(path: Path, conformers: list[Conformer], broken: tuple[int, ...] = ()) -> Path:
    lines = []
    for k, c in enumerate(conformers):
        value = "none" if k in broken else f"{strain(c):.6f}"
        lines += [str(len(c)), f'Properties=species:S:1:pos:R:3 strain={value} title="m{k}"']
        atoms = zip(c.atomic_number.tolist(), c.position.tolist(), strict=True)
        lines += [f"{SYMBOLS[z]} {x:.6f} {y:.6f} {w:.6f}" for z, (x, y, w) in atoms]
    path.write_text("\n".join(lines) + "\n")
    return path


def labelled(count: int, first: int = 0) -> Labelled:
    found = molecules(count, first)
    values = np.array([[strain(c)] for c in found])
    return Labelled(ConformerBlock.of(found), values, (Target.of("strain", extensive=True),))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    domain = Domain((1, 6, 7, 8), (1, 12), 9.0, (0.5, 3.0))
    checkpoint.save(path, build(SIZES), domain, {"data": "none"})
    return path


@pytest.fixture(scope="module")
def finished(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = write_xyz(folder / "data.xyz", molecules(200), broken=(3, 50))
    finetune(
        data,
        folder / "strain",
        config=RECIPE,
        model=str(pretrained),
        target_columns=["strain"],
        extensive=True,
    )
    return folder


def test_it_learns_what_composition_does_not_know(finished):
    report = json.loads((finished / "strain" / "report.json").read_text())
    rows = report["table"]["targets"]["strain"]["rows"]
    kernels = {f"kernel ridge on {what}" for what in ("embedding", "features")}
    assert set(rows) == {"mean", "composition", *kernels, "fine-tuned"}
    assert rows["fine-tuned"]["mae"] < 0.6 * rows["composition"]["mae"] < 0.6 * rows["mean"]["mae"]
    assert report["without_value"] == 2
    assert {path.name for path in (finished / "strain").iterdir()} >= {
        "model.safetensors", "report.json", "test.csv", "metrics.csv", "missing.csv", "last.pt",
    }  # fmt: skip
    with (finished / "strain" / "missing.csv").open() as file:
        missing = list(csv.DictReader(file))
    assert [row["record"] for row in missing] == ["4", "51"]
    assert "none" in missing[0]["reason"]


def test_what_is_kept_predicts_what_was_reported_in_any_pose_and_order(finished):
    predictor = Predictor(finished / "strain")
    with (finished / "strain" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report_sizes(finished)["test"]
    records = [int(row["record"]) - 1 for row in rows]
    conformers = [molecules(200)[k] for k in records]
    found = predictor.predict([moved(c, seed) for seed, c in enumerate(conformers)])
    assert np.allclose(found.value[:, 0], [float(row["strain, predicted"]) for row in rows], atol=1e-3)
    assert np.allclose(found.std[:, 0], [float(row["strain, std"]) for row in rows], rtol=1e-3)
    assert found.in_domain.mean() > 0.8
    same = predictor.predict([mirrored(c) for c in conformers])
    assert np.allclose(same.value, found.value, atol=1e-3), "mirror images have the same properties"
    strange = predictor.predict([random_conformer(6, 0, (6, 17))])
    assert not strange.in_domain.any()
    origin = predictor.checkpoint.provenance["pretrained"]
    assert origin["sha256"] == sha256_of(Path(origin["name"]))


def report_sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = json.loads((folder / "strain" / "report.json").read_text())["table"]["sizes"]
    return sizes


def test_a_fit_in_sessions_of_one_step_ends_with_the_same_bits(pretrained, tmp_path):
    config = replace(RECIPE, epochs=1)
    start = checkpoint.load(str(pretrained))
    expected = learn(labelled(60), labelled(10, 60), start, config, Run(tmp_path / "a"))
    found, sessions = None, 0
    while found is None:
        run = Run(tmp_path / "b", stop_after=0)
        found = learn(labelled(60), labelled(10, 60), start, config, run, resume=True)
        sessions += 1
        assert sessions < 10
    assert sessions > 2
    assert expected is not None
    for key, value in expected.model.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[key]), key


def test_another_run_is_not_resumed(pretrained, tmp_path):
    start = checkpoint.load(str(pretrained))
    config = replace(RECIPE, epochs=1)
    learn(labelled(30), labelled(10, 60), start, config, Run(tmp_path), identity="one")
    with pytest.raises(CheckpointError, match="written with other data or settings"):
        learn(labelled(30), labelled(10, 60), start, config, Run(tmp_path), identity="two", resume=True)


def test_frozen_weights_are_held_and_scratch_starts_elsewhere(pretrained, tmp_path):
    start = checkpoint.load(str(pretrained))
    before = start.model.encoder.atoms.state_dict()
    frozen, full = (
        learn(
            labelled(30),
            labelled(10, 60),
            start,
            replace(RECIPE, mode=way, epochs=2, weight_decay=0.1),
            Run(tmp_path / way),
        )
        for way in ("frozen", "full")
    )
    assert frozen is not None and full is not None
    assert all(torch.equal(value, before[key]) for key, value in frozen.model.atoms.state_dict().items())
    assert not torch.equal(full.model.atoms.last.weight, before["last.weight"])
    scratch = initial(start, full.model.scale, replace(RECIPE, mode="scratch"))
    assert not torch.equal(scratch.atoms.element.weight, before["element.weight"])
    again = initial(start, full.model.scale, RECIPE)
    assert torch.equal(again.atoms.element.weight, before["element.weight"])


def test_uncertainty_holds_two_thirds_of_the_validation_values(pretrained, tmp_path):
    held = labelled(60, 300)
    learned = learn(
        labelled(120), held, checkpoint.load(str(pretrained)), replace(RECIPE, epochs=5), Run(tmp_path)
    )
    assert learned is not None
    ((one, two),) = coverage(held.values, *learned.model.predict(held.block))
    assert one == pytest.approx(0.683, abs=0.02)
    assert two > one


def test_values_that_are_missing_teach_nothing():
    value, doubt = torch.ones(4, 2, requires_grad=True), torch.ones(4, 2)
    target = torch.tensor([[0.0, torch.nan]] * 4)
    property_loss(value, doubt, target).backward()
    assert value.grad is not None
    assert (value.grad[:, 0] != 0).all() and (value.grad[:, 1] == 0).all()
    assert property_loss(value, doubt, torch.full((4, 2), torch.nan)) == 0


def test_models_of_the_wrong_kind_say_what_they_are(finished, pretrained, tmp_path):
    with pytest.raises(CheckpointError, match="an autoencoder, which predicts no property"):
        Predictor(pretrained)
    with pytest.raises(CheckpointError, match="an autoencoder, which predicts no property"):
        Predictor("qm9")
    with pytest.raises(CheckpointError, match="use it with molgiae predict"):
        checkpoint.load(str(finished / "strain"))
    with pytest.raises(CheckpointError, match="no such model"):
        Predictor(tmp_path / "nothing")
    bare = tmp_path / "bare.safetensors"
    checkpoint.save(bare, build(BARE), Domain((1,), (1, 2), 1.0, (0.5, 1.0)), {})
    data = write_xyz(tmp_path / "data.xyz", molecules(20))
    with pytest.raises(CheckpointError, match="no network of atoms"):
        finetune(data, tmp_path / "run", model=str(bare), target_columns=["strain"])
    with pytest.raises(ConfigError, match="holds a run already"):
        finetune(data, finished / "strain", model=str(pretrained), target_columns=["strain"])


def test_info_tells_of_a_model_of_properties(finished):
    found = describe(str(finished / "strain"))
    assert (found["kind"], found["targets"][0]["name"]) == ("property", "strain")
    assert found["provenance"]["test"]["targets"]["strain"]["rows"]["fine-tuned"]["mae"] > 0
