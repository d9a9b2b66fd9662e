"""The network of properties: what turns, what does not, what changes its sign, and that all of it is smooth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from molgiae.model.architectures import property_network
from molgiae.model.cloud import Cloud
from molgiae.nn.property_head import Behaviour, PropertyNetwork
from molgiae.nn.taught import TaughtNetwork
from molgiae.nn.tensor_messages import Readout
from tests.conformers import random_conformer
from tests.geometries import random_cloud

SIZES = (12, 2, 1)


def network(behaviour: list[Behaviour]) -> PropertyNetwork:
    torch.manual_seed(0)
    found = PropertyNetwork(property_network(*SIZES), Readout(SIZES[0]), behaviour).double().eval()
    for weights in found.head.parameters():  # the bent part and the scores start at zero
        torch.nn.init.normal_(weights, std=0.3)
    return found.requires_grad_(False)


ALL: list[Behaviour] = ["extensive", "intensive", "odd"]


def rotation(seed: int) -> torch.Tensor:
    found = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)).double())[0]
    return found * torch.det(found)


def test_values_are_the_same_in_any_pose_and_order_and_odd_ones_change_their_sign_in_the_mirror():
    model, x = network(ALL), random_cloud([9, 9, 9], seed=1)
    here = model(x.z, x.pos)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    there = model(x.z[:, order], (x.pos @ rotation(3).T + 5.0)[:, order])
    for a, b in zip(here, there, strict=True):
        assert_allclose(a, b, atol=1e-9)
    mirrored = model(x.z, x.pos * torch.tensor([1.0, 1.0, -1.0]))
    sign = torch.tensor([1.0, 1.0, -1.0])
    assert_allclose(mirrored.value, here.value * sign, atol=1e-9)
    assert here.value[:, 2].abs().min() > 1e-6, "random clouds are chiral"
    assert_allclose(mirrored.uncertainty, here.uncertainty, atol=1e-9)


def test_forces_and_dipoles_turn_with_the_conformer():
    torch.manual_seed(0)
    model, x = TaughtNetwork(property_network(*SIZES)).double(), random_cloud([7, 5], seed=1)
    turn = rotation(1)
    here, there = model(x.z, x.pos), model(x.z, x.pos @ turn.T)
    for name in ("forces", "dipole"):
        a, b = getattr(here, name), getattr(there, name)
        assert a.abs().max() > 1e-6
        assert_allclose((a @ turn.T).detach(), b.detach(), atol=1e-9)
    for name in ("sums", "gap", "charges"):
        assert_allclose(getattr(here, name).detach(), getattr(there, name).detach(), atol=1e-9)
    assert (here.forces[1, 5:] == 0).all() and (here.charges[1, 5:] == 0).all(), "padding has none"


def test_a_batch_says_what_its_conformers_say_alone():
    model, sizes = network(ALL), [1, 2, 6, 11]
    x = random_cloud(sizes, seed=4)
    together = model(x.z, x.pos)
    for m, n in enumerate(sizes):
        alone = model(x.z[m : m + 1, :n], x.pos[m : m + 1, :n])
        for a, b in zip(alone, together, strict=True):
            assert_allclose(a[0], b[m], atol=1e-10)
        assert all(torch.isfinite(part).all() for part in alone)


def test_what_is_extensive_adds_up_over_molecules_far_apart():
    """Beyond the cutoff no atom sees the other molecule; what is intensive is no sum."""
    model = network(ALL)
    a, b = random_cloud([6], seed=5), random_cloud([8], seed=6)
    z = torch.cat([a.z, b.z], dim=1)
    pos = torch.cat([a.pos, b.pos + torch.tensor([100.0, 0, 0])], dim=1)
    both, first, second = (model(x.z, x.pos).value[0] for x in (Cloud(z, pos), a, b))
    bias = model.head.sums.bias[0]
    assert_allclose(both[0] - bias, first[0] + second[0] - 2 * bias, atol=1e-9)
    assert_allclose(both[2], first[2] + second[2], atol=1e-9)
    assert abs(both[1] - first[1] - second[1]) > 1e-3


@pytest.mark.parametrize("behaviour", ALL)
def test_values_are_differentiable_twice_along_a_bond_that_breaks(behaviour):
    model = network([behaviour])
    c = random_conformer(6, 3, (1, 6))
    z = torch.from_numpy(c.atomic_number.astype(np.int64))[None]
    direction = torch.zeros(6, 3, dtype=torch.float64)
    direction[0, 0] = 1.0
    steps = torch.linspace(-0.5, 2.5, 601, dtype=torch.float64)
    pos = torch.from_numpy(c.position)[None] + steps[:, None, None] * direction
    value = model(z.expand(len(steps), -1), pos).value[:, 0].numpy()
    second = np.diff(value, 2)
    typical = np.abs(np.diff(value)).max()
    assert np.abs(second).max() < 0.2 * typical, "no step stands out among those of a hundredth of the way"
