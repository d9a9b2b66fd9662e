"""Small molecules with the groups that lists of drug-like ones have too few of, made by substitution.

    python benchmarks/small_molecules.py train.smi more.smi made.smi --number 20000 --without test.smi esol.csv
    molgiae conformers made.smi --number 1 -o made.sdf

The lists are cut at single bonds between rings and chains; the pieces of `HEAVY` atoms, and a list's own molecules of
that size, are the skeletons. Some of their hydrogens are replaced by groups, in some molecules all by one halogen.
Molecules of the files after --without (SMILES, or tables with a column of them) are not made, whatever their charges or
stereochemistry. Titles count from 1; the same seed makes the same list.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import BRICS
from rdkit.Chem.MolStandardize import rdMolStandardize

HEAVY = 1, 14
"""Fewest and most atoms of a skeleton, hydrogens left out."""
LARGEST = 24
"""Most of a product."""
GROUPS = {
    "F": 3, "Cl": 8, "Br": 4, "I": 2, "O": 4, "OC": 3, "S": 2, "SC": 2, "N": 3, "N(C)C": 2, "C": 4, "CC": 1,
    "C(C)(C)C": 1, "C#N": 2, "[N+](=O)[O-]": 3, "C(=O)O": 2, "C(=O)OCC": 2, "C(=O)N": 1, "C(C)=O": 1, "C=O": 1,
    "C(F)(F)F": 2, "C(Cl)(Cl)Cl": 1, "S(=O)(=O)N": 1, "S(C)(=O)=O": 1, "c1ccccc1": 2, "NC(C)=O": 1, "NC(=O)N": 1,
    "OC(=O)NC": 1, "P(=O)(OC)OC": 1, "OP(=S)(OCC)OCC": 1, "OP(=O)(OC)OC": 1, "SP(=S)(OC)OC": 1, "[Si](C)(C)C": 1,
    "B(O)O": 1,
}  # fmt: skip
"""SMILES of the groups that take the place of a hydrogen, the first atom bound, and how often each is drawn."""
EXHAUSTIVE = 0.04
"""Share of products in which one halogen takes the place of every hydrogen on carbon."""
FEWER = 0.45
"""Each further hydrogen is replaced with this probability, up to `MOST`."""
MOST = 6


def skeletons(lists: list[Path]) -> list[str]:
    """Return SMILES of molecules and pieces of `HEAVY` atoms, sorted."""
    found = set()
    for path in lists:
        for line in path.read_text().splitlines():
            molecule = Chem.MolFromSmiles(line.split()[0]) if line.strip() else None
            if molecule is None:
                continue
            found.add(Chem.MolToSmiles(molecule, isomericSmiles=False))
            found.update(_pieces(molecule))
    return sorted(
        smiles for smiles in found if HEAVY[0] <= Chem.MolFromSmiles(smiles).GetNumAtoms() <= HEAVY[1]
    )


def _pieces(molecule: Chem.Mol) -> Iterator[str]:
    """Yield SMILES of the pieces between bonds that a synthesis would make, open ends saturated by hydrogen."""
    for piece in BRICS.BRICSDecompose(molecule, minFragmentSize=2):
        part = Chem.RWMol(Chem.MolFromSmiles(piece))
        for atom in part.GetAtoms():
            if atom.GetAtomicNum() == 0:
                atom.SetAtomicNum(1)
                atom.SetIsotope(0)
        whole = Chem.MolFromSmiles(Chem.MolToSmiles(Chem.RemoveHs(part), isomericSmiles=False))
        if whole is not None:
            yield Chem.MolToSmiles(whole)


def substituted(smiles: str, rng: np.random.Generator) -> str | None:
    """Return SMILES of a molecule in which some hydrogens are replaced; None if the product is none."""
    product = Chem.RWMol(Chem.MolFromSmiles(smiles))
    open_places = [atom.GetIdx() for atom in product.GetAtoms() for _ in range(atom.GetTotalNumHs())]
    if rng.random() < EXHAUSTIVE:
        places = [k for k in open_places if product.GetAtomWithIdx(k).GetAtomicNum() == 6]
        groups = [("F", "Cl", "Cl", "Br")[rng.integers(4)]] * len(places)
    else:
        number = min(1 + rng.geometric(1 - FEWER) - 1, MOST, len(open_places))
        places = rng.permutation(open_places)[:number].tolist()
        names, weights = list(GROUPS), np.array(list(GROUPS.values()), float)
        kinds = 1 + rng.integers(2)  # as in a dichloro compound, more often than chance would have it
        drawn = rng.choice(names, kinds, p=weights / weights.sum())
        groups = [str(drawn[rng.integers(kinds)]) for _ in places]
    for place, group in zip(places, groups, strict=True):
        start = product.GetNumAtoms()
        product.InsertMol(Chem.MolFromSmiles(group))
        product.AddBond(int(place), start, Chem.BondType.SINGLE)
        atom = product.GetAtomWithIdx(int(place))
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    molecule = product.GetMol()
    if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return Chem.MolToSmiles(molecule) if molecule.GetNumAtoms() <= LARGEST else None


def plain(smiles: str) -> str | None:
    """Return SMILES without charges that protons make, and without stereochemistry."""
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    neutral = rdMolStandardize.Uncharger().uncharge(rdMolStandardize.FragmentParent(molecule))
    return Chem.MolToSmiles(neutral, isomericSmiles=False)


def read_smiles(path: Path) -> list[str]:
    """Return the SMILES of a list, or of the column of that name in a table."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [row["smiles"] for row in csv.DictReader(file)]
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def main() -> None:
    """Write SMILES and titles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("smiles", type=Path, nargs="+", help="lists of molecules, one a line")
    parser.add_argument("output", type=Path)
    parser.add_argument("--number", type=int, default=20_000)
    parser.add_argument("--without", type=Path, nargs="*", default=[], help="lists and tables")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    rng = np.random.default_rng(options.seed)
    excluded = {plain(smiles) for path in options.without for smiles in read_smiles(path)}
    parents = skeletons(options.smiles)
    print(f"{len(parents)} skeletons, {len(excluded)} molecules left out")
    made: dict[str, None] = {}
    for _ in range(20 * options.number):
        if len(made) >= options.number:
            break
        found = substituted(parents[rng.integers(len(parents))], rng)
        if found is not None and found not in made and plain(found) not in excluded:
            made[found] = None
    options.output.write_text("".join(f"{smiles} made_{k + 1}\n" for k, smiles in enumerate(made)))
    print(f"{len(made)} molecules -> {options.output}")


if __name__ == "__main__":
    main()
