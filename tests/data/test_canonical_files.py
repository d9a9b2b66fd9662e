"""Copies of a record become one text: other pose, other order of atoms and bond lines, bonds in the other direction.

Tables are written by the plainest possible code, V2000 and V3000, with charges, isotopes, radicals and groups put on
atoms at random: molgiae does not judge chemistry, and equivalent atoms have to be told apart by them.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
from ase.collections import g2
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation

import molgiae
from molgiae.commands import canonicalize as canonicalizing
from molgiae.data.bonds import perceived_bonds
from molgiae.data.readers import read_conformers
from molgiae.data.sdf import ctab_writer
from molgiae.data.writers import StructureWriter

OTHER = os.environ.get("MOLGIAE_TEST_SDF", "")
EXAMPLES = Path(__file__).parents[2] / "examples" / "conformers.sdf"
SYMMETRIC = (
    "C6H6",
    "CH3NO2",
    "CO2",
    "C2H2",
    "CH4",
    "C2H6",
    "SO2",
    "BF3",
    "C3H4_D2d",
    "C2H4",
    "O3",
    "H2O",
    "P2",
)
VALUES = {
    "charge": ("CHG", "CHG", (-1, 1, 2)),
    "isotope": ("ISO", "MASS", (13, 15)),
    "radical": ("RAD", "RAD", (2, 3)),
}
"""What is said of atoms: its names in V2000 and V3000, and some values."""


@dataclass(frozen=True)
class Table:
    """A connection table; atoms and bonds from 0.

    Attributes:
        symbols: n elements.
        position: (n, 3) angstrom.
        values: for each of `VALUES` those of atoms that have one.
        bonds: pairs of atoms to order and stereo field.
        groups: atoms and bonds of each group, as frozen sets of atoms and of pairs.
    """

    symbols: tuple[str, ...]
    position: np.ndarray
    values: dict[str, dict[int, int]]
    bonds: dict[frozenset[int], int]
    groups: tuple[tuple[frozenset[int], frozenset[frozenset[int]]], ...]

    def renumbered(self, new: list[int], position: np.ndarray) -> Table:
        """Atom k becomes atom ``new[k]``; positions in the old order."""
        symbols, moved = [""] * len(new), np.empty_like(position)
        for k, to in enumerate(new):
            symbols[to], moved[to] = self.symbols[k], position[k]

        def ends(bond: frozenset[int]) -> frozenset[int]:
            return frozenset(new[k] for k in bond)

        return Table(
            tuple(symbols),
            moved,
            {name: {new[k]: v for k, v in given.items()} for name, given in self.values.items()},
            {ends(bond): order for bond, order in self.bonds.items()},
            tuple(
                (frozenset(new[k] for k in atoms), frozenset(map(ends, bonds)))
                for atoms, bonds in self.groups
            ),
        )


def shuffled(items: Any, rng: np.random.Generator) -> list[Any]:
    items = list(items)
    return [items[k] for k in rng.permutation(len(items))]


def chunks(items: list[Any], most: int, rng: np.random.Generator) -> list[list[Any]]:
    """Stretches of random length."""
    found = []
    while items:
        size = int(rng.integers(1, most + 1))
        found.append(items[:size])
        items = items[size:]
    return found


def v2000(table: Table, rng: np.random.Generator, decimals: int = 4) -> str:
    """A record with bond lines and lists in random order, bonds in random direction."""
    bonds = shuffled(table.bonds, rng)
    number = {bond: k for k, bond in enumerate(bonds, 1)}
    lines = [
        "title",
        "  program",
        "comment",
        f"{len(table.symbols):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000",
    ]
    lines += [
        f"{x:10.{decimals}f}{y:10.{decimals}f}{z:10.{decimals}f} {s:<3} 0" + "  0" * 11
        for s, (x, y, z) in zip(table.symbols, table.position, strict=True)
    ]
    for bond in bonds:
        first, second = shuffled(bond, rng)
        lines.append(f"{first + 1:3d}{second + 1:3d}{table.bonds[bond]:3d}  0")
    for name, (key, _, _) in VALUES.items():
        for part in chunks(shuffled(table.values[name].items(), rng), 8, rng):
            lines.append(f"M  {key}{len(part):3d}" + "".join(f" {k + 1:3d} {v:3d}" for k, v in part))
    for g, (atoms, crossing) in enumerate(table.groups, 1):
        lines.append(f"M  STY  1 {g:3d} SUP")
        for part in chunks(shuffled(atoms, rng), 15, rng):
            lines.append(f"M  SAL {g:3d}{len(part):3d}" + "".join(f" {k + 1:3d}" for k in part))
        for part in chunks(shuffled(crossing, rng), 15, rng):
            lines.append(f"M  SBL {g:3d}{len(part):3d}" + "".join(f" {number[b]:3d}" for b in part))
        lines.append(f"M  SMT {g:3d} G{g}")
    return "\n".join([*lines, "M  END", "> <key>", "value", "", "$$$$", ""])


def v3000(table: Table, rng: np.random.Generator, decimals: int = 12) -> str:
    """The same in V3000; numbers of atoms have gaps, and those of bonds are any."""
    n, bonds = len(table.symbols), shuffled(table.bonds, rng)
    atom = sorted(rng.choice(np.arange(1, 3 * n + 1), n, replace=False).tolist())
    number = dict(zip(bonds, rng.permutation(len(bonds)) + 1, strict=True))
    body = ["BEGIN CTAB", f"COUNTS {n} {len(bonds)} {len(table.groups)} 0 0", "BEGIN ATOM"]
    for k, (s, xyz) in enumerate(zip(table.symbols, table.position, strict=True)):
        given = [
            f" {key}={table.values[name][k]}"
            for name, (_, key, _) in VALUES.items()
            if k in table.values[name]
        ]
        body.append(f"{atom[k]} {s} " + " ".join(f"{x:.{decimals}f}" for x in xyz) + " 0" + "".join(given))
    body += ["END ATOM", "BEGIN BOND"]
    for bond in bonds:
        first, second = shuffled(bond, rng)
        body.append(f"{number[bond]} {table.bonds[bond]} {atom[first]} {atom[second]}")
    body.append("END BOND")
    groups = []
    for g, (atoms, crossing) in enumerate(table.groups, 1):
        of_atoms = " ".join(str(atom[k]) for k in shuffled(atoms, rng))
        of_bonds = " ".join(str(number[b]) for b in shuffled(crossing, rng))
        groups.append(
            f"{g} SUP 0 ATOMS=({len(atoms)} {of_atoms}) XBONDS=({len(crossing)} {of_bonds}) LABEL=G{g}"
        )
    if groups:
        body += ["BEGIN SGROUP", *groups, "END SGROUP"]
    body.append("END CTAB")
    lines = [
        "title",
        "  program",
        "comment",
        "  0  0  0     0  0            999 V3000",
        *(f"M  V30 {b}" for b in body),
    ]
    return "\n".join([*lines, "M  END", "> <key>", "value", "", "$$$$", ""])


WRITE = {"V2000": v2000, "V3000": v3000}


def annotated(
    symbols: tuple[str, ...], position: np.ndarray, bonds: dict[frozenset[int], int], rng: np.random.Generator
) -> Table:
    """Charges, radicals and isotopes at a few atoms, some bond orders changed, two groups."""
    n = len(symbols)
    values = {
        name: {
            int(k): int(rng.choice(given))
            for k in rng.choice(n, int(rng.integers(0, min(n, 12))), replace=False)
        }
        for name, (_, _, given) in VALUES.items()
    }
    # no isotopes of half of the molecules, for equivalent atoms have one isotope
    if rng.random() < 0.5:
        values["isotope"] = {}
    changed = {
        bond: int(rng.integers(1, 4)) if rng.random() < 0.2 else order for bond, order in bonds.items()
    }
    groups = []
    for _ in range(2):
        atoms = frozenset(rng.choice(n, int(rng.integers(1, n + 1)), replace=False).tolist())
        groups.append((atoms, frozenset(b for b in bonds if len(b & atoms) == 1)))
    return Table(symbols, position, values, changed, tuple(g for g in groups if g[1]))


def from_g2(name: str, rng: np.random.Generator) -> Table:
    """A molecule with exact symmetry and bonds of orders 1, annotated at random."""
    atoms = ase.build.molecule(name)
    pairs = perceived_bonds(atoms.numbers, atoms.positions)
    bonds = {frozenset(map(int, pair)): 1 for pair in pairs}
    # a little larger, as half the lengths of these have a 5 behind the last decimal
    position = (1 + 0.01 * rng.random()) * (atoms.positions - atoms.positions.mean(axis=0))
    return annotated(tuple(atoms.get_chemical_symbols()), position, bonds, rng)


def from_sdf(path: Path, seed: int) -> list[Table]:
    """Molecules of a file, annotated at random."""
    tables = []
    with rdBase.BlockLogs():
        mols = list(Chem.SDMolSupplier(str(path), sanitize=False, removeHs=False))
    for k, mol in enumerate(mols):
        bonds = {
            frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())): int(b.GetBondTypeAsDouble())
            for b in mol.GetBonds()
        }
        symbols = tuple(a.GetSymbol() for a in mol.GetAtoms())
        position = mol.GetConformer().GetPositions()
        tables.append(annotated(symbols, position, bonds, np.random.default_rng([seed, k])))
    return tables


# Poses


def any_pose(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turn = Rotation.random(rng=rng).as_matrix()
    return position @ turn.T + rng.normal(0, 3, 3)


LATTICE = [
    turn
    for signs in itertools.product((1, -1), repeat=3)
    for axes in itertools.permutations(range(3))
    if np.linalg.det(turn := np.diag(signs)[list(axes)]) > 0
]


def pose_in_four_decimals(position: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Quarter turns and steps of 0.0001 angstrom, which lose nothing where coordinates have four decimals."""
    turn = LATTICE[rng.integers(len(LATTICE))]
    return (position.round(4) @ turn.T + rng.integers(-30000, 30000, 3) / 10000).round(4)


POSES = {"V2000": pose_in_four_decimals, "V3000": any_pose}


def copies(table: Table, number: int, version: str, rng: np.random.Generator) -> list[str]:
    found = []
    for _ in range(number):
        position = POSES[version](table.position, rng)
        found.append(WRITE[version](table.renumbered(rng.permutation(len(position)).tolist(), position), rng))
    return found


# What a table says, and where


COORDINATES = {
    "V2000": re.compile(r"^((?: *-?\d+\.\d+){3})(?= [A-Z])", re.MULTILINE),
    "V3000": re.compile(r"(?<=^M  V30 )\d+ [A-Z][a-z]?((?: -?\d+\.\d{6}){3})", re.MULTILINE),
}


def skeleton(record: str, version: str) -> tuple[str, np.ndarray]:
    """The text without coordinates, and these."""
    pattern = COORDINATES[version]
    numbers = [[float(x) for x in match[1].split()] for match in pattern.finditer(record)]
    if version == "V2000":
        numbers = [[float(m[1][i : i + 10]) for i in (0, 10, 20)] for m in pattern.finditer(record)]
    return pattern.sub(lambda match: match[0].replace(match[1], ""), record), np.array(numbers)


def canonical_texts(tmp_path: Path, model: str, records: list[str]) -> list[str]:
    (tmp_path / "in.sdf").write_text("".join(records))
    summary = molgiae.canonicalize(
        tmp_path / "in.sdf", output=tmp_path / "out.sdf", model=model, overwrite=True
    )
    assert summary.written == len(records)
    return [text + "$$$$\n" for text in (tmp_path / "out.sdf").read_text().split("$$$$\n")[:-1]]


def assert_one_text(texts: list[str], version: str, tolerance: float = 0.0) -> bool:
    """One text but for the last digit of coordinates, which may round up or down; returns whether to the letter."""
    unit = {"V2000": 1e-4, "V3000": 1e-6}[version]
    first, position = skeleton(texts[0], version)
    assert len(position)
    for text in texts[1:]:
        again, moved = skeleton(text, version)
        assert again == first
        assert np.abs(moved - position).max() < max(1.5 * unit, tolerance)
        assert (text == texts[0]) == np.array_equal(moved, position)
        assert "-0.0000 " not in text
    return len(set(texts)) == 1


def check(tmp_path: Path, model: str, tables: list[Table], version: str, number: int = 4) -> None:
    rng = np.random.default_rng(5)
    texts = canonical_texts(tmp_path, model, [c for t in tables for c in copies(t, number, version, rng)])
    to_the_letter = [assert_one_text(texts[k : k + number], version) for k in range(0, len(texts), number)]
    assert np.mean(to_the_letter) > 0.97


G2 = [name for name in g2.names if len(ase.build.molecule(name)) > 1]


@pytest.mark.parametrize("version", WRITE)
def test_copies_of_the_examples_become_one_text(tmp_path: Path, model_path: str, version: str) -> None:
    check(tmp_path, model_path, from_sdf(EXAMPLES, 0), version)


@pytest.mark.parametrize("version", WRITE)
def test_copies_of_symmetric_molecules_become_one_text(tmp_path: Path, model_path: str, version: str) -> None:
    rng = np.random.default_rng(1)
    check(tmp_path, model_path, [from_g2(name, rng) for name in [*G2, *SYMMETRIC, *SYMMETRIC]], version)


@pytest.mark.slow
@pytest.mark.skipif(not OTHER, reason="MOLGIAE_TEST_SDF names no SDF file")
@pytest.mark.parametrize("version", WRITE)
def test_copies_of_any_file_become_one_text(tmp_path: Path, model_path: str, version: str) -> None:
    check(tmp_path, model_path, from_sdf(Path(OTHER), 0), version)


def test_rounded_copies_say_the_same_of_their_atoms(tmp_path: Path, model_path: str) -> None:
    """Coordinates of V2000 in any pose lose digits, by which no symmetry is lost."""
    rng = np.random.default_rng(7)
    tables = [*from_sdf(EXAMPLES, 1), *(from_g2(name, rng) for name in SYMMETRIC)]
    records = [
        v2000(
            table.renumbered(rng.permutation(len(table.symbols)).tolist(), any_pose(table.position, rng)), rng
        )
        for table in tables
        for _ in range(3)
    ]
    texts = canonical_texts(tmp_path, model_path, records)
    for k in range(0, len(texts), 3):
        assert_one_text(texts[k : k + 3], "V2000", tolerance=5e-3)


def test_a_file_in_canonical_form_stays_as_it_is(tmp_path: Path, model_path: str) -> None:
    records = [v2000(table, np.random.default_rng(0)) for table in from_sdf(EXAMPLES, 2)]
    once = canonical_texts(tmp_path, model_path, records)
    twice = canonical_texts(tmp_path, model_path, once)
    for pair in zip(once, twice, strict=True):
        assert_one_text(list(pair), "V2000", tolerance=5e-3)


def test_vectors_turn_into_the_pose_of_the_least_table(tmp_path: Path, model_path: str) -> None:
    """A dipole of the formal charges, as an item, is what charges and places in the output say."""
    rng = np.random.default_rng(11)
    tables = [from_g2(name, rng) for name in SYMMETRIC]
    records, charged = [], 0
    for table in tables:
        moved = any_pose(table.position, rng)
        dipole = sum(
            (q * (moved[k] - moved.mean(axis=0)) for k, q in table.values["charge"].items()), np.zeros(3)
        )
        item = f"> <dipole>\n{' '.join(f'{x:.9f}' for x in dipole)}\n"
        new = rng.permutation(len(moved)).tolist()
        records.append(v3000(table.renumbered(new, moved), rng).replace("> <key>\nvalue\n", item))
        charged += np.linalg.norm(dipole) > 0.1
    assert charged > len(tables) / 2
    for text in canonical_texts(tmp_path, model_path, records):
        mol = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
        charge, position = (
            np.array([a.GetFormalCharge() for a in mol.GetAtoms()]),
            mol.GetConformer().GetPositions(),
        )
        found = np.array(text.split("<dipole>\n")[1].split()[:3], float)
        assert np.abs(found - charge @ (position - position.mean(axis=0))).max() < 1e-4


BREAKS = {
    "bonds keep their direction": (ctab_writer, "_rising", lambda bond: bond),
    "lists keep their order": (
        ctab_writer,
        "_list_lines",
        lambda head, entries, most: [f"{head}{len(entries):3d}" + "".join(f" {k:3d}{v}" for k, v in entries)],
    ),
    "bonds keep their places": (ctab_writer, "sorted", lambda items, key=None: list(items)),
    "equivalent atoms keep their order": (
        canonicalizing,
        "least_table",
        lambda species, order, position, render: (order, position, np.eye(3)),
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_the_check_fails_on_a_broken_writer(
    tmp_path: Path, model_path: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    tables = [from_g2(name, rng) for name in SYMMETRIC]
    check(tmp_path, model_path, tables, "V2000")
    module, name, instead = BREAKS[broken]
    monkeypatch.setattr(module, name, instead, raising=False)
    with pytest.raises(AssertionError):
        check(tmp_path, model_path, tables, "V2000")


# The writer alone


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(WRITE)))
def test_the_text_does_not_depend_on_how_a_table_was_written(
    tmp_path_factory: Any, seed: int, version: str
) -> None:
    """Any two tables of one graph, written in one order, which here is any."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    apart = 2.0 * np.array(list(itertools.product(range(4), repeat=3)))[:n] + 0.1 * rng.normal(size=(n, 3))
    pairs = {frozenset(map(int, rng.choice(n, 2, replace=False))) for _ in range(int(rng.integers(1, 60)))}
    symbols = tuple(rng.choice(["C", "H", "N", "Cl"], n).tolist())
    table = annotated(symbols, apart, {pair: int(rng.integers(1, 5)) for pair in pairs}, rng)
    order, position = rng.permutation(n), rng.normal(size=(n, 3))
    path = tmp_path_factory.mktemp("tables")
    texts = set()
    for _ in range(3):
        new = rng.permutation(n)
        (path / "in.sdf").write_text(WRITE[version](table.renumbered(new.tolist(), table.position), rng))
        [conformer] = read_conformers(path / "in.sdf")
        with StructureWriter(path / "out.sdf", overwrite=True) as writer:
            writer.write(conformer, order=new[order], position=position)
        texts.add((path / "out.sdf").read_text())
    assert len(texts) == 1
    [text] = texts
    assert facts(text) == facts(
        WRITE[version](table.renumbered(np.argsort(order).tolist(), table.position), rng)
    )


def facts(record: str) -> tuple[Any, ...]:
    """What RDKit reads: atoms with charges, isotopes and radicals, bonds, and groups."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(
            record.split("M  END", maxsplit=1)[0] + "M  END\n", sanitize=False, removeHs=False
        )
    pairs = [frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in mol.GetBonds()]
    bonds = {(pair, b.GetBondType()) for pair, b in zip(pairs, mol.GetBonds(), strict=True)}
    atoms = [
        (a.GetSymbol(), a.GetFormalCharge(), a.GetIsotope(), a.GetNumRadicalElectrons())
        for a in mol.GetAtoms()
    ]
    groups = [
        (frozenset(g.GetAtoms()), frozenset(pairs[k] for k in g.GetBonds()), g.GetPropsAsDict()["LABEL"])
        for g in Chem.GetMolSubstanceGroups(mol)
    ]
    return atoms, bonds, groups


@pytest.mark.parametrize("v3000", [False, True])
def test_rdkit_reads_the_same_molecules(tmp_path: Path, model_path: str, v3000: bool) -> None:
    """Molecules with their stereochemistry, which is seen in the coordinates."""
    smiles = "C[C@H](N)C(=O)[O-] [O-][N+](=O)c1ccccc1 C/C=C/[C@@H](F)Cl [13CH3][C@](O)(Br)[2H] [CH2]C OC[C@H]1O[C@@H]1C"
    path = tmp_path / "in.sdf"
    with Chem.SDWriter(str(path)) as writer:
        writer.SetForceV3000(v3000)
        for k, words in enumerate(smiles.split()):
            mol = Chem.AddHs(Chem.MolFromSmiles(words))
            assert rdDistGeom.EmbedMolecule(mol, randomSeed=k) == 0
            writer.write(mol)
    molgiae.canonicalize(path, output=tmp_path / "out.sdf", model=model_path)
    seen = [
        [Chem.MolToSmiles(mol) for mol in Chem.SDMolSupplier(str(tmp_path / name), removeHs=False)]
        for name in ("in.sdf", "out.sdf")
    ]
    assert seen[0] == seen[1]
    assert len(seen[0]) == len(smiles.split())
