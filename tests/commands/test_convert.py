"""convert: what a conformer is survives any two formats, and what cannot be read is listed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rdkit import Chem

import molgiae
from molgiae.commands.convert import convert, with_bonds
from molgiae.data.blocks import concatenate
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.errors import MolgiaeError
from molgiae.output.rows import ROW_WRITERS

from ..cli.invoke import assert_one_line, molgiae_
from ..conformers import random_conformer

pytest.importorskip("pyarrow")

EXAMPLES = Path(molgiae.__file__).parents[1] / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("the example files are not there", allow_module_level=True)

ERROR = {".sdf": 5.1e-5, ".sdf.gz": 5.1e-5, ".xyz": 5.1e-11, ".h5": 0, ".npz": 0, ".db": 0, ".parquet": 0}
"""Angstrom by which a format rounds."""
IN_ROWS = [suffix for suffix in ERROR if "sdf" not in suffix and suffix != ".xyz"]
STATE_KEYS = {"charge", "multiplicity", "title", "Properties"}
"""Properties that formats without a place for these gain."""

words = st.text("abcdXYZ 0123.,-+_=\"'éΔ", min_size=1, max_size=12).map(str.strip).filter(len)
keys = st.from_regex(r"[A-Z][a-z]{1,5}_[a-z0-9]{1,4}", fullmatch=True)


def values_of_atoms(n: int) -> st.SearchStrategy[np.ndarray]:
    number = st.integers(-(10**6), 10**6)
    return st.one_of(
        st.lists(number.map(lambda k: k / 64), min_size=3 * n, max_size=3 * n).map(
            lambda x: np.array(x).reshape(n, 3)
        ),
        st.lists(number, min_size=n, max_size=n).map(lambda x: np.array(x, np.int64)),
        st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
        st.lists(st.sampled_from(["CA", "N1", "b"]), min_size=n, max_size=n).map(np.array),
    )


@st.composite
def conformers(draw: st.DrawFn) -> Conformer:
    n = draw(st.integers(4, 7))
    c = random_conformer(n, draw(st.integers(0, 50)))
    isotope = draw(st.lists(st.sampled_from([0, 0, 0, 14]), min_size=n, max_size=n))
    return replace(
        c,
        title="m" + draw(words.filter(lambda text: "=" not in text)),
        charge=draw(st.integers(-2, 2)),
        multiplicity=draw(st.sampled_from([0, 1, 3])),
        isotope=np.array(isotope, np.uint16),
        bonds=perceived_bonds(c.atomic_number, c.position) if draw(st.booleans()) else c.bonds,
        properties=draw(st.dictionaries(keys, words, max_size=3)),
        atom_data=draw(st.dictionaries(st.sampled_from(["forces", "spin"]), values_of_atoms(n))),
    )


def read(path: Path) -> ConformerBlock:
    return concatenate(list(read_inputs(path)))


def differences(before: list[Conformer], after: ConformerBlock, *formats: str) -> list[str]:
    """What did not survive a conversion through these formats."""
    error = sum(ERROR[name] for name in formats) + 1e-12
    named = {name: True for name in ("atomic_number", "isotope", "title", "charge")}
    named["multiplicity"] = named["bonds"] = all(name in IN_ROWS for name in formats)
    found = [] if len(before) == len(after) else ["number"]
    for old, new in zip(before, after, strict=False):
        found += [
            name
            for name, kept in named.items()
            if kept and not np.array_equal(getattr(old, name), getattr(new, name))
        ]
        found += [] if np.abs(old.position - new.position).max() <= error else ["position"]
        found += [] if old.properties.items() <= new.properties.items() else ["properties"]
        if not any("sdf" in name for name in formats):
            found += [] if set(new.properties) <= {*old.properties, *STATE_KEYS} else ["more properties"]
            same = old.atom_data.keys() == new.atom_data.keys() and all(
                values.dtype.kind == new.atom_data[name].dtype.kind
                and (
                    np.allclose(values, new.atom_data[name], 1e-9)
                    if values.dtype.kind == "f" and ".xyz" in formats  # ten digits
                    else np.array_equal(values, new.atom_data[name])
                )
                for name, values in old.atom_data.items()
            )
            found += [] if same else ["atom_data"]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("converted")


@settings(max_examples=25, deadline=None, phases=[Phase.generate])  # shrinking files takes minutes
@given(st.lists(conformers(), min_size=1, max_size=4), *2 * [st.sampled_from(sorted(ERROR))])
def test_any_two_formats_keep_what_a_conformer_is(folder, block, first, second):
    files = [folder / f"{k}{suffix}" for k, suffix in enumerate([".h5", first, second])]
    with Hdf5Writer(files[0], columns=(), overwrite=True) as writer:
        writer.append(ConformerBlock.of(block))
    for one, other in pairwise(files):
        done = convert(one, other, overwrite=True)
        assert (done.written, done.rejected) == (len(block), 0)
    assert differences(block, read(files[-1]), first, second) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"title": "other"},
        {"charge": 5},
        {"position": np.zeros((5, 3))},
        {"atomic_number": np.full(5, 9, np.uint8)},
        {"properties": {}},
        {"atom_data": {}},
        {"bonds": np.empty((0, 2), np.int64)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_comparison_finds_what_is_lost(broken):
    c = random_conformer(5, 1)
    c = replace(c, bonds=perceived_bonds(c.atomic_number, c.position), properties={"a": "b"})
    c = replace(c, atom_data={"forces": np.ones((5, 3))})
    assert differences([c], ConformerBlock.of([c]), ".db", ".h5") == []
    assert differences([c], ConformerBlock.of([replace(c, **broken)]), ".db", ".h5") == list(broken)


@pytest.mark.parametrize("suffix", [".h5", *ROW_WRITERS])
def test_bonds_and_their_orders_come_back_from_rows(tmp_path, suffix):
    """Drug-like molecules: RDKit finds the orders that the SDF had, so that the SMILES is the same."""
    source = EXAMPLES / "conformers.sdf"
    convert(source, tmp_path / f"a{suffix}")
    done = convert(tmp_path / f"a{suffix}", tmp_path / "back.sdf")
    assert done.notes == []
    before, after = (
        [Chem.MolToSmiles(m) for m in Chem.SDMolSupplier(str(p), removeHs=False)]
        for p in (source, tmp_path / "back.sdf")
    )
    same = sum(a == b for a, b in zip(before, after, strict=True))
    assert same >= 0.9 * len(before)


def test_the_same_format_is_kept_to_the_letter(tmp_path):
    source = EXAMPLES / "conformers.sdf"
    convert(source, tmp_path / "a.sdf")
    assert (tmp_path / "a.sdf").read_text() == source.read_text()


def test_xyz_to_sdf_says_that_there_are_no_bonds_and_perceives_them_on_request(tmp_path):
    source = EXAMPLES / "trajectory.xyz"
    plain = molgiae_("convert", source, "-o", tmp_path / "a.sdf")
    assert plain.exit_code == 0
    (line,) = [line for line in plain.stderr.splitlines() if "bonds" in line]
    assert line.startswith("written without bonds, for the input has none; --bonds perceives them (")
    asked = molgiae_("convert", source, "-o", tmp_path / "b.sdf", "--bonds")
    assert "bonds" not in asked.stderr
    bare, bound = read(tmp_path / "a.sdf"), read(tmp_path / "b.sdf")
    assert not len(bare.bonds) and len(bound.bonds) == 13 * len(bound)  # butane
    assert bare.title == bound.title == read(source).title


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.lists(st.booleans(), min_size=5, max_size=5))
@settings(max_examples=25, deadline=None, phases=[Phase.generate])  # shrinking files takes minutes
def test_bonds_are_perceived_where_there_are_none_alone(seeds, has):
    made = [random_conformer(6, seed) for seed in seeds]
    own = np.array([[0, 5]])
    block = with_bonds(
        ConformerBlock.of(replace(c, bonds=own) if h else c for c, h in zip(made, has, strict=False))
    )
    for c, h, new in zip(made, has, block, strict=False):
        wanted = own if h else perceived_bonds(c.atomic_number, c.position)
        assert np.array_equal(new.bonds, wanted)


@pytest.mark.parametrize("suffix", sorted(ERROR))
def test_rejected_records_are_listed_and_exit_with_3(tmp_path, suffix):
    output = tmp_path / f"a{suffix}"
    done = molgiae_("convert", EXAMPLES / "mixed.sdf", "-o", output, "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert (told["read"], told["written"], told["rejected"]) == (10, 8, 2)
    assert len(read(output)) == 8
    listed = output.with_name(f"{output.name}.rejected.csv")
    assert listed.is_file() == (suffix != ".h5")
    assert_one_line(
        molgiae_("convert", EXAMPLES / "mixed.sdf", "-o", output, "--on-error", "stop", "--overwrite"),
        "mixed.sdf",
    )


def test_what_cannot_be_is_said_in_one_line(tmp_path, monkeypatch):
    source = EXAMPLES / "conformers.sdf"
    assert_one_line(
        molgiae_("convert", source, "-o", tmp_path / "a.pdb"), "end the name of the output in .h5"
    )
    for suffix in ROW_WRITERS:
        bad = tmp_path / f"bad{suffix}"
        bad.write_bytes(b"no such format" * 20)
        assert_one_line(molgiae_("convert", bad, "-o", tmp_path / "a.sdf"), "bad", "cannot be read as")
        assert_one_line(
            molgiae_("convert", tmp_path / f"gone{suffix}", "-o", tmp_path / "a.sdf"), "no such file"
        )
        assert_one_line(
            molgiae_("convert", bad, source, "-o", tmp_path / "a.sdf"), "give them to separate runs"
        )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert_one_line(
        molgiae_("convert", source, "-o", tmp_path / "a.parquet"), 'pip install "molgiae[parquet]"'
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.db", "bad.npz", "bad.parquet"]


def test_databases_of_other_programs_are_read(tmp_path):
    from ase.build import molecule  # noqa: PLC0415
    from ase.calculators.singlepoint import SinglePointCalculator  # noqa: PLC0415
    from ase.db import connect  # noqa: PLC0415

    forces = np.arange(9.0).reshape(3, 3)
    with connect(tmp_path / "a.db") as database:
        for charge in (0, 1):
            atoms = molecule("H2O")
            atoms.set_initial_charges([charge, 0, 0])
            atoms.calc = SinglePointCalculator(atoms, energy=-14.5, forces=forces, dipole=[0.0, 0.5, 0.0])
            database.write(atoms, name="water", level="PBE")
    block = read(tmp_path / "a.db")
    assert block.title == ["water"] * 2 and block.charge.tolist() == [0, 1]
    assert block.properties[0] == {
        "name": "water",
        "level": "PBE",
        "energy": "-14.5",
        "dipole": "0.0 0.5 0.0",
    }
    assert np.array_equal(block.atom_data[0]["forces"], forces)


def test_what_others_ask_of_a_database_is_there(tmp_path):
    from ase.db import connect  # noqa: PLC0415

    c = replace(
        random_conformer(5, 3),
        title="a b",
        properties={"gap eV": "2.5", "energy": "-1", "H2O": "1", "x": "T"},
    )
    ROW_WRITERS[".db"](tmp_path / "a.db", [ConformerBlock.of([c])])
    with connect(tmp_path / "a.db") as database:
        (row,) = database.select("gap_eV>2", title="a b")
    assert row.key_value_pairs == {"title": "a b", "gap_eV": 2.5, "x": "T"}
    assert np.array_equal(row.toatoms().positions, c.position)


def test_parquet_of_other_programs_is_read_but_for_bad_rows(tmp_path):
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    water = [0.0, 0.0, 0.1, 0.0, 0.8, -0.5, 0.0, -0.8, -0.5]
    table = {
        "numbers": [
            [8, 1, 1],
            [8, 1],
            None,
            [8, 1, 1],
            [200, 1, 1],
            [256 + 8, 1, 1],
            [8, 1, -255],
            [8.5, 1, 1],
        ],
        "positions": [water, water, water, [0.0] * 9, *[water] * 4],
        "energy": [-76.5, 1.0, None, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    block = read(tmp_path / "a.parquet")
    assert (len(block), block.record.tolist(), block.properties) == (1, [1], [{"energy": "-76.5"}])
    assert sorted(bad.record for bad in block.rejected) == [2, 3, 4, 5, 6, 7, 8]
    assert "atomic number 264" in next(bad.reason for bad in block.rejected if bad.record == 6)
    for wrong in ({"isotope": [[1 << 16, 0, 0]]}, {"charge": [0.5]}):
        pq.write_table(pa.table({"z": [[8, 1, 1]], "xyz": [water]} | wrong), tmp_path / "c.parquet")
        with pytest.raises(MolgiaeError, match="is no whole number from"):
            read(tmp_path / "c.parquet")
    with pytest.raises(MolgiaeError, match="no column atomic_number"):
        pq.write_table(pa.table({"a": [1]}), tmp_path / "b.parquet")
        read(tmp_path / "b.parquet")


def test_python_converts_without_a_command_line(tmp_path):
    done = molgiae.convert(EXAMPLES / "conformers.sdf", tmp_path / "a.parquet")
    assert done.written == 74 and len(read(tmp_path / "a.parquet")) == 74
