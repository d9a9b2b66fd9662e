"""Words that stand for elements in XYZ: atom names, types, symbols; what had to be decided is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from molgiae.commands.canonicalize import canonicalize
from molgiae.commands.dedup import deduplicate
from molgiae.commands.run import Options
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import ATOMIC_NUMBER, SYMBOLS
from molgiae.data.readers import read_blocks
from molgiae.data.sources import Notes
from molgiae.data.xyz.columns import decode_lines
from molgiae.data.xyz.comment import Columns
from molgiae.data.xyz.species import AMBIGUOUS, NAMES_READ, SPECIES, meanings
from tests.data.molfiles import molecule, xyz_frame

Atoms = list[tuple[str, float, float, float]]


def read(path: Path, *frames: str) -> tuple[ConformerBlock, list[str]]:
    notes = Notes()
    path.write_text("".join(frames))
    (block,) = read_blocks(path, notes=notes)
    return block, notes.lines()


def symbols(block: ConformerBlock, m: int = 0) -> list[str]:
    return [SYMBOLS[z] for z in block[m].atomic_number]


def embedded(smiles: str) -> tuple[list[str], np.ndarray]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return [atom.GetSymbol() for atom in mol.GetAtoms()], mol.GetConformer().GetPositions()


def frame(words: list[str], position: np.ndarray, comment: str = "") -> str:
    return xyz_frame([(w, *xyz) for w, xyz in zip(words, position.tolist(), strict=True)], comment)


NAMES = {
    "C": [
        "CA",
        "CB",
        "CG",
        "CD1",
        "CD",
        "CE",
        "CZ",
        "ca",
        "cd",
        "ce",
        "c3",
        "C1'",
        "CH3",
        "C_R",
        "C.ar",
        "CG2R61",
    ],
    "N": ["N", "NE2", "NZ", "ND", "NB", "nb", "nh", "n4", "NH1", "NE"],
    "O": ["O", "OXT", "OD1", "OG", "os", "OS", "OW", "oh", "O5*", "O1"],
    "H": ["HA", "HB1", "1HB", "2HG1", "HG", "HE", "HO", "hc", "ho", "HW2", "H3'", "HN", "HE21", "HF"],
    "S": ["SG", "sh", "SD", "ss", "S1"],
    "P": ["PA", "PB", "p5", "P1"],
    "Cl": ["CL1", "CL", "cl", "Cl2"],
    "Br": ["BR", "br", "Br1"],
}
SMILES = ["NCC(=O)O", "OP(=O)(OC)OC", "CSC(Cl)C(N)=O", "Brc1ccncc1CS", "C[N+](C)(C)CC([O-])=O"]


@settings(deadline=None, max_examples=60)
@given(st.data())
@pytest.mark.parametrize("smiles", SMILES)
def test_names_are_read_by_their_letters_and_distances(
    smiles: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    elements, position = embedded(smiles)
    words = [data.draw(st.sampled_from([element, *NAMES.get(element, [])])) for element in elements]
    block, notes = read(tmp_path_factory.mktemp("names") / "a.xyz", frame(words, position))
    assert not block.rejected, block.rejected
    assert symbols(block) == elements
    named = [word for word in words if word not in SPECIES]
    assert any(note.startswith(NAMES_READ) for note in notes) == bool(named)


def test_every_symbol_keeps_its_meaning() -> None:
    for number, symbol in enumerate(SYMBOLS[1:], 1):
        assert meanings(symbol) == (0, number) and meanings(f"{symbol}12") == (0, number)
        assert meanings(str(number)) == (0, number)
        for spelling in (symbol.upper(), symbol.lower()):
            name, found = meanings(spelling)
            assert found == number and (name > 0) == (spelling in AMBIGUOUS)


@pytest.mark.parametrize("word", ["CLA", "SOD", "CAL", "HX", "CB"])
def test_a_name_far_from_all_else_is_refused(word: str, tmp_path: Path) -> None:
    """Ions of CHARMM, beads: the first letter is not their element."""
    block, _ = read(tmp_path / "a.xyz", xyz_frame([("O", 0, 0, 0), ("H", 0.96, 0, 0), (word, 3.5, 0, 0)]))
    assert not len(block)
    assert f"unknown element '{word}' (atom 3)" in block.rejected[0].reason


@pytest.mark.parametrize("word", ["H(iso=2)", "13C", "2H", "D1", "MW", "EP", "X1", "R1", "LP1", "@C", "H:"])
def test_other_words_are_no_elements(word: str, tmp_path: Path) -> None:
    block, _ = read(tmp_path / "a.xyz", xyz_frame([("O", 0, 0, 0), (word, 0.96, 0, 0)]))
    assert not len(block)
    assert any(what in block.rejected[0].reason for what in ("unknown element", "is a placeholder"))


METALS: dict[str, tuple[str, Atoms]] = {
    "calcium in water": (
        "CA",
        [("CA", 0, 0, 0), ("O", 2.35, 0, 0), ("H", 2.9, 0.75, 0), ("H", 2.9, -0.75, 0)],
    ),
    "sodium chloride": ("NA", [("NA", 0, 0, 0), ("CL", 2.36, 0, 0)]),
    "chromate": ("CR", [("CR", 0, 0, 0), ("O", 1.6, 0, 0), ("O", -1.6, 0, 0)]),
    "cobalt carbonyl": ("CO", [("CO", 0, 0, 0), ("C", 1.8, 0, 0), ("O", 2.95, 0, 0)]),
    "mercury chloride": ("HG", [("HG", 0, 0, 0), ("CL", 2.25, 0, 0), ("CL", -2.25, 0, 0)]),
    "copper hydride": ("cu", [("cu", 0, 0, 0), ("H", 1.46, 0, 0)]),
    "trace of alpha carbons": ("CA", [("CA", 3.8 * k, 0.1 * k * k, 0) for k in range(5)]),
    "one atom": ("HE", [("HE", 0, 0, 1)]),
}


@pytest.mark.parametrize("case", METALS)
def test_a_metal_that_may_be_a_name_is_said(case: str, tmp_path: Path) -> None:
    word, atoms = METALS[case]
    block, notes = read(tmp_path / "a.xyz", xyz_frame(atoms))
    assert symbols(block)[0] == word.capitalize() == SYMBOLS[ATOMIC_NUMBER[word]]
    assert notes[0].startswith(
        f"'{word}' was read as {word.capitalize()}, for nothing is at the length of a bond"
    )


def test_symbols_are_read_without_a_word(tmp_path: Path) -> None:
    frames = [xyz_frame(molecule(k)) for k in range(10)]
    atoms = [
        ("Ca", 0, 0, 0),
        ("Cl", 2.5, 0, 0),
        ("CL", -2.5, 0, 0),
        ("br", 0, 3, 0),
        ("17", 0, 0, 3),
        ("SI", 0, -3, 0),
    ]
    block, notes = read(tmp_path / "a.xyz", *frames, xyz_frame(atoms))
    assert len(block) == 11 and not notes and symbols(block, 10) == ["Ca", "Cl", "Cl", "Br", "Cl", "Si"]


ETHANE, WATER = embedded("CC"), embedded("O")
GRID = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(2)], float)
TYPES = {
    "ethane, C 1, H 2": (ETHANE[1], {"C": "1", "H": "2"}, ETHANE[0]),
    "ethane, H 1, C 2": (ETHANE[1], {"C": "2", "H": "1"}, ETHANE[0]),
    "water, O 1, H 2": (WATER[1], {"O": "1", "H": "2"}, WATER[0]),
    "glycine, four types": (
        embedded("NCC(=O)O")[1],
        {"C": "1", "H": "2", "N": "3", "O": "4"},
        embedded("NCC(=O)O")[0],
    ),
    "four of six types": (
        embedded("NCC(=O)O")[1],
        {"C": "2", "H": "4", "N": "5", "O": "6"},
        embedded("NCC(=O)O")[0],
    ),
    "copper, one type": (3.61 / 2**0.5 * GRID, {"Cu": "1"}, ["Cu"] * 18),
    "reduced units, one type": (1.1 * GRID, {"A": "1"}, ["A"] * 18),
    "alloy, three types": (2.6 * GRID, {"A": "1", "B": "2", "C": "3"}, list("ABC") * 6),
}


@pytest.mark.parametrize("others", [0, 30])
@pytest.mark.parametrize("case", TYPES)
def test_types_are_no_atomic_numbers(case: str, others: int, tmp_path: Path) -> None:
    position, types, elements = TYPES[case]
    good = [xyz_frame(molecule(k)) for k in range(others)]
    block, _ = read(tmp_path / "a.xyz", *good, frame([types[e] for e in elements], position), *good)
    assert len(block) == 2 * others
    (bad,) = block.rejected
    assert "look like LAMMPS types" in bad.reason and "write element symbols" in bad.reason


def test_types_that_a_converter_made_elements_are_refused(tmp_path: Path) -> None:
    """ASE reads types 1, 2, 3 of a LAMMPS dump as H, He, Li."""
    elements, position = embedded("NCC(=O)O")
    words = [{"C": "H", "H": "He", "N": "Li", "O": "Be"}[element] for element in elements]
    block, _ = read(tmp_path / "a.xyz", frame(words, position))
    assert "look like LAMMPS types 1, 2, 3, 4; write the elements" in block.rejected[0].reason


@pytest.mark.parametrize(
    "atoms",
    [
        [("1", 0, 0, 0), ("1", 0.741, 0, 0)],
        [("1", 0, 0, 0), ("1", 0.873, 0, 0), ("1", 0.4365, 0.756, 0)],
        [("1", 0, 0, 0), ("2", 0.774, 0, 0)],
        [("1", 0, 0, 1)],
        [("2", 0, 0, 0), ("2", 2.97, 0, 0)],
        [("3", 0, 0, 0), ("1", 1.595, 0, 0)],
        [("5", 0, 0, 0), ("1", 1.19, 0, 0), ("1", -0.595, 1.03, 0), ("1", -0.595, -1.03, 0)],
        [("H", 0, 0, 0), ("H", 1.0, 0, 0), ("H", 2.0, 0, 0)],
        [("H", 0, 0, 0), ("He", 0.774, 0, 0)],
        [("He", 0, 0, 0), ("Be", 1.52, 0, 0), ("O", 2.86, 0, 0)],
        [("6", 0, 0, 0), ("1", 1.09, 0, 0), ("8", -1.2, 0, 0)],
    ],
)
def test_small_molecules_are_no_types(atoms: Atoms, tmp_path: Path) -> None:
    block, notes = read(tmp_path / "a.xyz", xyz_frame(atoms))
    assert not block.rejected and not notes
    assert block[0].atomic_number.tolist() == [
        int(w) if w.isdecimal() else ATOMIC_NUMBER[w] for w, *_ in atoms
    ]


def test_atomic_numbers_take_the_fast_path() -> None:
    for words in (["6", "1", "17"], ["C", "H", "CL"], ["SI", "br", "8"]):
        body = "".join(f"{word} {k}.0 0.5 0.25\n" for k, word in enumerate(words)).encode()
        assert decode_lines(body, 3, Columns()) is not None


@pytest.mark.parametrize("chunk_size", [64, 1000, 1 << 20])
def test_each_record_is_counted_once(chunk_size: int, tmp_path: Path) -> None:
    elements, position = embedded("NCC(=O)O")
    words = [{"C": "CA", "O": "OD1"}.get(element, element) for element in elements]
    path = tmp_path / "a.xyz"
    path.write_text("".join([*(xyz_frame(molecule(k)) for k in range(3)), *[frame(words, position)] * 5]))
    notes = Notes()
    (block,) = read_blocks(path, notes=notes, chunk_size=chunk_size)
    assert len(block) == 8
    assert notes.lines() == [f"{NAMES_READ} (5 records, the first: {path}, record 4)"]


def test_commands_say_what_was_decided_once_and_for_each_run(tmp_path: Path) -> None:
    elements, position = embedded("NCC(=O)O")
    words = [{"C": "CA"}.get(element, element) for element in elements]
    (tmp_path / "a.xyz").write_text(frame(words, position, "glycine") * 3)
    options = Options(overwrite=True)
    for _ in range(2):
        summary = canonicalize(tmp_path / "a.xyz", options, output=tmp_path / "c.sdf", model="qm9")
        assert [note.startswith(NAMES_READ) for note in summary.notes].count(True) == 1
        assert deduplicate(tmp_path / "a.xyz", options, output=tmp_path / "d.xyz").notes == summary.notes[:1]
