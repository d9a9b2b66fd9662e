"""Features of atoms: invariant, local, smooth, blind to mirror images; displacements turn with the conformer.

Whether there are rounds of messages between bonded atoms or none.
"""

from __future__ import annotations

import pytest
import torch

from molgiae.data.elements import COVALENT_RADIUS
from molgiae.nn.atoms import APART, BONDED, CUTOFF, AtomNetwork, bonding

RADIUS = torch.from_numpy(COVALENT_RADIUS)
torch.manual_seed(0)
Z = torch.tensor([[6, 8, 1, 1, 7, 0], [1, 6, 1, 0, 0, 0]])
POS = 1.5 * torch.randn(2, 6, 3, dtype=torch.float64) * (Z > 0)[..., None]


@pytest.fixture(scope="module", params=[0, 3], ids=["no rounds", "three rounds"])
def network(request) -> AtomNetwork:
    torch.manual_seed(1)
    return AtomNetwork(16, 2, RADIUS, rounds=request.param).double().requires_grad_(False)


def turned(mirror: bool = False) -> torch.Tensor:
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    sign = torch.linalg.det(rotation) * (-1 if mirror else 1)
    return rotation * torch.sign(sign)


def test_features_are_the_same_in_any_pose_and_follow_the_atoms(network):
    order = torch.tensor([4, 2, 0, 1, 3, 5])
    expected = network(Z[:1], POS[:1])
    for mirror in (False, True):
        found = network(Z[:1, order], (POS[:1] @ turned(mirror).mT + 3)[:, order])
        assert torch.allclose(found, expected[:, order], atol=1e-9)


def test_displacements_turn_with_the_conformer(network):
    rotation = turned()
    expected = network.displacement(Z[:1], POS[:1]) @ rotation.mT
    assert torch.allclose(network.displacement(Z[:1], POS[:1] @ rotation.mT), expected, atol=1e-9)
    assert expected.abs().max() > 1e-3


def test_padding_changes_nothing_and_holds_zeros(network):
    features = network(Z, POS)
    assert torch.allclose(features[1, :3], network(Z[1:, :3], POS[1:, :3])[0], atol=1e-12)
    assert not features[1, 3:].any()
    assert not network.displacement(Z, POS)[1, 3:].any()


def test_atoms_beyond_the_cutoff_are_not_seen_and_come_into_sight_smoothly(network):
    z = torch.tensor([[6, 1]])
    alone = network(torch.tensor([[6]]), torch.zeros(1, 1, 3, dtype=torch.float64))[0, 0]

    def at(distance: float) -> torch.Tensor:
        pos = torch.zeros(1, 2, 3, dtype=torch.float64)
        pos[0, 1, 0] = distance
        return network(z, pos)[0, 0]

    assert torch.allclose(at(CUTOFF + 0.01), alone, atol=1e-12)
    assert (at(CUTOFF - 1e-3) - alone).abs().max() < 1e-4
    assert (at(1.0) - alone).abs().max() > 1e-2


def pair(z: int, other: int, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two atoms at a distance over the sum of their covalent radii."""
    pos = torch.zeros(1, 3, 3, dtype=torch.float64)
    pos[0, 1, 0] = ratio * (RADIUS[z] + RADIUS[other])
    return torch.tensor([[z, other, 0]]), pos


@pytest.mark.parametrize(("z", "other"), [(6, 1), (6, 6), (8, 16), (1, 1)])
def test_bonding_falls_from_one_to_zero_between_bonds_and_what_is_not_bonded(z, other):
    ratios = [0.3, BONDED - 1e-6, 0.5 * (BONDED + APART), APART + 1e-6, 3.0]
    found = [bonding(*pair(z, other, ratio), RADIUS) for ratio in ratios]
    assert [round(float(weight[0, 0, 1]), 9) for weight in found] == [1, 1, 0.5, 0, 0]
    for weight in found:
        assert torch.equal(weight, weight.mT)
        assert not weight[0].diagonal().any() and not weight[0, 2].any()


@pytest.mark.parametrize("edge", [BONDED, APART])
def test_bonding_has_no_kink_at_its_ends(edge):
    """Slope and curvature go to zero there."""
    step = 1e-3
    at = [float(bonding(*pair(6, 6, edge + k * step), RADIUS)[0, 0, 1]) for k in (-1, 0, 1)]
    assert abs(at[2] - at[0]) < 1e-6 and abs(at[2] - 2 * at[1] + at[0]) < 1e-6


def test_places_see_what_is_bonded_and_nothing_else(network):
    if not len(network.rounds):
        assert torch.equal(network.places(Z, POS), network.element(Z) * (Z > 0)[..., None])
        with pytest.raises(ValueError, match="no torsions"):
            network.turns(Z, POS, network.places(Z, POS))
        return
    alone = network.places(torch.tensor([[6]]), torch.zeros(1, 1, 3, dtype=torch.float64))[0, 0]
    near, far = (network.places(*pair(6, 1, ratio))[0, 0] for ratio in (1.0, APART + 0.01))
    assert torch.allclose(far, alone, atol=1e-12)
    assert (near - alone).abs().max() > 1e-2
    assert torch.allclose(network.places(*pair(6, 1, 0.9))[0, 0], near, atol=1e-12), (
        "not how long the bond is"
    )
