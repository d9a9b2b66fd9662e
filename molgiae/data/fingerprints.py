"""Descriptors of conformers by RDKit, to compare embeddings with: USR, USRCAT, Morgan counts; of heavy atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import at_positions, to_rdkit

Floats = NDArray[np.float64]

USR_SIZE, USRCAT_SIZE, MORGAN_SIZE = 12, 60, 2048
MIN_ATOMS = 3
"""Heavy atoms that USR takes; RDKit refuses fewer."""
RADIUS = 2
"""Bonds around each atom of Morgan fingerprints: those called ECFP4."""


def usr(conformer: Conformer) -> Floats:
    """Return (12,) ultrafast shape recognition (Ballester and Richards 2007).

    0 of fewer than `MIN_ATOMS` heavy atoms; so in `usrcat`, also where there is no molecule.
    """
    heavy = conformer.position[conformer.atomic_number > 1]
    if len(heavy) < MIN_ATOMS:
        return np.zeros(USR_SIZE)
    from rdkit import Chem  # noqa: PLC0415
    from rdkit.Chem import rdMolDescriptors  # noqa: PLC0415

    molecule = Chem.RWMol()
    for _ in heavy:
        molecule.AddAtom(Chem.Atom(6))
    return np.array(rdMolDescriptors.GetUSR(at_positions(molecule, heavy)))


def usrcat(conformer: Conformer) -> Floats:
    """Return (60,) USR of all heavy atoms and of those of four kinds of chemistry (Schreyer and Blundell 2012)."""
    from rdkit.Chem import rdMolDescriptors  # noqa: PLC0415

    molecule = _heavy(conformer)
    if molecule is None or molecule.GetNumAtoms() < MIN_ATOMS:
        return np.zeros(USRCAT_SIZE)
    return np.array(rdMolDescriptors.GetUSRCAT(molecule))


def morgan_counts(conformer: Conformer) -> Floats:
    """Return (2048,) how often each environment of an atom occurs (Rogers and Hahn 2010), hashed; no geometry."""
    from rdkit.Chem import rdFingerprintGenerator  # noqa: PLC0415

    molecule = _heavy(conformer)
    if molecule is None:
        return np.zeros(MORGAN_SIZE)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=MORGAN_SIZE)
    return np.asarray(generator.GetCountFingerprintAsNumPy(molecule), np.float64)


def _heavy(conformer: Conformer) -> Any | None:
    """Return the molecule without hydrogens; None where no chemistry comes of the record, see `to_rdkit`."""
    from rdkit import Chem, rdBase  # noqa: PLC0415

    molecule = to_rdkit(conformer)
    with rdBase.BlockLogs():
        try:
            return None if molecule is None else Chem.RemoveHs(molecule)
        except ValueError:  # valences that RDKit refuses without its hydrogens
            return None
