"""Latents of an ordinary autoencoder over rotations of digits drawn here."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from molgiae.experiments import Setting, augmented
from molgiae.experiments.augmented import ORDINARY, PROJECTIONS, RAW, UPRIGHT
from tests.experiments import test_mnist
from tests.experiments.test_mnist import data  # noqa: F401

TINY = replace(augmented.FAST, mnist=test_mnist.TINY, rotations=8, templates=5, decoded=4)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_it_does_not_matter_where_an_orbit_starts(name):
    generator = torch.Generator().manual_seed(0)
    z, templates = torch.randn(20, 8, 4, generator=generator), torch.randn(5, 4, generator=generator)
    s = PROJECTIONS[name](z, templates)
    torch.testing.assert_close(PROJECTIONS[name](z.roll(3, dims=1), templates), s)
    assert (PROJECTIONS[name](z + 1, templates) - s).abs().amax(dim=1).min() > 1e-3


def test_orbits_that_are_points_do_not_spread_and_mixed_ones_do():
    generator = torch.Generator().manual_seed(0)
    label = np.arange(60) % 10
    points = torch.randn(60, 1, 4, generator=generator).expand(-1, 8, -1)
    mixed = torch.randn(60, 8, 4, generator=generator)
    found = [augmented.spread(z, label, 500, generator) for z in (points, mixed)]
    assert found[0]["spread"] == 0
    assert found[0]["nearest_is_the_same_digit"] == 1
    assert found[1]["spread"] == pytest.approx(7 / 8, abs=0.1)  # one pair of eight is of one rotation
    assert found[1]["nearest_is_the_same_digit"] < 0.2


@pytest.mark.slow
def test_run(data, tmp_path):  # noqa: F811
    findings = augmented.run(TINY, Setting(tmp_path, data=data))
    rows = findings.figures["table"]
    names = [RAW, *PROJECTIONS]
    assert [(row["model"], row["embedding"]) for row in rows] == [
        (m, n) for m in (ORDINARY, UPRIGHT) for n in names
    ]
    spread = findings.figures["spread"]
    assert spread[UPRIGHT]["spread"] < spread[ORDINARY]["spread"]
    assert len(findings.bars) == 1 + len(PROJECTIONS)
    assert (tmp_path / findings.pictures[0]).read_bytes().startswith(b"\x89PNG")
    json.dumps(findings.figures)
