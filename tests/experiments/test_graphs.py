"""Graphs, their equivariant autoencoder, and the study on molecules drawn here."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from molgiae.data.conformer import ConformerBlock
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import MolgiaeError
from molgiae.experiments import Setting, graphs
from molgiae.experiments.graph_autoencoder import GraphAutoencoder
from molgiae.experiments.graphs import ALL, COMPLETE, COUNTS, FILE, RAW, WAYS
from molgiae.experiments.molecular_graphs import (
    KINDS,
    Graphs,
    among_equals,
    connected,
    graphs_of,
    valid,
)
from molgiae.groups import Permutation
from molgiae.model.projections import orbit_distance, project

TINY = replace(
    graphs.FAST,
    nodes=4,
    features=3,
    width=16,
    layers=2,
    batch_size=8,
    steps=60,
    neighbours=2,
    pairs=30,
    paths=5,
    points=3,
    prior=10,
)
HEAVY = """
CCCC CC(C)C CCCO CC(C)O CCOC CCCN CC(C)N CCNC CN(C)C C=CCC CC=CC C#CCC CC#CC C1CCC1 CC1CC1 C1CCO1 CC1CO1
OC1CC1 CCC=O CC(C)=O C=CC=O CCC#N OCCO COCO NCCO NCC=O CC(N)=O CC(=O)O OCC=O COC=O NCC#N OCC#N CN=CO CNC=O
"""


def drawn(smiles):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    return mol


@pytest.fixture(scope="module")
def block():
    return ConformerBlock.of([from_rdkit(drawn(smiles)) for smiles in HEAVY.split()])


def some(number, n=5, seed=0):
    """Random graphs of chains with more bonds."""
    generator = torch.Generator().manual_seed(seed)
    upper = (
        torch.rand(number, n, n, generator=generator).lt(0.2).triu(1)
        | torch.eye(n).roll(1, dims=1).triu(1).bool()
    )
    return Graphs(torch.randint(3, (number, n), generator=generator), upper | upper.mT)


def shuffles(number, n=5, seed=1):
    return Permutation.random(number, n=n, generator=torch.Generator().manual_seed(seed))


def ring(*kinds):
    n = len(kinds)
    step = torch.eye(n).roll(1, dims=1) > 0
    return Graphs(torch.tensor([[KINDS.index(kind) for kind in kinds]]), (step | step.mT)[None])


class TestGraphs:
    def test_those_of_molecules(self, block):
        found, chosen = graphs_of(block, 4)
        assert chosen.tolist() == list(range(len(HEAVY.split())))
        for smiles, kind, bonded in zip(HEAVY.split(), found.kind, found.bonded, strict=True):
            mol = Chem.MolFromSmiles(smiles)
            atoms = [(atom.GetAtomicNum(), atom.GetTotalNumHs()) for atom in mol.GetAtoms()]
            assert [KINDS[k] for k in kind] == atoms
            assert np.array_equal(bonded.numpy(), Chem.GetAdjacencyMatrix(mol) > 0)
        assert valid(found).all()

    def test_of_other_sizes_and_kinds_none(self, block):
        assert not len(graphs_of(block, 5)[0])
        ions = ConformerBlock.of([from_rdkit(drawn(s)) for s in ("CC[NH3+]", "CCO", "C[Si]C", "CO")])
        assert graphs_of(ions, 3)[1].tolist() == [0, 1]

    def test_hydrogens_that_are_one_too_many_or_too_few_are_not_valid(self, block):
        found = graphs_of(block, 4)[0]
        for step in (-1, 1):
            kinds = [
                (element, hydrogens + step) for element, hydrogens in (KINDS[k] for k in found.kind[:, 0])
            ]
            known = torch.tensor([kind in KINDS for kind in kinds])
            other = found.kind.clone()[known]
            other[:, 0] = torch.tensor([KINDS.index(kind) for kind in kinds if kind in KINDS])
            assert len(other) > 5
            assert not valid(Graphs(other, found.bonded[known])).any()

    def test_rings_and_charges(self):
        assert valid(ring(*[(6, 1)] * 6)).all()
        assert not valid(ring(*[(6, 1)] * 5)).any()
        assert valid(ring(*[(6, 1)] * 4, (8, 0))).all()
        nitro = Graphs(
            torch.tensor([[KINDS.index(kind) for kind in ((6, 3), (7, 0), (8, 0), (8, 0))]]),
            torch.zeros(1, 4, 4) > 0,
        )
        assert not valid(nitro).any()
        nitro.bonded[0, 1] = nitro.bonded[0, :, 1] = True
        nitro.bonded[0, 1, 1] = False
        assert valid(nitro).all()

    def test_connected(self):
        bonded = torch.zeros(1, 5, 5, dtype=torch.bool)
        for k in range(4):
            assert not connected(bonded).any()
            bonded[0, k, k + 1] = bonded[0, k + 1, k] = True
        assert connected(bonded).all()

    @pytest.mark.parametrize("kinds", [1, 3])
    def test_equal_nodes_are_numbered_alike_whatever_the_order(self, kinds):
        found = some(40)
        found = Graphs(found.kind % kinds, found.bonded)
        again = found.moved(shuffles(40))
        first, second = among_equals(found), among_equals(again)
        assert first.max() > 0
        every = torch.tensor(list(permutations(range(5))))
        for k in range(40):
            back = Permutation(every)
            others = Graphs(again.kind[[k]].expand(120, -1), again.bonded[[k]].expand(120, -1, -1)).moved(
                back
            )
            number = back.act(second[[k]].expand(120, -1), dim=-1)
            same = others.same(found[torch.tensor([k])]) & (number == first[k]).all(dim=1)
            assert same.any()


class TestAutoencoder:
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        return GraphAutoencoder(5, 3, 16, 4).eval()

    def change(self, model, number):
        """How far latents are from those that the group brings there."""
        found, g = some(30), shuffles(30)
        given = number(found), number(found.moved(g))
        z, again = (model.encode(*each)[0] for each in zip((found, found.moved(g)), given, strict=True))
        return (again - g.act(z)).abs().max()

    def test_the_encoder_is_equivariant(self, model):
        assert self.change(model, lambda found: torch.zeros_like(found.kind)) < 1e-5

    def test_a_network_that_knows_the_order_is_not(self, model):
        assert self.change(model, lambda found: torch.arange(5).expand_as(found.kind)) > 1e-2

    def test_latents_with_equal_nodes_are_of_one_orbit(self, model):
        found = some(60)
        z, again = (graphs.latents(model, each) for each in (found, found.moved(shuffles(60))))
        assert orbit_distance(z, again, Permutation).max() < 1e-5
        assert orbit_distance(z, z.roll(1, dims=0), Permutation).median() > 1e-2

    def test_the_decoder_is_equivariant(self, model):
        z, g = torch.randn(30, 5, 3, generator=torch.Generator().manual_seed(0)), shuffles(30)
        torch.testing.assert_close(model.decode(g.act(z))[0], g.act(model.decode(z)[0]))
        found = model.decoded(z)
        assert model.decoded(g.act(z)).same(found.moved(g)).all()
        assert not model.decoded(g.act(z)).same(found).all()

    def test_the_error_does_not_heed_the_order(self, model):
        found, g, noise = some(30), shuffles(30), torch.randn(30, 5, 3)
        zero = torch.zeros_like(found.kind)
        torch.testing.assert_close(
            model.loss(found.moved(g), zero, g.act(noise)), model.loss(found, zero, noise)
        )

    @pytest.mark.parametrize("name", COMPLETE)
    def test_complete_projections_tell_graphs_apart_and_orders_not(self, model, name):
        z = graphs.latents(model, some(40))
        s = project(name, z, Permutation)
        apart = torch.cdist(s, s)[torch.cdist(*[project("max-filter", z, Permutation)] * 2) > 1e-3]
        assert apart.min() > 1e-4
        moved = project(name, shuffles(40).act(z), Permutation)
        assert (moved - s).abs().max() < 1e-9

    @pytest.mark.slow
    def test_few_graphs_are_learned(self, block, tmp_path):
        known = graphs_of(block, 4)[0]
        config = replace(TINY, steps=150, width=32, batch_size=32, divergence=0.01)
        torch.manual_seed(0)
        model = GraphAutoencoder(4, 3, 32, 2)
        graphs.train(model, known, config, Setting(tmp_path))
        assert model.decoded(graphs.latents(model, known)).same(known).double().mean() > 0.8


@pytest.fixture(scope="module")
def data(block, tmp_path_factory):
    """As the file of QM9: some molecules of every split."""
    path = tmp_path_factory.mktemp("qm9") / "drawn.npz"
    units = np.rint(block.position * 1e4).astype(np.int32)
    extent = np.array([np.square(c.position - c.position.mean(axis=0)).sum() for c in block])
    np.savez(
        path,
        gdb_index=np.arange(len(block)),
        n_atoms=block.n_atoms,
        atomic_number=block.atomic_number,
        position_high=(units >> 8).astype(np.int16),
        position_low=(units & 255).astype(np.uint8),
        split=np.arange(len(block)) % 3,
        **dict.fromkeys(("mu", "alpha", "gap", "r2"), extent),
    )
    return path


@pytest.mark.slow
def test_run(data, tmp_path):
    findings = graphs.run(TINY, Setting(tmp_path, data=data))
    figures = findings.figures
    assert (figures["train"], figures["known"], figures["asked"]) == (12, 11, 11)
    assert [row["embedding"] for row in figures["projections"]] == [RAW, FILE, *ALL, COUNTS]
    assert figures["reconstruction"]["valid"] == 1
    assert [row["way"] for row in figures["paths"]] in ([], list(WAYS))
    assert findings.bars[0].met
    for name in findings.pictures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    json.dumps(figures)


def test_paths_of_projections_lead_from_a_graph_to_itself(tmp_path):
    torch.manual_seed(0)
    model = GraphAutoencoder(5, 3, 16, 4).eval()
    z = torch.randn(20, 5, 3, dtype=torch.float64)
    rows = graphs.paths(model, z, model.decoded(z), TINY, torch.Generator().manual_seed(0))
    of = {row["way"]: row for row in rows}
    assert all(of[name]["to_itself_same"] == 1 for name in WAYS if name != RAW)
    assert of[graphs.BEST]["length_over_orbits"] == pytest.approx(1)
    assert min(row["length_over_orbits"] for row in rows) == of[graphs.BEST]["length_over_orbits"]
    assert of[RAW]["to_itself_length_over_orbits"] > 0.1


def test_with_too_few_molecules(data, tmp_path):
    with pytest.raises(MolgiaeError, match="0 molecules of 9 heavy atoms"):
        graphs.run(replace(TINY, nodes=9), Setting(tmp_path, data=data))
