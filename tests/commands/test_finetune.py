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
from molgiae.nn.property_head import Found
from molgiae.properties.fitting import Task, initialize, learn, property_loss
from molgiae.properties.labels import Labelled
from molgiae.properties.predictor import Predictor
from molgiae.properties.scores import score
from molgiae.properties.sets import Sets
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
    property_width=8,
    property_layers=1,
)
BARE = replace(SIZES, property_width=0, atom_width=0, shape_dim=0, features_dim=0, overlay_dim=0, color_dim=0)
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


@pytest.mark.parametrize("networks", [1, 2])
def test_a_fit_in_sessions_of_one_step_ends_with_the_same_bits(networks, pretrained, tmp_path):
    config = replace(RECIPE, epochs=1, ensemble=networks)
    start = checkpoint.load(str(pretrained))
    expected = learn(labelled(60), labelled(10, 60), start, config, Run(tmp_path / "a"))
    found, sessions = None, 0
    while found is None:
        run = Run(tmp_path / "b", stop_after=0)
        found = learn(labelled(60), labelled(10, 60), start, config, run, resume=True)
        sessions += 1
        assert sessions < 20
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
    before = start.model.encoder.properties.atoms.state_dict()
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
    held, (moved,) = frozen.model.members[0].atoms, full.model.members
    assert all(torch.equal(value, before[key]) for key, value in held.state_dict().items())
    assert not torch.equal(moved.atoms.last.weight, before["last.weight"])
    for mode in ("scratch", "full"):
        config = replace(RECIPE, mode=mode)
        task = Task(labelled(30), labelled(10, 60), full.model.scale, config, Run(tmp_path), "")
        initialize(moved, start, task)
        assert torch.equal(moved.atoms.element.weight, before["element.weight"]) == (mode == "full")


def test_uncertainty_holds_two_thirds_of_the_validation_values(pretrained, tmp_path):
    held = labelled(60, 300)
    learned = learn(
        labelled(120), held, checkpoint.load(str(pretrained)), replace(RECIPE, epochs=5), Run(tmp_path)
    )
    assert learned is not None
    value, std, wide, _ = learned.model.predict(held.block)
    ((one, two),) = coverage(held.values, value, std, wide)
    # those of conformal prediction: ceil(61 x 0.6827) and ceil(61 x 0.95) of 60, the last of which may be rounded
    assert 60 * one == pytest.approx(41.5, abs=0.51) and 60 * two == pytest.approx(57.5, abs=0.51)


def test_values_that_are_missing_teach_nothing():
    value = torch.full((4, 2), 0.9, requires_grad=True)
    found = Found(value, torch.ones(4, 2), torch.zeros(4))
    target = torch.tensor([[0.0, torch.nan]] * 4)
    for binary in torch.tensor([[False, False], [True, True]]):
        (slope,) = torch.autograd.grad(property_loss(found, target, binary), value)
        assert (slope[:, 0] != 0).all() and (slope[:, 1] == 0).all()
        assert property_loss(found, torch.full((4, 2), torch.nan), binary) == 0


def ensembles(count: int, first: int = 0) -> list[Conformer]:
    """Three conformers of each molecule, one after the other, in any order of atoms."""
    rng = np.random.default_rng(first)
    found = []
    for k in range(first, first + count):
        base = random_conformer(4 + k % 5, k)
        for shift in range(3):
            position = base.position + 0.25 * shift * rng.standard_normal(base.position.shape)
            found.append(replace(moved(replace(base, position=position), k), title=f"e{k}"))
    return found


def of_conformers(conformers: list[Conformer], values: list[float], **kind: bool) -> Labelled:
    return Labelled(
        ConformerBlock.of(conformers), np.array(values)[:, None], (replace(Target.of("x"), **kind),)
    )


def test_networks_of_an_ensemble_differ_and_their_mean_is_predicted(pretrained, tmp_path):
    start, held = checkpoint.load(str(pretrained)), labelled(20, 60)
    config = replace(RECIPE, epochs=4, ensemble=3, kernel=False)
    found = learn(labelled(40), held, start, config, Run(tmp_path / "three"))
    assert found is not None and len(found.model.members) == 3
    singles = [
        learn(labelled(40), held, start, replace(config, ensemble=1, seed=seed), Run(tmp_path / f"{seed}"))
        for seed in range(3)
    ]
    values = [one.model.predict(held.block).value for one in singles if one is not None]
    assert np.abs(values[0] - values[1]).max() > 2e-4
    np.testing.assert_allclose(found.model.predict(held.block).value, np.mean(values, axis=0), atol=1e-5)
    # where they disagree, the uncertainty is larger than that of any
    width = found.model.standardized(held.block).uncertainty
    alone = [one.model.standardized(held.block).uncertainty for one in singles if one is not None]
    spread = np.std(values, axis=0) / found.model.scale.spread
    np.testing.assert_allclose(width**2, np.mean(np.square(alone), axis=0) + spread**2, rtol=1e-4)


@pytest.mark.parametrize(
    "pooling", ["attention", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mean", "boltzmann"))]
)
def test_conformers_of_a_molecule_share_one_value(pooling, pretrained, tmp_path):
    """The value of a molecule is that of one of its conformers, which one only its score tells."""
    parts = []
    for first, count in ((0, 90), (200, 30)):
        conformers = ensembles(count, first)
        own = [strain(c) for c in conformers]
        chosen = np.repeat([own[3 * k + k % 3] for k in range(count)], 3)
        scores = np.where(np.arange(3 * count) % 3 == np.repeat(np.arange(count) % 3, 3), 50.0, 0.0)
        values = np.repeat(np.mean(np.reshape(own, (-1, 3)), axis=1), 3) if pooling == "mean" else chosen
        part = of_conformers(conformers, values.tolist(), extensive=True)
        parts.append(replace(part, scores=scores if pooling == "boltzmann" else None))
    config = replace(RECIPE, pooling=pooling, learning_rate=1e-2)
    learned = learn(*parts, checkpoint.load(str(pretrained)), config, Run(tmp_path))
    assert learned is not None
    sets = Sets.of(parts[1], pooling)
    assert len(sets) == 30
    found = learned.model.predict(parts[1].block)
    error = np.abs(sets.weighed(found.value, found.score) - sets.values(parts[1].values)).mean()
    alone = np.abs(found.value - parts[1].values).mean()
    assert error < 0.75 * np.abs(sets.values(parts[1].values) - parts[0].values.mean()).mean()
    assert pooling == "attention" or error < alone, "the molecule is predicted, not each of its conformers"
    weights = sets.weighed(np.eye(len(parts[1]))[:, :3], found.score)
    assert weights.sum() == pytest.approx(1), "shares of the first molecule's conformers add up to one"


def test_classes_are_learned_as_probabilities(pretrained, tmp_path):
    conformers = molecules(160)
    limit = np.median([strain(c) / len(c) for c in conformers])
    classes = [float(strain(c) / len(c) > limit) for c in conformers]
    train, held = of_conformers(conformers, classes, binary=True), None
    held = train.take(np.arange(120, 160))
    learned = learn(train.take(np.arange(120)), held, checkpoint.load(str(pretrained)), RECIPE, Run(tmp_path))
    assert learned is not None
    value, std, _, _ = learned.model.predict(held.block)
    assert ((value > 0) & (value < 1)).all()
    np.testing.assert_allclose(std, np.sqrt(value * (1 - value)))
    scores = score(value, held.values, binary=[True])
    assert scores.roc_auc[0] > 0.8 and scores.brier[0] < 0.2
    upside_down = score(1 - value, held.values, binary=[True])
    assert upside_down.roc_auc[0] == pytest.approx(1 - scores.roc_auc[0])


def test_odd_properties_change_their_sign_in_the_mirror(pretrained, tmp_path):
    def handedness(c: Conformer) -> float:
        a, b, d = (c.position[k] - c.position[0] for k in (1, 2, 3))
        return float(np.dot(np.cross(a, b), d))

    conformers = molecules(120)
    values = [handedness(c) for c in conformers]
    both = of_conformers(
        [*conformers, *map(mirrored, conformers)], [*values, *(-v for v in values)], odd=True
    )
    rows = np.random.default_rng(0).permutation(240)
    train, held = both.take(rows[:200]), both.take(rows[200:])
    config = replace(RECIPE, epochs=3)
    learned = learn(train, held, checkpoint.load(str(pretrained)), config, Run(tmp_path))
    assert learned is not None
    here = learned.model.predict(ConformerBlock.of(conformers)).value
    there = learned.model.predict(ConformerBlock.of([mirrored(c) for c in conformers])).value
    assert np.abs(here).max() > 1e-3
    np.testing.assert_allclose(there, -here, atol=1e-4 * np.abs(here).max())
    turned = learned.model.predict(ConformerBlock.of([moved(c, 3) for c in conformers])).value
    np.testing.assert_allclose(turned, here, atol=1e-3 * np.abs(here).max())


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
    with pytest.raises(CheckpointError, match="no network of properties"):
        finetune(data, tmp_path / "run", model=str(bare), target_columns=["strain"])
    with pytest.raises(ConfigError, match="holds a run already"):
        finetune(data, finished / "strain", model=str(pretrained), target_columns=["strain"])


def test_info_tells_of_a_model_of_properties(finished):
    found = describe(str(finished / "strain"))
    assert (found["kind"], found["targets"][0]["name"]) == ("property", "strain")
    assert found["provenance"]["test"]["targets"]["strain"]["rows"]["fine-tuned"]["mae"] > 0


def test_automatic_epochs_show_no_fewer_conformers_to_larger_sets():
    sizes = [10, 100, 567, 1000, 1725, 8627, 17_000, 34_507, 200_000]
    passes = [FinetuneConfig().passes(size) for size in sizes]
    assert passes == sorted(passes, reverse=True)
    seen = [size * each for size, each in zip(sizes, passes, strict=True)]
    assert seen == pytest.approx(sorted(seen), rel=0.01)
    assert FinetuneConfig(epochs=3).passes(8627) == 3
