"""The table says what the figures are, and whether they are worth anything."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from molgiae.errors import ShapeError
from molgiae.properties.scores import class_plot, compare, parity_plot, score
from molgiae.properties.targets import Target, find

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(200, 1))
ENERGY = find("gap").to("eV")


def off(scale: float, seed: int) -> np.ndarray:
    return TRUTH + scale * np.random.default_rng(seed).normal(size=TRUTH.shape)


def table(**rows: np.ndarray):
    return compare(TRUTH, rows, [ENERGY], (800, 100, 200), "model")


def test_scores_by_hand():
    truth = np.array([[0.0, 1.0], [2.0, np.nan], [4.0, np.nan]])
    found = score(
        np.array([[1.0, 1.5], [2.0, 9.0], [2.0, 9.0]]), truth, np.array([[0.0, 0], [1.0, 0], [4.0, 0]])
    )
    assert found.mae == pytest.approx([1.0, 0.5])
    assert found.rmse == pytest.approx([(5 / 3) ** 0.5, 0.5])
    assert found.r2[0] == pytest.approx(1 - 5 / 8)
    assert found.r2_rest[0] == pytest.approx(1 - (5 / 3) / np.var([0.0, 1.0, 0.0]))
    assert np.isnan(found.r2[1])
    with pytest.raises(ShapeError):
        score(TRUTH, TRUTH[:5])


def test_equal_values_have_no_r2():
    found = score(np.array([[1.0], [2.0], [4.0]]), np.full((3, 1), 0.1))
    assert np.isnan(found.r2).all() and np.isnan(found.r2_rest).all() and found.mae[0] > 1


def test_a_target_without_values_has_no_scores():
    found = score(np.zeros((3, 1)), np.full((3, 1), np.nan))
    assert np.isnan([found.mae, found.rmse, found.r2, found.r2_rest]).all()


def test_a_good_model_is_praised():
    found = table(mean=np.zeros_like(TRUTH), composition=off(0.5, 1), model=off(0.1, 2))
    assert found.beaten(0) == ["mean", "composition"]
    assert "model beats every row" in found.verdict()[0]


def test_a_useless_model_is_called_so():
    found = table(mean=off(0.5, 3), composition=off(0.1, 1), model=off(0.5, 2))
    assert "model is NOT better than composition (MAE" in found.verdict()[0]
    assert "NOT better" in found.text()


def test_a_model_within_the_noise_is_not_called_better():
    model = off(0.1, 2)
    found = table(mean=model + 0.001 * RNG.normal(size=TRUTH.shape), model=model)
    assert "better than mean" in found.verdict()[0] and "within 2 standard errors" in found.verdict()[0]
    one = compare(TRUTH[:1], {"mean": TRUTH[:1] + 1, "model": TRUTH[:1]}, [ENERGY], (3, 1, 1), "model")
    assert "not clearly better than mean" in one.verdict()[0]


def test_a_model_that_only_beats_the_trivial_rows():
    found = table(mean=off(1.0, 3), **{"kernel ridge on embedding": off(0.05, 1)}, model=off(0.2, 2))
    assert "beats the trivial rows, but not kernel ridge on embedding (MAE" in found.verdict()[0]


def test_a_row_without_values_is_beaten_by_nobody():
    found = table(mean=off(1.0, 3), broken=np.full_like(TRUTH, np.nan), model=off(0.1, 2))
    assert found.beaten(0) == ["mean"]


def test_a_model_that_diverged_is_not_praised():
    assert "NOT better" in table(mean=off(1.0, 3), model=np.full_like(TRUTH, np.nan)).verdict()[0]


def test_text_and_plain_data_say_the_same():
    found = table(mean=np.zeros_like(TRUTH), model=off(0.1, 2))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    row = data["targets"]["gap"]["rows"]["model"]
    assert data["targets"]["gap"]["unit"] == "eV" and data["sizes"] == {
        "train": 800,
        "validation": 100,
        "test": 200,
    }
    text = found.text()
    assert "gap (eV), 200 test values" in text and f"{row['mae']:.4g}" in text and f"{row['r2']:.4f}" in text
    assert data["verdict"] == found.verdict()


@pytest.mark.parametrize("kind", ["both classes", "one class", "no value"])
def test_class_plot(tmp_path, kind):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=(60, 2)).astype(float)
    truth[:, 1] = {"both classes": truth[:, 0], "one class": 1.0, "no value": np.nan}[kind]
    path = class_plot(
        tmp_path / "a.svg", truth, rng.random((60, 2)), [Target.of("toxic"), Target.of("active")]
    )
    text = path.read_text()
    titles = re.findall("<!-- (.*?) -->", text)
    assert any(title.startswith("toxic: ROC-AUC 0.") for title in titles)
    assert any(title.startswith("active: ROC-AUC") for title in titles) == (kind == "both classes")


def test_parity_plot(tmp_path):
    pytest.importorskip("matplotlib")
    targets, values = [ENERGY, Target.of("logP")], np.concatenate([TRUTH, TRUTH], axis=1)
    values[:5, 0], values[:, 1] = np.nan, np.nan
    for name, explained in (("a.png", np.ones_like(values)),):
        path = parity_plot(
            tmp_path / name, values, values + 0.1, targets, np.full_like(values, 0.1), explained
        )
        assert path.stat().st_size > 1000
