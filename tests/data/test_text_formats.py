"""SDF and XYZ: what is written is read, whatever the buffer size, by fast and careful parser alike."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import ATOMIC_NUMBER
from molgiae.data.sdf import reader as sdf
from molgiae.data.sdf.columns import read_tables
from molgiae.data.sdf.ctab import read_ctab
from molgiae.data.sources import Cursor
from molgiae.data.text import Lines
from molgiae.data.xyz import reader as xyz
from molgiae.data.xyz.atoms import decode
from molgiae.data.xyz.columns import decode_lines
from molgiae.data.xyz.comment import Columns, parse_comment
from tests.data.molfiles import Atoms, molecule, sdf_record, v3000_record, xyz_frame

words = st.text(st.characters(categories=["L", "N", "P", "Sm"], exclude_characters="<>$\\"), max_size=12)
values = words.filter(lambda word: word == word.strip() and not word.startswith("M  "))
coordinates = st.integers(-(10**8) + 1, 10**9 - 1).map(lambda k: k / 1e4)
atoms_lists = st.lists(
    st.tuples(st.sampled_from(["C", "H", "Cl", "Br", "O", "Og"]), coordinates, coordinates, coordinates),
    min_size=1,
    max_size=6,
)


def whole(reader: Any, text: str) -> ConformerBlock:
    return reader(text.encode(), True, Cursor("-"))[0]


def chunked(reader: Any, text: str, size: int) -> list[Any]:
    data, cursor, rest, out = text.encode(), Cursor("-"), b"", []
    for i in range(0, len(data), size):
        buffer = rest + data[i : i + size]
        block, used = reader(buffer, i + size >= len(data), cursor)
        cursor.record += len(block) + len(block.rejected)
        cursor.line += buffer[:used].count(b"\n")
        rest = buffer[used:]
        out += [*block, *block.rejected]
    return out


def plain(item: Any) -> Any:
    """Comparable content of a conformer or rejected record."""
    if not hasattr(item, "position"):
        return item
    fields = (item.title, item.charge, item.record, item.line, dict(item.properties), item.text)
    return (item.atomic_number.tolist(), item.position.tolist(), *fields)


def assert_atoms(conformer: Any, atoms: Atoms) -> None:
    assert conformer.atomic_number.tolist() == [ATOMIC_NUMBER[symbol] for symbol, *_ in atoms]
    np.testing.assert_array_equal(conformer.position, [position for _, *position in atoms])


@settings(deadline=None, max_examples=60)
@given(atoms=atoms_lists, title=values, key=values.filter(bool), value=values.filter(bool))
@pytest.mark.parametrize("write", [sdf_record, v3000_record])
def test_sdf_round_trip(write: Any, atoms: Atoms, title: str, key: str, value: str) -> None:
    block = whole(sdf.read_sdf, write(atoms, title, data=[(key, f"{value}\n{value}")]) * 2)
    assert not block.rejected and block.record.tolist() == [1, 2]
    for conformer in block:
        assert_atoms(conformer, atoms)
        assert conformer.title == title
        assert conformer.properties == {key: f"{value}\n{value}"}


@settings(deadline=None, max_examples=60)
@given(
    atoms=atoms_lists,
    title=values,
    decimals=st.integers(4, 10),
    separator=st.sampled_from([" ", "\t", "   "]),
)
def test_xyz_round_trip(atoms: Atoms, title: str, decimals: int, separator: str) -> None:
    number = "{:." + str(decimals) + "f}"
    block = whole(xyz.read_xyz, xyz_frame(atoms, title, separator.join(["{}", number, number, number])) * 2)
    assert not block.rejected
    for conformer in block:
        assert_atoms(conformer, atoms)
        assert conformer.title == title or "=" in title


# Characters of numbers, mutated: whatever the fast decoder takes, the careful one must read alike.
soup = st.text("0123456789.- +eDC\t", min_size=1, max_size=10)


@settings(deadline=None, max_examples=200)
@given(atoms=atoms_lists, column=st.integers(0, 38), patch=soup, line=st.integers(0, 10))
@example(atoms=[("C", 0.0, 0.0, float(k)) for k in range(3)], column=5, patch="2", line=5)  # a bond to itself
def test_fast_and_careful_v2000_agree(atoms: Atoms, column: int, patch: str, line: int) -> None:
    rows = sdf_record(atoms, "t").split("\n")
    at = 3 + line % (len(rows) - 4)
    rows[at] = rows[at][:column].ljust(column) + patch + rows[at][column + len(patch) :]
    text = "\n".join(rows)
    lines = Lines(text.encode())
    last = lines.starting(b"$$$$")
    tables = read_tables(lines, np.zeros(len(last), np.int64), last)
    if len(tables.record):
        careful = read_ctab(rows[: int(last[0])], 1)
        found, expected = tables.block[0], careful.conformer
        np.testing.assert_array_equal(found.atomic_number, expected.atomic_number)
        np.testing.assert_array_equal(found.isotope, expected.isotope)
        assert found.position.tobytes() == expected.position.tobytes()
        assert found.bonds.tolist() == expected.bonds.tolist()
        assert (found.charge, found.multiplicity) == (expected.charge, expected.multiplicity)
        assert (tables.n_charged[0], tables.end[0]) == (careful.n_charged, careful.end)


xyz_numbers = st.one_of(
    st.floats(-1e4, 1e4).map(lambda x: f"{x:.8f}"),
    st.floats(-1e3, 1e3).map(lambda x: f"{x:.12f}"),
    st.from_regex(r"[-+]?[0-9]{0,9}\.?[0-9]{0,9}", fullmatch=True),
    soup.map(lambda word: word.replace(" ", "").replace("\t", "") or "0"),
)


@settings(deadline=None, max_examples=300)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["C", "Cl", "6", "17", "h"]), *[xyz_numbers] * 3), min_size=1, max_size=4
    )
)
def test_fast_and_careful_xyz_agree(rows: list[tuple[str, ...]]) -> None:
    lines = [" ".join(row) for row in rows]
    fast = decode_lines(("\n".join(lines) + "\n").encode(), len(lines), Columns())
    if fast is not None:
        careful = decode(lines, Columns(), 1)
        np.testing.assert_array_equal(fast[0], careful[0])
        assert fast[1].tobytes() == careful[1].tobytes()


def test_fast_paths_are_taken() -> None:
    text = "".join(sdf_record(molecule(k)) for k in range(5)).encode()
    lines = Lines(text)
    last = lines.starting(b"$$$$")
    assert len(read_tables(lines, np.append(0, last[:-1] + 1), last).record) == 5
    body = "".join("".join(xyz_frame(molecule(k)).splitlines(keepends=True)[2:]) for k in range(5))
    assert decode_lines(body.encode(), body.count("\n"), Columns()) is not None


GARBAGE = ["rubbish\n", "\n", "12\n", "M  END\n", "> <x>\n", "C 0.1 0.2 0.3\n", "5\nfive\n", "\x00\xff\n"]


@settings(deadline=None, max_examples=60)
@given(
    chunk=st.sampled_from([7, 64, 300, 5000]),
    seed=st.integers(0, 10**6),
    ending=st.sampled_from(["\n", "\r\n"]),
    complete=st.booleans(),
)
@pytest.mark.parametrize("form", ["sdf", "xyz"])
def test_chunk_size_makes_no_difference(
    form: str, chunk: int, seed: int, ending: str, complete: bool
) -> None:
    dice = random.Random(seed)
    reader, write = (sdf.read_sdf, sdf_record) if form == "sdf" else (xyz.read_xyz, xyz_frame)
    pieces = [write(molecule(k), f"träger {k}") for k in range(4)]
    for _ in range(dice.randrange(4)):
        pieces.insert(dice.randrange(5), dice.choice(GARBAGE))
    text = "".join(pieces).replace("\n", ending)
    text = text if complete else text[: -dice.randrange(1, 40)]
    expected = whole(reader, text)
    items = sorted([*expected, *expected.rejected], key=lambda item: item.record)
    found = sorted(chunked(reader, text, chunk), key=lambda item: item.record)
    assert [plain(item) for item in found] == [plain(item) for item in items]
    assert [item.record for item in found] == list(range(1, len(found) + 1))


@settings(deadline=None, max_examples=100)
@given(
    garbage=st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=8),
    place=st.integers(0, 4),
)
@pytest.mark.parametrize("form", ["sdf", "xyz"])
def test_garbage_never_takes_a_good_neighbour(form: str, garbage: list[str], place: int) -> None:
    reader, write = (sdf.read_sdf, sdf_record) if form == "sdf" else (xyz.read_xyz, xyz_frame)
    pieces = [write(molecule(k), f"good {k}") for k in range(4)]
    end = "$$$$\n" if form == "sdf" else "\n"
    pieces.insert(place, "".join(line + "\n" for line in garbage) + end)
    found = {c.title: c for c in whole(reader, "".join(pieces))}
    for k in range(4):
        assert_atoms(found[f"good {k}"], molecule(k))


def test_charge_of_v2000() -> None:
    atoms = molecule(1)
    by_column = sdf_record(atoms).replace(" C   0  0", " C   0  3", 1).replace(" H   0  0", " H   0  5", 2)
    listed = sdf_record(atoms, block=["M  CHG  2   1   2   3  -1", "M  CHG  1   2  -3"])
    both = by_column.replace("M  END", "M  CHG  1   1   1\nM  END")
    radical = by_column.replace("M  END", "M  RAD  1   1   2\nM  END")
    assert whole(sdf.read_sdf, by_column + listed + both + radical).charge.tolist() == [-1, -2, 1, 0]
    no_end = (by_column + listed + both).replace("M  END\n", "")
    assert whole(sdf.read_sdf, no_end).charge.tolist() == [-1, -2, 1]


def test_v3000_charges_continuations_and_free_labels() -> None:
    atoms = molecule(0)
    text = v3000_record(atoms, "t", extra=["CHG=-1", "CHG=2 MASS=13"])
    text = text.replace("M  V30 3 O ", "M  V30 3 O -\nM  V30 ").replace("M  V30 1 C", "M  V30 77 C")
    text = text.replace("M  V30 1 1 1 2", "M  V30 1 1 77 2")
    block = whole(sdf.read_sdf, text)
    assert not block.rejected
    assert_atoms(block[0], atoms)
    assert block[0].charge == 1


def test_isotopes_of_hydrogen() -> None:
    atoms = [("D", 0.0, 0.0, 0.0), ("T", 0.0, 0.0, 1.0), ("O", 0.0, 1.0, 0.5)]
    for block in (whole(sdf.read_sdf, sdf_record(atoms)), whole(xyz.read_xyz, xyz_frame(atoms))):
        assert block[0].atomic_number.tolist() == [1, 1, 8]


def test_data_items() -> None:
    items = [("> <plain>", "a"), (">  25 <with number> (7)", "b\nc"), ("> DT12", "d")]
    data = "".join(f"{head}\n{value}\n\n" for head, value in items) + "> <empty>\n\n> <inner>\nx\n\ny\n\n"
    text = sdf_record(molecule(0)).replace("$$$$", data + "$$$$")
    properties = whole(sdf.read_sdf, text)[0].properties
    assert properties == {
        "plain": "a",
        "with number": "b\nc",
        "DT12": "d",
        "empty": "",
        "inner": "x\n\ny",
    }


def test_titles_may_be_latin1_or_utf8_and_hold_no_control_characters() -> None:
    records = [
        xyz_frame(molecule(0), title).encode(code)
        for title, code in [("träger", "utf-8"), ("träger", "latin-1"), ("a\x01b\tc", "utf-8")]
    ]
    block = xyz.read_xyz(b"".join(records), True, Cursor("-"))[0]
    assert block.title == ["träger", "träger", "ab\tc"]


def test_text_is_kept_or_not() -> None:
    record, frame = sdf_record(molecule(0), "a"), xyz_frame(molecule(0), "a")
    assert whole(sdf.read_sdf, record * 2).text == [record.replace("$$$$\n", "")] * 2
    assert whole(xyz.read_xyz, frame * 2).text == [frame] * 2
    for reader, text in ((sdf.read_sdf, record), (xyz.read_xyz, frame)):
        assert reader(text.encode(), True, Cursor("-", keep_text=False))[0].text == [""]


@pytest.mark.parametrize(
    ("comment", "title", "charge", "properties"),
    [
        ("plain words", "plain words", 0, {}),
        ("C=C", "C=C", 0, {}),
        ("step 3 charge=-1", "step 3 charge=-1", -1, {}),
        ("discharge=3", "discharge=3", 0, {}),
        ("carbonate, charge = -2, mult=1", "carbonate, charge = -2, mult=1", -2, {}),
        ("note: charge=2", "note: charge=2", 2, {}),
        ('see "the charge=2 species" x=1', 'see "the charge=2 species" x=1', 0, {}),
        ('comment="of charge=2 kin" x=1', 'comment="of charge=2 kin" x=1', 0, {}),
        ("5'-deoxy charge=1 3'-oxo", "5'-deoxy charge=1 3'-oxo", 1, {}),
        (
            'Properties=species:S:1:pos:R:3 comment="fragment of charge=2 precursor" energy=-1.0',
            "",
            0,
            {"comment": "fragment of charge=2 precursor", "energy": "-1.0"},
        ),
        ("Properties=species:S:1:pos:R:3 note='total_charge=2' Charge=\"-1\"", "", -1, {"Charge": "-1"}),
        ('Lattice="1 0 0 0 1 0 0 0 1" name="my name" total_charge=2.0', "my name", 2, {"name": "my name"}),
        ("Properties=species:S:1:pos:R:3 energy=-1.5 config_type=bulk", "bulk", 0, {"energy": "-1.5"}),
    ],
)
def test_comment_lines(comment: str, title: str, charge: int, properties: dict[str, str]) -> None:
    found = parse_comment(comment)
    assert (found.title, found.charge) == (title, charge)
    assert properties.items() <= found.properties.items()


def test_extended_xyz_columns() -> None:
    comment = "Properties=id:I:1:pos:R:3:species:S:1:forces:R:3 energy=-1"
    rows = ["1 0.0 0.1 0.2 C 9 9 9", "2 1.1 0.1 0.2 O 9 9 9"]
    text = "\n".join(["2", comment, *rows, ""])
    odd = text.replace(" 1.1 ", " 1.1d0 ")
    for block in (whole(xyz.read_xyz, text * 2), whole(xyz.read_xyz, text + odd)):
        assert not block.rejected
        for conformer in block:
            assert_atoms(conformer, [("C", 0.0, 0.1, 0.2), ("O", 1.1, 0.1, 0.2)])
    too_small = whole(xyz.read_xyz, text.replace("2\nP", "1\nP") + text)
    assert len(too_small) == 1 and "more found" in too_small.rejected[0].reason
