"""The walk over the bond graph: classes, bonds and an order that noise seldom changes."""

from __future__ import annotations

import pytest
import torch

from molgiae.canonical.order import bonded, refined, walk
from molgiae.data.bonds import perceived_bonds
from tests.geometries import g2, jittered, named, random_action, random_cloud, seeded, together

ETHANOL, CYCLOBUTENE = g2("CH3CH2OH"), g2("cyclobutene")


def classes_of(x):
    _, ranks = torch.where(x.mask, -x.z, 1000).unique(return_inverse=True)
    ranks = ranks - ranks.amin(dim=1, keepdim=True)
    return refined(ranks, bonded(x.z, x.pos)[0])


def place_of(x):
    return walk(classes_of(x), bonded(x.z, x.pos)[0], x.pos, x.mask).place


def test_bonds_of_ethanol_and_how_far_the_most_doubtful_distance_is_from_the_limit():
    bonds, doubt = bonded(ETHANOL.z, ETHANOL.pos)
    assert torch.equal(bonds, bonds.mT)
    assert dict(zip(ETHANOL.z[0].tolist(), bonds[0].sum(dim=1).tolist(), strict=True)) == {6: 4, 8: 2, 1: 1}
    assert 0.1 < float(doubt) < 0.3
    assert bonded(named("atom").z, named("atom").pos)[1].isinf().all()


@pytest.mark.parametrize("decimals", [1, 12])
def test_a_batch_has_the_bonds_of_its_conformers(decimals):
    """Also where lengths tie, as coordinates of one decimal make them do."""
    x = random_cloud([int(n) for n in torch.randint(1, 25, (300,), generator=seeded(4))], seed=5)
    x = type(x)(x.z, (0.9 * x.pos).round(decimals=decimals))
    bonds = bonded(x.z, x.pos)[0]
    assert torch.equal(bonds, bonds.mT)
    for b, n in enumerate(x.mask.sum(dim=1).tolist()):
        expected = perceived_bonds(x.z[b, :n].numpy(), x.pos[b, :n].numpy())
        assert bonds[b].triu().nonzero().tolist() == expected.tolist()


def test_classes_are_those_of_the_bond_graph_in_the_order_given():
    classes = classes_of(together(ETHANOL, CYCLOBUTENE))
    assert sorted(classes[0, :9].bincount().tolist()) == [1, 1, 1, 1, 2, 3]
    assert classes[0, :9][ETHANOL.z[0] == 8].tolist() == [0]
    assert sorted(classes[1].bincount().tolist()) == [2, 2, 2, 4]


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
    bonds = bonded(ETHANOL.z, ETHANOL.pos)[0]
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
        steps = walk(classes_of(ETHANOL), bonds, pos, ETHANOL.mask)
        margins.append(float(steps.margin))
        places.append(tuple(steps.place[0].tolist()))
    assert places[0] != places[-1]
    jump = next(k for k in range(22) if places[k] != places[k + 1])
    assert min(margins[jump], margins[jump + 1]) < 0.1
    assert max(margins) > 0.25
    assert hydroxyl not in turning
