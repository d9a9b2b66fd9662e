"""What can be learned is learned, what cannot is not, and nothing of the test labels is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from molgiae.errors import ConfigError
from molgiae.evaluation.descriptors import COMPOSITION, numbers_of_atoms
from molgiae.evaluation.feature_learning import DRAWS, feature_learning, read_targets, trials
from molgiae.properties.labels import Labelled
from tests.evaluation.described import by_title, panel_of
from tests.properties.labelled import chain, labelled_of

SIZE = 120
HIDDEN = np.random.default_rng(0).normal(size=SIZE)
CONFORMERS = [chain(3 + k % 4, f"{k}", z=(6, 8)[k % 2], seed=k) for k in range(SIZE)]
ATOMS = np.array([len(c) for c in CONFORMERS], float)


def made_up(split: bool = True) -> Labelled:
    """Values of two targets: of atoms and of what is hidden, and noise."""
    noise = np.random.default_rng(1).normal(size=SIZE)
    values = np.stack([100 * ATOMS + np.sin(HIDDEN), noise], axis=1)
    labelled = labelled_of(CONFORMERS, values, [0 if k < 90 else 2 for k in range(SIZE)] if split else None)
    x, y = labelled.targets
    return replace(labelled, targets=(x, replace(y, name="y", symbol="y/z")))


def knowing():
    """Descriptors: one that knows, one that does not, and composition."""
    other = np.random.default_rng(2).normal(size=SIZE)
    known, unknown = (by_title({f"{k}": x for k, x in enumerate(column)}) for column in (HIDDEN, other))
    return panel_of(known=known, unknown=unknown, **{COMPOSITION: numbers_of_atoms})


def test_what_is_known_is_learned():
    figures = feature_learning(knowing(), made_up(), (40, 80, 5000))
    assert list(figures["known"])[::2] == ["x, 40 labels", "x, 80 labels", "x, 90 labels"]
    known, unknown, composition = (
        figures[name]["x, 80 labels"] for name in ("known", "unknown", COMPOSITION)
    )
    assert known["mae"] < 0.2 * min(composition["mae"], unknown["mae"])
    assert 0.4 < composition["mae"] < 0.8, "the sine that composition leaves"
    assert known["rmse"] >= known["mae"] and known["mae_std"] is None and known["test"] == 30
    assert figures["known"]["y_z, 80 labels"]["mae"] > 0.5


def test_test_labels_play_no_part():
    labelled = made_up()
    shifted = labelled.values.copy()
    shifted[90:] += 1000.0
    figures = feature_learning(knowing(), replace(labelled, values=shifted), (80,))
    assert figures["known"]["x, 80 labels"]["mae"] == pytest.approx(1000, abs=1)


def test_without_a_split_molecules_are_held_out_five_times():
    labelled = made_up(split=False)
    ((size, drawn),) = trials(labelled, (1000,), 0).items()
    assert len(drawn) == DRAWS
    molecule = np.full(SIZE, -1)
    for trial in drawn:
        molecule[trial.train] = trial.molecule
        assert not set(trial.molecule) & set(molecule[trial.test][molecule[trial.test] >= 0])
        assert len(trial.train) + len(trial.test) == SIZE
    own = replace(labelled, block=replace(labelled.block, title=["a"] * SIZE))
    with pytest.raises(ConfigError, match="one molecule"):
        trials(own.take(np.flatnonzero(ATOMS == 3)[:1]), (10,), 0)
    assert size <= SIZE


def test_trials_of_a_split():
    found = trials(made_up(), (20, 50), 0)
    (small,), (large,) = found.values()
    assert set(small.train) < set(large.train) <= set(range(90))
    assert set(large.test) == set(range(90, SIZE))
    with pytest.raises(ConfigError, match="both are needed"):
        trials(made_up().take(np.arange(90)), (20,), 0)


def test_targets_of_a_file(sdf, tmp_path):
    labelled = read_targets(sdf, ["k"])
    assert labelled.values[:, 0].tolist() == list(range(20)) and "M  END" in labelled.block.text[0]
    (tmp_path / "t.csv").write_text("title,gap\n" + "".join(f"m{k},{k / 10}\n" for k in range(5)))
    labelled = read_targets(sdf, ["gap"], tmp_path / "t.csv")
    assert len(labelled) == 5 and labelled.targets[0].unit == "eV"
    with pytest.raises(ConfigError, match="nothing_such"):
        read_targets(sdf, ["nothing_such"])
