"""Angular synchronization: rotated copies find one another, and agree exactly when they were rotated like that."""

from __future__ import annotations

import math

import pytest
import torch

from molgiae.experiments.rotated_pictures import rotated
from molgiae.experiments.steerable2d import DiscHarmonics
from molgiae.experiments.synchronization import ROTATIONS, disagreement, matches
from tests.experiments.test_mnist import drawn

STEPS = torch.tensor([0, 3, 11, 20])


@pytest.fixture(scope="module")
def copies():
    """Three pictures, each rotated four times by multiples of the rotations that are tried."""
    disc = DiscHarmonics(28, 8, 8)
    picture = torch.from_numpy(drawn(9)[0][::4]).float() / 255
    angle = (STEPS * (2 * math.pi / ROTATIONS)).repeat(len(picture))
    return disc, rotated(picture.repeat_interleave(len(STEPS), dim=0), angle), angle


def test_rotated_copies_are_nearest_by_their_rotation(copies):
    disc, pictures, angle = copies
    nearest, turn = matches(disc, pictures, len(STEPS) - 1)
    of = torch.arange(len(pictures))
    assert ((nearest // len(STEPS)) == (of // len(STEPS))[:, None]).all()
    assert (nearest != of[:, None]).all()
    apart = angle[:, None] - angle[nearest] - turn
    assert (1 - apart.cos()).max() < 1e-5


def test_rotations_that_were_made_agree_and_others_do_not(copies):
    disc, pictures, angle = copies
    found = matches(disc, pictures, len(STEPS) - 1)
    assert disagreement(angle + 1.3, *found) < 1e-5
    assert disagreement(-angle, *found) > 0.1
    assert disagreement(torch.zeros_like(angle), *found) > 0.1
