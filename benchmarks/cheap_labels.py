"""Cheap labels to pretrain a network of atoms on.

    python benchmarks/cheap_labels.py qm9.npz --number 50000 -o labels_qm9.npz
    python benchmarks/cheap_labels.py zinc.sdf --number 10000 -o labels_zinc.npz
    molgiae pretrain qm9.npz --labels labels_qm9.npz --labels labels_zinc.npz -o run

By GFN2-xTB: energy (eV), forces (eV/angstrom), charges of the atoms (e), dipole moment (debye), gap (eV) and, of one
conformer in seven, the isotropic polarizability (cubic bohr, from dipole moments in electric fields). Of conformers
with bonds also what each atom adds to Crippen's logP and molar refractivity, and whether it belongs to a donor, an
acceptor, an ion, an aromatic ring or a hydrophobic group by RDKit's definitions. What is not known is NaN.

Of files with splits the training split is read, and no other. Conformers are drawn at random; half of them are
displaced, each with a standard deviation between 0 and the one given, so that forces are not all zero. Needs tblite
(`pip install tblite`). Conformers that do not converge are left out and counted.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDConfig, RDLogger
from rdkit.Chem import ChemicalFeatures, rdMolDescriptors
from tblite.interface import Calculator
from tblite.library import ffi
from tqdm import tqdm

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.npz import read_npz
from molgiae.data.readers import read_blocks

BOHR, HARTREE, DEBYE = 0.529177210903, 27.211386245988, 2.541746473
CHUNK, POLARIZABLE = 50, 7
"""Jobs handed to a process at once; one conformer in so many gets a polarizability."""
FIELD = 2e-3
"""Electric field, atomic units."""

Ints, Floats = NDArray[np.int64], NDArray[np.float64]

Job = tuple[Conformer, NDArray[np.float64], bool]

FAMILIES = ("Donor", "Acceptor", "NegIonizable", "PosIonizable", "Aromatic", "Hydrophobe", "LumpedHydrophobe")


def labelled(job: Job) -> dict[str, Any] | None:
    """Return the labels of a conformer at these positions (n, 3), angstrom; None if they cannot be computed."""
    conformer, position, polarizable = job
    z, charge = conformer.atomic_number.astype(np.int64), conformer.charge
    try:
        found = computed(z, position, charge)
        polarizability = polarizability_of(z, position, charge) if polarizable else np.nan
    except Exception:  # tblite has one exception for all that may go wrong
        return None
    level, filled = found.get("orbital-energies"), round(found.get("orbital-occupations").sum() / 2)
    return {
        "atomic_number": z.astype(np.uint8),
        "position": position.astype(np.float32),
        "energy": found.get("energy") * HARTREE,
        "forces": (-found.get("gradient") * HARTREE / BOHR).astype(np.float32),
        "charges": found.get("charges").astype(np.float32),
        "chemistry": chemistry(conformer),
        "dipole": (found.get("dipole") * DEBYE).astype(np.float32),
        "polarizability": polarizability,
        "gap": (level[filled] - level[filled - 1]) * HARTREE if filled < len(level) else np.nan,
        "formal_charge": charge,
    }


def computed(z: Ints, position: Floats, charge: int, field: Floats | None = None) -> Any:
    """Return what tblite finds of a conformer in an electric field (3,), atomic units."""
    calculator = Calculator("GFN2-xTB", z, position / BOHR, charge=charge)
    calculator.set("verbosity", 0)
    if field is not None:
        # tblite 0.8 takes a pointer here
        calculator.add("electric-field", ffi.cast("double*", field.ctypes.data))
    return calculator.singlepoint()


def polarizability_of(z: Ints, position: Floats, charge: int) -> float:
    """Return the mean of the three diagonal elements, cubic bohr, by central differences."""
    total = 0.0
    for axis, field in enumerate(FIELD * np.eye(3)):
        there, back = (computed(z, position, charge, sign * field).get("dipole") for sign in (1, -1))
        total += (there[axis] - back[axis]) / (2 * FIELD)
    return total / 3


@cache
def families() -> Any:
    """Return RDKit's definitions of pharmacophore features."""
    return ChemicalFeatures.BuildFeatureFactory(os.path.join(RDConfig.RDDataDir, "BaseFeatures.fdef"))


def chemistry(conformer: Conformer) -> NDArray[np.float32]:
    """Return (n, 2 + families) of the atoms: shares of logP and molar refractivity, and 1 for each family; or NaN."""
    molecule = Chem.MolFromMolBlock(conformer.text, removeHs=False) if "M  END" in conformer.text else None
    if molecule is None or molecule.GetNumAtoms() != len(conformer):
        return np.full((len(conformer), 2 + len(FAMILIES)), np.nan, np.float32)
    member = np.zeros((len(conformer), len(FAMILIES)))
    for feature in families().GetFeaturesForMol(molecule):
        if feature.GetFamily() in FAMILIES:
            member[list(feature.GetAtomIds()), FAMILIES.index(feature.GetFamily())] = 1
    return np.hstack([rdMolDescriptors._CalcCrippenContribs(molecule), member]).astype(np.float32)


def jobs(block: ConformerBlock, largest: float, rng: np.random.Generator) -> Iterator[Job]:
    """Draw what to compute: centered conformers, each other one displaced."""
    for m, conformer in enumerate(block):
        position = conformer.position - conformer.position.mean(axis=0)
        if m % 2:
            position = position + largest * rng.random() * rng.standard_normal(position.shape)
        yield conformer, position, m % POLARIZABLE == 0


def main() -> None:
    """Read, draw, compute, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--number", type=int, default=30_000, help="conformers drawn")
    parser.add_argument("--displace", type=float, default=0.1, help="largest standard deviation, angstrom")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    RDLogger.DisableLog("rdApp.*")
    rng = np.random.default_rng(arguments.seed)
    blocks = [
        read_npz(path, "train")
        if path.suffix == ".npz"
        else concatenate(list(read_blocks(path, keep_text=True)))
        for path in arguments.files
    ]
    block = concatenate(blocks)
    block = block.take(np.sort(rng.permutation(len(block))[: arguments.number]))
    with ProcessPoolExecutor(arguments.jobs) as pool:
        done = pool.map(labelled, jobs(block, arguments.displace, rng), chunksize=CHUNK)
        found = [one for one in tqdm(done, total=len(block), unit="conformer") if one is not None]
    arrays = {
        name: np.concatenate([one[name] for one in found])
        for name in ("atomic_number", "position", "forces", "charges", "chemistry")
    }
    arrays |= {
        name: np.array([one[name] for one in found])
        for name in ("energy", "dipole", "polarizability", "gap", "formal_charge")
    }
    arrays["n_atoms"] = np.array([len(one["atomic_number"]) for one in found])
    np.savez(arguments.output, **arrays)
    print(f"{len(found)} of {len(block)} conformers labelled in {arguments.output}")


if __name__ == "__main__":
    main()
