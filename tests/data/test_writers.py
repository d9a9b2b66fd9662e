"""SDF and XYZ output against RDKit and ASE as independent readers, and against our own."""

from __future__ import annotations

import gzip
import io
import re
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom

from molgiae.data.conformer import Conformer
from molgiae.data.readers import read_conformers
from molgiae.data.writers import WRITERS, StructureWriter, structure_suffix
from molgiae.errors import ConfigError, ConformerError, MolgiaeError, ShapeError

SMILES = [
    "C[C@H](N)C(=O)[O-]",
    "[13CH3]c1ccc([N+](=O)[O-])cc1",
    "F/C=C/[2H]",
    "[NH3+]CC([O-])=O",
    "[CH3]",
    "O",
]


def make_record(smiles: str, *, v3000: bool = False) -> str:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    mol.SetProp("_Name", f"made from {smiles}")
    mol.SetProp("energy", "-1.25")
    mol.SetProp("two lines", "first\nsecond")
    stream = io.StringIO()
    with Chem.SDWriter(stream) as writer:
        writer.SetForceV3000(v3000)
        writer.write(mol)
    return stream.getvalue()


def read(path: Path, text: str | None = None) -> list[Conformer]:
    if text is not None:
        path.write_text(text)
    return list(read_conformers(path))


def by_rdkit(path: Path) -> list[Chem.Mol]:
    content = path.read_bytes()
    stream = io.BytesIO(gzip.decompress(content) if path.suffix == ".gz" else content)
    with rdBase.BlockLogs():
        return list(Chem.ForwardSDMolSupplier(stream, sanitize=False, removeHs=False, strictParsing=True))


def atoms_and_bonds(mol: Chem.Mol, names: list[int]) -> tuple[list[Any], Counter[Any]]:
    """Atoms, and bonds between atoms, each atom called by its name."""
    atoms = [
        (names[a.GetIdx()], a.GetSymbol(), a.GetFormalCharge(), a.GetIsotope(), a.GetNumRadicalElectrons())
        for a in mol.GetAtoms()
    ]
    bonds = Counter(
        (frozenset((names[b.GetBeginAtomIdx()], names[b.GetEndAtomIdx()])), b.GetBondType())
        for b in mol.GetBonds()
    )
    return sorted(atoms), bonds


@pytest.mark.parametrize("v3000", [False, True])
@pytest.mark.parametrize("smiles", SMILES)
@pytest.mark.parametrize("suffix", [".sdf", ".sdf.gz"])
def test_bonds_charges_and_isotopes_follow_their_atoms(
    tmp_path: Path, smiles: str, v3000: bool, suffix: str
) -> None:
    text = make_record(smiles, v3000=v3000)
    [conformer] = read(tmp_path / "in.sdf", text)
    n = len(conformer)
    rng = np.random.default_rng(3)
    order, position = rng.permutation(n), rng.normal(size=(n, 3)).round(4)
    with StructureWriter(tmp_path / f"out{suffix}") as writer:
        writer.write(conformer, order=order, position=position, properties={"energy": "2", "rmsd": "0.1"})
        writer.write(conformer)
    [before] = by_rdkit(tmp_path / "in.sdf")
    moved, same = by_rdkit(tmp_path / f"out{suffix}")
    expected = atoms_and_bonds(before, list(range(n)))
    assert atoms_and_bonds(moved, order.tolist()) == expected
    assert atoms_and_bonds(same, list(range(n))) == expected
    assert np.allclose(moved.GetConformer().GetPositions(), position, atol=1e-12)
    assert np.allclose(same.GetConformer().GetPositions(), conformer.position, atol=1e-12)
    assert moved.GetPropsAsDict() == {"energy": 2, "two lines": "first\nsecond", "rmsd": 0.1}
    assert moved.GetProp("_Name") == conformer.title == f"made from {smiles}"

    [again, _] = read(tmp_path / f"out{suffix}")
    assert np.array_equal(again.atomic_number, conformer.atomic_number[order])
    assert np.array_equal(again.position, position)
    assert (again.title, again.charge) == (conformer.title, conformer.charge)
    assert again.properties == conformer.properties | {"energy": "2", "rmsd": "0.1"}


@pytest.mark.parametrize("smiles", SMILES)
def test_the_same_molecule_with_its_chirality(tmp_path: Path, smiles: str) -> None:
    """A rotated, reordered molecule is the same to RDKit, which sees chirality in the coordinates."""
    [conformer] = read(tmp_path / "in.sdf", make_record(smiles))
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    order = rng.permutation(len(conformer))
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, order=order, position=(conformer.position @ rotation.T + 5)[order])
    seen = [
        Chem.MolToSmiles(Chem.MolFromMolFile(str(tmp_path / name), removeHs=False))
        for name in ("in.sdf", "out.sdf")
    ]
    assert seen[0] == seen[1]


V2000 = """title
  OLDPROG 01012000002D
a comment
  4  3  0  0  1  0  0  0  0  0999 V2000
    1.0000    0.0000    0.0000 C   0  3  1  0  0  4  0  0  0  7  0  0
    0.0000    2.0000    0.0000 Xx  0  0  0  0  0  0  0  0  0  0  0  0
    0.0000    0.0000    3.0000 D   0  0  0  0  0  0  0  0  0  0  0  0
    4.0000    4.0000    4.0000 N   0  0
  1  2  1  1
  2  3  8  0
  3  4  2  3
A    2
an alias
V    3 a value
M  ISO  2   1  13   4  15
M  STY  1   1 SUP
M  SAL   1  2   1   2
M  SBL   1  1   2
M  SMT   1 foo
M  SAP   1  1   1   3  1
M  XYZ  1   1   2
M  END
""".replace("Xx", "O ")


def test_everything_else_in_a_v2000_table_is_kept_or_renumbered(tmp_path: Path) -> None:
    [conformer] = read(tmp_path / "in.sdf", V2000 + "$$$$\n")
    order = [3, 1, 0, 2]  # old atoms 1 2 3 4 become 3 2 4 1
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, order=order)
    assert (tmp_path / "out.sdf").read_text() == (
        "title\n"
        "  molgiae           3D\n"
        "a comment\n"
        "  4  3  0  0  1  0  0  0  0  0999 V2000\n"
        "    4.0000    4.0000    4.0000 N   0  0\n"
        "    0.0000    2.0000    0.0000 O   0  0  0  0  0  0  0  0  0  0  0  0\n"
        "    1.0000    0.0000    0.0000 C   0  3  0  0  0  4  0  0  0  7  0  0\n"
        "    0.0000    0.0000    3.0000 D   0  0  0  0  0  0  0  0  0  0  0  0\n"
        "  1  4  2  3\n"
        "  2  3  1  0\n"
        "  2  4  8  0\n"
        "A    2\n"
        "an alias\n"
        "V    4 a value\n"
        "M  ISO  2   1  15   3  13\n"
        "M  STY  1   1 SUP\n"
        "M  SAL   1  2   2   3\n"
        "M  SBL   1  1   3\n"
        "M  SMT   1 foo\n"
        "M  SAP   1  1   3   4  1\n"
        "M  END\n"
        "$$$$\n"
    )
    with StructureWriter(tmp_path / "same.sdf") as writer:
        writer.write(conformer)
    assert "M  XYZ  1   1   2\n" in (tmp_path / "same.sdf").read_text()


V3000 = """title
  OLDPROG 01012000002D

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 4 3 1 1 1
M  V30 BEGIN ATOM
M  V30 10 C 1 0 0 7 CFG=2 CHG=1 -
M  V30 MASS=13
M  V30 20 O 0 2 0 0
M  V30 5 H 0 0 3 0 ATTCHORD=(2 20 Al) MASS=2
M  V30 7 N 4 4 4 0
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 1 1 10 20 CFG=1
M  V30 2 8 20 5 CFG=2
M  V30 3 9 5 7 ENDPTS=(2 10 20) ATTACH=ANY
M  V30 END BOND
M  V30 BEGIN SGROUP
M  V30 1 SUP 0 ATOMS=(2 10 20) XBONDS=(1 2) LABEL="a (b) c" SAP=(3 10 5 1)
M  V30 END SGROUP
M  V30 BEGIN OBJ3D
M  V30 1 -1 C=1
M  V30 END OBJ3D
M  V30 BEGIN COLLECTION
M  V30 MDLV30/STEABS ATOMS=(1 10)
M  V30 END COLLECTION
M  V30 END CTAB
M  END
"""


def test_everything_else_in_a_v3000_table_is_kept_or_renumbered(tmp_path: Path) -> None:
    [conformer] = read(tmp_path / "in.sdf", V3000 + "$$$$\n")
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, order=[3, 1, 0, 2])
    lines = (tmp_path / "out.sdf").read_text().splitlines()
    assert [line.removeprefix("M  V30 ") for line in lines[4:-2]] == [
        "BEGIN CTAB",
        "COUNTS 4 3 1 0 1",
        "BEGIN ATOM",
        "1 N 4.000000 4.000000 4.000000 0",
        "2 O 0.000000 2.000000 0.000000 0",
        "3 C 1.000000 0.000000 0.000000 7 CHG=1 MASS=13",
        "4 H 0.000000 0.000000 3.000000 0 MASS=2",
        "END ATOM",
        "BEGIN BOND",
        "1 9 4 1 ENDPTS=(2 2 3) ATTACH=ANY",
        "2 1 2 3",
        "3 8 2 4 CFG=2",
        "END BOND",
        "BEGIN SGROUP",
        '1 SUP 0 ATOMS=(2 2 3) XBONDS=(1 3) LABEL="a (b) c" SAP=(3 3 4 1)',
        "END SGROUP",
        "BEGIN COLLECTION",
        "MDLV30/STEABS ATOMS=(1 3)",
        "END COLLECTION",
        "END CTAB",
    ]


def test_long_v3000_lines_are_continued(tmp_path: Path) -> None:
    atoms = " ".join(["10"] * 60)
    [conformer] = read(
        tmp_path / "in.sdf", V3000.replace("ATOMS=(2 10 20)", f"ATOMS=(60 {atoms})") + "$$$$\n"
    )
    for source, target in (("in", "once"), ("once", "twice")):
        with StructureWriter(tmp_path / f"{target}.sdf") as writer:
            writer.write(read(tmp_path / f"{source}.sdf")[0], order=[3, 1, 0, 2])
    text = (tmp_path / "twice.sdf").read_text()
    assert max(map(len, text.splitlines())) <= 80
    with StructureWriter(tmp_path / "order.sdf") as writer:
        writer.write(conformer, order=np.array([3, 1, 0, 2])[[3, 1, 0, 2]])
    assert (tmp_path / "order.sdf").read_text() == text


def test_shifted_columns_are_written_in_their_places(tmp_path: Path) -> None:
    text = "t\n\n\n2 1 0 V2000\n0 0 0 C\n1.5 0 0 O\n1 2 3\nM  END\n$$$$\n"
    conformer = Conformer(np.array([6, 8], np.uint8), np.array([[0, 0, 0], [1.5, 0, 0]]), text=text)
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, order=[1, 0])
    [mol] = by_rdkit(tmp_path / "out.sdf")
    [bond] = mol.GetBonds()
    assert [a.GetSymbol() for a in mol.GetAtoms()] == ["O", "C"]
    assert (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble()) == (0, 1, 3)


@pytest.mark.parametrize("text", ["", "not a table", V2000, "2\nwater\nC 0 0 0\nO 1 0 0\n", V3000])
def test_atoms_without_a_table_of_their_own(tmp_path: Path, text: str) -> None:
    conformer = Conformer(
        np.array([6, 8], np.uint8), np.array([[0, 0, 0], [1.5, 0, 0]]), charge=-1, text=text
    )
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer)
    [mol] = by_rdkit(tmp_path / "out.sdf")
    assert ([a.GetSymbol() for a in mol.GetAtoms()], mol.GetNumBonds()) == (["C", "O"], 0)
    assert mol.GetProp("charge") == "-1"


@pytest.mark.parametrize(("count", "scale"), [(999, 1), (1000, 1), (3, 123456.75)])
def test_large_plain_tables(tmp_path: Path, count: int, scale: float) -> None:
    rng = np.random.default_rng(0)
    conformer = Conformer(np.full(count, 6, np.uint8), (scale * rng.normal(size=(count, 3))).round(4))
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer)
    [mol] = by_rdkit(tmp_path / "out.sdf")
    assert np.allclose(mol.GetConformer().GetPositions(), conformer.position, atol=1e-12)
    assert ("V3000" in (tmp_path / "out.sdf").read_text()) == (count > 999 or scale > 1)


def test_far_coordinates_keep_the_columns_of_v2000(tmp_path: Path) -> None:
    [conformer] = read(tmp_path / "in.sdf", make_record("O"))
    far = conformer.position + np.array([-123456.7, 1234567.8, 0])
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, position=far)
    [mol] = by_rdkit(tmp_path / "out.sdf")
    assert mol.GetNumBonds() == 2
    assert np.allclose(mol.GetConformer().GetPositions(), far, atol=0.06)


def test_predicted_elements_replace_the_symbols(tmp_path: Path) -> None:
    [conformer] = read(tmp_path / "in.sdf", make_record("C[O-]"))
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer, order=[1, 0, 2, 3, 4], atomic_number=[7, 6, 1, 1, 1])
    [mol] = by_rdkit(tmp_path / "out.sdf")
    assert [a.GetSymbol() for a in mol.GetAtoms()] == ["N", "C", "H", "H", "H"]
    assert [a.GetFormalCharge() for a in mol.GetAtoms()] == [-1, 0, 0, 0, 0]
    assert mol.GetNumBonds() == 4


CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
WORDS = st.text(CHARACTERS, max_size=8)
LINES = st.lists(WORDS, max_size=3).map(" ".join)
NAMES = LINES.map(str.strip).filter(bool)
VALUE_LINES = st.one_of(
    LINES,
    st.builds("{}{}".format, st.sampled_from(["  ", " ", "\t", "    "]), LINES),
    st.sampled_from(
        ["$$$$", " $$$$", ">", "> <x>", ">  <x> (1)", "  > <x>", ">90%", " >", "M  END", "", " "]
    ),
)
VALUES = st.lists(VALUE_LINES, max_size=5).map(lambda lines: "\n".join(lines).rstrip("\n"))


def written_and_read(factory: Any, name: str, conformer: Conformer) -> list[Conformer]:
    """Two copies of a conformer from a file of this name."""
    path = factory.mktemp("copies") / name
    with StructureWriter(path) as writer:
        writer.write(conformer)
        writer.write(conformer)
    again = read(path)
    assert len(again) == 2
    return again


@settings(deadline=None, max_examples=300)
@given(LINES, st.dictionaries(NAMES, VALUES))
def test_any_title_and_properties_survive_sdf(
    tmp_path_factory: Any, title: str, values: dict[str, str]
) -> None:
    conformer = Conformer(np.ones(1, np.uint8), np.ones((1, 3)), title=title, properties=values)
    for found in written_and_read(tmp_path_factory, "out.sdf", conformer):
        assert found.title == title.strip()
        assert list(found.properties.items()) == list(values.items())


@settings(deadline=None, max_examples=100)
@given(
    st.dictionaries(
        NAMES, st.lists(LINES.filter(lambda line: line.strip() and line[0] not in ">$"), min_size=1)
    )
)
def test_rdkit_reads_the_same_properties(tmp_path_factory: Any, values: dict[str, list[str]]) -> None:
    path = tmp_path_factory.mktemp("sdf") / "out.sdf"
    properties = {name: "\n".join(lines) for name, lines in values.items()}
    with StructureWriter(path) as writer:
        writer.write(Conformer(np.ones(1, np.uint8), np.ones((1, 3)), properties=properties))
    [mol] = by_rdkit(path)
    assert {name: mol.GetProp(name) for name in properties} == properties


def test_values_that_look_like_structure(tmp_path: Path) -> None:
    values = {
        "blank inside": "a\n\nb",
        "marks": "> <x>\n$$$$\nM  END",
        "shielded": " > <x>\n  $$$$\n \n> y",
        "<>": "x",
        "a\nb": "\nsecond",
        "none": "",
    }
    with StructureWriter(tmp_path / "out.sdf") as writer:
        for title in ("$$$$", "two\nlines"):
            writer.write(Conformer(np.ones(1, np.uint8), np.ones((1, 3)), title=title, properties=values))
    again = read(tmp_path / "out.sdf")
    assert [c.title for c in again] == ["$$$$", "two lines"]
    for found in again:
        assert found.properties == {key.replace("\n", " "): value for key, value in values.items()}


def test_an_empty_name_is_written_as_one_that_readers_take(tmp_path: Path) -> None:
    """RDKit drops a record with ``> <>``, ASE appends the value of an empty key to the pair before."""
    conformer = Conformer(
        np.ones(1, np.uint8), np.ones((1, 3)), properties={"": "a", "unnamed": "b", "none": "", "last": "c"}
    )
    expected = {"unnamed": "a", "unnamed_": "b", "last": "c"}
    with StructureWriter(tmp_path / "out.sdf") as writer:
        writer.write(conformer)
    [mol] = by_rdkit(tmp_path / "out.sdf")
    assert mol.GetPropsAsDict() == expected | {"none": ""}
    with StructureWriter(tmp_path / "out.xyz") as writer:
        writer.write(conformer)
    info = ase.io.read(tmp_path / "out.xyz", format="extxyz").info
    assert {
        key: info.get(key) for key in expected
    } == expected  # ASE takes what follows an empty value for it


@pytest.mark.parametrize("rounds", [1, 3])
def test_indented_values_keep_their_lines(tmp_path: Path, rounds: int) -> None:
    """A molblock, a table and YAML as values of an SD item, as reaction files and tools have them."""
    product = Chem.AddHs(Chem.MolFromSmiles("CC=O"))
    rdDistGeom.EmbedMolecule(product, randomSeed=1)
    values = {
        "product": Chem.MolToMolBlock(product).rstrip("\n"),
        "table": "id   x\n  1  0.5\n 10  1.5  ",
        "yaml": "a:\n  b: 1\n  c:\n    - 2\n\n    - 3\n\td",
    }
    text = make_record("CCO").replace(
        "$$$$",
        "".join(f">  <{key}>\n{re.sub('(?m)^$', ' ', value)}\n\n" for key, value in values.items()) + "$$$$",
    )
    for _ in range(rounds):
        [conformer] = read(tmp_path / "in.sdf", text)
        assert values.items() <= conformer.properties.items()
        order = np.arange(len(conformer))[::-1]
        with StructureWriter(tmp_path / "out.sdf", overwrite=True) as writer:
            writer.write(conformer, order=order, position=conformer.position[order])
        before, after = (by_rdkit(tmp_path / name)[0] for name in ("in.sdf", "out.sdf"))
        for key in values:
            assert after.GetProp(key) == before.GetProp(key)
        assert Chem.MolFromMolBlock(after.GetProp("product")).GetNumAtoms() == 3
        text = (tmp_path / "out.sdf").read_text()


RESERVED = {"title", "charge", "multiplicity", "properties", "lattice", "origin", "pbc"}
ANY_TEXT = st.one_of(WORDS, LINES, st.text("ab \"'\\\\=[]{},\n", max_size=6))
KEYS = st.one_of(WORDS, st.text("aB1 \"'\\\\=[](){},;-./", max_size=6)).map(str.strip)
PAIRS = st.dictionaries(KEYS.filter(lambda key: key and key.lower() not in RESERVED), ANY_TEXT)


@settings(deadline=None, max_examples=300)
@given(LINES, PAIRS, st.integers(-3, 3))
def test_any_title_keys_and_values_survive_xyz(
    tmp_path_factory: Any, title: str, values: dict[str, str], charge: int
) -> None:
    position = np.random.default_rng(0).normal(size=(3, 3))
    conformer = Conformer(
        np.array([6, 92, 1], np.uint8), position, title=title, charge=charge, properties=values
    )
    for found in written_and_read(tmp_path_factory, "out.xyz", conformer):
        assert np.array_equal(found.atomic_number, conformer.atomic_number)
        assert np.abs(found.position - position).max() <= 0.5e-10
        assert (found.title, found.charge) == (title, charge)
        assert {key: found.properties.get(key) for key in values} == values


@settings(deadline=None, max_examples=300)
@given(LINES, PAIRS)
def test_ase_reads_the_same_keys_and_values(
    tmp_path_factory: Any, title: str, values: dict[str, str]
) -> None:
    """But for line feeds, which ASE has no word for, and what it takes for numbers and truth values."""
    path = tmp_path_factory.mktemp("xyz") / "out.xyz"
    values = {f"k{key}": f"v{value}".replace("\n", " ") for key, value in values.items()}
    conformer = Conformer(np.ones(1, np.uint8), np.ones((1, 3)), title=f"t{title}", properties=values)
    with StructureWriter(path) as writer:
        writer.write(conformer)
    info = ase.io.read(path, format="extxyz").info
    assert {key: info.get(key) for key in values} == values
    assert info["title"] == f"t{title}"


def test_keys_and_arrays_of_an_extended_comment_are_those_of_ase(tmp_path: Path) -> None:
    """Keys that start with a digit or hold brackets, bare words, arrays in either notation, SMILES."""
    comment = (
        'Properties=species:S:1:pos:R:3 2R-3-hydroxy=T gap(eV)=5.2 "my key"=a converged x=[1,2,3] y={1 2 3} '
        'z="1 2 3" quoted="say \\"no\\"" smi="[C@H](F)(Cl)Br" spaced = 5 energy/Eh=-1'
    )
    text = f"1\n{comment}\nC 0 0 0\n"
    [frame] = read(tmp_path / "in.xyz", text)
    assert frame.properties == {
        "Properties": "species:S:1:pos:R:3",
        "2R-3-hydroxy": "T",
        "gap(eV)": "5.2",
        "my key": "a",
        "converged": "T",
        "x": "[1,2,3]",
        "y": "{1 2 3}",
        "z": "1 2 3",
        "quoted": 'say "no"',
        "smi": "[C@H](F)(Cl)Br",
        "spaced": "5",
        "energy/Eh": "-1",
    }
    with StructureWriter(tmp_path / "out.xyz") as writer:
        writer.write(frame)
    before, after = (ase.io.read(tmp_path / name, format="extxyz").info for name in ("in.xyz", "out.xyz"))
    assert before.keys() <= after.keys()
    assert all(np.array_equal(after[key], value) for key, value in before.items())
    [again] = read(tmp_path / "out.xyz")
    assert frame.properties.items() <= again.properties.items()


def test_xyz_is_read_by_ase(tmp_path: Path) -> None:
    properties = {
        "two lines": "first\nsecond",
        "two_lines": "other",
        "smiles": 'C="x"',
        "Lattice": "1 0 0",
        "1st": "a",
    }
    conformer = Conformer(
        np.array([6, 1], np.uint8), np.array([[0, 0, 0.125], [1, 2, 3]]), title="a b", properties=properties
    )
    with StructureWriter(tmp_path / "out.xyz.gz") as writer:
        writer.write(conformer, order=[1, 0], properties={"rmsd": "0.5"})
        writer.write(replace(conformer, title="second"))
    first, second = ase.io.read(tmp_path / "out.xyz.gz", index=":", format="extxyz")
    assert first.get_chemical_symbols() == ["H", "C"] and second.get_chemical_symbols() == ["C", "H"]
    assert np.array_equal(first.positions, conformer.position[[1, 0]])
    assert not first.pbc.any() and first.info["rmsd"] == 0.5
    assert np.array_equal(first.info["Lattice_"], [1, 0, 0])
    assert first.info["title"] == "a b" and second.info["title"] == "second"
    assert first.info["smiles"] == 'C="x"' and first.info["two_lines"] == "other" and first.info["1st"] == "a"


def test_sdf_to_xyz_and_back(tmp_path: Path) -> None:
    [conformer] = read(tmp_path / "in.sdf", make_record("C[C@H](N)C(=O)[O-]"))
    with StructureWriter(tmp_path / "out.xyz") as writer:
        writer.write(conformer)
    [frame] = read(tmp_path / "out.xyz")
    assert (frame.title, frame.charge) == (conformer.title, -1)
    assert np.array_equal(frame.position, conformer.position)
    with StructureWriter(tmp_path / "back.sdf") as writer:
        writer.write(frame)
    [back] = read(tmp_path / "back.sdf")
    assert np.array_equal(back.atomic_number, conformer.atomic_number)
    assert np.array_equal(back.position, conformer.position)
    assert back.title == conformer.title and back.properties["charge"] == "-1"


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    conformer = Conformer(np.ones(3, np.uint8), np.ones((3, 3)), source="in.sdf", record=4, title="x")
    wrong: list[dict[str, Any]] = [
        {"order": [0, 1]},
        {"order": [0, 1, 1]},
        {"order": [-1, 0, 1]},
        {"position": np.ones((2, 3))},
        {"atomic_number": [1]},
    ]
    for arguments in wrong:
        with pytest.raises(ShapeError), StructureWriter(tmp_path / "out.sdf") as writer:
            writer.write(conformer, **arguments)
    with (
        pytest.raises(ConformerError, match=r"in\.sdf, record 4"),
        StructureWriter(tmp_path / "out.sdf") as writer,
    ):
        writer.write(conformer, position=np.full((3, 3), np.nan))
    assert list(tmp_path.iterdir()) == []


def test_the_name_chooses_the_writer(tmp_path: Path) -> None:
    assert structure_suffix("a/B.SDF.GZ") == ".sdf" and structure_suffix("x.extxyz") == ".extxyz"
    assert structure_suffix("x.h5") is None
    assert structure_suffix("-") == ".sdf"  # standard output
    with pytest.raises(ConfigError, match=r"no writer for this name; use \.sdf"):
        StructureWriter(tmp_path / "x.h5")
    conformer = Conformer(np.ones(1, np.uint8), np.ones((1, 3)))
    for suffix in WRITERS:
        for end in ("", ".gz"):
            with StructureWriter(tmp_path / f"x{suffix}{end}") as writer:
                writer.write(conformer)
            assert len(list(read_conformers(tmp_path / f"x{suffix}{end}"))) == 1
        plain = (tmp_path / f"x{suffix}").read_bytes()
        assert gzip.decompress((tmp_path / f"x{suffix}.gz").read_bytes()) == plain


def test_complete_or_not_there(tmp_path: Path) -> None:
    conformer = Conformer(np.ones(1, np.uint8), np.ones((1, 3)))
    path = tmp_path / "out.sdf.gz"
    with pytest.raises(ZeroDivisionError), StructureWriter(path) as writer:
        writer.write(conformer)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with StructureWriter(path) as writer:
        writer.write(conformer)
        assert not path.exists()
    first = path.read_bytes()
    with pytest.raises(MolgiaeError, match="exists already"):
        StructureWriter(path)
    with StructureWriter(path, overwrite=True) as writer:
        writer.write(conformer)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


FULL = """
import sys
import numpy as np
from molgiae.data.conformer import Conformer
from molgiae.data.writers import StructureWriter
with StructureWriter(sys.argv[1]) as writer:
    for _ in range(1000):
        writer.write(Conformer(np.ones(9, np.uint8), np.random.normal(size=(9, 3))))
"""


@pytest.mark.parametrize("name", ["x.sdf", "x.xyz.gz"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / name)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
        check=False,
    )
    assert done.returncode == 1
    assert (
        "MolgiaeError" in done.stderr.splitlines()[-1] and "cannot be written" in done.stderr.splitlines()[-1]
    )
    assert list(tmp_path.iterdir()) == []
