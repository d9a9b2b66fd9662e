"""Molecules that lists of drug-like ones lack: with boron, silicon, phosphorus, iodine, and of 79 to 128 atoms.

    python benchmarks/drug_molecules.py train.smi made.smi
    molgiae conformers made.smi --number 4 --force-field uff -o made.sdf

Molecules of the list are changed as chemists change them: an aryl halide becomes a boronic acid or ester, a silane, a
phosphine or an iodide, a carboxylic acid a phosphonic acid, an alcohol a phosphate or silyl ether. Large ones are
amides of two or more. Titles say the kind and count from 1. MMFF94s has no boron and little silicon, UFF has both.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem, RDLogger
from rdkit.Chem import rdChemReactions
from rdkit.Chem.MolStandardize import rdMolStandardize

ALCOHOL = "[CX4;!$(C([OX2])[OX2]):1]-[OX2H]"
REACTIONS = {
    "boron": (
        "[c:1][Br,Cl]>>[c:1]B(O)O",
        "[c:1][F,Cl]>>[c:1]B1OC(C)(C)C(C)(C)O1",
        "[c:1][Br,F]>>[c:1][B-](F)(F)F",
    ),
    "silicon": (
        "[c:1][Br,Cl,F]>>[c:1][Si](C)(C)C",
        f"{ALCOHOL}>>[C:1]-O[Si](C)(C)C(C)(C)C",
    ),
    "phosphorus": (
        "[#6:1]-C(=O)[O-]>>[#6:1]-P(=O)(O)[O-]",
        "[#6:1]-C(=O)[O-]>>[#6:1]-P(=O)(OCC)OCC",
        f"{ALCOHOL}>>[C:1]-OP(=O)([O-])[O-]",
        "[c:1][Br,Cl]>>[c:1]P(c1ccccc1)c1ccccc1",
    ),
    "iodine": ("[c:1][Br,Cl,F]>>[c:1]I", "[c:1][Br,Cl,F]>>[c:1]C#CI"),
}
"""Kind to reactions, which take turns."""

AMIDE = "[C:1](=[O:2])-[OX2H].[NX3;H2,H1;!$(N-C=[O,N,S]);!$(N~[!#6]):3]>>[C:1](=[O:2])-[N:3]"
ATOMS = (79, 128)
"""Of large molecules, hydrogens included."""
TRIES = 100
"""For each large molecule, after which fewer are made than asked for."""


def changed(molecules: list[Chem.Mol], reactions: tuple[str, ...], number: int) -> Iterator[str]:
    """SMILES of the first products of different molecules."""
    parsed = [rdChemReactions.ReactionFromSmarts(text) for text in reactions]
    made = 0
    for molecule in molecules:
        if made == number:
            return
        turn = made % len(parsed)
        for reaction in (*parsed[turn:], *parsed[:turn]):
            product = sanitised(reaction.RunReactants((molecule,)))
            if product is not None:
                made += 1
                yield Chem.MolToSmiles(product)
                break


def coupled(molecules: list[Chem.Mol], number: int, rng: np.random.Generator) -> Iterator[str]:
    """SMILES of amides within `ATOMS`, of sizes as even as they come."""
    reaction = rdChemReactions.ReactionFromSmarts(AMIDE)
    neutral = rdMolStandardize.Uncharger()
    molecules = [neutral.uncharge(molecule) for molecule in molecules]
    acid, amine = reaction.GetReactantTemplate(0), reaction.GetReactantTemplate(1)
    acids = [molecule for molecule in molecules if molecule.HasSubstructMatch(acid)]
    amines = [molecule for molecule in molecules if molecule.HasSubstructMatch(amine)]
    both = [molecule for molecule in acids if molecule.HasSubstructMatch(amine)]
    if not acids or not amines:
        return
    made = 0
    for _ in range(TRIES * number):
        if made == number:
            return
        wanted = rng.integers(*ATOMS, endpoint=True)
        grown = acids[rng.integers(len(acids))]
        if both and size_of(grown) < wanted // 3:
            middle = both[rng.integers(len(both))]
            grown = sanitised(reaction.RunReactants((grown, middle))) or grown
        partners = [amines[i] for i in rng.integers(len(amines), size=20)]
        partner = min(partners, key=lambda other: abs(size_of(grown) + size_of(other) - 3 - wanted))
        product = sanitised(reaction.RunReactants((grown, partner)))
        if product is not None and ATOMS[0] <= size_of(product) <= ATOMS[1]:
            made += 1
            yield Chem.MolToSmiles(product)


def sanitised(products: tuple[tuple[Chem.Mol, ...], ...]) -> Chem.Mol | None:
    """The first product that is a molecule."""
    for product in products:
        if Chem.SanitizeMol(product[0], catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
            return product[0]
    return None


def size_of(molecule: Chem.Mol) -> int:
    """Atoms, hydrogens included."""
    return int(molecule.GetNumAtoms()) + sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())


def main() -> None:
    """Write SMILES and titles."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("smiles", type=Path, help="a molecule a line")
    parser.add_argument("output", type=Path)
    parser.add_argument("--each", type=int, default=400, help="molecules with each of the four elements")
    parser.add_argument("--large", type=int, default=800, help="molecules of 79 to 128 atoms")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    RDLogger.DisableLog("rdApp.*")
    lines = [line.split()[0] for line in options.smiles.read_text().splitlines() if line.strip()]
    rng = np.random.default_rng(options.seed)
    legible = (Chem.MolFromSmiles(lines[i]) for i in rng.permutation(len(lines)))
    molecules = [molecule for molecule in legible if molecule is not None]
    made = {kind: list(changed(molecules, REACTIONS[kind], options.each)) for kind in REACTIONS}
    made["large"] = list(coupled(molecules, options.large, rng))
    with options.output.open("w") as file:
        for kind, smiles in made.items():
            file.writelines(f"{text}\t{kind} {k}\n" for k, text in enumerate(smiles, 1))
    print(", ".join(f"{len(smiles)} {kind}" for kind, smiles in made.items()), f"in {options.output}")


if __name__ == "__main__":
    main()
