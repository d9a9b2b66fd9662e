"""Pretraining: it learns, it is resumed to the step, it keeps molecules apart, it runs without rdkit and ase."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.commands.pretrain import held_out, pretrain, read_data
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.npz import read_npz
from molgiae.errors import CheckpointError, ConfigError, MolgiaeError
from molgiae.model import checkpoint
from molgiae.model.architectures import ARCHITECTURES, build
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud, pack
from molgiae.model.covered import measure_domain
from molgiae.model.embedder import Embedder
from molgiae.model.header import sha256_of
from molgiae.training import Data, Run, Trainer, fitted, pretrainer, reconstruct, train
from molgiae.training.batches import distort, drawn, padded, whole
from molgiae.training.components import principal_components, start_from_components
from molgiae.training.loop import learning_rate, log
from molgiae.training.pairs import conformer_pairs
from molgiae.training.task import on_cpu
from tests.conformers import random_conformer
from tests.data.test_bad_records import XYZ_CASES
from tests.training.made_up import overlays_in_memory, some_conformers

MODEL = ModelConfig(
    elements=(1, 6, 7, 8),
    max_atoms=9,
    embedding_dim=13,
    width=16,
    layers=1,
    features_dim=2,
    overlay_dim=3,
    color_dim=2,
    shape_dim=2,
    atom_width=8,
    property_width=8,
    property_layers=1,
    atom_rounds=1,
)
"""It has every part."""
PLAIN = replace(MODEL, overlay_dim=0, color_dim=0)
"""It has those that learn from conformers alone."""
CONFIG = TrainConfig(
    batch_size=8,
    steps=6,
    property_steps=3,
    atom_steps=3,
    overlay_steps=3,
    shape_steps=3,
    warmup_steps=2,
    learning_rate=3e-3,
)
DATA = Data(
    ConformerBlock.of(some_conformers(24)),
    ConformerBlock.of([random_conformer(5, seed) for seed in range(100, 104)]),
    "random",
    {"a.xyz": "0" * 64},
    overlays=overlays_in_memory(),
)


def small(architecture: str) -> ModelConfig:
    size = 20 if architecture == "nested" else MODEL.embedding_dim  # 9 smooth ones, 4 elements
    return replace(MODEL, architecture=architecture, embedding_dim=size)


def rows_of(directory: Path) -> list[dict[str, str]]:
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state_of(directory: Path) -> dict:
    return torch.load(directory / "last.pt", weights_only=True)


def assert_equal_states(found: dict, expected: dict) -> None:
    """Bit by bit: weights, their running mean, optimizer; and where the run stands."""
    for part in ("model", "mean"):
        assert found[part].keys() == expected[part].keys()
        for name, value in expected[part].items():
            assert torch.equal(found[part][name], value), f"{part} {name}"
    assert found["optimizer"]["state"].keys() == expected["optimizer"]["state"].keys()
    for key, moments in expected["optimizer"]["state"].items():
        for name, value in moments.items():
            assert torch.equal(found["optimizer"]["state"][key][name], value), f"optimizer {key} {name}"
    assert [found[key] for key in ("stage", "step", "best")] == [
        expected[key] for key in ("stage", "step", "best")
    ]


# Learning


@pytest.mark.parametrize("architecture", ["slots", "appendix-d"])
def test_some_steps_lower_the_loss(architecture, tmp_path):
    config = replace(CONFIG, steps=90, distortion=0.0)
    metrics = train(
        DATA, small(architecture), config, Run(tmp_path, evaluate_every=15, progress=False), False
    )
    rows = [row for row in rows_of(tmp_path) if row["stage"] == "autoencoder"]
    assert [int(row["step"]) for row in rows] == [15, 30, 45, 60, 75, 90]
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < 0.9 * losses[0]
    assert (metrics["step"], metrics["complete"]) == (90, 1.0)


def several_of_each() -> ConformerBlock:
    """Eight molecules, each in five shapes."""
    rng = np.random.default_rng(0)
    conformers = []
    for seed in range(8):
        first = random_conformer(9, seed)
        for _ in range(5):
            moved = first.position + 0.1 * rng.standard_normal(first.position.shape)
            conformers.append(replace(first, position=moved, title=f"molecule {seed}"))
    return ConformerBlock.of(conformers)


@pytest.mark.slow
def test_distances_of_shape_parts_become_rmsds(tmp_path):
    """On conformers it has seen; that the network can learn it at all is what is shown here."""
    data = replace(DATA, train=several_of_each())
    config = replace(CONFIG, steps=1, atom_steps=1, property_steps=1)
    config = replace(config, shape_steps=80, batch_size=16, learning_rate=2e-2)
    torch.manual_seed(0)
    model = build(replace(PLAIN, embedding_dim=13, shape_dim=8, atom_width=16))
    trainer = pretrainer(model, data, config, Run(tmp_path, progress=False))
    before = shape_correlation(trainer, data.train)
    trainer.fit()
    after = shape_correlation(trainer, data.train)
    assert after > 0.8 > before


def shape_correlation(trainer: Trainer, block: ConformerBlock) -> float:
    """Correlation of shape distances with the RMSDs of all pairs of conformers of one molecule."""
    pairs = conformer_pairs(block, 1, None, False)
    both = concatenate([pairs.block, replace(pairs.block, position=-pairs.block.position)])
    shape = Embedder(
        Checkpoint("", on_cpu(trainer.mean.module), measure_domain(DATA.train)), device="cpu", parts="shape"
    ).embed(both)["embedding"]
    distance = np.linalg.norm(shape[pairs.ends[:, 0]] - shape[pairs.ends[:, 1]], axis=1)
    return float(np.corrcoef(distance, pairs.rmsd)[0, 1])


def test_the_best_weights_are_kept_with_their_origin(tmp_path):
    """model.safetensors is the running mean at the best validation, and says what it was made of."""
    train(DATA, MODEL, replace(CONFIG, steps=40), Run(tmp_path, evaluate_every=10, progress=False), False)
    rows = [row for row in rows_of(tmp_path) if row["stage"] == "autoencoder"]
    best = min(rows, key=lambda row: float(row["rmsd_mean"]))
    found = checkpoint.load(str(tmp_path / "model.safetensors"))
    assert found.provenance["step"] == int(best["step"])
    assert found.provenance["validation"]["rmsd_mean"] == float(best["rmsd_mean"])
    assert found.provenance["data_sha256"] == DATA.sha256
    assert found.provenance["train_conformers"] == 24
    assert found.domain.n_atoms == (3, 9)
    again = reconstruct(found.model, DATA.validation).summary()
    assert again["rmsd_mean"] == pytest.approx(float(best["rmsd_mean"]), rel=1e-6)


def test_validation_is_what_the_user_will_get(tmp_path):
    """Its RMSD is that of `reconstruct`, in the pose and order of the input."""
    train(DATA, MODEL, replace(CONFIG, steps=20), Run(tmp_path, evaluate_every=20, progress=False), False)
    result = Embedder(tmp_path / "model.safetensors", device="cpu").embed(DATA.validation, reconstruct=True)
    assert result["rmsd"].mean() == pytest.approx(float(rows_of(tmp_path)[-1]["rmsd_mean"]), rel=1e-5)
    right = (result["reconstructed_atomic_number"] == DATA.validation.atomic_number).mean()
    assert right == pytest.approx(float(rows_of(tmp_path)[-1]["type_accuracy"]))


def test_the_running_mean_follows_short_runs(tmp_path):
    """A mean over a thousand steps would still be most of all the random start after forty."""
    trainer = pretrainer(build(MODEL), DATA, replace(CONFIG, steps=40), Run(tmp_path, progress=False))
    start = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.fit()
    mean = dict(on_cpu(trainer.mean.module).named_parameters())
    for name, end in trainer.model.named_parameters():
        assert (mean[name] - end).norm() <= 0.5 * (start[name] - end).norm(), name


# Resuming


STAGES = ("slots", "nested")
"""Those that go through all stages, which takes seconds; `test_stages` has a shorter run of theirs."""


@pytest.mark.parametrize(
    "architecture",
    [pytest.param(name, marks=pytest.mark.slow) if name in STAGES else name for name in ARCHITECTURES],
)
def test_a_run_in_sessions_of_one_step_ends_with_the_same_bits(architecture, tmp_path):
    whole_run, parts = tmp_path / "whole", tmp_path / "parts"
    expected = train(
        DATA, small(architecture), CONFIG, Run(whole_run, evaluate_every=2, progress=False), False
    )
    sessions, metrics = 0, {"complete": 0.0}
    while not metrics["complete"]:
        run = Run(parts, evaluate_every=2, stop_after=0, progress=False)
        metrics = train(DATA, small(architecture), CONFIG, run, resume=True)
        sessions += 1
        assert sessions < 20
    # with the last step of a stage comes the first of the next
    assert sessions == {"slots": 14, "nested": 9, "learned": 6, "appendix-d": 6}[architecture]
    assert_equal_states(state_of(parts), state_of(whole_run))
    assert metrics["rmsd_mean"] == expected["rmsd_mean"]
    kept = [checkpoint.load(str(d / "model.safetensors")).model.state_dict() for d in (parts, whole_run)]
    assert all(torch.equal(kept[0][name], value) for name, value in kept[1].items())
    without_time = [[{k: v for k, v in row.items() if k not in ("seconds", "loss")} for row in rows_of(d)]
                    for d in (parts, whole_run)]  # fmt: skip
    assert without_time[0] == without_time[1]


def test_the_test_of_resuming_can_fail(tmp_path):
    """Another seed, or one step less, is seen."""
    states = []
    for k, config in enumerate((CONFIG, replace(CONFIG, seed=1), replace(CONFIG, steps=5))):
        train(DATA, small("appendix-d"), config, Run(tmp_path / str(k), progress=False), False)
        states.append(state_of(tmp_path / str(k)))
    for other in states[1:]:
        with pytest.raises(AssertionError):
            assert_equal_states(other, states[0])


def test_time_is_up_after_the_step_in_hand(tmp_path):
    metrics = train(DATA, MODEL, CONFIG, Run(tmp_path, stop_after=0, progress=False), False)
    assert (metrics["complete"], metrics["step"]) == (0.0, 1)
    assert state_of(tmp_path)["step"] == 1
    assert not (tmp_path / "model.safetensors").exists()


def test_a_finished_run_resumed_does_nothing_and_says_how_good_it_is(tmp_path):
    run = Run(tmp_path, progress=False)
    first = train(DATA, MODEL, CONFIG, run, False)
    before = state_of(tmp_path)
    again = train(DATA, MODEL, CONFIG, run, resume=True)
    assert_equal_states(state_of(tmp_path), before)
    assert again["complete"] == 1.0 and again["rmsd_mean"] == first["rmsd_mean"]


def test_more_steps_may_be_asked_for(tmp_path):
    run = Run(tmp_path, progress=False)
    train(DATA, MODEL, CONFIG, run, False)
    metrics = train(DATA, MODEL, replace(CONFIG, steps=9), run, resume=True)
    assert (metrics["step"], metrics["complete"]) == (9, 1.0)
    assert [row["step"] for row in rows_of(tmp_path)] == ["3", "3", "3", "3", "6", "9"]


@pytest.mark.parametrize(
    ("model", "config", "data"),
    [
        (replace(MODEL, width=8), CONFIG, DATA),
        (MODEL, replace(CONFIG, learning_rate=1e-3), DATA),
        (MODEL, replace(CONFIG, seed=5), DATA),
        (MODEL, CONFIG, replace(DATA, sha256={"a.xyz": "1" * 64})),
        (MODEL, CONFIG, replace(DATA, validation=DATA.train)),
    ],
    ids=["width", "learning rate", "seed", "file", "split"],
)
def test_other_settings_and_data_are_refused_on_resuming(model, config, data, tmp_path):
    run = Run(tmp_path, stop_after=0, progress=False)
    train(DATA, MODEL, CONFIG, run, False)
    with pytest.raises(CheckpointError, match=r"written with other (settings|data)"):
        train(data, model, config, run, resume=True)


def test_renamed_files_are_the_same_data(tmp_path):
    run = Run(tmp_path, stop_after=0, progress=False)
    train(DATA, MODEL, CONFIG, run, False)
    renamed = replace(DATA, sha256={"b.xyz": "0" * 64})
    assert train(renamed, MODEL, CONFIG, run, resume=True)["step"] == 2


@pytest.mark.parametrize("kind", ["empty", "rubbish", "zip", "truncated", "other"])
def test_a_damaged_state_is_an_error(kind, tmp_path):
    torch.save({"some": torch.ones(1000)}, tmp_path / "last.pt")
    content = (tmp_path / "last.pt").read_bytes()
    contents = {
        "empty": b"",
        "rubbish": b"rubbish",
        "zip": b"PK\x03\x04 rubbish",
        "truncated": content[:-200],
    }
    (tmp_path / "last.pt").write_bytes(contents.get(kind, content))
    with pytest.raises(CheckpointError, match=r"last\.pt: is damaged"):
        train(DATA, MODEL, CONFIG, Run(tmp_path, progress=False), resume=True)


# Parts


def test_models_are_enlarged_to_the_data_which_must_be_there(tmp_path):
    run = Run(tmp_path, progress=False)
    train(DATA, replace(MODEL, elements=(1, 6), max_atoms=2), CONFIG, run, False)
    config = checkpoint.load(str(tmp_path)).model.config
    assert (config.elements, config.max_atoms) == ((1, 6, 7, 8), 9)
    with pytest.raises(ConfigError, match="no validation conformers"):
        train(replace(DATA, validation=ConformerBlock.of([])), MODEL, CONFIG, run, False)


def test_every_conformer_is_drawn_once_an_epoch():
    epochs = []
    for epoch in range(2):
        places = [drawn(24, 8, 0, step, "cpu")[0].tolist() for step in range(3 * epoch, 3 * epoch + 3)]
        assert sorted(itertools.chain(*places)) == list(range(24))
        epochs.append(places)
    assert epochs[0] != epochs[1]


def test_a_data_set_smaller_than_a_batch_is_one_batch():
    assert sorted(drawn(24, 512, 0, 0, "cpu")[0].tolist()) == list(range(24))


def test_the_schedule_warms_up_and_cools_down():
    rates = [learning_rate(1.0, step, 100, 10) for step in range(100)]
    assert rates[0] < 0.11 and max(rates) == max(rates[8:15]) > 0.95
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert all(a > b for a, b in itertools.pairwise(rates[15:]))


def test_distortion_moves_atoms_and_not_padding():
    x = whole(DATA.train, 9)
    moved = distort(x, 0.5, torch.Generator().manual_seed(0))
    shift = (moved.pos - x.pos).norm(dim=-1)
    assert (shift[~x.mask] == 0).all() and (shift[x.mask] > 0).all()
    assert 0.1 < shift[x.mask].mean() < 0.5
    assert torch.equal(distort(x, 0.5, torch.Generator().manual_seed(0)).pos, moved.pos)
    assert distort(x, 0.0, torch.Generator()) is x


def test_the_log_keeps_rows_and_widens(tmp_path):
    path = tmp_path / "metrics.csv"
    log(path, {"stage": "frame", "step": 1})
    log(path, {"stage": "autoencoder", "step": 2, "rmsd_mean": 0.5})
    assert rows_of(tmp_path) == [
        {"stage": "frame", "step": "1", "rmsd_mean": ""},
        {"stage": "autoencoder", "step": "2", "rmsd_mean": "0.5"},
    ]


# From files


def write_xyz(path: Path, *names: str) -> Path:
    symbols = {1: "H", 6: "C", 7: "N", 8: "O"}
    frames = []
    for seed, name in enumerate(names):
        c = random_conformer(4 + seed % 3, seed)
        atoms = zip(c.atomic_number.tolist(), c.position.tolist(), strict=True)
        frames.append(
            f"{len(c)}\n{name}\n" + "".join(f"{symbols[z]} {x} {y} {w}\n" for z, (x, y, w) in atoms)
        )
    path.write_text("".join(frames))
    return path


def write_npz(path: Path, split: list[int]) -> np.ndarray:
    """QM9 as its reader expects it; returns coordinates (N, 3)."""
    conformers = [random_conformer(3 + k, k) for k in range(len(split))]
    units = np.round(np.concatenate([c.position for c in conformers]) * 1e4).astype(np.int64)
    np.savez(
        path,
        gdb_index=np.arange(1, len(split) + 1) * 7,
        n_atoms=np.array([len(c) for c in conformers], dtype=np.uint8),
        atomic_number=np.concatenate([c.atomic_number for c in conformers]),
        position_high=(units >> 8).astype(np.int16),
        position_low=(units & 255).astype(np.uint8),
        split=np.array(split, dtype=np.uint8),
    )
    return units * 1e-4


def test_qm9_is_read_by_split(tmp_path):
    path = tmp_path / "qm9.npz"
    position = write_npz(path, [0, 2, 1, 0, 1])
    assert position.min() < 0, "negative coordinates must be among them"
    everything = read_npz(path)
    assert everything.title == ["gdb 7", "gdb 14", "gdb 21", "gdb 28", "gdb 35"]
    assert_allclose(everything.position, position, atol=1e-12)
    assert_array_equal(everything.n_atoms, [3, 4, 5, 6, 7])
    assert_array_equal(everything[1].atomic_number, random_conformer(4, 1).atomic_number)
    assert read_npz(path, "train").title == ["gdb 7", "gdb 28"]
    assert read_npz(path, "validation").title == ["gdb 21", "gdb 35"]
    assert read_npz(path, "test").title == ["gdb 14"]


def test_other_npz_files_are_errors(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(MolgiaeError, match="no such file"):
        read_npz(path)
    np.savez(path, position_high=np.zeros((2, 3)))
    with pytest.raises(MolgiaeError, match="gdb_index"):
        read_npz(path)
    for content in (b"", b"rubbish", b"PK\x03\x04 rubbish", path.read_bytes()[:200]):
        path.write_bytes(content)
        with pytest.raises(MolgiaeError, match=r"a\.npz: cannot be read as npz"):
            read_npz(path)


@pytest.mark.parametrize("seed", range(5))
def test_conformers_of_a_molecule_stay_on_one_side(seed):
    titles = [f"molecule {k % 40}" for k in range(200)] + [""] * 10
    held = held_out(titles, seed)
    sides = {
        title: {bool(h) for t, h in zip(titles, held, strict=True) if t == title} for title in titles if title
    }
    assert all(len(side) == 1 for side in sides.values())
    groups = len({t for t, h in zip(titles, held, strict=True) if h and t}) + int(held[200:].sum())
    assert groups == round(0.05 * 50)
    assert_array_equal(held_out(titles, seed), held)


def test_there_is_always_something_to_train_on_and_to_validate_with():
    assert sorted(held_out(["a", "b"], 0).tolist()) == [False, True]
    for titles in ([], ["a"], ["a", "a"]):
        with pytest.raises(
            ConfigError, match=f"{len(set(titles))} molecules: pretraining needs at least two"
        ):
            held_out(titles, 0)


def test_the_split_depends_on_the_seed():
    titles = [str(k) for k in range(100)]
    assert not np.array_equal(held_out(titles, 0), held_out(titles, 1))


def test_data_come_from_files_of_every_kind(tmp_path):
    xyz = write_xyz(tmp_path / "a.xyz", "a", "b", "c")
    with Hdf5Writer(tmp_path / "b.h5", columns=()) as writer:
        writer.append(DATA.train)
    data = read_data([xyz, tmp_path / "b.h5"], seed=0)
    assert len(data.train) + len(data.validation) == 27
    assert not set(data.train.title) & set(data.validation.title)
    assert data.sha256 == {p.name: sha256_of(p) for p in (xyz, tmp_path / "b.h5")}
    with pytest.raises(ConfigError, match="no input"):
        read_data([], seed=0)


def test_an_npz_file_brings_its_split(tmp_path):
    write_npz(tmp_path / "qm9.npz", [0, 2, 1, 0, 1])
    data = read_data([tmp_path / "qm9.npz"], seed=0)
    assert (len(data.train), len(data.validation), data.name) == (2, 2, "qm9.npz, split train")


def test_records_that_cannot_be_read_are_listed(tmp_path):
    path = write_xyz(tmp_path / "a.xyz", *"abcdef")
    path.write_text(path.read_text() + XYZ_CASES["NaN"][0])
    metrics = pretrain([path], tmp_path / "run", PLAIN, CONFIG)
    assert metrics["rejected"] == 1
    assert "'nan'" in (tmp_path / "run" / "rejected.csv").read_text()
    assert checkpoint.load(str(tmp_path / "run")).provenance["rejected_records"] == 1


def test_the_model_grows_to_the_data_and_never_shrinks():
    small_model = replace(MODEL, elements=(6, 9), max_atoms=2)
    assert fitted(small_model, DATA) == replace(MODEL, elements=(1, 6, 7, 8, 9), max_atoms=9)
    large = replace(MODEL, max_atoms=50, elements=(1, 6, 7, 8, 53))
    assert fitted(large, DATA) == large


def test_conformers_of_held_out_molecules_never_train(tmp_path):
    write_npz(tmp_path / "qm9.npz", [0, 2, 1, 0])
    more = write_xyz(tmp_path / "more.xyz", "gdb 7", "gdb 14", "gdb 21", "other")
    data = read_data([tmp_path / "qm9.npz", more], 0)
    assert data.train.title == ["gdb 7", "gdb 28", "gdb 7", "other"]
    assert data.validation.title == ["gdb 21"]
    assert data.left_out == 2
    with pytest.raises(ConfigError, match="one npz file at a time"):
        read_data([tmp_path / "qm9.npz", tmp_path / "qm9.npz"], 0)


def test_molecules_that_the_npz_does_not_know_are_split_by_title(tmp_path):
    write_npz(tmp_path / "qm9.npz", [0, 2, 1, 0])
    more = write_xyz(tmp_path / "more.xyz", "gdb 7", *(f"drug {k // 2}" for k in range(80)))
    data = read_data([tmp_path / "qm9.npz", more], 0)
    held = set(data.validation.title) - {"gdb 21"}
    assert len(held) == 2 and not held & set(data.train.title)
    assert len(data.train) + len(data.validation) == 3 + 81
    assert data.train.title.count("gdb 7") == 2


def test_the_largest_conformer_may_be_in_the_validation_set():
    data = replace(DATA, validation=ConformerBlock.of([random_conformer(12, 0, elements=(16,))]))
    grown = fitted(MODEL, data)
    assert grown.max_atoms == 12 and 16 in grown.elements


def test_a_run_is_not_overwritten_and_can_be_resumed(tmp_path):
    path = write_xyz(tmp_path / "a.xyz", *"abcdef")
    run = tmp_path / "run"
    first = pretrain([path], run, PLAIN, CONFIG, stop_after=0)
    assert first["complete"] == 0.0
    assert not (run / "curve.png").exists(), "there is nothing to draw yet"
    with pytest.raises(ConfigError, match="holds a run already; continue it with --resume"):
        pretrain([path], run, PLAIN, CONFIG)
    assert pretrain([path], run, PLAIN, CONFIG, resume=True)["complete"] == 1.0
    assert {p.name for p in run.iterdir()} == {
        "model.safetensors",
        "metrics.csv",
        "last.pt",
        "pairs.npz",
        "curve.png",
    }


WITHOUT_TOOLKITS = """
import sys
sys.modules["rdkit"] = sys.modules["ase"] = None  # importing them fails
import json, molgiae, molgiae.training
from molgiae.config import ModelConfig, TrainConfig
from molgiae.commands.pretrain import pretrain
npz, xyz, out = sys.argv[1:]
model = ModelConfig(
    max_atoms=9, embedding_dim=6, width=8, layers=1, features_dim=2, shape_dim=2, atom_width=8, atom_rounds=1,
    property_width=8, property_layers=1,
)
config = TrainConfig(batch_size=4, steps=2, shape_steps=2, atom_steps=2, property_steps=2)
print(json.dumps([pretrain([f], f"{out}/{k}", model, config)["complete"] for k, f in enumerate((npz, xyz))]))
print(len(molgiae.Embedder(f"{out}/0/model.safetensors").embed(molgiae.read_conformers(xyz))))
for name in ("rdkit", "ase"):
    try:
        __import__(name)
    except ImportError:
        print("there is no", name)
"""


def test_pretraining_and_embedding_need_neither_rdkit_nor_ase(tmp_path):
    """Training machines may lack it."""
    write_npz(tmp_path / "qm9.npz", [0, 0, 0, 1])
    xyz = write_xyz(tmp_path / "a.xyz", *"abcd")
    command = [sys.executable, "-c", WITHOUT_TOOLKITS, str(tmp_path / "qm9.npz"), str(xyz), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert json.loads(first) == [1.0, 1.0]
    assert rest == ["4", "there is no rdkit", "there is no ase"]


def test_the_linear_start_reconstructs_with_all_components():
    block = DATA.train
    model = build(
        ModelConfig(
            embedding_dim=29 * 9,
            features_dim=0,
            shape_dim=0,
            width=8,
            layers=1,
            atom_width=0,
            property_width=0,
        )
    )
    x = pack(block.atomic_number, block.position, block.offset)
    forms = padded(model.canonical(x), 29).to(dtype=torch.float32)
    start_from_components(model.encoder.slots, model.decoder, forms)
    decoded = model.decode(model.encoder.slots(forms.z, forms.pos))
    assert torch.equal(decoded.z, forms.z)
    assert torch.allclose(decoded.pos * forms.mask[..., None], forms.pos, atol=1e-3)


def test_a_few_large_conformers_do_not_rule_the_linear_start():
    """Ordinary components follow the largest variance, so they would spend themselves on the ten large ones."""
    random = torch.Generator().manual_seed(0)
    z, pos = torch.zeros(1010, 29, dtype=torch.long), torch.zeros(1010, 29, 3)
    z[:1000, :3], z[1000:] = 6, 6
    pos[:1000, 1, 0] = 1.4 + 0.3 * torch.randn(1000, generator=random)
    pos[:1000, 2, :2] = 1 + 0.3 * torch.randn(1000, 2, generator=random)
    pos[1000:] = 3 * torch.randn(10, 29, 3, generator=random)
    forms = Cloud(z, pos)
    model = build(
        ModelConfig(
            embedding_dim=8, features_dim=0, shape_dim=0, width=8, layers=1, atom_width=0, property_width=0
        )
    )
    encoder = model.encoder.slots
    features = encoder.features(forms.z, forms.pos)

    def error_of_small(mean, axes):
        offset = (features - mean)[:1000]
        return float((offset - offset @ axes @ axes.mT).norm(dim=1).mean())

    plain = features.mean(dim=0)
    ordinary = error_of_small(plain, torch.linalg.svd(features - plain).Vh[:8].mT)
    assert error_of_small(*principal_components(encoder, forms, 8)) < 0.1 * ordinary
