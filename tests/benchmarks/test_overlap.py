"""The compiled overlap that labels are made by: known motions are undone, and RDKit finds no better."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from molgiae.data.conformer import Conformer
from molgiae.data.overlay import overlay, shape_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from overlap import tanimoto_of_all  # noqa: E402 - a script's neighbour, not a package

pytestmark = pytest.mark.slow  # compiling takes longer than the test


def blobs(number: int) -> list[np.ndarray]:
    """Heavy atoms in random chains, 1.5 angstrom apart."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(number, 14, 3))
    return list(1.5 * np.cumsum(steps / np.linalg.norm(steps, axis=-1, keepdims=True), axis=1))


def test_copies_in_any_pose_overlap_wholly_and_all_similarities_stay():
    positions = blobs(6)
    turns = Rotation.random(6, random_state=1)
    moved = [turn.apply(position) + 5.0 for turn, position in zip(turns, positions, strict=True)]
    found = tanimoto_of_all(positions + moved)
    np.testing.assert_allclose(found[range(6), range(6, 12)], 1, atol=1e-4)
    np.testing.assert_allclose(found[:6, :6], found[6:, 6:], atol=0.02)
    np.testing.assert_allclose(found, found.T)


def test_it_finds_what_rdkit_finds_or_better():
    positions = blobs(8)
    shapes = [shape_of(Conformer(np.full(14, 6, np.uint8), position), color=False) for position in positions]
    theirs = np.array([[overlay(a, b, "shape").shape_tanimoto for b in shapes] for a in shapes])
    ours = tanimoto_of_all(positions)
    assert (ours > theirs - 0.02).mean() > 0.95 and (ours - theirs).mean() > -1e-3
