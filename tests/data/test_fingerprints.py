"""Descriptors by RDKit: those of the molecule, in any pose, with bonds given or perceived."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from molgiae.data.conformer import NO_BONDS
from molgiae.data.fingerprints import morgan_counts, usr, usrcat
from molgiae.data.toolkits import to_rdkit
from tests.conformers import conformer, moved
from tests.evaluation.described import molecule

ALANINE, PHENOL = molecule("CC(N)C(=O)O"), molecule("Oc1ccccc1")


def test_they_are_those_of_rdkit():
    heavy = Chem.RemoveHs(to_rdkit(PHENOL))
    assert_allclose(usr(PHENOL), rdMolDescriptors.GetUSR(heavy))
    assert_allclose(usrcat(PHENOL), rdMolDescriptors.GetUSRCAT(heavy))
    assert_allclose(usrcat(PHENOL)[:12], usr(PHENOL), atol=1e-9)


def test_pose_order_and_the_source_of_bonds_do_not_matter():
    bare = replace(ALANINE, bonds=NO_BONDS)
    for function in (usr, usrcat, morgan_counts):
        assert_allclose(function(moved(bare, 3)), function(ALANINE), atol=1e-4)  # cube roots of round-off
        assert np.abs(function(ALANINE) - function(PHENOL)).max() > 0.1


def test_counts_are_counts():
    counts = morgan_counts(molecule("CCCCO"))
    assert counts.sum() == sum(
        Chem.rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
        .GetCountFingerprint(Chem.MolFromSmiles("CCCCO"))
        .GetNonzeroElements()
        .values()
    )
    assert_array_equal(counts, morgan_counts(moved(molecule("CCCCO"), 1)))


def test_what_has_none_is_zero():
    water, nonsense = molecule("O"), conformer([6, 6, 6], [[0, 0, 0], [1.5, 0, 0], [3, 0, 0]])
    assert not usr(water).any() and not usrcat(water).any() and morgan_counts(water).any()
    assert usr(nonsense).any() and not morgan_counts(nonsense).any()
