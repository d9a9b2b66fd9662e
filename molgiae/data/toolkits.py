"""Conformers from and to ASE and RDKit objects; the toolkits are imported when they are used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import Conformer, normalised
from molgiae.data.state import charge_and_multiplicity, multiplicity_of
from molgiae.errors import ConformerError

NATURAL_MASS_RANGE = 0.3
"""Dalton by which tables of the masses of natural elements differ at most; isotopes differ by one."""

MAX_TRIES = 10_000
"""Steps that RDKit may take to find the orders of the bonds of a molecule."""

if TYPE_CHECKING:
    from ase import Atoms
    from rdkit.Chem import Mol, RWMol


def from_ase(atoms: Atoms) -> Conformer:
    """Return the conformer of an `ase.Atoms`; cell and periodicity are dropped.

    Raises:
        ConformerError: an atom is no element.

    Examples:
        >>> from ase.build import molecule
        >>> molgiae.from_ase(molecule("CH3OH"))
        Conformer('', C1 H4 O1)
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


@overload
def from_rdkit(mol: Mol, conf_id: int = -1) -> Conformer: ...
@overload
def from_rdkit(mol: Mol, conf_id: Literal["all"]) -> list[Conformer]: ...
def from_rdkit(mol: Mol, conf_id: int | Literal["all"] = -1) -> Conformer | list[Conformer]:
    """Return one conformer of an RDKit molecule, or all; hydrogens that are not atoms of it are not added.

    Args:
        mol: a molecule with at least one conformer.
        conf_id: RDKit's conformer id; -1 is the first, "all" makes a list of all in their order.

    Raises:
        ConformerError: there is no such conformer, or an atom is no element.

    Examples:
        >>> molgiae.from_rdkit(mol), len(molgiae.from_rdkit(mol, "all"))
        (Conformer('', C2 H6 O1), 3)
    """
    from rdkit import Chem  # noqa: PLC0415

    try:
        placed = list(mol.GetConformers()) if conf_id == "all" else [mol.GetConformer(conf_id)]
    except ValueError:
        placed = []
    if not placed:
        missing = "no conformer" if conf_id == "all" else f"no conformer {conf_id}"
        raise ConformerError(f"the molecule has {missing}; embed it first")
    number = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int64)
    _check_elements(number)
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    radicals = [atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()]
    properties = _data_of(mol)
    first = Conformer(
        atomic_number=number.astype(np.uint8),
        position=np.zeros((len(number), 3)),
        title=mol.GetProp("_Name") if mol.HasProp("_Name") else "",
        charge=Chem.GetFormalCharge(mol),
        multiplicity=multiplicity_of(electrons + 1 for electrons in radicals if electrons),
        isotope=np.array([atom.GetIsotope() for atom in mol.GetAtoms()], np.uint16),
        bonds=normalised(np.array(bonds, np.int64).reshape(-1, 2)),
    )
    found = [
        replace(
            first,
            position=np.array(one.GetPositions(), np.float64),
            properties={key: str(value) for key, value in (properties | _data_of(one)).items()},
        )
        for one in placed
    ]
    return found if conf_id == "all" else found[0]


def to_rdkit(conformer: Conformer) -> Mol | None:
    """Return the sanitised RDKit molecule of a conformer, or None where its chemistry cannot be told.

    It is that of the table of an SDF record, else RDKit finds orders for its bonds, perceived ones where it has none.
    This takes all hydrogens and the right charge, and fails for some ions with nitro groups and for salts.
    """
    from rdkit import Chem, rdBase  # noqa: PLC0415
    from rdkit.Chem import rdDetermineBonds  # noqa: PLC0415

    with rdBase.BlockLogs():
        if molecule := _of_table(conformer):
            return molecule
        built = Chem.RWMol()
        for number, isotope in zip(conformer.atomic_number.tolist(), conformer.isotope.tolist(), strict=True):
            atom = Chem.Atom(number)
            atom.SetIsotope(isotope)
            atom.SetNoImplicit(True)
            built.AddAtom(atom)
        for first, second in known_bonds(conformer).tolist():
            built.AddBond(first, second, Chem.BondType.SINGLE)
        at_positions(built, conformer.position)
        try:
            rdDetermineBonds.DetermineBondOrders(
                built, charge=conformer.charge, embedChiral=False, maxIterations=MAX_TRIES
            )
            Chem.SanitizeMol(built)
        except (RuntimeError, ValueError):  # there is no Lewis structure of this charge
            return None
    return built


def with_table(conformer: Conformer) -> Conformer:
    """Return the conformer with a connection table as its text, for writers of SDF; itself where none can be made."""
    from rdkit import Chem  # noqa: PLC0415

    if has_table(conformer) or (molecule := to_rdkit(conformer)) is None:
        return conformer
    return replace(conformer, text=Chem.MolToMolBlock(molecule, kekulize=True) + "$$$$\n")


def at_positions(molecule: RWMol, position: np.ndarray) -> RWMol:
    """Give a molecule one conformer, (n, 3) angstrom, in place of any that it has."""
    from rdkit import Chem  # noqa: PLC0415

    placed = Chem.Conformer(len(position))
    placed.SetPositions(np.ascontiguousarray(position, np.float64))
    molecule.RemoveAllConformers()
    molecule.AddConformer(placed)
    return molecule


def has_table(conformer: Conformer) -> bool:
    """Return whether the record, as it was read, has a connection table."""
    return "M  END" in conformer.text


def _of_table(conformer: Conformer) -> RWMol | None:
    """Return the molecule of the table of a record, if it has one of these atoms that can be sanitised."""
    from rdkit import Chem  # noqa: PLC0415

    molecule = Chem.MolFromMolBlock(conformer.text, removeHs=False) if has_table(conformer) else None
    if (
        molecule is None
        or [atom.GetAtomicNum() for atom in molecule.GetAtoms()] != conformer.atomic_number.tolist()
    ):
        return None
    return at_positions(Chem.RWMol(molecule), conformer.position)


def _data_of(owner: Any) -> dict[str, Any]:
    """Return the data of a molecule or conformer of RDKit by name."""
    found: dict[str, Any] = owner.GetPropsAsDict(includePrivate=False, includeComputed=False)
    return found


def _check_elements(number: np.ndarray) -> None:
    wrong = np.flatnonzero((number < 1) | (number > 118))
    if len(wrong):
        raise ConformerError(f"atom {wrong[0] + 1} has atomic number {number[wrong[0]]}, expected an element")
