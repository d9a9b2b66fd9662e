"""Conformers from and to ASE and RDKit objects; the toolkits are imported when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from molgiae.data.conformer import Conformer
from molgiae.errors import ConformerError

if TYPE_CHECKING:
    from ase import Atoms
    from rdkit.Chem import Mol


def from_ase(atoms: Atoms) -> Conformer:
    """Conformer of an `ase.Atoms`; cell and periodicity are dropped.

    Raises:
        ConformerError: an atom is no element.
    """
    number = np.asarray(atoms.numbers)
    _check_elements(number)
    info = {key: str(value) for key, value in atoms.info.items() if isinstance(value, str | int | float)}
    charge = atoms.info.get("charge", atoms.info.get("total_charge", 0))
    return Conformer(
        atomic_number=number.astype(np.uint8),
        position=np.array(atoms.positions, np.float64),
        title=next((info[key] for key in ("title", "name") if key in info), ""),
        charge=int(charge or 0),
        properties=info,
    )


def to_ase(conformer: Conformer) -> Atoms:
    """`ase.Atoms` without a cell; title, charge and properties in its `info`."""
    from ase import Atoms  # noqa: PLC0415

    info = {"title": conformer.title, "charge": conformer.charge, **conformer.properties}
    return Atoms(numbers=conformer.atomic_number, positions=conformer.position, info=info)


def from_rdkit(mol: Mol, conf_id: int = -1) -> Conformer:
    """One conformer of an RDKit molecule; hydrogens that are not atoms of it are not added.

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
    properties = mol.GetPropsAsDict(includePrivate=False, includeComputed=False)
    return Conformer(
        atomic_number=number.astype(np.uint8),
        position=np.array(position, np.float64),
        title=mol.GetProp("_Name") if mol.HasProp("_Name") else "",
        charge=Chem.GetFormalCharge(mol),
        properties={key: str(value) for key, value in properties.items()},
    )


def _check_elements(number: np.ndarray) -> None:
    wrong = np.flatnonzero((number < 1) | (number > 118))
    if len(wrong):
        raise ConformerError(f"atom {wrong[0] + 1} has atomic number {number[wrong[0]]}, expected an element")
