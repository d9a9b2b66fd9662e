"""Make the example files from names and SMILES: `python examples/make_examples.py [DIRECTORY]`.

Conformers come from ETKDGv3 with a fixed seed and are relaxed with MMFF94 (UFF where MMFF94 has no parameters).
The same release of RDKit writes the same files on the same kind of machine; the files here are from 2026.9.1.

conformers.sdf  molecules of H, C, N, O and F with up to 29 atoms; mirror-image pairs, symmetric and linear
                molecules, and a few the model takes but was not trained for: diatomics, ions, fluorine
mixed.sdf       five good records among five that are refused: too large, unknown elements, damaged
trajectory.xyz  24 frames of butane turned about its central bond, as extended XYZ with energies
library.smi     some 270 small molecules, a core and one of twelve groups, to make conformers of and learn from
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign, rdMolTransforms
from rdkit.Geometry import Point3D

SEED = 2022
TRIALS = 40
SAME_ENERGY, SAME_SHAPE = 0.05, 0.1
"""Conformers closer than this, in kcal/mol and angstrom, are one."""
EV_PER_KCAL_PER_MOL = 0.0433641
SCAN_STEP = 15
"""Degrees between the frames of the trajectory."""

CORES = (
    "C1CC1", "C1CCC1", "C1CCCC1", "C1COC1", "C1CCOC1", "C1CCNC1", "c1ccccc1", "c1ccncc1", "c1ccoc1", "c1cc[nH]c1",
    "CC", "CCC", "CC(C)", "C=C", "C#C", "COC", "CNC", "CC(=O)C", "NC(=O)C", "OC(=O)C", "N#CC", "OCC", "NCC", "FCC",
    "CC(O)",
)  # fmt: skip
GROUPS = ("C", "CC", "C(C)C", "O", "OC", "N", "NC", "C=O", "C(=O)N", "C#N", "F", "CO")
"""Of the library: every group is bound to the last atom of every core."""


@dataclass(frozen=True)
class Molecule:
    """What to make.

    Attributes:
        name: title of its records.
        smiles: with stereochemistry.
        conformers: at most so many, those of lowest energy.
        mirror: name of its mirror image, which gets the mirror images of the same conformers; "" for none.
    """

    name: str
    smiles: str
    conformers: int = 1
    mirror: str = ""


MOLECULES = (
    # symmetric: no frame or no order of atoms singles itself out
    Molecule("water", "O"),
    Molecule("ammonia", "N"),
    Molecule("methane", "C"),
    Molecule("carbon dioxide", "O=C=O"),
    Molecule("hydrogen cyanide", "C#N"),
    Molecule("acetylene", "C#C"),
    Molecule("ethane", "CC"),
    Molecule("ethylene", "C=C"),
    Molecule("allene", "C=C=C"),
    Molecule("cyclopropane", "C1CC1"),
    Molecule("neopentane", "CC(C)(C)C"),
    Molecule("benzene", "c1ccccc1"),
    Molecule("cubane", "C12C3C4C1C5C2C3C45"),
    # chiral pairs
    Molecule("L-alanine", "C[C@H](N)C(=O)O", 4, mirror="D-alanine"),
    Molecule("L-lactic acid", "C[C@H](O)C(=O)O", 4, mirror="D-lactic acid"),
    Molecule("(R)-glycidol", "OC[C@@H]1CO1", 3, mirror="(S)-glycidol"),
    Molecule("(R)-limonene", "CC1=CC[C@H](CC1)C(C)=C", 2, mirror="(S)-limonene"),
    # chiral conformers of achiral molecules come in mirror-image pairs of equal energy
    Molecule("hydrogen peroxide", "OO", 2),
    Molecule("ethanol", "CCO", 3),
    Molecule("butane", "CCCC", 3),
    # others
    Molecule("methanol", "CO"),
    Molecule("acetone", "CC(C)=O"),
    Molecule("acetic acid", "CC(=O)O"),
    Molecule("glycine", "NCC(=O)O", 4),
    Molecule("urea", "NC(N)=O"),
    Molecule("N-methylacetamide", "CNC(C)=O"),
    Molecule("glycerol", "OCC(O)CO", 4),
    Molecule("cyclohexane", "C1CCCCC1", 2),
    Molecule("toluene", "Cc1ccccc1"),
    Molecule("aniline", "Nc1ccccc1"),
    Molecule("imidazole", "c1c[nH]cn1"),
    Molecule("furan", "c1ccoc1"),
    Molecule("caffeine", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"),
    # taken by the model, but outside of what it was trained on
    Molecule("hydrogen", "[H][H]"),
    Molecule("nitrogen", "N#N"),
    Molecule("ammonium", "[NH4+]"),
    Molecule("acetate", "CC(=O)[O-]"),
    Molecule("fluoromethane", "CF"),
    Molecule("1,2-difluoroethane", "FCCF", 3),
    Molecule("benzotrifluoride", "FC(F)(F)c1ccccc1"),
)

GOOD = (Molecule("phenol", "Oc1ccccc1"), Molecule("pyridine", "c1ccncc1"), Molecule("propane", "CCC"))
TOO_LARGE = (Molecule("ibuprofen", "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O"),)
UNKNOWN_ELEMENT = (Molecule("thiophene", "c1ccsc1"), Molecule("chlorobenzene", "Clc1ccccc1"))
TO_BREAK = (Molecule("truncated", "CCOCC"), Molecule("all zero", "CC#N"))
AFTER_THE_BROKEN = (Molecule("dimethyl ether", "COC"), Molecule("formaldehyde", "C=O"))


def conformers(molecule: Molecule) -> Chem.Mol:
    """The distinct conformers of lowest energy, lowest first, each with its energy as a property."""
    mol = Chem.AddHs(Chem.MolFromSmiles(molecule.smiles))
    parameters = AllChem.ETKDGv3()
    parameters.randomSeed = SEED
    found = list(AllChem.EmbedMultipleConfs(mol, TRIALS if molecule.conformers > 1 else 1, parameters))
    if not found:
        raise RuntimeError(f"{molecule.name}: ETKDGv3 found no conformer")
    energy = {k: relax(mol, k) for k in found}
    kept: list[int] = []
    for k in sorted(found, key=energy.__getitem__):
        if len(kept) < molecule.conformers and not any(same(mol, energy, k, other) for other in kept):
            kept.append(k)
    chosen = Chem.Mol(mol, True)
    for k in kept:
        conformer = Chem.Conformer(mol.GetConformer(k))
        conformer.SetDoubleProp("energy", energy[k])
        chosen.AddConformer(conformer, assignId=True)
    return chosen


def force_field(mol: Chem.Mol, k: int) -> tuple[str, AllChem.ForceField.ForceField]:
    """MMFF94, or UFF where it has no parameters; with its name."""
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    if properties is not None:
        return "MMFF94", AllChem.MMFFGetMoleculeForceField(mol, properties, confId=k)
    return "UFF", AllChem.UFFGetMoleculeForceField(mol, confId=k)


def relax(mol: Chem.Mol, k: int) -> float:
    """Move conformer k to the next minimum; its energy in kcal/mol."""
    field = force_field(mol, k)[1]
    field.Initialize()
    field.Minimize(maxIts=5000, forceTol=1e-7, energyTol=1e-12)
    return float(field.CalcEnergy())


def same(mol: Chem.Mol, energy: dict[int, float], k: int, other: int) -> bool:
    """Whether two conformers are one up to motions and equivalent atoms; mirror images are two."""
    if abs(energy[k] - energy[other]) > SAME_ENERGY:
        return False
    return bool(rdMolAlign.GetBestRMS(Chem.Mol(mol), mol, k, other) < SAME_SHAPE)


def mirror_image(mol: Chem.Mol) -> Chem.Mol:
    """The other enantiomer in the mirror images of the same conformers, same order of atoms."""
    image = Chem.Mol(mol)
    for atom in image.GetAtoms():
        atom.InvertChirality()
    for conformer in image.GetConformers():
        for i in range(image.GetNumAtoms()):
            x, y, z = conformer.GetAtomPosition(i)
            conformer.SetAtomPosition(i, Point3D(-x, y, z))
    Chem.AssignStereochemistry(image, cleanIt=True, force=True)
    return image


def records(name: str, mol: Chem.Mol) -> Iterator[str]:
    """SDF records of all conformers, with properties."""
    method = force_field(mol, mol.GetConformers()[0].GetId())[0]
    smiles = Chem.MolToSmiles(Chem.RemoveHs(mol))
    mol.SetProp("_Name", name)
    for number, conformer in enumerate(mol.GetConformers(), start=1):
        properties = {
            "smiles": smiles,
            "conformer": str(number),
            "force_field": method,
            "energy_kcal_per_mol": f"{conformer.GetDoubleProp('energy'):.4f}",
        }
        lines = "".join(f">  <{key}>\n{value}\n\n" for key, value in properties.items())
        yield f"{Chem.MolToMolBlock(mol, confId=conformer.GetId())}{lines}$$$$\n"


def all_records(molecules: tuple[Molecule, ...]) -> str:
    """The records of molecules and their mirror images."""
    text = []
    for molecule in molecules:
        mol = conformers(molecule)
        text += records(molecule.name, mol)
        if molecule.mirror:
            text += records(molecule.mirror, mirror_image(mol))
    return "".join(text)


def mixed_records() -> str:
    """Good records with refused ones between them."""
    truncated, all_zero = (all_records((molecule,)) for molecule in TO_BREAK)
    lines = all_zero.splitlines(keepends=True)
    atoms = int(lines[3][:3])
    for i in range(4, 4 + atoms):
        lines[i] = f"{0:10.4f}{0:10.4f}{0:10.4f}{lines[i][30:]}"
    refused = all_records(TOO_LARGE) + all_records(UNKNOWN_ELEMENT)
    broken = "".join(truncated.splitlines(keepends=True)[:9]) + "$$$$\n" + "".join(lines)
    return all_records(GOOD) + refused + broken + all_records(AFTER_THE_BROKEN)


def butane_scan() -> str:
    """Butane with the torsion C-C-C-C held, all else relaxed; energies in eV."""
    mol = conformers(Molecule("butane", "CCCC"))
    carbons = (0, 1, 2, 3)
    frames = []
    for degrees in range(0, 360, SCAN_STEP):
        rdMolTransforms.SetDihedralDeg(mol.GetConformer(), *carbons, float(degrees))
        _, field = force_field(mol, 0)
        field.Initialize()
        field.MMFFAddTorsionConstraint(*carbons, False, float(degrees), float(degrees), 1e5)
        field.Minimize(maxIts=5000, forceTol=1e-7, energyTol=1e-12)
        frames.append(frame(mol, degrees))
    return "".join(frames)


def frame(mol: Chem.Mol, degrees: int) -> str:
    """One frame of extended XYZ."""
    energy = force_field(mol, 0)[1].CalcEnergy() * EV_PER_KCAL_PER_MOL
    lines = [
        f"{mol.GetNumAtoms()}\n",
        f'Properties=species:S:1:pos:R:3 title="butane {degrees}" dihedral={degrees}.0 energy={energy:.6f} '
        'pbc="F F F"\n',
    ]
    for atom, (x, y, z) in zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True):
        lines.append(f"{atom.GetSymbol():<2}{x:14.8f}{y:14.8f}{z:14.8f}\n")
    return "".join(lines)


def library() -> str:
    """Distinct molecules as SMILES, which are their titles."""
    written = [Chem.CanonSmiles(core + group) for core in CORES for group in GROUPS]
    return "".join(f"{smiles} {smiles}\n" for smiles in dict.fromkeys(written))


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    files = {
        "conformers.sdf": all_records(MOLECULES),
        "mixed.sdf": mixed_records(),
        "trajectory.xyz": butane_scan(),
        "library.smi": library(),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        print(f"{folder / name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
