"""Estimates of overlays are judged rightly: those that are exact, those that are random, those of the wrong sign."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.conformer import ConformerBlock
from molgiae.data.overlay import overlay, shape_of
from molgiae.evaluation import overlay_fidelity as overlay_fidelity_module
from molgiae.evaluation.overlay_fidelity import (
    FOUND,
    SIMILARITIES,
    block_nearness,
    mean_tanimoto,
    nearness,
    overlay_fidelity,
    overlay_search,
    random_pairs,
    tanimoto,
)
from molgiae.evaluation.overlay_worker import exact_overlays
from tests.conformers import conformer
from tests.evaluation.described import by_title, molecule, panel_of


def diatomics(size: int) -> ConformerBlock:
    lengths = np.random.default_rng(0).uniform(1.1, 4.0, size)
    return ConformerBlock.of(
        [conformer([6, 6], [[0, 0, 0], [0, 0, x]], title=f"{k}") for k, x in enumerate(lengths)]
    )


def length(result) -> np.ndarray:
    x = result.block.position.reshape(-1, 2, 3)
    return np.linalg.norm(x[:, 1] - x[:, 0], axis=1)[:, None]


def pretended(block, pairs, best):
    """Overlays that go by bond lengths; with color by those in reverse."""
    x = block.position[1::2, 2]
    shape = -np.abs(x[pairs[:, 0]] - x[pairs[:, 1]])
    return (
        np.stack([shape, -shape], axis=1) if best == "combination" else np.stack([shape, 0 * shape], axis=1)
    )


def test_rank_correlations_with_what_is_exact():
    block = diatomics(300)
    noise = by_title({f"{k}": x for k, x in enumerate(np.random.default_rng(1).normal(size=300))})
    panel = panel_of(distance=length, noise=noise, opposite=length, nothing=lambda r: np.ones((len(r), 1)))
    opposite = {"opposite": lambda values, pairs: -nearness(values, pairs)}
    figures = overlay_fidelity(panel, block, 800, opposite, pretended)
    assert figures["distance"] == {
        "pairs": 800,
        "spearman": pytest.approx(1),
        "spearman_color": pytest.approx(-1),
    }
    assert figures["opposite"]["spearman"] == pytest.approx(-1)
    assert abs(figures["noise"]["spearman"]) < 0.15
    assert figures["nothing"]["spearman"] is None


def test_exact_overlays_are_those_of_rdkit():
    """Diatomics cover each other the better, the more their lengths agree."""
    block = diatomics(12)
    figures = overlay_fidelity(panel_of(x=length), block, 1000, {})
    assert figures["x"]["pairs"] == 66
    assert figures["x"]["spearman"] > 0.9


def test_processes_give_what_one_gives():
    block = ConformerBlock.of([molecule(smiles) for smiles in ("CCO", "c1ccccc1O", "CC(N)C(=O)O")])
    pairs = np.tile([[0, 1], [0, 2], [1, 2], [2, 2]], (50, 1))
    alone, apart = (exact_overlays(block, pairs, "combination", jobs=jobs) for jobs in (1, 2))
    assert_allclose(alone, apart)
    own = overlay(*(shape_of(block[m]) for m in (0, 1)))
    assert_allclose(alone[0], [own.shape_tanimoto, own.combination])
    assert_allclose(alone[3], 1, atol=1e-6)
    plain = exact_overlays(block, pairs[:4], "shape")
    assert (plain[:, 0] >= alone[:4, 0] - 1e-6).all()


def test_tanimoto_of_vectors():
    """Inner products are overlaps: of halves of a thing, of nothing, of the thing itself."""
    values = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 2.0]])
    pairs = np.array([[0, 1], [0, 2], [1, 1]])
    assert_allclose(tanimoto(values, pairs, slice(0, 2)), [0.5, 0, 1])
    assert_allclose(mean_tanimoto(values, pairs, (slice(0, 2), slice(2, 3))), [0.5 / 1.2, 0, 1])
    assert_allclose(nearness(values, pairs), [-np.sqrt(10), -np.sqrt(6), 0])
    assert_allclose(block_nearness(values, pairs), [-4, -4, 0])
    assert set(SIMILARITIES) == {"USR", "USRCAT"}


def test_pairs_are_different_and_not_repeated():
    assert len(random_pairs(5, 100, 0)) == 10
    pairs = random_pairs(1000, 2000, 0)
    assert len(np.unique(pairs, axis=0)) == 2000 and (pairs[:, 0] < pairs[:, 1]).all()
    assert len(random_pairs(80, 3000, 0)) > 2000


def test_best_overlays_among_the_first():
    block = diatomics(4 * FOUND)
    noise = by_title({f"{k}": x for k, x in enumerate(np.random.default_rng(1).normal(size=len(block)))})
    panel = panel_of(distance=length, noise=noise, opposite=length)
    opposite = {"opposite": lambda values, pairs: -nearness(values, pairs)}
    figures = overlay_search(panel, block, opposite, gallery=4 * FOUND, queries=20, exact=pretended)
    assert figures["distance"] == {"gallery": 400, "queries": 20, "found": 1.0}
    assert figures["opposite"]["found"] == 0
    assert 0.15 < figures["noise"]["found"] < 0.35


def test_many_pairs_of_wide_descriptors_are_taken_in_pieces(monkeypatch):
    """SOAP has thousands of numbers, and there may be a quarter of a million pairs."""
    values, pairs = np.random.default_rng(0).normal(size=(20, 7)), random_pairs(20, 100, seed=0)
    whole, seen = nearness(values, pairs), []

    def piece(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        seen.append(a.size)
        return -np.linalg.norm(a - b, axis=1)

    monkeypatch.setattr(overlay_fidelity_module, "AT_ONCE", 30)
    np.testing.assert_array_equal(overlay_fidelity_module._of_pairs(values, pairs, piece), whole)
    assert max(seen) <= 30
