"""The benchmarks' copies are what they claim to be: a scrambled copy hides nothing and gives nothing away."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolAlign
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from molgiae.data.conformer import Conformer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import sets  # noqa: E402 - a script's neighbour, not a package

SMILES = ("CC(=O)OC(C)C", "C[N+](C)(C)CC([O-])=O", "c1ccc(cc1)C(F)(F)F", "C[C@H](N)C(=O)O")


@pytest.fixture(params=SMILES)
def conformer(request: pytest.FixtureRequest) -> Conformer:
    mol = Chem.AddHs(Chem.MolFromSmiles(request.param))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return sets.conformer_of(mol, title=request.param)


def bond_set(c: Conformer) -> set[frozenset[int]]:
    return {frozenset(bond) for bond in sets.bonds_of(c).tolist()}


def test_a_scrambled_copy_is_the_same_molecule_elsewhere(conformer: Conformer):
    copy = sets.scrambled(conformer, np.random.default_rng(1))
    there = copy.conformer
    assert (there.atomic_number[copy.order] == conformer.atomic_number).all()
    moved = conformer.position @ copy.rotation.T + copy.translation
    np.testing.assert_allclose(there.position[copy.order], moved, atol=1e-12)
    assert np.linalg.det(copy.rotation) == pytest.approx(1.0)
    assert {frozenset(copy.order[list(bond)].tolist()) for bond in bond_set(conformer)} == bond_set(there)
    smiles = [
        Chem.MolToSmiles(Chem.RemoveHs(sets.to_rdkit(c)), isomericSmiles=False) for c in (conformer, there)
    ]
    assert smiles[0] == smiles[1]


def test_the_first_match_of_a_scrambled_copy_is_not_the_true_mapping(conformer: Conformer):
    mol, rng = sets.to_rdkit(conformer), np.random.default_rng(2)
    given_away, honest = 0, 0
    for _ in range(10):
        order = rng.permutation(len(conformer)).tolist()
        trap = Chem.RenumberAtoms(mol, order)
        given_away += list(trap.GetSubstructMatch(mol)) == np.argsort(order).tolist()
        copy = sets.scrambled(conformer, rng)
        honest += list(sets.to_rdkit(copy.conformer).GetSubstructMatch(mol)) == copy.order.tolist()
    assert given_away >= 5
    assert honest <= 2


def test_an_automorphism_keeps_elements_and_bonds_and_moves_atoms(conformer: Conformer):
    rng = np.random.default_rng(3)
    moved = 0
    for _ in range(5):
        new = sets.automorphism(conformer, rng)
        assert (conformer.atomic_number[new] == conformer.atomic_number).all()
        assert {frozenset(new[list(bond)].tolist()) for bond in bond_set(conformer)} == bond_set(conformer)
        moved += (new != np.arange(len(new))).any()
    assert moved
    permuted = sets.automorphism_permuted(conformer, rng)
    assert rdMolAlign.GetBestRMS(sets.to_rdkit(permuted), sets.to_rdkit(conformer)) < 1e-6


def test_noise_mirror_and_rounding_do_what_they_say(conformer: Conformer):
    noisy = sets.noisy(conformer, np.random.default_rng(4), 0.02)
    assert 0.01 < (noisy.position - conformer.position).std() < 0.03
    mirrored = sets.mirrored(conformer)
    np.testing.assert_allclose(sets.mirrored(mirrored).position, conformer.position)
    assert rdMolAlign.GetBestRMS(sets.to_rdkit(mirrored), sets.to_rdkit(conformer)) > 1e-3
    read_back = Chem.MolFromMolBlock(conformer.text, removeHs=False).GetConformer().GetPositions()
    np.testing.assert_allclose(sets.rounded(conformer).position, read_back, atol=1e-9)


def test_the_symmetric_set_is_symmetric():
    names = [ensemble[0].title for ensemble in sets.symmetric()]
    assert len(names) == len(set(names)) >= 30
    for name, (group, _) in sets.MADE.items():
        c = sets.made(name)
        for operation in sets.GENERATORS[group]:
            apart = cdist(c.position @ operation.T, c.position)
            image = linear_sum_assignment(apart)[1]
            assert apart[np.arange(len(c)), image].max() < 1e-9, name
            assert (c.atomic_number[image] == c.atomic_number).all(), name


@pytest.mark.parametrize(
    ("name", "atoms", "bonds"),
    [
        ("cubane", 16, 20),
        ("adamantane", 26, 28),
        ("buckminsterfullerene", 60, 90),
        ("hexamethylbenzene", 30, 30),
        ("ferrocene, staggered", 21, 30),
        ("dodecahedrane", 40, 50),
        ("tetrakis(trimethylsilyl)silane", 53, 52),
        ("helium", 1, 0),
    ],
)
def test_symmetric_molecules_have_their_atoms_and_bonds(name: str, atoms: int, bonds: int):
    c = sets.made(name)
    assert (len(c), len(sets.bonds_of(c))) == (atoms, bonds)


def test_scrambled_copies_carry_the_bonds_of_their_text():
    c = sets.from_ase("C6H6")
    copy = sets.scrambled(c, np.random.default_rng(0)).conformer
    for one in (c, copy):
        assert {frozenset(b) for b in one.bonds.tolist()} == bond_set(one)
        assert len(one.bonds) == 12
