"""Candidate frames: whole shells at the limits, and few of them where there would be many."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from molgiae.canonical import frame as frames
from molgiae.canonical.forms import canonical_forms
from molgiae.data.conformer import Conformer
from molgiae.model.cloud import Cloud
from tests.geometries import by_graph, one, random_action


def waters(number: int, seed: int) -> Cloud:
    """Water molecules at random about the points of a cubic grid, turned at random."""
    rng = np.random.default_rng(seed)
    edge = int(np.ceil(number ** (1 / 3)))
    corners = np.stack(np.meshgrid(*[np.arange(edge)] * 3), axis=-1).reshape(-1, 3)[:number]
    own = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])
    turned = np.stack([Rotation.random(random_state=rng).apply(own) for _ in range(number)])
    pos = turned + 3.1 * corners[:, None] + rng.normal(scale=0.15, size=(number, 1, 3))
    return one([8, 1, 1] * number, torch.from_numpy(pos.reshape(-1, 3)))


def assert_one_form(x: Cloud, tolerance: float = 1e-7) -> None:
    expected = x.moved(by_graph(x).g.inverse())
    for seed in range(3):
        y = x.moved(random_action(x, seed))
        assert float((y.moved(by_graph(y).g.inverse()).pos - expected.pos).abs().max()) < tolerance


@pytest.mark.parametrize("limit", frames.MIN_RADII[:3])
@pytest.mark.parametrize("decimals", [4, 6, 12])
def test_equivalent_atoms_about_a_limit_are_taken_together(limit, decimals):
    """Rounding moves the distances of eight atoms to both sides of it."""
    corners = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)]) / 3**0.5
    for pose in range(20):
        turned = Rotation.random(random_state=pose).apply(limit * corners).round(decimals)
        assert len(frames.directions(np.zeros(8, dtype=np.int64), turned, False)[0]) == 8


def test_the_rarest_shell_is_whole_and_of_the_rarest_the_most_isolated():
    low, high, steadiness = frames.rarest_shell(np.array([2.0, 3.0, 2.0 + 1e-4, 3.3, 5.0, 5.0, 3.5]))
    assert (low, high) == (3.0, 3.0)
    assert steadiness == pytest.approx((0.3 - 0.2) / 2)
    low, high, steadiness = frames.rarest_shell(np.array([2.0, 2.001, 1.999]))
    assert (low, high) == (1.999, 2.001)
    assert steadiness > 1


@pytest.mark.parametrize("work", [100_000, 8_000])
def test_thinned_candidates_give_one_form_too(monkeypatch, work):
    x = waters(24, seed=1)
    full = x.moved(by_graph(x).g.inverse())
    monkeypatch.setattr(frames, "MAX_PLACED_ATOMS", work)
    assert_one_form(x)
    assert float(by_graph(x).stability) > 0
    thinned = x.moved(by_graph(x).g.inverse())
    assert (float((thinned.pos - full.pos).abs().max()) > 0.1) is (work < 24 * 24 * 72)


def test_too_many_candidates_say_so():
    """Not even the first can be afforded; the answer is still a frame, but not to be relied on."""
    cube = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)], dtype=float)
    for most, is_steady in ((frames.MAX_PLACED_ATOMS, True), (10, False)):
        found, steadiness = frames.frame_of_atoms(np.zeros(8, dtype=np.int64), cube, np.empty((0, 3)), most)
        assert (steadiness > 0) is is_steady
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-12)


CUBE = 3.72 * np.stack(np.meshgrid(*[np.arange(8)] * 3), axis=-1).reshape(-1, 3)
TURNS = 2 * np.pi / 90 * np.arange(90)
LARGE = {
    # name: (element, places, point group)
    "a crystal": (18, CUBE, "Oh"),
    "a crystal, noisy": (18, CUBE + np.random.default_rng(0).normal(scale=0.2, size=CUBE.shape), "C1"),
    "a ring": (6, 20.0 * np.stack([np.cos(TURNS), np.sin(TURNS), 0 * TURNS], axis=1), "D90h"),
}


@pytest.mark.parametrize("name", LARGE)
def test_clusters_of_many_equal_atoms_take_seconds(name):
    element, places, group = LARGE[name]
    rng, copies = np.random.default_rng(1), []
    for pose in range(2):
        turned = Rotation.random(random_state=pose).apply(rng.permutation(places))
        copies.append(Conformer(np.full(len(places), element, np.uint8), turned))
    started = time.process_time()
    forms = canonical_forms(copies)
    assert time.process_time() - started < 5
    assert forms["point_group"].tolist() == [group] * 2
    np.testing.assert_allclose(*forms["canonical_position"].reshape(2, -1, 3), atol=1e-7)


SCRIPT = """
import resource, torch
from tests.canonical.test_frame import waters
from tests.geometries import by_graph
torch.set_num_threads(1)
by_graph(waters(1000, seed=2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_thousand_waters_take_bounded_memory_and_give_one_form():
    assert_one_form(waters(1000, seed=2))
    tree = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=tree
    )
    assert int(found.stdout) * 1024 < 1e9
