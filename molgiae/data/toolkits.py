"""Conformers from and to ASE and RDKit objects; the toolkits are imported when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from molgiae.data.conformer import Conformer, normalised
from molgiae.data.state import charge_and_multiplicity, multiplicity_of
from molgiae.errors import ConformerError

NATURAL_MASS_RANGE = 0.3
"""Dalton by which tables of the masses of natural elements differ at most; isotopes differ by one."""

if TYPE_CHECKING:
    from ase import Atoms
    from rdkit.Chem import Mol


def from_ase(atoms: Atoms) -> Conformer:
    """Return the conformer of an `ase.Atoms`; cell and periodicity are dropped.

    Raises:
        ConformerError: an atom is no element.
    """
    from ase.data import atomic_masses  # noqa: PLC0415

    number = np.asarray(atoms.numbers)
    _check_elements(number)
    info = {key: str(value) for key, value in atoms.info.items() if isinstance(value, str | int | float)}
    charge, multiplicity = charge_and_multiplicity(info)
    mass = atoms.get_masses()
    is_isotope = (np.abs(mass - atomic_masses[number]) > NATURAL_MASS_RANGE) & (mass > 0.5)
    return Conformer(
        atomic_number=number.astype(np.uint8),
        position=np.array(atoms.positions, np.float64),
        title=next((info[key] for key in ("title", "name") if key in info), ""),
        charge=charge,
        multiplicity=multiplicity,
        isotope=np.where(is_isotope, np.rint(mass), 0).astype(np.uint16),
        properties=info,
    )


def to_ase(conformer: Conformer) -> Atoms:
    """Return `ase.Atoms` without a cell; title, charge and properties in its `info`."""
    from ase import Atoms  # noqa: PLC0415

    info = {"title": conformer.title, "charge": conformer.charge, **conformer.properties}
    if conformer.multiplicity:
        info["multiplicity"] = conformer.multiplicity
    atoms = Atoms(numbers=conformer.atomic_number, positions=conformer.position, info=info)
    if conformer.isotope.any():
        atoms.set_masses(np.where(conformer.isotope > 0, conformer.isotope, atoms.get_masses()))
    return atoms


def from_rdkit(mol: Mol, conf_id: int = -1) -> Conformer:
    """Return one conformer of an RDKit molecule; hydrogens that are not atoms of it are not added.

    Args:
        mol: a molecule with at least one conformer.
        conf_id: RDKit's conformer id; -1 is the first.

    Raises:
        ConformerError: there is no such conformer, or an atom is no element.
    """
    from rdkit import Chem  # noqa: PLC0415

    try:
        position = mol.GetConformer(conf_id).GetPositions()
    except ValueError as error:
        raise ConformerError(f"the molecule has no conformer {conf_id}; embed it first") from error
    number = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int64)
    _check_elements(number)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    radicals = [atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()]
    properties = mol.GetPropsAsDict(includePrivate=False, includeComputed=False)
    return Conformer(
        atomic_number=number.astype(np.uint8),
        position=np.array(position, np.float64),
        title=mol.GetProp("_Name") if mol.HasProp("_Name") else "",
        charge=Chem.GetFormalCharge(mol),
        multiplicity=multiplicity_of(electrons + 1 for electrons in radicals if electrons),
        isotope=np.array([atom.GetIsotope() for atom in mol.GetAtoms()], np.uint16),
        bonds=normalised(np.array(bonds, np.int64).reshape(-1, 2)),
        properties={key: str(value) for key, value in properties.items()},
    )


def _check_elements(number: np.ndarray) -> None:
    wrong = np.flatnonzero((number < 1) | (number > 118))
    if len(wrong):
        raise ConformerError(f"atom {wrong[0] + 1} has atomic number {number[wrong[0]]}, expected an element")
