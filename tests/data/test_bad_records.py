"""One bad record amid twenty good ones: the good ones are all kept and right, the bad one is listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.elements import SYMBOLS
from molgiae.data.readers import read_blocks
from molgiae.errors import ConformerError
from tests.data.molfiles import molecule, sdf_record, v3000_record, xyz_frame

BAD = 10
CHUNK_SIZES = [64, 1000, 4 << 20]


def replace_line(record: str, line: int, new: str | Callable[[str], str]) -> str:
    lines = record.split("\n")
    lines[line] = new(lines[line]) if callable(new) else new
    return "\n".join(lines)


def drop_line(record: str, *numbers: int) -> str:
    return "\n".join(line for i, line in enumerate(record.split("\n")) if i not in numbers)


def without(record: str, *starts: str) -> str:
    return "".join(line for line in record.splitlines(keepends=True) if not line.startswith(starts))


ATOMS = molecule(BAD)
GOOD = sdf_record(ATOMS, "bad one")
SQUARE = [("C", 0.0, 0.0, 0.0), ("C", 1.5, 0.0, 0.0), ("C", 2.25, 1.3, 0.0), ("O", 3.75, 1.3, 0.0)]

SDF_CASES = {
    "garbage text": ("some text\nthat is no molecule\nnor ever was\nat all\n$$$$\n", "counts line"),
    "garbage without an end": ("some text\nthat is no molecule\nnor ever was\nat all\n", "counts line"),
    "binary garbage": ("\x00\x01\x02\xff\n\xfe\n\n\n\n$$$$\n", "has a NUL byte"),
    "NUL in the title": (replace_line(GOOD, 0, "bad\0 one"), "has a NUL byte"),
    "NUL beside an atom": (replace_line(GOOD, 5, lambda line: line + "\0"), "has a NUL byte"),
    "NUL in a value": (sdf_record(ATOMS, "bad one", data=[("k", "a\0b")]), "has a NUL byte"),
    "NULs alone": ("\0" * 700 + "\n$$$$\n", "has a NUL byte"),
    "truncated atom block": (drop_line(GOOD, 6, 7), "line"),
    "truncated record": ("\n".join(GOOD.split("\n")[:7]) + "\n$$$$\n", "ends after"),
    "truncated without an end": ("\n".join(GOOD.split("\n")[:7]) + "\n", "ends after"),
    "garbled counts": (replace_line(GOOD, 3, " xx yy  0  0  0  0  0  0  0  0999 V2000"), "counts line"),
    "counts too big": (replace_line(GOOD, 3, lambda line: " 20" + line[3:]), "atom"),
    "counts too small": (replace_line(GOOD, 3, lambda line: "  3" + line[3:]), "bond"),
    "too many bonds": (replace_line(GOOD, 3, lambda line: line[:3] + " 40" + line[6:]), "announces"),
    "too few bonds": (replace_line(GOOD, 3, lambda line: line[:3] + "  2" + line[6:]), "properties"),
    "no atoms": ("none\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n$$$$\n", "no atoms"),
    "empty record": ("$$$$\n", "empty"),
    "blank record": ("\n\n\n\n\n$$$$\n", "empty"),
    "NaN": (replace_line(GOOD, 5, lambda line: "       nan" + line[10:]), "'nan' is not a finite number"),
    "infinity": (replace_line(GOOD, 5, lambda line: "       inf" + line[10:]), "finite"),
    "missing coordinate": (replace_line(GOOD, 5, lambda line: line[:20] + " " * 10 + line[30:]), "number"),
    "unknown element": (
        replace_line(GOOD, 5, lambda line: line[:31] + "Qq " + line[34:]),
        "unknown element 'Qq'",
    ),
    "R group": (replace_line(GOOD, 5, lambda line: line[:31] + "R# " + line[34:]), "'R#' is a placeholder"),
    "dummy": (replace_line(GOOD, 5, lambda line: line[:31] + "*  " + line[34:]), "'*' is a placeholder"),
    "all zero": (sdf_record([(s, 0.0, 0.0, 0.0) for s, *_ in ATOMS]), "all coordinates"),
    "overlapping": (sdf_record([*ATOMS, ("H", *ATOMS[2][1:])]), f"atoms 3 and {len(ATOMS) + 1} overlap"),
    "far away": (sdf_record([("H", 99999.0, 0.0, 0.0), ("H", 99999.0, 0.0, 0.0)]), "overlap"),
    "2D drawing": (sdf_record(SQUARE), "2D drawing"),
    "bond out of range": (sdf_record(ATOMS, bonds=[(1, 2), (2, 99)]), "bond to atom 99"),
    "bond to atom 0": (sdf_record(ATOMS, bonds=[(1, 2), (0, 1)]), "bond to atom 0"),
    "unreadable charge": (sdf_record(ATOMS, block=["M  CHG  1   x   1"]), "charges"),
    "V3000 count": (v3000_record(ATOMS).replace(f"COUNTS {len(ATOMS)}", "COUNTS 99"), "COUNTS"),
    "V3000 NaN": (v3000_record([("C", float("nan"), 0.0, 0.0), *ATOMS]), "finite"),
    "bond to itself": (sdf_record(ATOMS, bonds=[(1, 2), (2, 2)]), "bond of atom 2 to itself"),
    "V3000 bond to itself": (
        v3000_record(ATOMS).replace("M  V30 1 1 1 2", "M  V30 1 1 2 2"),
        "bond of atom 2 to itself",
    ),
    "V3000 bond": (v3000_record(ATOMS).replace("M  V30 1 1 1 2", "M  V30 1 1 1 77"), "bond to atom 77"),
    "V3000 truncated": ("\n".join(v3000_record(ATOMS).split("\n")[:9]) + "\n$$$$\n", "COUNTS"),
}
SDF_ACCEPTED = {
    "pentavalent carbon": sdf_record(ATOMS, bonds=[(1, i) for i in range(2, 7)]),
    "missing M  END": without(GOOD, "M  END"),
    "missing $$$$": without(GOOD, "$$$$"),
    "missing $$$$ behind data": without(sdf_record(ATOMS, data=[("A", "1")]), "$$$$"),
    "missing M  END and $$$$": without(GOOD, "M  END", "$$$$"),
    "molfile as a value": sdf_record(ATOMS, data=[("product", GOOD.replace("$$$$\n", ""))]),
    "free format": "\n".join(
        line if not line.endswith("  0  0  0  0") else " ".join(line.split()) for line in GOOD.split("\n")
    ),
    "absurd bond order": GOOD.replace("  1  2  1  0", "  1  2 99  0"),
    "V3000": v3000_record(ATOMS),
}

FRAME = xyz_frame(ATOMS, "bad one")
N = len(ATOMS)
XYZ_CASES = {
    "garbage text": ("some text\nthat is no molecule\nnor ever was\n", "number of atoms"),
    "binary garbage": ("\x00\x01\xff\n\xfe\n", "has a NUL byte"),
    "NUL in the count": (replace_line(FRAME, 0, f"{N}\0"), "has a NUL byte"),
    "NUL in the comment": (replace_line(FRAME, 1, "bad\0 one"), "has a NUL byte"),
    "NUL beside an atom": (replace_line(FRAME, 4, lambda line: line + " \0"), "has a NUL byte"),
    "NULs alone": ("\0" * 700 + "\n", "has a NUL byte"),
    "count too big": (replace_line(FRAME, 0, str(N + 1)), f"{N + 1} atoms announced"),
    "count much too big": (replace_line(FRAME, 0, "12345678"), "announced"),
    "count swallows a frame": (replace_line(FRAME, 0, str(2 * N + 3)), "announced"),
    "count too small": (replace_line(FRAME, 0, str(N - 1)), f"{N - 1} atoms announced, more found"),
    "count is text": (replace_line(FRAME, 0, "many"), "number of atoms, found 'many'"),
    "count zero": (replace_line(FRAME, 0, "0"), "no atoms"),
    "count negative": (replace_line(FRAME, 0, "-3"), "number of atoms"),
    "count missing": (drop_line(FRAME, 0), "number of atoms"),
    "no atoms": ("0\nnothing\n", "no atoms"),
    "truncated": ("\n".join(FRAME.split("\n")[:5]) + "\n", "announced"),
    "blank line inside": (replace_line(FRAME, 4, ""), "announced"),
    "NaN": (replace_line(FRAME, 4, "C 0.0 nan 0.0"), "'nan'"),
    "infinity": (replace_line(FRAME, 4, "C 0.0 1e999 0.0"), "finite"),
    "unknown element": (replace_line(FRAME, 4, "Qq 0.0 0.1 0.0"), "unknown element 'Qq'"),
    "dummy": (replace_line(FRAME, 4, "Xx 0.0 0.1 0.0"), "placeholder"),
    "missing column": (replace_line(FRAME, 4, "C 0.0 0.1"), "three coordinates"),
    "text for a number": (replace_line(FRAME, 4, "C 0.0 0.1 abc"), "'abc'"),
    "underscore": (replace_line(FRAME, 4, "C 0.0 0.1 1_0.0"), "1_0.0"),
    "all zero": (xyz_frame([(s, 0.0, 0.0, 0.0) for s, *_ in ATOMS]), "all coordinates"),
    "overlapping": (xyz_frame([*ATOMS, ("H", *ATOMS[2][1:])]), "overlap"),
    "far away": (xyz_frame([("H", 2e6, 0.0, 0.0)]), "within 1e+06"),
    "2D drawing": (xyz_frame(SQUARE), "2D drawing"),
    "Properties without positions": (xyz_frame(ATOMS, "Properties=species:S:1:vel:R:3"), "pos:R:3"),
}
QM9 = """5
gdb 1\t157.7118\t0.
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 0.002150416\t-0.0060313176\t 0.0019761204\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.1997*^-6\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731
C\tC
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
XYZ_ACCEPTED = {
    "numeric elements": FRAME.replace("C ", "6 ").replace("H ", "1 ").replace("O ", "8 "),
    "blank lines between": "\n \n" + FRAME + "\n\n\n",
    "Fortran D exponents": xyz_frame(ATOMS).replace("00000 ", "00000D+00 "),
    "CRLF": FRAME.replace("\n", "\r\n"),
    "tabs": xyz_frame(ATOMS, "bad one", "{}\t{}\t{}\t{}"),
    "extra columns": xyz_frame(ATOMS, "bad one", "{} {} {} {} 0.1 0.2 0.3"),
    "ragged extra columns": replace_line(FRAME, 4, lambda line: line + "  # comment"),
    "empty comment": xyz_frame(ATOMS),
    "comment is a number": xyz_frame(ATOMS, str(N - 1)),
    "QM9 as distributed": QM9,
}


def good(k: int) -> str:
    return f"molecule {k}"


def read(path: Path, text: str, chunk_size: int) -> ConformerBlock:
    path.write_bytes(text.encode("latin-1"))
    blocks = list(read_blocks(path, chunk_size=chunk_size))
    assert len(blocks) == 1
    return blocks[0]


def check_neighbours(block: ConformerBlock) -> None:
    found = {c.title: c for c in block}
    for k in range(20):
        atoms = molecule(k)
        conformer = found[good(k)]
        assert [SYMBOLS[z] for z in conformer.atomic_number] == [atom[0] for atom in atoms]
        np.testing.assert_array_equal(conformer.position, [atom[1:] for atom in atoms])


def check_rejected(block: ConformerBlock, path: Path, reason: str, line: int) -> Rejected:
    assert len(block) == 20
    assert len(block.rejected) == 1, block.rejected
    bad = block.rejected[0]
    assert (bad.source, bad.record, bad.line) == (str(path), BAD + 1, line)
    assert reason in bad.reason
    assert block.record.tolist() == [k for k in range(1, 22) if k != BAD + 1]
    return bad


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("case", SDF_CASES)
def test_bad_sdf_record_is_listed_and_its_neighbours_are_kept(
    case: str, chunk_size: int, tmp_path: Path
) -> None:
    bad, reason = SDF_CASES[case]
    records = [sdf_record(molecule(k), good(k), data=[("k", str(k))]) for k in range(20)]
    before = "".join(records[:BAD])
    block = read(tmp_path / "a.sdf", before + bad + "".join(records[BAD:]), chunk_size)
    check_neighbours(block)
    rejected = check_rejected(block, tmp_path / "a.sdf", reason, before.count("\n") + 1)
    if bad.startswith("bad one"):
        assert rejected.title == "bad one"


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("case", SDF_ACCEPTED)
def test_odd_sdf_record_is_read(case: str, chunk_size: int, tmp_path: Path) -> None:
    records = [sdf_record(molecule(k), good(k)) for k in range(20)]
    text = "".join([*records[:BAD], SDF_ACCEPTED[case], *records[BAD:]])
    block = read(tmp_path / "a.sdf", text, chunk_size)
    check_neighbours(block)
    assert len(block) == 21 and not block.rejected
    np.testing.assert_array_equal(block[BAD].position, [atom[1:] for atom in ATOMS])


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("case", XYZ_CASES)
def test_bad_xyz_frame_is_listed_and_its_neighbours_are_kept(
    case: str, chunk_size: int, tmp_path: Path
) -> None:
    bad, reason = XYZ_CASES[case]
    frames = [xyz_frame(molecule(k), good(k)) for k in range(20)]
    before = "".join(frames[:BAD])
    block = read(tmp_path / "a.xyz", before + bad + "".join(frames[BAD:]), chunk_size)
    check_neighbours(block)
    check_rejected(block, tmp_path / "a.xyz", reason, before.count("\n") + 1)


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
@pytest.mark.parametrize("case", XYZ_ACCEPTED)
def test_odd_xyz_frame_is_read(case: str, chunk_size: int, tmp_path: Path) -> None:
    frames = [xyz_frame(molecule(k), good(k)) for k in range(20)]
    text = "".join([*frames[:BAD], XYZ_ACCEPTED[case], *frames[BAD:]])
    block = read(tmp_path / "a.xyz", text, chunk_size)
    check_neighbours(block)
    assert len(block) == 21 and not block.rejected
    if case != "QM9 as distributed":
        np.testing.assert_array_equal(block[BAD].position, [atom[1:] for atom in ATOMS])


def test_stop_raises_at_the_first_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(xyz_frame(molecule(0), "fine") + XYZ_CASES["NaN"][0] + "rubbish\n")
    with pytest.raises(ConformerError, match=r"a\.xyz, record 2, line 10 \(bad one\): .*'nan'"):
        list(read_blocks(path, on_error="stop"))
