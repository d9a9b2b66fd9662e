"""Features of atoms: invariant, local, smooth, blind to mirror images; displacements turn with the conformer."""

from __future__ import annotations

import torch

from molgiae.nn.atoms import CUTOFF, AtomNetwork
from molgiae.nn.property_head import PropertyHead

torch.manual_seed(0)
NETWORK = AtomNetwork(16, 2).double()
Z = torch.tensor([[6, 8, 1, 1, 7, 0], [1, 6, 1, 0, 0, 0]])
POS = 1.5 * torch.randn(2, 6, 3, dtype=torch.float64) * (Z > 0)[..., None]


def turned(mirror: bool = False) -> torch.Tensor:
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    sign = torch.linalg.det(rotation) * (-1 if mirror else 1)
    return rotation * torch.sign(sign)


def test_features_are_the_same_in_any_pose_and_follow_the_atoms():
    order = torch.tensor([4, 2, 0, 1, 3, 5])
    expected = NETWORK(Z[:1], POS[:1])
    for mirror in (False, True):
        found = NETWORK(Z[:1, order], (POS[:1] @ turned(mirror).mT + 3)[:, order])
        assert torch.allclose(found, expected[:, order], atol=1e-9)


def test_displacements_turn_with_the_conformer():
    rotation = turned()
    expected = NETWORK.displacement(Z[:1], POS[:1]) @ rotation.mT
    assert torch.allclose(NETWORK.displacement(Z[:1], POS[:1] @ rotation.mT), expected, atol=1e-9)
    assert expected.abs().max() > 1e-3


def test_padding_changes_nothing_and_holds_zeros():
    features = NETWORK(Z, POS)
    assert torch.allclose(features[1, :3], NETWORK(Z[1:, :3], POS[1:, :3])[0], atol=1e-12)
    assert not features[1, 3:].any()
    assert not NETWORK.displacement(Z, POS)[1, 3:].any()


def test_atoms_beyond_the_cutoff_are_not_seen_and_come_into_sight_smoothly():
    z = torch.tensor([[6, 1]])
    alone = NETWORK(torch.tensor([[6]]), torch.zeros(1, 1, 3, dtype=torch.float64))[0, 0]

    def at(distance: float) -> torch.Tensor:
        pos = torch.zeros(1, 2, 3, dtype=torch.float64)
        pos[0, 1, 0] = distance
        return NETWORK(z, pos)[0, 0]

    assert torch.allclose(at(CUTOFF + 0.01), alone, atol=1e-12)
    assert (at(CUTOFF - 1e-3) - alone).abs().max() < 1e-4
    assert (at(1.0) - alone).abs().max() > 1e-2


def test_sums_grow_with_the_molecule_and_means_do_not():
    head = PropertyHead(16, [True, False]).double()
    far = torch.cat([POS[:1], POS[:1] + 100], dim=1)
    twice = torch.cat([Z[:1], Z[:1]], dim=1)
    once, _ = head(NETWORK(Z[:1], POS[:1]), Z[:1] > 0)
    both, doubt = head(NETWORK(twice, far), twice > 0)
    assert torch.allclose(both[:, 0], 2 * once[:, 0])
    assert torch.allclose(both[:, 1], once[:, 1])
    assert (doubt > 0).all()
