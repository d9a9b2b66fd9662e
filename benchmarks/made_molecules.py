"""Molecules made of others as chemists make them, or by exchange of hydrogens; what `drug_data.py` makes conformers of.

Functions yield SMILES without end, or until nothing new is to be had; the same seed makes the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from known_molecules import FRAMES, HALOGENS
from rdkit import Chem
from rdkit.Chem import BRICS, rdChemReactions

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
"""Kind to reactions, which take turns: an aryl halide becomes a boronic acid and so on."""

HEAVY = 1, 14
"""Fewest and most atoms of a skeleton, hydrogens left out."""
LARGEST = 24
"""Most of a product."""
GROUPS = {
    "F": 4, "Cl": 6, "Br": 5, "I": 5, "O": 4, "OC": 2, "S": 3, "SC": 1, "N": 3, "N(C)C": 1, "C": 4, "CC": 1,
    "C(C)(C)C": 1, "C#N": 2, "[N+]#[C-]": 0.3, "[N+](=O)[O-]": 3, "N=O": 0.3, "N=[N+]=[N-]": 1, "N=C=O": 1,
    "N=C=S": 0.5, "SC#N": 0.3, "C(=O)O": 2, "C(=O)OC": 1, "C(=O)N": 1, "C(C)=O": 1, "C=O": 1, "C(=O)Cl": 1, "C#C": 0.5,
    "C=C": 0.5, "C(F)(F)F": 2, "C(Cl)(Cl)Cl": 1, "C(Br)(Br)Br": 0.3, "OO": 0.3, "OF": 0.1, "OCl": 0.1, "NN": 0.5,
    "NO": 0.5, "NC(C)=O": 1, "NC(=O)N": 0.5, "NC(N)=N": 0.5, "N(Cl)Cl": 0.2, "ON(=O)=O": 0.3, "c1ccccc1": 1,
    "S(=O)(=O)N": 1, "S(C)(=O)=O": 1.5, "S(C)=O": 1, "S(=O)(=O)O": 1.5, "S(=O)(=O)Cl": 1, "S(=O)(=O)F": 0.5, "SS": 0.3,
    "SSC": 0.5, "SCl": 0.3, "SC(F)(F)F": 0.5, "OS(C)(=O)=O": 0.5, "OS(=O)(=O)O": 0.5,
    "P": 1.5, "P(C)C": 1, "P(Cl)Cl": 1, "P(=O)(OC)OC": 1.5, "P(=O)(O)O": 1.5, "P(C)(C)=O": 1, "P(=O)(Cl)Cl": 0.7,
    "P(C)(C)=S": 0.5, "OP(=O)(OC)OC": 1, "OP(=O)(O)O": 1, "OP(=S)(OC)OC": 0.7, "SP(=S)(OC)OC": 0.7, "P(F)F": 0.3,
    "P(=O)(N(C)C)N(C)C": 0.4, "OP(O)O": 0.3, "N=P(C)(C)C": 0.3,
    "[SiH3]": 2, "[Si](C)(C)C": 2.5, "[Si](Cl)(Cl)Cl": 1.5, "[Si](OC)(OC)OC": 1.5, "[SiH](C)C": 0.7, "[Si](F)(F)F": 0.7,
    "[Si](C)(C)Cl": 0.7, "O[Si](C)(C)C": 2, "[Si](O)(O)O": 0.5, "N[Si](C)(C)C": 0.5, "[Si](C)(C)[Si](C)(C)C": 0.3,
    "B(O)O": 2.5, "B(C)C": 1.5, "B": 1.5, "B(F)F": 1, "B(Cl)Cl": 1, "B1OCCO1": 1, "B1OC(C)(C)C(C)(C)O1": 1,
    "[B-](F)(F)F": 1, "[BH3-]": 0.5, "OB(O)O": 0.5, "NB(C)C": 0.4, "B(OC)OC": 1, "B(N(C)C)N(C)C": 0.3, "B(Br)Br": 0.3,
    "[I+]c1ccccc1": 0.1, "C(I)I": 0.2, "[NH3+]": 0.7, "C(=O)[O-]": 0.7, "[N+](C)(C)C": 0.5, "[O-]": 0.3,
    "[S+](C)C": 0.2, "[P+](C)(C)C": 0.4, "S(=O)(=O)[O-]": 0.5, "P(=O)(O)[O-]": 0.4, "OP(=O)([O-])[O-]": 0.3,
}  # fmt: skip
"""SMILES of the groups that take the place of a hydrogen, the first atom bound, and how often each is drawn."""
FEWER = 0.4
"""Each further hydrogen is replaced with this probability, up to `MOST`."""
MOST = 6
CATIONS, ANIONS = (
    ("[NH3+]", "[N+](C)(C)C", "[NH+](C)C", "[P+](C)(C)C"),
    ("C(=O)[O-]", "S(=O)(=O)[O-]", "P(=O)(O)[O-]"),
)

EDITS = {
    "protonated": ("[NX3;!$(N-C=[O,N,S]);!$(N~[!#6;!#1]);!$(N-c)]", 1, 1, 0),
    "protonated ring": ("[nX2]", 1, 1, 0),
    "anion": ("[OX2H1,SX2H1]", -1, -1, 0),
    "carbanion": ("[CX4;H1,H2,H3;$(C-[C,N,S]=,#[O,N])]", -1, -1, 0),
    "carbocation": ("[CX4;H1,H2,H3;$(C-[c,O,N,$(C=C)])]", -1, 1, 0),
    "radical": ("[C,c,N,n,O,S,Si,P,B;!H0]", -1, 0, 1),
    "carbene": ("[CX4,Si;H2,H3]", -2, 0, 2),
}
"""Kind to the atoms that are changed, the hydrogens gained, the charge and the unpaired electrons."""
IONIC = ("protonated", "protonated ring", "anion", "carbanion", "carbocation")
OPEN = ("radical", "radical", "radical", "carbene")
_PATTERNS = {kind: Chem.MolFromSmarts(pattern) for kind, (pattern, *_) in EDITS.items()}


def sanitised(products: Iterable[tuple[Chem.Mol, ...]]) -> Chem.Mol | None:
    """Return the first product that is a molecule."""
    for product in products:
        if Chem.SanitizeMol(product[0], catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
            return product[0]
    return None


def size_of(molecule: Chem.Mol) -> int:
    """Return the number of atoms, hydrogens included."""
    return int(molecule.GetNumAtoms()) + sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())


def changed(molecules: Iterable[Chem.Mol], reactions: tuple[str, ...]) -> Iterator[str]:
    """Yield SMILES of the first products of different molecules, by reactions in turns."""
    parsed = [rdChemReactions.ReactionFromSmarts(text) for text in reactions]
    made = 0
    for molecule in molecules:
        turn = made % len(parsed)
        for reaction in (*parsed[turn:], *parsed[:turn]):
            product = sanitised(reaction.RunReactants((molecule,)))
            if product is not None:
                made += 1
                yield Chem.MolToSmiles(product)
                break


def skeletons(smiles: Iterable[str]) -> list[str]:
    """Return SMILES of molecules and their pieces of `HEAVY` atoms, sorted."""
    found = set()
    for text in smiles:
        molecule = Chem.MolFromSmiles(text)
        if molecule is not None:
            found.add(Chem.MolToSmiles(molecule, isomericSmiles=False))
            found.update(_pieces(molecule))
    return sorted(text for text in found if HEAVY[0] <= Chem.MolFromSmiles(text).GetNumAtoms() <= HEAVY[1])


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


def substituted(parents: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of molecules in which some hydrogens are replaced by `GROUPS`."""
    names, weights = list(GROUPS), np.array(list(GROUPS.values()), float)
    while True:
        skeleton = Chem.MolFromSmiles(parents[rng.integers(len(parents))])
        places = _hydrogens(skeleton)
        chosen = rng.permutation(places)[: min(rng.geometric(1 - FEWER), MOST)].tolist()
        kinds = rng.choice(names, 1 + rng.integers(2), p=weights / weights.sum())  # often several of a kind
        yield from product_of(skeleton, chosen, [str(rng.choice(kinds)) for _ in chosen])


def halogenated(parents: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of molecules with halogens in the place of all hydrogens, or of all but one or two.

    First all hydrogens of all `FRAMES` by one halogen each, then mixed, and the small ones of the parents.
    """
    frames = FRAMES.split()
    for frame in frames:
        skeleton = Chem.MolFromSmiles(frame)
        for halogen in HALOGENS:
            for carbon_only in (False, True):
                places = _hydrogens(skeleton, carbon_only)
                yield from product_of(skeleton, places, [halogen] * len(places), largest=40)
    while True:
        pool = frames if rng.random() < 0.7 else parents
        skeleton = Chem.MolFromSmiles(pool[rng.integers(len(pool))])
        if skeleton.GetNumAtoms() > 10:
            continue
        places = rng.permutation(_hydrogens(skeleton, rng.random() < 0.8)).tolist()
        places = places[rng.choice(3, p=[0.5, 0.3, 0.2]) :]
        kinds = rng.choice(HALOGENS, 1 + rng.integers(3), p=[0.35, 0.35, 0.2, 0.1])
        yield from product_of(skeleton, places, [str(rng.choice(kinds)) for _ in places], largest=40)


def zwitterions(parents: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of molecules with a cation and an anion in the place of two hydrogens."""
    while True:
        skeleton = Chem.MolFromSmiles(parents[rng.integers(len(parents))])
        places = rng.permutation(_hydrogens(skeleton, carbon_only=True))[:2].tolist()
        if len(places) == 2 and Chem.GetFormalCharge(skeleton) == 0:
            yield from product_of(skeleton, places, [str(rng.choice(CATIONS)), str(rng.choice(ANIONS))])


def edited(parents: Sequence[str], kinds: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Yield SMILES of ions or radicals, by rows of `EDITS` in turns."""
    while True:
        for kind in kinds:
            molecule = Chem.RWMol(Chem.MolFromSmiles(parents[rng.integers(len(parents))]))
            places = [k for (k,) in molecule.GetSubstructMatches(_PATTERNS[kind])]
            if not places or Chem.GetFormalCharge(molecule):
                continue
            _, hydrogens, charge, unpaired = EDITS[kind]
            atom = molecule.GetAtomWithIdx(int(rng.choice(places)))
            count = atom.GetTotalNumHs() + hydrogens
            if count < 0:
                continue
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(count)
            atom.SetFormalCharge(charge)
            atom.SetNumRadicalElectrons(unpaired)
            product = sanitised([(molecule.GetMol(),)])
            if product is not None:
                yield Chem.MolToSmiles(product)


def _hydrogens(molecule: Chem.Mol, carbon_only: bool = False) -> list[int]:
    """Return the atom that bears each hydrogen."""
    return [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() == 6 or not carbon_only
        for _ in range(atom.GetTotalNumHs())
    ]


def product_of(
    skeleton: Chem.Mol, places: Sequence[int], groups: Sequence[str], largest: int = LARGEST
) -> Iterator[str]:
    """Yield the SMILES of a molecule with groups in the place of hydrogens, if there is any such molecule."""
    product = Chem.RWMol(skeleton)
    for place, group in zip(places, groups, strict=True):
        start = product.GetNumAtoms()
        product.InsertMol(Chem.MolFromSmiles(group))
        product.AddBond(int(place), start, Chem.BondType.SINGLE)
        atom = product.GetAtomWithIdx(int(place))
        if atom.GetNumExplicitHs():
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() - 1)
    if not groups or product.GetNumAtoms() > largest:
        return
    molecule = sanitised([(product.GetMol(),)])
    if molecule is not None:
        yield Chem.MolToSmiles(molecule)
