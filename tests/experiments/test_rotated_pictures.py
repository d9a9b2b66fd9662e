"""Pictures that rotate: copies find one another by their rotation, and get one pose that all share."""

from __future__ import annotations

import math

import pytest
import torch

from molgiae.experiments.rotated_pictures import ROTATIONS, canonical_angles, matches, rotated
from tests.experiments.test_mnist import drawn

STEPS = torch.tensor([0, 3, 11, 20])


@pytest.fixture(scope="module")
def copies():
    """Five pictures, each rotated four times by multiples of the rotations that are tried."""
    picture = torch.from_numpy(drawn(10)[0][::2]).float() / 255
    angle = (STEPS * (2 * math.pi / ROTATIONS)).repeat(len(picture))
    return rotated(picture.repeat_interleave(len(STEPS), dim=0), angle), angle


def test_rotated_copies_are_nearest_by_their_rotation(copies):
    pictures, angle = copies
    nearest, turn, square = matches(pictures, len(pictures), len(STEPS))
    of = torch.arange(len(pictures))[:, None]
    assert (nearest != of).all()
    nearest, turn = nearest[:, :-1], turn[:, :-1]
    assert (nearest // len(STEPS) == of // len(STEPS)).all()
    assert (1 - (angle[:, None] - angle[nearest] - turn).cos()).max() < 1e-5
    assert (square.diff(dim=1) >= 0).all()
    assert (square[:, -1] > 5 * square[:, -2]).all()


def test_matches_are_among_those_known(copies):
    nearest, _, square = matches(copies[0], 6, 3)
    assert nearest.shape == square.shape == (len(copies[0]), 3)
    assert nearest.max() < 6


@pytest.mark.parametrize("seed", [0, 1])
def test_poses_follow_the_rotations(copies, seed):
    """Rotated back by its angle, every copy of a picture lies as the others do."""
    pictures, angle = copies
    found = canonical_angles(pictures, len(pictures), len(STEPS) - 1, seed)

    def alike(off):
        return torch.polar(torch.ones_like(off), off).unflatten(0, (-1, len(STEPS))).mean(dim=1).abs()

    assert alike(found - angle).min() > 0.98
    assert alike(found + angle).max() < 0.9
