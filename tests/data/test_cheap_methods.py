"""Cheap methods: their numbers are those of the libraries, and follow the laws that energies, forces and dipoles do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from scipy.spatial.transform import Rotation

from molgiae.data import cheap_methods
from molgiae.data.cheap_methods import BOHR, HARTREE, METHODS, QUANTITIES, SOLVENTS, Computed, method_named
from molgiae.data.conformer import NO_BONDS, Conformer
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import ConfigError, ConformerError
from molgiae.properties.units import conversion, dimension_of
from tests.conformers import conformer

GFN = ("gfn2", "gfn1")
ALL = (*GFN, "mmff94s")
SMILES = ("O", "CC(=O)[O-]", "C[NH3+]", "NCC(=O)O")
SCF = 1e-4
"""eV, eV/angstrom and so on by which a self-consistent field may be off."""


@cache
def molecule(smiles: str) -> Conformer:
    """A distorted geometry, so that no force vanishes, with its table."""
    made = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(made, randomSeed=7)
    plain = from_rdkit(made)
    noise = np.random.default_rng(len(smiles)).normal(0, 0.03, plain.position.shape)
    return replace(plain, position=plain.position + noise, text=Chem.MolToMolBlock(made))


def computed(
    method: str, c: Conformer, *, polarizability: bool = False, solvents: Sequence[str] = ()
) -> Computed:
    if METHODS[method].package == "tblite":
        pytest.importorskip("tblite", reason="needs the extra labels")
    return METHODS[method].compute(c, polarizability, solvents)


@pytest.mark.parametrize(("method", "model"), [("gfn2", "GFN2-xTB"), ("gfn1", "GFN1-xTB")])
@pytest.mark.parametrize("smiles", SMILES)
def test_what_tblite_finds(method, model, smiles):
    interface = pytest.importorskip("tblite.interface", reason="needs the extra labels")
    c = molecule(smiles)
    found = computed(method, c)
    direct = interface.Calculator(
        model, c.atomic_number.astype(int), c.position / BOHR, charge=float(c.charge)
    )
    direct.set("verbosity", 0)
    wanted = direct.singlepoint()
    assert_allclose(found.energy, wanted.get("energy") * HARTREE, atol=SCF)
    assert_allclose(found.forces, -wanted.get("gradient") * HARTREE / BOHR, atol=SCF)
    assert_allclose(found.charges, wanted.get("charges"), atol=SCF)
    homo = int(wanted.get("orbital-occupations").sum()) // 2
    level = wanted.get("orbital-energies") * HARTREE
    assert_allclose(found.gap, level[homo] - level[homo - 1], atol=SCF)


@pytest.mark.parametrize(("method", "model"), [("gfn2", "GFN2-xTB"), ("gfn1", "GFN1-xTB")])
def test_solvation_is_the_energy_in_the_solvent_less_that_in_vacuum(method, model):
    interface = pytest.importorskip("tblite.interface", reason="needs the extra labels")
    for smiles, solvent in (("CC(=O)[O-]", "water"), ("NCC(=O)O", "octanol")):
        c = molecule(smiles)
        energy = []
        for added in ((), (("alpb-solvation", solvent),)):
            direct = interface.Calculator(
                model, c.atomic_number.astype(int), c.position / BOHR, charge=float(c.charge)
            )
            direct.set("verbosity", 0)
            for words in added:
                direct.add(*words)
            energy.append(direct.singlepoint().get("energy") * HARTREE)
        found = computed(method, c, solvents=[solvent])
        assert found.solvation == pytest.approx({solvent: energy[1] - energy[0]}, abs=SCF)
        assert found.energy == pytest.approx(energy[0], abs=SCF) and found.solvation[solvent] < -0.1


@pytest.mark.parametrize("method", GFN)
@pytest.mark.parametrize("solvent", SOLVENTS)
def test_every_solvent_that_is_named_has_parameters(method, solvent):
    assert np.isfinite(computed(method, molecule("O"), solvents=[solvent]).solvation[solvent])


def test_water_favours_the_ion_and_hexane_does_not():
    """In eV: the hydration of acetate is near -3.3, of acetic acid near -0.3."""
    found = {
        smiles: computed("gfn2", molecule(smiles), solvents=["water", "hexane"]).solvation
        for smiles in ("CC(=O)[O-]", "CC(=O)O")
    }
    assert -4 < found["CC(=O)[O-]"]["water"] < -2.5 and -0.6 < found["CC(=O)O"]["water"] < -0.1
    assert found["CC(=O)[O-]"]["water"] < found["CC(=O)[O-]"]["hexane"] - 0.5


def test_mmff94s_is_that_of_rdkit():
    c = molecule("NCC(=O)O")
    mol = Chem.MolFromMolBlock(c.text, removeHs=False)
    mol.GetConformer().SetPositions(c.position)
    constants = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol, mmffVariant="MMFF94s")
    energy = rdForceFieldHelpers.MMFFGetMoleculeForceField(mol, constants).CalcEnergy()
    assert_allclose(computed("mmff94s", c).energy, energy * conversion("kcal/mol", "eV"))
    assert np.isnan(computed("mmff94s", c).charges).all()


@pytest.mark.parametrize("method", ALL)
def test_forces_are_the_slope_of_the_energy(method):
    c, step = molecule("NCC(=O)O"), 1e-3
    forces = computed(method, c).forces
    for atom, axis in ((0, 0), (3, 1), (8, 2)):
        there, back = c.position.copy(), c.position.copy()
        there[atom, axis] += step
        back[atom, axis] -= step
        rise = [computed(method, replace(c, position=place)).energy for place in (there, back)]
        assert_allclose(forces[atom, axis], (rise[1] - rise[0]) / (2 * step), atol=0.01)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("smiles", SMILES[:3])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_vectors_turn_with_the_molecule_and_all_else_stays(method, smiles, seed):
    c = molecule(smiles)
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    order = rng.permutation(len(c))
    place = c.position[order] @ turn.T + rng.normal(0, 10, 3)
    moved = replace(c, atomic_number=c.atomic_number[order], position=place)
    if method == "mmff94s":  # its table has an order of atoms
        order, moved = np.arange(len(c)), replace(c, position=c.position @ turn.T + rng.normal(0, 10, 3))
    before, after = computed(method, c), computed(method, moved)
    assert_allclose(after.energy, before.energy, atol=SCF)
    assert_allclose(after.gap, before.gap, atol=10 * SCF)
    assert_allclose(after.forces, before.forces[order] @ turn.T, atol=10 * SCF)
    assert_allclose(after.charges, before.charges[order], atol=10 * SCF)
    assert_allclose(after.dipole, before.dipole @ turn.T, atol=50 * SCF)
    assert_allclose(after.numbers["dipole"], np.linalg.norm(after.dipole))


@pytest.mark.parametrize("method", GFN)
@pytest.mark.parametrize("smiles", SMILES)
def test_charges_of_atoms_sum_to_that_of_the_molecule(method, smiles):
    c = molecule(smiles)
    assert_allclose(computed(method, c).charges.sum(), c.charge, atol=1e-8)


def test_the_dipole_of_a_diatomic_points_from_minus_to_plus():
    found = computed("gfn2", conformer([9, 1], [[5, 5, 5], [5, 5, 5.92]]))
    assert_allclose(found.dipole[:2], 0, atol=1e-6)
    assert 1.2 < found.dipole[2] < 2.6  # 1.8 D by experiment


@pytest.mark.parametrize("smiles", ["O", "C[NH3+]"])
def test_polarizability_is_the_slope_of_the_dipole_in_any_pose(smiles):
    c = molecule(smiles)
    there = replace(c, position=Rotation.random(random_state=1).apply(c.position) + 30)
    here, far = (computed("gfn2", one, polarizability=True).polarizability for one in (c, there))
    assert 2 < here < 60  # of a minimal basis
    assert_allclose(far, here, atol=0.2)
    assert np.isnan(computed("gfn2", c).polarizability)


def test_odd_electrons_are_a_doublet_and_a_given_multiplicity_counts():
    methyl = conformer([6, 1, 1, 1], [[0, 0, 0], [1.08, 0, 0], [-0.54, 0.935, 0], [-0.54, -0.935, 0]])
    doublet = computed("gfn2", methyl)
    assert_allclose(doublet.energy, computed("gfn2", replace(methyl, multiplicity=2)).energy)
    oxygen = conformer([8, 8], [[0, 0, 0], [0, 0, 1.21]])
    singlet, triplet = (
        computed("gfn2", replace(oxygen, multiplicity=m)).gap for m in (1, 3)
    )  # the gap of the singlet is within two half-filled levels
    assert singlet < 0.1 < triplet


@pytest.mark.parametrize(
    ("method", "c", "reason"),
    [
        ("gfn2", conformer([92, 9], [[0, 0, 0], [0, 0, 2]]), r"GFN2-xTB fails: No support for elements"),
        ("gfn1", conformer([6, 6], [[0, 0, 0], [0, 0, 0]]), r"GFN1-xTB fails: Too close"),
        ("gfn2", conformer([1], [[0, 0, 0]], charge=5), r"no state of charge 5 .* correct these"),
        ("gfn2", replace(conformer([2], [[0, 0, 0]]), multiplicity=2), r"number unpaired electrons \(1\)"),
        ("mmff94s", replace(molecule("O"), bonds=NO_BONDS, text=""), r"needs bonds, .* give SDF"),
        ("mmff94s", molecule("OB(O)C"), r"no parameters for some of its atoms; use method gfn2"),
    ],
)
def test_what_cannot_be_computed_says_why_and_what_to_do(method, c, reason):
    with pytest.raises(ConformerError, match=reason):
        computed(method, c)


def test_mmff94s_wants_all_hydrogens():
    made = Chem.MolFromSmiles("CCO")
    rdDistGeom.EmbedMolecule(made, randomSeed=7)
    with pytest.raises(ConformerError, match="some are missing"):
        computed("mmff94s", replace(from_rdkit(made), text=Chem.MolToMolBlock(made)))


def test_what_does_not_converge_is_an_error(monkeypatch):
    interface = pytest.importorskip("tblite.interface", reason="needs the extra labels")

    class Impatient(interface.Calculator):
        def singlepoint(self, *rest):
            self.set("max-iter", 2)
            return super().singlepoint(*rest)

    monkeypatch.setattr(interface, "Calculator", Impatient)
    with pytest.raises(ConformerError, match=r"GFN2-xTB fails: .*converged"):
        computed("gfn2", molecule("O"))


def test_a_method_that_is_not_there_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(cheap_methods, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'needs tblite; install it with pip install "molgiae\[labels\]"'):
        method_named("gfn2")
    with pytest.raises(ConfigError, match="gfn2, gfn1, mmff94s"):
        method_named("gfn3")


def test_units_are_those_that_properties_are_read_in():
    assert all(dimension_of(unit) for unit in QUANTITIES.values())
    for theirs, ours in (("Ha", HARTREE), ("kcal/mol", cheap_methods.KCAL_PER_MOL)):
        assert_allclose(conversion(theirs, "eV"), ours, rtol=1e-9)
    assert_allclose(conversion("e a0", "D"), cheap_methods.DEBYE)
