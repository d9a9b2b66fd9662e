"""The walk over the bond graph: classes, bonds and an order that noise seldom changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.spatial.transform import Rotation

from molgiae.canonical.bond_graph import hashes_of, neighbours_of, ranks, refined
from molgiae.canonical.order import walk
from molgiae.data.bonds import bonds_of, perceived_bonds, perceived_bonds_of_block
from molgiae.data.conformer import offset_of
from tests.geometries import g2, jittered, named, random_action, random_cloud, seeded, together

ETHANOL, CYCLOBUTENE = g2("CH3CH2OH"), g2("cyclobutene")


class Graph:
    """Bonds, classes and walk of the first conformer of a batch."""

    def __init__(self, x, m=0):
        n = int(x.mask[m].sum())
        self.z, self.pos = x.z[m, :n].numpy(), x.pos[m, :n].numpy()
        *self.bonds, self.margin = bonds_of(self.z, self.pos)
        self.neighbours = neighbours_of(n, *self.bonds)
        self.classes = refined(ranks(-self.z.astype(float), 0.0), *self.neighbours, hashes_of(n))

    def of(self, atom):
        start, neighbour = self.neighbours
        return neighbour[start[atom] : start[atom + 1]].tolist()

    def walk(self, pos=None):
        return walk(self.classes, *self.neighbours, self.pos if pos is None else pos)


def test_bonds_of_ethanol_and_how_far_the_most_doubtful_distance_is_from_the_limit():
    graph = Graph(ETHANOL)
    degrees = [len(graph.of(atom)) for atom in range(9)]
    assert dict(zip(graph.z.tolist(), degrees, strict=True)) == {6: 4, 8: 2, 1: 1}
    assert 0.1 < graph.margin < 0.3
    assert np.isinf(Graph(named("atom")).margin)


@pytest.mark.parametrize("decimals", [1, 12])
def test_a_block_has_the_bonds_of_its_conformers(decimals):
    """Also where lengths tie, as coordinates of one decimal make them do."""
    x = random_cloud([int(n) for n in torch.randint(1, 25, (300,), generator=seeded(4))], seed=5)
    mask, pos = x.mask.numpy(), (0.9 * x.pos).round(decimals=decimals).numpy()
    offset = offset_of(mask.sum(axis=1))
    bonds, _ = perceived_bonds_of_block(x.z.numpy()[mask], pos[mask], offset)
    alone = [
        perceived_bonds(x.z[m, row].numpy(), pos[m, row]) + a
        for m, (row, a) in enumerate(zip(mask, offset[:-1], strict=True))
    ]
    assert bonds.tolist() == np.concatenate(alone).tolist()


def test_classes_are_those_of_the_bond_graph_in_the_order_given():
    assert sorted(np.bincount(Graph(ETHANOL).classes).tolist()) == [1, 1, 1, 1, 2, 3]
    assert Graph(ETHANOL).classes[ETHANOL.z[0].numpy() == 8].tolist() == [0]
    assert sorted(np.bincount(Graph(CYCLOBUTENE).classes).tolist()) == [2, 2, 2, 4]


def test_walk_visits_every_atom_once_also_in_several_components():
    apart = random_cloud([7, 12], seed=1)
    far = together(ETHANOL, type(apart)(apart.z, apart.pos * 5))
    for m in range(len(far)):
        place, _ = Graph(far, m).walk()
        assert sorted(place.tolist()) == list(range(len(place)))


def test_order_does_not_depend_on_the_order_of_the_input():
    for x in (ETHANOL, CYCLOBUTENE, g2("C2H6CHOH"), random_cloud([9], seed=2)):
        permutation = random_action(x, seed=3).permutation
        moved = type(x)(permutation.act(x.z, dim=-1), permutation.act(x.pos))
        assert_array_equal(Graph(moved).walk()[0][permutation.index[0].numpy()], Graph(x).walk()[0])


def test_torsions_hold_the_order_under_noise():
    expected = Graph(ETHANOL).walk()[0].tolist()
    assert all(Graph(jittered(ETHANOL, 0.02, seed)).walk()[0].tolist() == expected for seed in range(30))


def test_margin_is_the_distance_to_the_closest_decision():
    """Two hydrogens of methyl change places as the torsion of one passes the cut: the margin falls to zero."""
    graph = Graph(ETHANOL)
    margins, places = [], []
    oxygen = int((graph.z == 8).nonzero()[0][0])
    carbon = next(i for i in graph.of(oxygen) if graph.z[i] == 6)
    methyl = next(i for i in graph.of(carbon) if graph.z[i] == 6)
    turning = [i for i in graph.of(methyl) if i != carbon]
    axis = graph.pos[methyl] - graph.pos[carbon]
    axis /= np.linalg.norm(axis)
    for angle in np.linspace(0, 2.2, 23):
        pos = graph.pos.copy()
        pos[turning] = pos[methyl] + Rotation.from_rotvec(angle * axis).apply(pos[turning] - pos[methyl])
        place, margin = graph.walk(pos)
        margins.append(margin)
        places.append(tuple(place.tolist()))
    assert places[0] != places[-1]
    jump = next(k for k in range(22) if places[k] != places[k + 1])
    assert min(margins[jump], margins[jump + 1]) < 0.1
    assert max(margins) > 0.25
