"""Angular synchronization: random rotations are found again from those between pairs, with outliers among them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from molgiae.experiments import synchronization
from molgiae.experiments.synchronization import settled, synchronize

PARTS = [30, 20, 7]
"""Sizes of three sets of things, between which there are no edges; one more thing has none at all."""


def rotations(number, d, generator):
    """Draw rotations (number, d, d)."""
    if d == 3:
        return torch.from_numpy(Rotation.random(number, rng=generator).as_matrix())
    angle = torch.from_numpy(generator.uniform(0, 2 * np.pi, number))
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).reshape(-1, 2, 2)


def small(number, d, size, generator):
    """Draw rotations near the identity, (number, d, d)."""
    skew = torch.from_numpy(generator.normal(scale=size, size=(number, d, d)))
    return torch.linalg.matrix_exp(skew - skew.mT)


def things(d, seed, noise=0.0, outliers=0.0):
    """Rotations (N, d, d) of things, which part each is of (N,), edges (2, E), relative rotations and weights."""
    generator = np.random.default_rng(seed)
    part = np.repeat(np.arange(len(PARTS) + 1), [*PARTS, 1])
    generator.shuffle(part)
    truth = rotations(len(part), d, generator)
    edge = []
    for one in range(len(PARTS)):
        own = generator.permutation(np.flatnonzero(part == one))
        edge += [(own[k], own[k - 1]) for k in range(1, len(own))]
        edge += [tuple(generator.choice(own, 2, replace=False)) for _ in range(6 * len(own))]
    edge = torch.from_numpy(np.array(edge).T)
    relative = small(edge.shape[1], d, noise, generator) @ truth[edge[0]] @ truth[edge[1]].mT
    wrong = torch.from_numpy(generator.random(edge.shape[1]) < outliers)
    relative[wrong] = rotations(int(wrong.sum()), d, generator)
    weight = torch.from_numpy(generator.uniform(0.5, 2.0, edge.shape[1]))
    return truth, part, edge, relative, weight


def far(found, truth, part):
    """How far rotations are from the true ones, up to one from the right in each part, radians."""
    angles = []
    for one in range(len(PARTS)):
        own = part == one
        u, _, vt = torch.linalg.svd((truth[own].mT @ found[own]).sum(dim=0))
        off = (truth[own] @ u @ vt).mT @ found[own]
        cosine = (off.diagonal(dim1=1, dim2=2).sum(dim=1) - truth.shape[-1] + 2) / 2
        angles.append(cosine.clamp(-1, 1).arccos())
    return torch.cat(angles)


@pytest.fixture(params=["dense", "Lanczos"])
def solver(request, monkeypatch):
    if request.param == "Lanczos":
        monkeypatch.setattr(synchronization, "DENSE", 31)


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("seed", range(3))
class TestSynchronize:
    def test_rotations_are_found_again(self, d, seed, solver):
        truth, part, *edges = things(d, seed)
        found = synchronize(len(truth), *edges)
        assert found.shape == truth.shape
        eye = torch.eye(d, dtype=torch.float64)
        torch.testing.assert_close(found @ found.mT, eye.expand_as(found))
        torch.testing.assert_close(torch.linalg.det(found), torch.ones(len(found), dtype=torch.float64))
        torch.testing.assert_close(found[part == len(PARTS)][0], eye)
        edge, relative, _ = edges
        torch.testing.assert_close(relative @ found[edge[1]], found[edge[0]])
        assert far(found, truth, part).max() < 1e-6

    def test_noise_and_outliers(self, d, seed, solver):
        truth, part, *edges = things(d, seed, noise=0.05, outliers=0.2)
        begun = synchronize(len(truth), *edges)
        error, after = (far(found, truth, part).mean() for found in (begun, settled(begun, *edges)))
        assert error < 0.25
        assert after < 0.6 * error

    def test_edges_have_a_direction(self, d, seed):
        truth, part, edge, relative, weight = things(d, seed)
        turned = synchronize(len(truth), edge.flip(0), relative.mT, weight)
        assert far(turned, truth, part).max() < 1e-6
        for wrong in ((edge, relative.mT), (edge.flip(0), relative)):
            assert far(synchronize(len(truth), *wrong, weight), truth, part).mean() > 0.8
