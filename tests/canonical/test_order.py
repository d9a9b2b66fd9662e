"""The walk over the bond graph: classes, bonds and an order that noise seldom changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from molgiae.canonical.order import walk
from molgiae.data.bonds import perceived_bonds
from tests.geometries import g2, jittered, named, random_action, random_cloud, seeded, together

ETHANOL, CYCLOBUTENE = g2("CH3CH2OH"), g2("cyclobutene")


def place_of(x, pos=None):
    graph = x.graph
    return torch.from_numpy(
        walk(graph.classes, graph.adjacency, (x.pos if pos is None else pos).numpy(), x.mask.numpy()).place
    )


def test_bonds_of_ethanol_and_how_far_the_most_doubtful_distance_is_from_the_limit():
    bonds, [margin] = ETHANOL.graph.adjacency, ETHANOL.graph.margin
    assert (bonds == bonds.transpose(0, 2, 1)).all()
    assert dict(zip(ETHANOL.z[0].tolist(), bonds[0].sum(axis=1).tolist(), strict=True)) == {6: 4, 8: 2, 1: 1}
    assert 0.1 < margin < 0.3
    assert np.isinf(named("atom").graph.margin).all()


@pytest.mark.parametrize("decimals", [1, 12])
def test_a_batch_has_the_bonds_of_its_conformers(decimals):
    """Also where lengths tie, as coordinates of one decimal make them do."""
    x = random_cloud([int(n) for n in torch.randint(1, 25, (300,), generator=seeded(4))], seed=5)
    x = type(x)(x.z, (0.9 * x.pos).round(decimals=decimals))
    bonds = x.graph.adjacency
    assert (bonds == bonds.transpose(0, 2, 1)).all()
    for b, n in enumerate(x.mask.sum(dim=1).tolist()):
        expected = perceived_bonds(x.z[b, :n].numpy(), x.pos[b, :n].numpy())
        assert np.argwhere(np.triu(bonds[b])).tolist() == expected.tolist()


def test_classes_are_those_of_the_bond_graph_in_the_order_given():
    classes = together(ETHANOL, CYCLOBUTENE).graph.classes
    assert sorted(np.bincount(classes[0, :9]).tolist()) == [1, 1, 1, 1, 2, 3]
    assert classes[0, :9][ETHANOL.z[0] == 8].tolist() == [0]
    assert sorted(np.bincount(classes[1]).tolist()) == [2, 2, 2, 4]


def test_walk_visits_every_atom_once_also_in_several_components():
    apart = random_cloud([7, 12], seed=1)
    far = together(ETHANOL, type(apart)(apart.z, apart.pos * 5))
    n = far.mask.sum(dim=1)
    for place, mask, size in zip(place_of(far), far.mask, n.tolist(), strict=True):
        assert sorted(place[mask].tolist()) == list(range(size))
        assert (place[~mask] == far.z.shape[1]).all()


def test_order_does_not_depend_on_the_order_of_the_input_or_on_batch_mates():
    x = together(ETHANOL, CYCLOBUTENE, g2("C2H6CHOH"), random_cloud([9], seed=2))
    permutation = random_action(x, seed=3).permutation
    moved = type(x)(permutation.act(x.z, dim=-1), permutation.act(x.pos))
    assert torch.equal(place_of(moved).gather(1, permutation.index), place_of(x))
    assert torch.equal(place_of(x)[0, :9], place_of(ETHANOL)[0])


def test_torsions_hold_the_order_under_noise():
    expected = place_of(ETHANOL)
    assert all(torch.equal(place_of(jittered(ETHANOL, 0.02, seed)), expected) for seed in range(30))


def test_margin_is_the_distance_to_the_closest_decision():
    """Two hydrogens of methylene change places as the torsion of one passes the cut: the margin falls to zero."""
    graph = ETHANOL.graph
    bonds = torch.from_numpy(graph.adjacency)
    margins, places = [], []
    hydroxyl = int(((ETHANOL.z[0] == 1) & bonds[0][ETHANOL.z[0] == 8][0]).nonzero())
    oxygen, carbon = int((ETHANOL.z[0] == 8).nonzero()), 0
    carbon = int(((ETHANOL.z[0] == 6) & bonds[0, oxygen]).nonzero())
    methyl = int(((ETHANOL.z[0] == 6) & ~bonds[0, oxygen]).nonzero())
    turning = [i for i in bonds[0, methyl].nonzero().flatten().tolist() if i != carbon]
    axis = torch.nn.functional.normalize(ETHANOL.pos[0, methyl] - ETHANOL.pos[0, carbon], dim=0)
    for angle in torch.linspace(0, 2.2, 23, dtype=torch.float64):
        pos = ETHANOL.pos.clone()
        arm = pos[0, turning] - pos[0, methyl]
        along = (arm @ axis)[:, None] * axis
        across = arm - along
        swung = (
            along + across * angle.cos() + torch.linalg.cross(axis.expand_as(across), across) * angle.sin()
        )
        pos[0, turning] = pos[0, methyl] + swung
        steps = walk(graph.classes, graph.adjacency, pos.numpy(), ETHANOL.mask.numpy())
        margins.append(float(steps.margin[0]))
        places.append(tuple(steps.place[0].tolist()))
    assert places[0] != places[-1]
    jump = next(k for k in range(22) if places[k] != places[k + 1])
    assert min(margins[jump], margins[jump + 1]) < 0.1
    assert max(margins) > 0.25
    assert hydroxyl not in turning
