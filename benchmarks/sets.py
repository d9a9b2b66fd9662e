"""Three sets of conformers for benchmarks and the ways of copying them: QM9-like, drug-like, highly symmetric.

    python benchmarks/sets.py --qm9 smiles.csv.gz qm9.npz --drug molecules.smi --molecules 200

Prints what the sets hold. Everything is seeded; input files are named by the user. A set is a list of ensembles,
the distinct conformers of one molecule; each conformer carries its bonds as a V2000 record in `text`.

Scrambled copies are honest: bonds are shuffled and flipped too. RDKit's `RenumberAtoms` keeps the order of the
bonds, so the first substructure match of such a copy is the true mapping for free.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.collections import g2
from numpy.typing import NDArray
from qm9_smiles import molecules_of, read_smiles
from rdkit import Chem, RDLogger
from scipy.spatial.transform import Rotation

from molgiae.commands.conformer_worker import selected
from molgiae.config import ConformerSearch
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer, normalised
from molgiae.data.elements import SYMBOLS
from molgiae.data.etkdg import embed_and_minimise
from molgiae.data.sdf.ctab_writer import write_ctab
from molgiae.errors import ConformerError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Ensemble = list[Conformer]

FIRST_ATOM = 4
"""Line of a V2000 record, from 0, with its first atom."""
DRUG_SIZE = (30, 60)


# Records


def conformer_of(mol: Chem.Mol, conf_id: int = -1, title: str = "") -> Conformer:
    """One conformer of an RDKit molecule, with its bonds."""
    return bonded(
        Conformer(
            atomic_number=np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.uint8),
            position=mol.GetConformer(conf_id).GetPositions(),
            title=title,
            charge=Chem.GetFormalCharge(mol),
            text=title
            + "\n"
            + Chem.MolToMolBlock(mol, includeStereo=False, confId=conf_id).split("\n", 1)[1],
        )
    )


def to_rdkit(c: Conformer) -> Chem.Mol:
    """The molecule with all its atoms, at full precision; unsanitised where RDKit refuses its valences."""
    mol = Chem.MolFromMolBlock(c.text, sanitize=False, removeHs=False)
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        mol = Chem.MolFromMolBlock(c.text, sanitize=False, removeHs=False)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
    mol.GetConformer().SetPositions(np.ascontiguousarray(c.position))
    return mol


def bonded(c: Conformer) -> Conformer:
    """The conformer with the bonds of its text."""
    return dataclasses.replace(c, bonds=normalised(bonds_of(c).astype(np.int64)))


def bonds_of(c: Conformer) -> Ints:
    """(b, 2) atoms of each bond, from 0, as they stand in the record."""
    return np.array([[int(line[:3]) - 1, int(line[3:6]) - 1] for line in _bond_lines(c.text)], int).reshape(
        -1, 2
    )


def with_position(c: Conformer, position: Floats) -> Conformer:
    """The same atoms and bonds elsewhere."""
    text, _ = write_ctab(dataclasses.replace(c, position=position), c.title, None)
    return dataclasses.replace(c, position=position, text=text)


def _bond_lines(text: str) -> list[str]:
    lines = text.split("\n")
    n_atoms, n_bonds = int(lines[FIRST_ATOM - 1][:3]), int(lines[FIRST_ATOM - 1][3:6])
    return lines[FIRST_ATOM + n_atoms : FIRST_ATOM + n_atoms + n_bonds]


# Copies


@dataclass(frozen=True)
class Copy:
    """A copy in another pose and order.

    Attributes:
        conformer: the copy.
        order: (n,) atom ``order[k]`` of the copy is atom k of the original.
        rotation: (3, 3) proper.
        translation: (3,) angstrom.
    """

    conformer: Conformer
    order: Ints
    rotation: Floats
    translation: Floats


def scrambled(c: Conformer, rng: np.random.Generator, reach: float = 10.0) -> Copy:
    """A copy turned and shifted, with atoms permuted and bonds shuffled and flipped.

    Args:
        c: with bonds.
        rng: source of chance.
        reach: standard deviation of the shift along each axis, angstrom.
    """
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    translation = rng.normal(0.0, reach, 3)
    old = rng.permutation(len(c))
    position = (c.position @ rotation.T + translation)[old]
    text, kept = write_ctab(Conformer(c.atomic_number[old], position, text=c.text), c.title, old)
    if not kept:
        raise ValueError(f"{c.title}: the bonds are lost")
    copy = bonded(
        dataclasses.replace(
            c, atomic_number=c.atomic_number[old], position=position, text=_shuffled_bonds(text, rng)
        )
    )
    return Copy(copy, np.argsort(old), rotation, translation)


def _shuffled_bonds(text: str, rng: np.random.Generator) -> str:
    bonds = _bond_lines(text)
    flipped = [
        b[3:6] + b[:3] + b[6:] if flip else b
        for b, flip in zip(bonds, rng.random(len(bonds)) < 0.5, strict=True)
    ]
    lines = text.split("\n")
    first = FIRST_ATOM + int(lines[FIRST_ATOM - 1][:3])
    lines[first : first + len(bonds)] = [flipped[k] for k in rng.permutation(len(bonds))]
    return "\n".join(lines)


def noisy(c: Conformer, rng: np.random.Generator, noise: float = 0.02) -> Conformer:
    """Every coordinate displaced at random, standard deviation in angstrom."""
    return with_position(c, c.position + rng.normal(0.0, noise, c.position.shape))


def rounded(c: Conformer, decimals: int = 4) -> Conformer:
    """As it is read back from an SDF."""
    return with_position(c, c.position.round(decimals))


def mirrored(c: Conformer) -> Conformer:
    """The mirror image, atoms in the same order."""
    return with_position(c, c.position * [1.0, 1.0, -1.0])


def automorphism(c: Conformer, rng: np.random.Generator) -> Ints:
    """(n,) a permutation of the atoms at random that keeps elements and bonds; not uniform over all of them."""
    copy = scrambled(c, rng)
    match = to_rdkit(copy.conformer).GetSubstructMatch(to_rdkit(c))
    if len(match) != len(c):
        raise ValueError(f"{c.title}: the copy does not match")
    return np.argsort(copy.order)[list(match)]


def automorphism_permuted(c: Conformer, rng: np.random.Generator) -> Conformer:
    """The same cloud and the same bonds, equivalent atoms having changed places."""
    return with_position(c, c.position[automorphism(c, rng)])


def conformer_pairs(ensembles: Iterable[Ensemble], rng: np.random.Generator) -> list[tuple[Conformer, Copy]]:
    """Two different conformers of each molecule that has them, the second scrambled."""
    pairs = []
    for ensemble in ensembles:
        if len(ensemble) > 1:
            first, second = rng.choice(len(ensemble), 2, replace=False)
            pairs.append((ensemble[first], scrambled(ensemble[second], rng)))
    return pairs


# Sets made from SMILES


def minima(smiles: str, title: str, tries: int, seed: int) -> Ensemble:
    """Distinct MMFF94s minima of one stereoisomer, lowest energy first; none if RDKit fails."""
    search = ConformerSearch(number=tries, seed=seed)
    try:
        found = selected(embed_and_minimise(smiles, True, title, search), search)
    except ConformerError:
        return []
    return [with_position(conformer, conformer.position) for conformer in found]


def _chosen(
    candidates: Iterable[tuple[str, str]],
    molecules: int,
    kept: int,
    tries: int,
    sizes: tuple[int, int],
    seed: int,
) -> Iterator[Ensemble]:
    """At most so many conformers of each of so many molecules, drawn from all minima found.

    Args:
        candidates: titles and SMILES.
        molecules: how many.
        kept: conformers of each.
        tries: embeddings of each.
        sizes: least and largest number of atoms, with hydrogens.
        seed: of embeddings and choice.
    """
    RDLogger.DisableLog("rdApp.*")
    rng = np.random.default_rng(seed)
    for title, smiles in candidates:
        if molecules == 0:
            return
        n_atoms = Chem.AddHs(Chem.MolFromSmiles(smiles)).GetNumAtoms()
        if not sizes[0] <= n_atoms <= sizes[1]:
            continue
        found = minima(smiles, title, tries, seed)
        if found:
            molecules -= 1
            yield [found[k] for k in sorted(rng.permutation(len(found))[:kept].tolist())]


def qm9_like(
    smiles: Path, npz: Path, molecules: int, seed: int = 0, kept: int = 2, tries: int = 20
) -> list[Ensemble]:
    """Conformers of molecules of the QM9 test split.

    Args:
        smiles: csv with gdb_index and SMILES, as `qm9_smiles.py` takes it.
        npz: QM9 with the fixed split.
        molecules: how many.
        seed: of choice and embedding.
        kept: conformers of each molecule, at most.
        tries: embeddings of each molecule.
    """
    known = read_smiles(smiles)
    index = np.array(sorted(molecules_of(npz, "test") & set(known)))
    np.random.default_rng(seed).shuffle(index)
    return list(
        _chosen(((f"gdb {k}", known[k]) for k in index.tolist()), molecules, kept, tries, (1, 29), seed)
    )


def drug_like(smi: Path, molecules: int, seed: int = 0, kept: int = 2, tries: int = 6) -> list[Ensemble]:
    """Conformers of molecules of 30 to 60 atoms; arguments as of `qm9_like`.

    Args:
        smi: one SMILES a line, also .gz; what follows a blank is ignored.
        molecules: how many.
        seed: of choice and embedding.
        kept: conformers of each molecule, at most.
        tries: embeddings of each molecule.
    """
    with gzip.open(smi, "rt") if smi.suffix == ".gz" else smi.open() as file:
        known = [(f"line {k}", line.split()[0]) for k, line in enumerate(file, 1) if line.strip()]
    np.random.default_rng(seed).shuffle(known)
    return list(_chosen(known, molecules, kept, tries, DRUG_SIZE, seed))


# Highly symmetric molecules, each from one point of every orbit of its point group


def _turn(axis: tuple[float, float, float], fold: int, mirror: bool = False) -> Floats:
    """Rotation by 360 degrees / fold, about an axis through the origin; with mirror, rotation-reflection."""
    unit = np.array(axis) / np.linalg.norm(axis)
    turn = Rotation.from_rotvec(2 * np.pi / fold * unit).as_matrix()
    return (np.eye(3) - 2 * np.outer(unit, unit)) @ turn if mirror else turn


GOLDEN = (1 + 5**0.5) / 2
X, Z, DIAGONAL = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0)
INVERSION = -np.eye(3)
FLAT = np.diag([1.0, 1.0, -1.0])
GENERATORS = {
    "C1": [],
    "D3h": [_turn(Z, 3), _turn(X, 2), FLAT],
    "D3d": [_turn(Z, 6, mirror=True), np.diag([1.0, -1.0, 1.0])],
    "D4h": [_turn(Z, 4), _turn(X, 2), FLAT],
    "D5h": [_turn(Z, 5), _turn(X, 2), FLAT],
    "D5d": [_turn(Z, 10, mirror=True), np.diag([1.0, -1.0, 1.0])],
    "D6h": [_turn(Z, 6), _turn(X, 2), FLAT],
    "Td": [_turn(DIAGONAL, 3), _turn(Z, 4, mirror=True)],
    "Oh": [_turn(DIAGONAL, 3), _turn(Z, 4), INVERSION],
    "Ih": [_turn(DIAGONAL, 3), _turn((0.0, 1.0, GOLDEN), 5), INVERSION],
}


def orbit(group: str, point: tuple[float, float, float]) -> Floats:
    """(m, 3) all images of a point."""
    images = [np.array(point)]
    for image in images:  # grows while it is walked through
        for generator in GENERATORS[group]:
            new = generator @ image
            if min(np.linalg.norm(new - known) for known in images) > 1e-6:
                images.append(new)
    return np.array(images)


O = (0.0, 0.0, 0.0)  # noqa: E741 - the origin
Q, H, S, M = 0.8917, 0.63, 1.3625, 1.0854  # C-C, C-H, Si-Si and Si-C bonds along a diagonal, over root 3
MADE = {
    # name: (point group, {element and place: one point of each orbit}), angstrom
    "helium": ("C1", [("He", O)]),
    "SF6": ("Oh", [("S", O), ("F", (1.56, 0, 0))]),
    "CCl4": ("Td", [("C", O), ("Cl", (1.02, 1.02, 1.02))]),
    "P4": ("Td", [("P", (0.78, 0.78, 0.78))]),
    "PF5": ("D3h", [("P", O), ("F", (1.53, 0, 0)), ("F", (0, 0, 1.58))]),
    "XeF4": ("D4h", [("Xe", O), ("F", (1.95, 0, 0))]),
    "IF7": ("D5h", [("I", O), ("F", (1.86, 0, 0)), ("F", (0, 0, 1.79))]),
    "nickel tetracarbonyl": ("Td", [("Ni", O), ("C", (1.06, 1.06, 1.06)), ("O", (1.72, 1.72, 1.72))]),
    "chromium hexacarbonyl": ("Oh", [("Cr", O), ("C", (1.91, 0, 0)), ("O", (3.05, 0, 0))]),
    "ferrocene, eclipsed": ("D5h", [("Fe", O), ("C", (1.21, 0, 1.65)), ("H", (2.29, 0, 1.63))]),
    "ferrocene, staggered": ("D5d", [("Fe", O), ("C", (1.21, 0, 1.65)), ("H", (2.29, 0, 1.63))]),
    "tetrahedrane": ("Td", [("C", (0.525, 0.525, 0.525)), ("H", (1.14, 1.14, 1.14))]),
    "prismane": ("D3h", [("C", (0.88, 0, 0.78)), ("H", (1.60, 0, 1.55))]),
    "cubane": ("Oh", [("C", (0.785, 0.785, 0.785)), ("H", (1.415, 1.415, 1.415))]),
    "dodecahedrane": ("Ih", [("C", (1.24, 1.24, 1.24)), ("H", (1.87, 1.87, 1.87))]),
    "buckminsterfullerene": ("Ih", [("C", (0, 0.71, 0.71 * 3 * GOLDEN))]),
    "icosahedral B12": ("Ih", [("B", (0, 0.865, 0.865 * GOLDEN))]),
    "dodecaborane": ("Ih", [("B", (0, 0.89, 0.89 * GOLDEN)), ("H", (0, 1.52, 1.52 * GOLDEN))]),
    "adamantane": (
        "Td",
        [("C", (Q, Q, Q)), ("H", (Q + H, Q + H, Q + H)), ("C", (2 * Q, 0, 0)), ("H", (2 * Q + H, H, -H))],
    ),
    "neopentane": ("Td", [("C", O), ("C", (Q, Q, Q)), ("H", (Q + H, Q + H, Q - H))]),
    "tetrakis(trimethylsilyl)silane": (
        "Td",
        [
            ("Si", O),
            ("Si", (S, S, S)),
            ("C", (S + M, S + M, S - M)),
            ("H", (S + M + H, S + M + H, S - M + H)),
            ("H", (S + M + H, S + M - H, S - M - H)),
        ],
    ),
    "octahydridosilsesquioxane": (
        "Oh",
        [("Si", (1.55, 1.55, 1.55)), ("H", (2.40, 2.40, 2.40)), ("O", (1.84, 1.84, 0))],
    ),
    "hexamethylbenzene": (
        "D3d",
        [("C", (1.40, 0, 0)), ("C", (2.91, 0, 0)), ("H", (3.28, 0, 1.03)), ("H", (3.28, 0.89, -0.51))],
    ),
    "coronene": (
        "D6h",
        [("C", (1.42, 0, 0)), ("C", (2.84, 0, 0)), ("C", (3.69, 0.70, 0)), ("H", (4.62, 1.24, 0))],
    ),
}
FROM_ASE = [
    "H2", "N2", "LiH", "CO", "HCl", "CO2", "HCN", "C2H2", "H2O", "SO2", "NH3", "BF3",
    "CH4", "CF4", "SiH4", "CH3Cl", "H2O2", "C2H4", "C2H6", "C3H4_D2d", "C3H4_C3v", "C3H6_D3h",
    "cyclobutene", "bicyclobutane",
    "isobutane", "trans-butane", "C4H4O", "C6H6", "biphenyl",
]  # fmt: skip


def with_bonds(z: NDArray[np.uint8], position: Floats, title: str) -> Conformer:
    """A conformer with a single bond for each bond that distances show."""
    bonds = perceived_bonds(z, position) + 1
    plain, _ = write_ctab(Conformer(z, position), title, None)
    lines = plain.split("\n")
    lines[FIRST_ATOM - 1] = lines[FIRST_ATOM - 1][:3] + f"{len(bonds):3d}" + lines[FIRST_ATOM - 1][6:]
    lines[FIRST_ATOM + len(z) : FIRST_ATOM + len(z)] = [f"{a:3d}{b:3d}  1  0" for a, b in bonds.tolist()]
    return bonded(Conformer(z, position, title=title, text="\n".join(lines)))


def from_ase(name: str) -> Conformer:
    """A molecule of `ase.build.molecule`."""
    atoms = molecule(name)
    return with_bonds(atoms.numbers.astype(np.uint8), np.array(atoms.positions), name)


def made(name: str) -> Conformer:
    """A molecule of `MADE`."""
    group, points = MADE[name]
    orbits = [(SYMBOLS.index(symbol), orbit(group, point)) for symbol, point in points]
    z = np.concatenate([np.full(len(places), number, np.uint8) for number, places in orbits])
    return with_bonds(z, np.concatenate([places for _, places in orbits]), name)


def symmetric() -> list[Ensemble]:
    """Highly symmetric molecules, one conformer each: single atom and diatomics to buckminsterfullerene."""
    return [[from_ase(name)] for name in FROM_ASE] + [[made(name)] for name in MADE]


def g2_set() -> list[Ensemble]:
    """All molecules and atoms of the G2 set, as ASE has them."""
    return [[from_ase(name)] for name in g2.names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that say what the sets are made from."""
    parser.add_argument(
        "--qm9", type=Path, nargs=2, metavar=("SMILES", "NPZ"), help="smiles.csv.gz and qm9.npz"
    )
    parser.add_argument("--drug", type=Path, metavar="SMI", help="one SMILES a line")
    parser.add_argument(
        "--molecules", type=int, default=200, help="of each set made from SMILES (default 200)"
    )
    parser.add_argument("--seed", type=int, default=0)


def sets_of(options: argparse.Namespace, kept: int = 2) -> dict[str, list[Ensemble]]:
    """The sets whose files were named, and the symmetric one."""
    sets: dict[str, list[Ensemble]] = {}
    if options.qm9:
        sets["QM9-like"] = qm9_like(*options.qm9, options.molecules, options.seed, kept)
    if options.drug:
        sets["drug-like"] = drug_like(options.drug, options.molecules, options.seed, kept)
    return sets | {"symmetric": symmetric()}


def main() -> None:
    """Make the sets and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    for name, ensembles in sets_of(parser.parse_args()).items():
        sizes = [len(ensemble[0]) for ensemble in ensembles]
        print(
            f"{name}: {len(ensembles)} molecules of {min(sizes)} to {max(sizes)} atoms, "
            f"{sum(len(ensemble) > 1 for ensemble in ensembles)} with two conformers"
        )


if __name__ == "__main__":
    main()
