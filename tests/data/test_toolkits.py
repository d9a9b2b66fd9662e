"""Conformers from and to ASE and RDKit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from molgiae.data.conformer import NO_BONDS
from molgiae.data.sdf.reader import read_sdf
from molgiae.data.sources import Cursor
from molgiae.data.toolkits import from_ase, from_rdkit, to_ase, to_rdkit, with_table
from molgiae.errors import ConformerError


def test_ase_there_and_back() -> None:
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], info={"name": "water", "charge": 1})
    conformer = from_ase(atoms)
    assert (conformer.title, conformer.charge, conformer.atomic_number.tolist()) == ("water", 1, [8, 1, 1])
    back = to_ase(conformer)
    np.testing.assert_array_equal(back.positions, atoms.positions)
    with pytest.raises(ConformerError, match="atom 1 has atomic number 0"):
        from_ase(ase.Atoms("X", [[0, 0, 0]]))


def test_rdkit_molecule_and_its_molblock_agree() -> None:
    Chem = pytest.importorskip("rdkit.Chem")
    AllChem = pytest.importorskip("rdkit.Chem.AllChem")
    mol = Chem.AddHs(Chem.MolFromSmiles("C[NH3+]"))
    with pytest.raises(ConformerError, match="no conformer"):
        from_rdkit(mol)
    AllChem.EmbedMolecule(mol, randomSeed=1)
    mol.SetProp("_Name", "ammonium")
    mol.SetProp("energy", "1.5")
    conformer = from_rdkit(mol)
    assert (conformer.title, conformer.charge, conformer.properties) == ("ammonium", 1, {"energy": "1.5"})
    for version in (False, True):
        block, _ = read_sdf(Chem.MolToMolBlock(mol, forceV3000=version).encode(), True, Cursor("-"))
        assert not block.rejected
        assert (block[0].title, block[0].charge) == ("ammonium", 1)
        assert block[0].atomic_number.tolist() == conformer.atomic_number.tolist()
        np.testing.assert_allclose(block[0].position, conformer.position, atol=6e-5)


def test_molecules_have_the_orders_of_their_bonds() -> None:
    """Without a table they are found, from the bonds of the record or from distances; isotopes stay."""
    Chem = pytest.importorskip("rdkit.Chem")
    AllChem = pytest.importorskip("rdkit.Chem.AllChem")
    mol = Chem.AddHs(Chem.MolFromSmiles("[13CH3]C(=O)[O-]"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    bonded = from_rdkit(mol)
    for given in (bonded, replace(bonded, bonds=NO_BONDS), replace(bonded, text=Chem.MolToMolBlock(mol))):
        found = to_rdkit(given)
        assert Chem.MolToSmiles(Chem.RemoveHs(found)) == "[13CH3]C(=O)[O-]"
        np.testing.assert_allclose(found.GetConformer().GetPositions(), bonded.position)
    assert "M  CHG" in with_table(bonded).text
    unknown = replace(bonded, charge=3)
    assert to_rdkit(unknown) is None and with_table(unknown) is unknown
