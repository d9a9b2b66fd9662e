"""Matrices of RMSDs: what RDKit finds exhaustively, whatever tiles, threads, orders and molecules there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign
from scipy.spatial.distance import squareform

from molgiae.data.conformer import Conformer, ConformerBlock, normalised
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import ConfigError
from molgiae.matching import matrix as matrices
from molgiae.matching import superpose_pairs
from molgiae.matching.kabsch import kabsch
from molgiae.matching.matrix import Pairing, all_pairs
from tests.conformers import mirrored, moved

SYMMETRIC = (
    "CC(C)(C)C",
    "OCC(O)CO",
    "C1CCCCC1",
    "FC(F)(F)c1ccccc1",
    "CC=C",
    "NC(=O)CC(C)C",
    "CS(=O)(=O)C",
)


def ensemble(smiles: str, number: int = 5) -> Chem.Mol:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMultipleConfs(molecule, number, randomSeed=7)
    rng = np.random.default_rng(7)
    for conformer in molecule.GetConformers():  # minima of rigid molecules would be the same
        position = conformer.GetPositions() + rng.normal(0, 0.05, (molecule.GetNumAtoms(), 3))
        conformer.SetPositions(position)
    return molecule


def scrambled(c: Conformer, seed: int) -> Conformer:
    """Another pose, and another order of the atoms."""
    place = np.argsort(np.random.default_rng(seed).permutation(len(c)))  # the order that `moved` draws first
    return replace(moved(c, seed), bonds=normalised(place[c.bonds]), title=c.title)


def conformers_of(molecule: Chem.Mol, seed: int = 0) -> list[Conformer]:
    every = [from_rdkit(molecule, c.GetId()) for c in molecule.GetConformers()]
    return [scrambled(c, 100 * seed + k) for k, c in enumerate(every)]


def by_rdkit(probes: Chem.Mol, references: Chem.Mol) -> np.ndarray:
    """RMSDs by all automorphisms, one pair at a time, each on copies."""
    ids = [[c.GetId() for c in molecule.GetConformers()] for molecule in (probes, references)]
    return np.array(
        [
            [
                rdMolAlign.GetBestRMS(Chem.Mol(probes), Chem.Mol(references), i, j, maxMatches=10**6)
                for j in ids[1]
            ]
            for i in ids[0]
        ]
    )


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("smiles", SYMMETRIC)
def test_equals_what_rdkit_finds_exhaustively(smiles, heavy):
    molecule = ensemble(smiles)
    block = ConformerBlock.of(conformers_of(molecule))
    found = all_pairs(block, pairing=Pairing(heavy=heavy))
    if heavy:
        molecule = Chem.RemoveHs(molecule)
    np.testing.assert_allclose(found.rmsd, by_rdkit(molecule, molecule), atol=1e-5)
    assert found.proven.all()
    position = [from_rdkit(molecule, c.GetId()).position for c in molecule.GetConformers()]
    as_numbered = [float(kabsch(a, b)[2]) for a in position for b in position]
    if smiles != "CC=C" or not heavy:  # else the comparison would be of nothing
        assert (found.rmsd.ravel() < np.array(as_numbered) - 1e-3).any()


def test_hydrogens_that_are_left_out_still_say_what_is_equivalent():
    """Without them the ends of propene would be alike."""
    whole = from_rdkit(ensemble("CC=C", 1))
    exchanged = replace(whole, position=whole.position[[2, 1, 0, *range(3, len(whole))]])
    alone = [
        Conformer(c.atomic_number[:3], c.position[:3], bonds=np.array([[0, 1], [1, 2]]))
        for c in (whole, exchanged)
    ]
    assert all_pairs(ConformerBlock.of(alone)).rmsd[0, 1] < 1e-6
    assert all_pairs(ConformerBlock.of([whole, exchanged]), pairing=Pairing(heavy=True)).rmsd[0, 1] > 0.02


@pytest.fixture(scope="module")
def mixed() -> ConformerBlock:
    """Conformers of two isomers and another molecule, one after another, and one alone."""
    of = [conformers_of(ensemble(smiles, 4), k) for k, smiles in enumerate(("CCCO", "CC(C)O", "CCN"))]
    alone = conformers_of(ensemble("CC#N", 1))
    return ConformerBlock.of([c for several in zip(*of, strict=True) for c in several] + alone)


@pytest.mark.parametrize("pairing", [Pairing(), Pairing(match="atoms"), Pairing(allow_reflection=True)])
def test_pairs_of_one_molecule_have_what_superposition_finds_and_others_nothing(mixed, pairing):
    found = all_pairs(mixed, pairing=pairing)
    same = np.equal.outer(*found.molecule)
    assert (np.isfinite(found.rmsd) == same).all() and not found.proven[~same].any()
    assert same.sum() == (3 * 16 + 1 if pairing.match is None else 8 * 8 + 16 + 1)
    np.testing.assert_array_equal(found.rmsd, found.rmsd.T)
    assert not np.diag(found.rmsd).any() and np.diag(found.proven).all()
    rows = np.argwhere(np.triu(same, 1))
    expected = superpose_pairs(
        [mixed[i] for i, _ in rows],
        [mixed[j] for _, j in rows],
        match=pairing.match or "bonds",
        allow_reflection=pairing.allow_reflection,
    )
    values, proven = found.rmsd[tuple(rows.T)], found.proven[tuple(rows.T)]
    both = proven & expected.proven
    np.testing.assert_allclose(values[both], expected.rmsd[both], atol=1e-6)
    assert both.mean() > 0.9 and len(found.compared()[0]) == len(rows)


def test_the_condensed_form_is_that_of_scipy(mixed):
    found = all_pairs(ConformerBlock.of([mixed[m] for m in range(0, 12, 3)]))
    np.testing.assert_array_equal(squareform(found.condensed()[0]), found.rmsd)
    with pytest.raises(ConfigError, match="condensed"):
        all_pairs(mixed, mixed.take(slice(None))).condensed()


def test_references_tiles_and_threads_change_nothing(mixed, monkeypatch):
    square = all_pairs(mixed)
    monkeypatch.setattr(matrices, "TILE", 3)
    advanced = []
    for found in (
        all_pairs(mixed, advance=advanced.append),
        all_pairs(mixed, mixed.take(slice(None)), workers=2),
    ):
        np.testing.assert_allclose(found.rmsd, square.rmsd, atol=2e-7)
        np.testing.assert_array_equal(found.proven, square.proven)
    assert sum(advanced) == 3 * 6
    part = all_pairs(mixed.take(slice(0, 5)), mixed.take(slice(3, None)))
    np.testing.assert_allclose(part.rmsd, square.rmsd[:5, 3:], atol=2e-7)


def test_mirror_images_are_near_only_if_that_is_allowed():
    c = conformers_of(ensemble("C[C@H](N)CO", 1))[0]
    both = ConformerBlock.of([c, replace(mirrored(c), bonds=c.bonds)])
    assert all_pairs(both).rmsd[0, 1] > 0.1
    assert all_pairs(both, pairing=Pairing(allow_reflection=True)).rmsd[0, 1] < 1e-6


def test_isotopes_and_charges_matter_unless_they_are_ignored():
    c = conformers_of(ensemble("CCO", 1))[0]
    isotope = np.where(np.arange(len(c)) == 0, 13 if c.atomic_number[0] == 6 else 2, 0).astype(np.uint16)
    block = ConformerBlock.of([c, replace(c, isotope=isotope), replace(c, charge=1)])
    assert np.isfinite(all_pairs(block).rmsd).sum() == 3
    ignored = all_pairs(block, pairing=Pairing(ignore=("isotopes", "charge", "multiplicity")))
    assert (ignored.rmsd < 1e-6).all()


@pytest.mark.parametrize("heavy", [False, True])
def test_nothing_and_hydrogen_alone(heavy):
    empty = all_pairs(ConformerBlock.of([]), pairing=Pairing(heavy=heavy))
    assert empty.rmsd.shape == (0, 0) and not len(empty.compared()[0])
    h2 = [Conformer(np.array([1, 1], np.uint8), np.array([[0, 0, 0], [0, 0, d]])) for d in (0.7, 0.8)]
    found = all_pairs(ConformerBlock.of(h2), pairing=Pairing(heavy=heavy))
    assert found.rmsd[0, 1] == pytest.approx(0.05)
