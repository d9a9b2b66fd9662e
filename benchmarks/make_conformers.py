"""Conformers of QM9 test molecules for `molgiae evaluate --conformers`: RDKit ETKDGv3, then MMFF94s.

    python benchmarks/make_conformers.py qm9.npz smiles.csv.gz conformers.sdf --molecules 200

The csv has the columns gdb_index and SMILES, with a line of names on top. Titles are those of the npz, "gdb 1".
Conformers that fall into one minimum are kept once; molecules with fewer than two are left out.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from tqdm import tqdm

from molgiae.data.qm9 import SPLITS

SAME_ENERGY = 1e-3  # kcal/mol; two conformers this close are one


def molecules_of(npz: Path, split: str) -> set[int]:
    """Indices of the molecules of a split."""
    with np.load(npz, allow_pickle=False) as file:
        return set(file["gdb_index"][file["split"] == SPLITS.index(split)].tolist())


def read_smiles(path: Path) -> dict[int, str]:
    """Index to SMILES."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = csv.reader(file)
        next(rows)
        return {int(row[0]): row[1] for row in rows}


def conformers(smiles: str, size: int, seed: int) -> Iterator[Chem.Mol]:
    """Distinct minima of one molecule, lowest energy first; none if embedding or force field fail."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = (
        seed + 1
    )  # RDKit multiplies it by the number of the conformer: 0 makes them all equal
    parameters.maxIterations = 20  # strained cages would otherwise be tried for ever
    rdDistGeom.EmbedMultipleConfs(molecule, size, parameters)
    if not molecule.GetNumConformers() or not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        return
    done = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000, mmffVariant="MMFF94s")
    energy = np.array([value for _, value in done])
    last = -np.inf
    for k in np.argsort(energy, kind="stable").tolist():
        if done[k][0] == 0 and energy[k] > last + SAME_ENERGY:
            last = energy[k]
            yield Chem.Mol(molecule, confId=molecule.GetConformers()[k].GetId())


def main() -> None:
    """Write conformers until there are enough molecules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("npz", type=Path)
    parser.add_argument("smiles", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--molecules", type=int, default=200)
    parser.add_argument("--conformers", type=int, default=20, help="tries for each molecule")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    smiles = read_smiles(options.smiles)
    candidates = sorted(molecules_of(options.npz, options.split) & set(smiles))
    np.random.default_rng(options.seed).shuffle(candidates)
    written = molecules = 0
    with Chem.SDWriter(str(options.output)) as writer, tqdm(total=options.molecules) as bar:
        for index in candidates:
            if molecules == options.molecules:
                break
            found = list(conformers(smiles[index], options.conformers, options.seed))
            if len(found) < 2:
                continue
            for conformer in found:
                conformer.SetProp("_Name", f"gdb {index}")
                writer.write(conformer)
            written, molecules = written + len(found), molecules + 1
            bar.update()
    print(f"{written} conformers of {molecules} molecules in {options.output}")


if __name__ == "__main__":
    main()
