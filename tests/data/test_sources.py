"""Files, directories, standard input, compression, blocks and limits."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from molgiae.data import readers
from molgiae.data.readers import read_blocks, read_conformers
from molgiae.errors import ConfigError, ConformerError
from tests.data.molfiles import molecule, sdf_record, xyz_frame

SDF = [sdf_record(molecule(k), f"sdf {k}") for k in range(30)]
XYZ = [xyz_frame(molecule(k), f"xyz {k}") for k in range(30)]


def titles(inputs: object, **options: object) -> list[str]:
    return [title for block in read_blocks(inputs, **options) for title in block.title]  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "b" / "1.sdf").write_text("".join(SDF[:2]))
    (tmp_path / "b" / "c" / "2.xyz.gz").write_bytes(gzip.compress("".join(XYZ[:2]).encode()))
    (tmp_path / "a.mol").write_text(SDF[5].replace("$$$$\n", ""))
    (tmp_path / "notes.txt").write_text("no conformers")
    (tmp_path / ".hidden" / "x.sdf").write_text(SDF[9])
    return tmp_path


def test_directory_is_searched_in_order(tree: Path) -> None:
    assert titles(tree) == ["sdf 5", "sdf 0", "sdf 1", "xyz 0", "xyz 1"]
    assert titles(tree, format="xyz") == ["xyz 0", "xyz 1"]


def test_several_inputs_keep_their_own_numbers(tree: Path) -> None:
    (block,) = read_blocks([tree / "b" / "1.sdf", tree / "b" / "c" / "2.xyz.gz"])
    assert block.record.tolist() == [1, 2, 1, 2]
    assert [Path(source).name for source in block.source] == ["1.sdf", "1.sdf", "2.xyz.gz", "2.xyz.gz"]


@pytest.mark.parametrize("chunk_size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("records", [SDF, XYZ], ids=["sdf", "xyz"])
@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_without_a_format(
    records: list[str], packed: bool, chunk_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "".join(records[:4]).encode()
    if packed:  # two members, padded
        data = gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0" * 9
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    (block,) = read_blocks("-", chunk_size=chunk_size)
    assert len(block) == 4 and set(block.source) == {"-"} and not block.rejected


def test_format_is_told_or_sniffed(tmp_path: Path) -> None:
    (tmp_path / "conformers.dat").write_text(XYZ[0])
    assert titles(tmp_path / "conformers.dat") == ["xyz 0"]
    (tmp_path / "wrong.sdf").write_text(XYZ[0])
    assert titles(tmp_path / "wrong.sdf", format="xyz") == ["xyz 0"]
    (tmp_path / "letter.txt").write_text("Dear reader,\n" * 20)
    with pytest.raises(ConformerError, match="neither SDF nor XYZ"):
        titles(tmp_path / "letter.txt")
    (_, block) = read_blocks([tmp_path / "conformers.dat", tmp_path / "letter.txt"], block_size=1)
    assert block.rejected[0].record == 0


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("final_newline", [True, False])
@pytest.mark.parametrize(("name", "records"), [("a.sdf", SDF), ("a.xyz", XYZ)])
def test_line_ends(name: str, records: list[str], ending: str, final_newline: bool, tmp_path: Path) -> None:
    text = "".join(records[:3]).replace("\n", ending)
    (tmp_path / name).write_bytes(text.encode() if final_newline else text.rstrip().encode())
    (block,) = read_blocks(tmp_path / name)
    assert len(block) == 3 and not block.rejected
    np.testing.assert_array_equal(block[2].position, [atom[1:] for atom in molecule(2)])


def test_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(XYZ[0], encoding="utf-8-sig")
    assert titles(tmp_path / "a.xyz") == ["xyz 0"]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("chunk_size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["a.sdf", "a.xyz", "a.xyz.gz", "a.txt"])
def test_any_encoding_and_line_end_gives_the_same_conformers(
    name: str, encoding: str, ending: str, chunk_size: int, tmp_path: Path
) -> None:
    """UTF-16 as PowerShell writes it, carriage returns alone as old editors of the Macintosh do."""
    records = [(sdf_record if name == "a.sdf" else xyz_frame)(molecule(k), f"träger {k} μ") for k in range(4)]
    data = "".join(records).replace("\n", ending).encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (block,) = read_blocks(tmp_path / name, chunk_size=chunk_size)
    assert not block.rejected and block.title == [f"träger {k} μ" for k in range(4)]
    assert [text.replace("\r", "") for text in block.text] == [text.replace("$$$$\n", "") for text in records]
    assert block.line.tolist() == np.cumsum([1, *(text.count("\n") for text in records[:3])]).tolist()
    np.testing.assert_array_equal(block[3].position, [atom[1:] for atom in molecule(3)])


def test_a_cut_off_number_in_utf_16_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes("".join(XYZ[:3]).rstrip().encode("utf-16")[:-1])
    (block,) = read_blocks(tmp_path / "a.xyz")
    assert len(block) == 2 and block.rejected[0].record == 3


@pytest.mark.parametrize("lost", range(1, 14))
def test_xyz_cut_off_within_its_last_line(lost: int, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("".join(XYZ[:3])[:-lost])
    (block,) = read_blocks(tmp_path / "a.xyz")
    assert len(block) == (3 if lost == 1 else 2)
    assert len(block) + len(block.rejected) == 3


@pytest.mark.parametrize("records", [SDF, XYZ], ids=["sdf", "xyz"])
def test_memory_is_bounded_by_the_longest_record(
    records: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_RECORD", 5000)
    name = "a.sdf" if records is SDF else "a.xyz"
    (tmp_path / name).write_text(records[0] + "rubbish and more rubbish\n" * 2000 + "".join(records[1:20]))
    (block,) = read_blocks(tmp_path / name, chunk_size=500)
    assert len(block) == 20 and block.rejected


@pytest.mark.parametrize(("name", "records"), [("a.sdf.gz", SDF), ("a.xyz.gz", XYZ)])
@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_damaged_gzip_delivers_what_was_good(
    name: str, records: list[str], damage: str, tmp_path: Path
) -> None:
    half = gzip.compress("".join(records[:15]).encode())
    rest = gzip.compress("".join(records[15:]).encode())
    rest = rest[: len(rest) // 2] if damage == "truncated" else b"\x1f\x8b\x08\x00garbage" + rest
    (tmp_path / name).write_bytes(half + rest)
    (block,) = read_blocks(tmp_path / name)
    (bad,) = block.rejected
    # An XYZ frame is complete only when it is known that no further atom follows.
    assert len(block) >= 14 and block.record.tolist() == list(range(1, len(block) + 1))
    assert bad.record == len(block) + 1 and bad.line > 100 and "gzip" in bad.reason
    with pytest.raises(ConformerError, match="gzip"):
        list(read_blocks(tmp_path / name, on_error="stop"))


def test_missing_and_empty_inputs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.sdf: no such file"):
        list(read_blocks(tmp_path / "nothing.sdf"))
    with pytest.raises(ConfigError, match="no conformer files"):
        list(read_blocks(tmp_path))
    with pytest.raises(ConfigError, match="only once"):
        list(read_blocks(["-", "-"]))
    with pytest.raises(ConfigError, match="unknown format"):
        list(read_blocks(tmp_path, format="pdb"))
    with pytest.raises(ConfigError, match="no input"):
        list(read_blocks([]))
    for content in ("", "\n \n\n"):
        (tmp_path / "empty.sdf").write_text(content)
        with pytest.raises(ConformerError, match="no records"):
            list(read_blocks(tmp_path / "empty.sdf"))
    (tmp_path / "full.xyz").write_text(XYZ[0])
    (block,) = read_blocks([tmp_path / "empty.sdf", tmp_path / "full.xyz"])
    assert len(block) == 1 and block.rejected[0].record == 0


@pytest.mark.parametrize("block_size", [1, 4, 30, 1000])
def test_blocks_have_the_size_asked_for(block_size: int, tmp_path: Path) -> None:
    (tmp_path / "a.sdf").write_text("".join([*SDF[:20], "rubbish\n$$$$\n", *SDF[20:]]))
    (tmp_path / "b.xyz").write_text("".join(XYZ))
    blocks = list(read_blocks(tmp_path, block_size=block_size, chunk_size=3000))
    assert {len(block) for block in blocks[:-1]} <= {block_size}
    assert [title for block in blocks for title in block.title] == [f"sdf {k}" for k in range(30)] + [
        f"xyz {k}" for k in range(30)
    ]
    assert sum(len(block.rejected) for block in blocks) == 1
    for block in blocks:
        assert block.offset[0] == 0 and block.offset[-1] == len(block.position) == len(block.atomic_number)


def test_limit_counts_records_good_or_bad(tmp_path: Path) -> None:
    (tmp_path / "a.sdf").write_text("".join([*SDF[:3], "rubbish\n$$$$\n", *SDF[3:]]))
    for limit, good, bad in ((2, 2, 0), (4, 3, 1), (5, 4, 1), (100, 30, 1)):
        (block,) = read_blocks(tmp_path, limit=limit)
        assert (len(block), len(block.rejected)) == (good, bad)


def test_conformers_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(XYZ[0] + "rubbish\n" + XYZ[1])
    with pytest.raises(ConformerError, match="record 2"):
        list(read_conformers(path))
    rejected: list = []
    assert [c.title for c in read_conformers(path, on_error="skip", rejected=rejected)] == ["xyz 0", "xyz 1"]
    assert len(rejected) == 1
