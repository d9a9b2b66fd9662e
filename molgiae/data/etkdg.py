"""Conformers of a molecule with RDKit: distance geometry, then a force field to the next minimum.

ETKDGv3: Wang, Witek, Landrum, Riniker, J. Chem. Inf. Model. 2020, 60, 2044. MMFF94s: Halgren, J. Comput. Chem. 1999,
20, 720.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from molgiae.config import MAX_SEED, ConformerSearch
from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import ConformerError

MAX_STARTS = 20
"""Random starts for one embedding; strained cages would otherwise be tried for ever."""
MAX_STEPS = 10_000
"""Steps of a minimisation; those of drug-like molecules take some hundred."""
CONVERGED = 0


def embed_and_minimise(text: str, is_smiles: bool, title: str, search: ConformerSearch) -> list[Conformer]:
    """Make conformers of one molecule: those that converged, lowest energy first; duplicates are among them.

    All of them are of one stereoisomer. Stereocentres that the input leaves open are decided by the first
    embedding. Hydrogens that are not written are added.

    Args:
        text: SMILES, or a connection table whose coordinates tell nothing but stereocentres.
        is_smiles: which of them.
        title: of the conformers.
        search: number, force field and seed.

    Returns:
        Conformers with bonds and formal charges in `text` and the properties ``smiles`` of the stereoisomer and
        ``FORCE-FIELD_energy``, kcal/mol.

    Raises:
        ConformerError: there are none.
    """
    molecule = Chem.AddHs(_parsed(text, is_smiles))
    _check(molecule)
    try:
        molecule = _embedded(molecule, search)
        energies = _minimised(molecule, search.force_field)
    except RuntimeError as error:
        raise ConformerError(f"RDKit failed: {str(error).strip().splitlines()[0]}") from error
    return _conformers(molecule, energies, title, search.force_field)


def be_silent() -> None:
    """Keep RDKit from writing to stderr what the reasons of errors say."""
    rdBase.DisableLog("rdApp.*")


def _parsed(text: str, is_smiles: bool) -> Chem.Mol:
    """Return a molecule; coordinates and enhanced stereo groups of a CXSMILES extension are left out.

    Raises:
        ConformerError: the text cannot be parsed, or is no molecule.
    """
    parse = Chem.MolFromSmiles if is_smiles else partial(Chem.MolFromMolBlock, removeHs=False)
    molecule = parse(text)
    if molecule is None:
        raw, what = parse(text, sanitize=False), "SMILES" if is_smiles else "connection table"
        problems = Chem.DetectChemistryProblems(raw) if raw else []
        raise ConformerError(problems[0].Message() if problems else f"the {what} cannot be parsed")
    if is_smiles:
        molecule = Chem.RWMol(molecule)
        molecule.RemoveAllConformers()
        molecule.SetStereoGroups([])
    return Chem.Mol(molecule)


def _check(molecule: Chem.Mol) -> None:
    if not molecule.GetNumAtoms():
        raise ConformerError("there are no atoms")
    for atom in molecule.GetAtoms():
        if not atom.GetAtomicNum():
            raise ConformerError(f"atom {atom.GetIdx() + 1} is no element ({atom.GetSmarts()})")
    fragments = len(Chem.GetMolFrags(molecule))
    if fragments > 1:
        raise ConformerError(f"{fragments} molecules in one record; give one, without its counterions")


def first_seed(seed: int) -> int:
    """Return the seed of the first conformer.

    RDKit multiplies it by the number of each conformer, so that seeds in a row would make many of the same.
    """
    return 1 + int(np.random.SeedSequence(seed).generate_state(1)[0]) % MAX_SEED if seed else 1


def _embedded(molecule: Chem.Mol, search: ConformerSearch) -> Chem.Mol:
    """Return the molecule with conformers of one stereoisomer."""
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = first_seed(search.seed)
    parameters.maxIterations = MAX_STARTS
    if _is_open(molecule) and (isomer := _first_isomer(molecule, parameters)):
        molecule = isomer
    rdDistGeom.EmbedMultipleConfs(molecule, search.number, parameters)
    if not molecule.GetNumConformers():
        parameters.useRandomCoords = True
        rdDistGeom.EmbedMultipleConfs(molecule, search.number, parameters)
    if not molecule.GetNumConformers():
        raise ConformerError(f"no embedding succeeded in {search.number} tries of {MAX_STARTS} starts each")
    if _is_open(molecule):
        _keep_one_isomer(molecule)
    return molecule


def _is_open(molecule: Chem.Mol) -> bool:
    """Return whether a stereocentre or double bond is left open."""
    found = Chem.FindPotentialStereo(molecule)
    return any(element.specified == Chem.StereoSpecified.Unspecified for element in found)


def _first_isomer(molecule: Chem.Mol, parameters: Any) -> Chem.Mol | None:
    """Return the molecule with the stereocentres of its first embedding; None if those cannot be asked for.

    RDKit rejects some cages whose stereocentres are named although it made them before.
    """
    isomer = Chem.Mol(molecule)
    if rdDistGeom.EmbedMolecule(isomer, parameters) < 0:
        return None
    Chem.AssignStereochemistryFrom3D(isomer)
    return isomer if rdDistGeom.EmbedMolecule(isomer, parameters) >= 0 and not _is_open(isomer) else None


def _isomeric_smiles(molecule: Chem.Mol, conf_id: int) -> str:
    isomer = Chem.Mol(molecule, confId=conf_id)
    Chem.AssignStereochemistryFrom3D(isomer, conf_id)
    return Chem.MolToSmiles(Chem.RemoveHs(isomer))


def _keep_one_isomer(molecule: Chem.Mol) -> None:
    """Remove the conformers of all stereoisomers but the one that was found most often, the first of these."""
    isomer = {c.GetId(): _isomeric_smiles(molecule, c.GetId()) for c in molecule.GetConformers()}
    (kept, _), *_ = Counter(isomer.values()).most_common(1)
    for conf_id, found in isomer.items():
        if found != kept:
            molecule.RemoveConformer(conf_id)


def _minimised(molecule: Chem.Mol, force_field: str) -> dict[int, float]:
    """Minimise in place; return the energy of each conformer that converged, kcal/mol, 0 without a force field.

    Raises:
        ConformerError: the force field does not know an atom, or no conformer converged.
    """
    ids = [conformer.GetId() for conformer in molecule.GetConformers()]
    if force_field not in FORCE_FIELDS:
        return dict.fromkeys(ids, 0.0)
    name, other, knows, minimise = FORCE_FIELDS[force_field]
    if not knows(molecule):
        raise ConformerError(f"{name} has no parameters for some of its atoms; try --force-field {other}")
    done = minimise(molecule, numThreads=1, maxIters=MAX_STEPS)
    energies = {k: energy for k, (status, energy) in zip(ids, done, strict=True) if status == CONVERGED}
    if not energies:
        raise ConformerError(f"none of {len(ids)} conformers converged in {MAX_STEPS} steps")
    return energies


FORCE_FIELDS: dict[str, tuple[str, str, Callable[..., bool], Callable[..., list[tuple[int, float]]]]] = {
    "mmff94s": (
        "MMFF94s",
        "uff",
        rdForceFieldHelpers.MMFFHasAllMoleculeParams,
        partial(rdForceFieldHelpers.MMFFOptimizeMoleculeConfs, mmffVariant="MMFF94s"),
    ),
    "uff": (
        "UFF",
        "none",
        rdForceFieldHelpers.UFFHasAllMoleculeParams,
        rdForceFieldHelpers.UFFOptimizeMoleculeConfs,
    ),
}
"""Name of each force field, which to try instead, whether it knows all atoms, and what minimises all conformers."""


def _conformers(
    molecule: Chem.Mol, energies: dict[int, float], title: str, force_field: str
) -> list[Conformer]:
    by_energy = sorted(energies, key=lambda conf_id: energies[conf_id])
    table = Chem.MolToMolBlock(molecule, includeStereo=False, confId=by_energy[0])
    smiles = {"smiles": _isomeric_smiles(molecule, by_energy[0])}
    found = []
    for k in by_energy:
        energy = {f"{force_field}_energy": f"{energies[k]:.6f}"} if force_field in FORCE_FIELDS else {}
        found.append(replace(from_rdkit(molecule, k), title=title, properties=smiles | energy, text=table))
    return found
