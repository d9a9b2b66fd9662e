"""Molecules made for the drug model are what their titles say, and never the molecules they were made from."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from drug_molecules import ATOMS, REACTIONS, changed, coupled, size_of  # noqa: E402 - a script, not a package

SYMBOL = {"boron": "B", "silicon": "Si", "phosphorus": "P", "iodine": "I"}
SMILES = (
    "CCOc1ccc(Br)cc1",
    "CCC(O)c1ccc(Cl)nc1",
    "Cc1ccc(F)cc1C(=O)[O-]",
    "CN1CCC(CC1)C(=O)[O-]",
    "CCCC",
    "OC(=O)c1ccc(cc1)C(=O)Nc1ccc(cc1)C(C)(C)C",
    "CC(C)(C)c1ccc(cc1)S(=O)(=O)N1CCC(CC1)C(=O)NCCC1CCNCC1",
    "NCC1CCN(CC1)C(=O)c1ccc2c(c1)OCCO2",
)


@pytest.fixture
def molecules():
    return [Chem.MolFromSmiles(text) for text in SMILES]


@pytest.mark.parametrize("kind", REACTIONS)
def test_each_kind_has_its_element(molecules, kind):
    made = list(changed(molecules, REACTIONS[kind], 3))
    assert len(made) >= 2
    for text in made:
        assert SYMBOL[kind] in {atom.GetSymbol() for atom in Chem.MolFromSmiles(text).GetAtoms()}
    assert not set(made) & set(SMILES)


def test_as_many_as_asked_for(molecules):
    assert len(list(changed(molecules, REACTIONS["iodine"], 1))) == 1


def test_large_ones_are_amides_within_the_sizes(molecules):
    made = list(coupled(molecules, 5, np.random.default_rng(0)))
    assert len(made) == 5
    amide = Chem.MolFromSmarts("C(=O)N")
    for text in made:
        molecule = Chem.MolFromSmiles(text)
        assert molecule.HasSubstructMatch(amide)
        assert ATOMS[0] <= size_of(molecule) <= ATOMS[1]
        assert size_of(molecule) == Chem.AddHs(molecule).GetNumAtoms()


@pytest.mark.parametrize("smiles", [["CC"], ["CC(=O)O", "CN"]])
def test_what_cannot_be_made_is_not_waited_for(smiles):
    assert list(coupled([Chem.MolFromSmiles(text) for text in smiles], 5, np.random.default_rng(0))) == []
