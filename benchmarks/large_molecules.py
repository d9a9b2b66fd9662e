"""Peptides, macrocycles and amides of up to 128 atoms, sizes evenly spread; what `drug_data.py` makes conformers of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from made_molecules import sanitised, size_of
from rdkit import Chem
from rdkit.Chem import rdChemReactions
from rdkit.Chem.MolStandardize import rdMolStandardize

AMIDE = "[C:1](=[O:2])-[OX2H].[NX3;H2,H1;!$(N-C=[O,N,S]);!$(N~[!#6]):3]>>[C:1](=[O:2])-[N:3]"
AMIDES = 70, 128
"""Atoms of amides, hydrogens included."""
SIZES = 30, 128
"""Atoms of peptides and macrocycles."""
MOST_LINKS = 45
"""Of a chain or ring."""
TRIES = 1000
"""In a row without a molecule, after which there are no more."""

RESIDUES = {
    "G": "NCC(=O)", "A": "N[C@@H](C)C(=O)", "V": "N[C@@H](C(C)C)C(=O)", "L": "N[C@@H](CC(C)C)C(=O)",
    "I": "N[C@@H]([C@@H](C)CC)C(=O)", "P": "N1CCC[C@H]1C(=O)", "F": "N[C@@H](Cc1ccccc1)C(=O)",
    "Y": "N[C@@H](Cc1ccc(O)cc1)C(=O)", "W": "N[C@@H](Cc1c[nH]c2ccccc12)C(=O)", "S": "N[C@@H](CO)C(=O)",
    "T": "N[C@@H]([C@H](O)C)C(=O)", "C": "N[C@@H](CS)C(=O)", "M": "N[C@@H](CCSC)C(=O)", "N": "N[C@@H](CC(N)=O)C(=O)",
    "Q": "N[C@@H](CCC(N)=O)C(=O)", "D": "N[C@@H](CC(=O)O)C(=O)", "E": "N[C@@H](CCC(=O)O)C(=O)",
    "K": "N[C@@H](CCCCN)C(=O)", "R": "N[C@@H](CCCNC(N)=N)C(=O)", "H": "N[C@@H](Cc1c[nH]cn1)C(=O)",
}  # fmt: skip
"""Letter to SMILES from N to C, the proline nitrogen with its ring closure after it."""
CHARGED = {
    "D": "N[C@@H](CC(=O)[O-])C(=O)", "E": "N[C@@H](CCC(=O)[O-])C(=O)", "K": "N[C@@H](CCCC[NH3+])C(=O)",
    "R": "N[C@@H](CCCNC(N)=[NH2+])C(=O)",
}  # fmt: skip
CAPS = ("", "O"), ("", "N"), ("CC(=O)", "N"), ("CC(=O)", "NC"), ("", "OC"), ("C(=O)", "O")
"""What stands before the first and after the last residue."""
LINKS = ("C", "CC", "CCC", "CCO", "CO", "C(=O)O", "C(=O)N", "NC(=O)", "CN(C)", "CS", "C(C)", "C=C", "C(C)(C)",
         "C(F)(F)", "CC(O)", "c1ccc(cc1)", "c1cccc(c1)", "C(=O)", "C#C", "N(C)C(=O)", "CN", "[Si](C)(C)O",
         "S(=O)(=O)N")  # fmt: skip
"""Pieces of a ring."""
UNITS = ("CCO", "C", "CC", "CCN", "CCS", "CCN(C)", "[Si](C)(C)O", "C(F)(F)", "CC(C)O", "CCOC(=O)")
"""Of rings of one piece, crown ethers and cycloalkanes among them."""


def amino_acids() -> list[str]:
    """Return the twenty, neutral and as zwitterions."""
    zwitterions = [_first_nitrogen(text, "[NH3+]", "[NH2+]") + "[O-]" for text in RESIDUES.values()]
    return [*(text + "O" for text in RESIDUES.values()), *zwitterions]


def _first_nitrogen(text: str, primary: str, secondary: str) -> str:
    return (secondary if text.startswith("N1") else primary) + text[1:]


def peptides(rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of linear peptides: half of them zwitterions, some with charged side chains and D residues."""
    while True:
        charged = bool(rng.random() < 0.4)
        head, tail = CAPS[rng.integers(len(CAPS))]
        if rng.random() < 0.5:
            yield from _grown(_zwitterion, charged, rng)
        else:
            yield from _grown(partial(_capped, head, tail), charged, rng)


def _capped(head: str, tail: str, chain: list[str]) -> str:
    return head + "".join(chain) + tail


def _zwitterion(chain: list[str]) -> str:
    return _first_nitrogen(chain[0], "[NH3+]", "[NH2+]") + "".join(chain[1:]) + "[O-]"


def _closed(chain: list[str]) -> str:
    return "N%50" + "".join(chain)[1:].removesuffix("C(=O)") + "C%50(=O)"


def cyclic_peptides(rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of peptides closed from head to tail."""
    while True:
        yield from _grown(_closed, bool(rng.random() < 0.2), rng, fewest=3)


def _grown(
    text_of: Callable[[list[str]], str], charged: bool, rng: np.random.Generator, fewest: int = 1
) -> Iterator[str]:
    """Yield a peptide of about a size that is drawn evenly."""
    letters = list(RESIDUES)

    def residue() -> str:
        letter = letters[rng.integers(len(letters))]
        found = (CHARGED if charged else RESIDUES).get(letter, RESIDUES[letter])
        return found.replace("[C@@H](", "[C@H](", 1) if rng.random() < 0.1 else found

    yield from longest(residue, text_of, rng.integers(*SIZES, endpoint=True), fewest)


def longest(
    link: Callable[[], str], text_of: Callable[[list[str]], str], wanted: int, fewest: int
) -> Iterator[str]:
    """Yield the SMILES of the shortest chain of links of at least a size, or of the longest that is not too large."""
    chain, best = [link() for _ in range(fewest - 1)], None
    while len(chain) < MOST_LINKS:
        chain.append(link())
        molecule = Chem.MolFromSmiles(text_of(chain))
        if molecule is None or size_of(molecule) > SIZES[1]:
            break
        best = molecule
        if size_of(molecule) >= wanted:
            break
    if best is not None and size_of(best) >= SIZES[0]:
        yield Chem.MolToSmiles(best)


def macrocycles(rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of rings of `UNITS` of one kind, and of `LINKS` of several."""
    while True:
        wanted = rng.integers(*SIZES, endpoint=True)
        pool = [UNITS[rng.integers(len(UNITS))]] if rng.random() < 0.3 else rng.choice(LINKS, 4).tolist()
        if rng.random() < 0.5:
            pool += ["C"] * 3
        yield from longest(partial(rng.choice, pool), lambda ring: f"C%50{''.join(ring)}C%50", wanted, 4)


def amides(molecules: Sequence[Chem.Mol], rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of amides of two or three molecules within `AMIDES`, of sizes as even as they come."""
    reaction = rdChemReactions.ReactionFromSmarts(AMIDE)
    neutral = rdMolStandardize.Uncharger()
    molecules = [neutral.uncharge(molecule) for molecule in molecules]
    acid, amine = reaction.GetReactantTemplate(0), reaction.GetReactantTemplate(1)
    acids = [molecule for molecule in molecules if molecule.HasSubstructMatch(acid)]
    amines = [molecule for molecule in molecules if molecule.HasSubstructMatch(amine)]
    both = [molecule for molecule in acids if molecule.HasSubstructMatch(amine)]
    failed = 0 if acids and amines else TRIES
    while failed < TRIES:
        wanted = rng.integers(*AMIDES, endpoint=True)
        grown = acids[rng.integers(len(acids))]
        if both and size_of(grown) < wanted // 3:
            middle = both[rng.integers(len(both))]
            grown = sanitised(reaction.RunReactants((grown, middle))) or grown
        partners = [amines[i] for i in rng.integers(len(amines), size=20)]
        partner = min(partners, key=lambda other: abs(size_of(grown) + size_of(other) - 3 - wanted))
        product = sanitised(reaction.RunReactants((grown, partner)))
        failed += 1
        if product is not None and AMIDES[0] <= size_of(product) <= AMIDES[1]:
            failed = 0
            yield Chem.MolToSmiles(product)
