"""Paths along which bonds break are what they say, and a step that jumps is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from molgiae.config import Domain, ModelConfig
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import ConformerBlock
from molgiae.experiments.qm9_scans import (
    AVERAGES,
    FORM,
    FRAME,
    STEP,
    measured,
    moved,
    passed_on,
    pulled_apart,
    rms_steps,
    summary,
)
from molgiae.model.architectures import build
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.embedder import Embedder
from tests.conformers import conformer
from tests.evaluation.described import molecule

BUTANOL = molecule("CCCCO")
BRIDGE = conformer([8, 1, 8, 1], [[0, 0, 0], [0.97, 0.05, 0], [2.6, 0, 0], [2.9, 0.9, 0]])


def bonds_of(z, frame):
    return {tuple(sorted(pair)) for pair in perceived_bonds(z, frame).tolist()}


def test_one_bond_is_pulled_apart():
    frames = pulled_apart(BUTANOL, np.random.default_rng(0))
    assert_allclose(frames[0], BUTANOL.position, atol=1e-9)
    assert_allclose(np.linalg.norm(np.diff(frames, axis=0), axis=2).max(axis=1), STEP, atol=1e-9)
    z = BUTANOL.atomic_number
    (broken,) = bonds_of(z, frames[0]) - bonds_of(z, frames[-1])
    assert 1 not in z[list(broken)]
    length = np.linalg.norm(frames[:, broken[0]] - frames[:, broken[1]], axis=1)
    assert_allclose(length, length[0] + STEP * np.arange(len(frames)), atol=1e-9)
    assert bonds_of(z, frames[-1]) < bonds_of(z, frames[0])
    assert pulled_apart(molecule("c1ccccc1"), np.random.default_rng(0)) is None


def test_one_proton_is_passed_on():
    frames = passed_on(BRIDGE, np.random.default_rng(0))
    z = BRIDGE.atomic_number
    assert_allclose(frames[:, [0, 2, 3]], np.repeat(BRIDGE.position[None, [0, 2, 3]], len(frames), axis=0))
    assert_allclose(np.linalg.norm(np.diff(frames[:, 1], axis=0), axis=1), STEP, atol=1e-9)
    assert bonds_of(z, frames[0]) == {(0, 1), (2, 3)} and bonds_of(z, frames[-1]) == {(1, 2), (2, 3)}
    assert cdist(frames[0], frames[0])[0, 1] == pytest.approx(0.95)
    assert passed_on(BUTANOL, np.random.default_rng(0)) is None


@pytest.mark.parametrize("architecture", ["learned", "slots"])
def test_steps_are_those_of_the_embedding(architecture):
    torch.manual_seed(0)
    sizes = {name: 0 for name in ("features_dim", "overlay_dim", "color_dim", "shape_dim", "atom_width")}
    config = ModelConfig(architecture, embedding_dim=8, width=16, layers=1, property_width=0, **sizes)
    embedder = Embedder(
        Checkpoint("tiny", build(config).eval(), Domain((1, 6, 7, 8), (1, 29), 20.0, (0.5, 3.0)))
    )
    (frames,) = moved(ConformerBlock.of([BUTANOL]), "bond pulled apart", 3, seed=0)
    assert not len(frames.bonds), "what is bonded is to be seen by the distances"
    known = embedder.embed(frames)
    steps, decoded = measured(embedder, [frames, frames], known, seed=0)
    embedding = known["embedding"].astype(np.float64)
    step = np.linalg.norm(np.diff(embedding, axis=0), axis=1)
    for path in steps["embedding"]:
        assert_allclose(path / path.max(), step / step.max(), atol=1e-6)
    still = np.linalg.norm(np.diff(frames.position.reshape(len(frames), -1, 3), axis=0), axis=2)
    assert (steps[FRAME][0] >= 0.4 * still.mean(axis=1)).all(), "rigid motions hide no more"
    assert (steps[FORM][0] > 0).all()
    assert (AVERAGES in steps) == (architecture == "learned")
    if architecture == "learned":
        assert max(steps[AVERAGES][0]) < 5 * np.median(steps[AVERAGES][0]), "it is smooth"
    assert decoded["first_frames_median"] > 0


def test_a_jump_is_counted():
    x = np.zeros((4, 2, 3))
    x[2:] += 1.0
    steps = rms_steps(x)
    assert_allclose(steps, [0, 3**0.5, 0])
    found = summary(FORM, [steps, np.zeros(3)])
    assert (found["jumps"], found["paths_with_jump"], found["largest_max"]) == (0.5, 0.5, 3**0.5)
