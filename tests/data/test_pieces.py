"""A file read in pieces gives what the whole file gives, wherever it is cut, also where it is damaged or packed."""

from __future__ import annotations

import gzip
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molgiae.data import borders as module
from molgiae.data.borders import borders
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.data.pieces import FATAL, Piece, piece_of
from molgiae.data.readers import read_blocks
from molgiae.data.sources import Source
from tests.data.molfiles import molecule, sdf_record, xyz_frame

N = 12
TEXTS = {
    "sdf": "".join(sdf_record(molecule(k), f"m{k}", data=[("k", str(k))]) for k in range(N)),
    "xyz": "".join(xyz_frame(molecule(k), ["2", "", f"m{k}"][k % 3]) for k in range(N)),
}
PACKINGS = {
    "plain": lambda text: text.encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "bom": lambda text: text.encode("utf-8-sig"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "members": lambda text: gzip.compress(text[:700].encode()) + gzip.compress(text[700:].encode()),
}
DAMAGE = (
    lambda lines, i: lines[:i] + lines[i + 1 :],
    lambda lines, i: [*lines[:i], lines[i], *lines[i:]],
    lambda lines, i: [*lines[:i], "garbage", *lines[i + 1 :]],
    lambda lines, i: [*lines[:i], "", *lines[i:]],
    lambda lines, i: [*lines[:i], lines[i][: len(lines[i]) // 2], *lines[i + 1 :]],
)


def records(names):
    """What becomes of records, without their places."""
    found = []
    for block in read_blocks(names, allow_empty=True):
        found += [(c.title, c.position.tobytes(), c.text, c.properties) for c in block]
        found += [(bad.title, re.sub(r"line \d+", "line #", bad.reason)) for bad in block.rejected]
    return sorted(found, key=repr)


def in_pieces(path: Path, format: str, places: list[int]) -> list[str]:
    cuts = [0, *borders(Source(str(path), format), sorted(places)), 10**12]
    return [f"{path}@{start}-{stop}" for start, stop in pairwise(cuts)]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("format", TEXTS)
def test_pieces_give_what_the_file_gives(tmp_path, format, packing):
    path = tmp_path / f"a.{format}"
    path.write_bytes(PACKINGS[packing](TEXTS[format]))
    whole = records([str(path)])
    assert len(whole) == N
    for places in ([], [0], [1], [700, 701, 1500], list(range(0, len(TEXTS[format]) + 50, 97))):
        assert records(in_pieces(path, format, places)) == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(sorted(TEXTS)),
    packing=st.sampled_from(("plain", "crlf", "gzip")),
    damage=st.lists(st.tuples(st.sampled_from(DAMAGE), st.integers(0, 400)), max_size=5),
    places=st.lists(st.integers(0, 6000), max_size=6),
)
def test_pieces_of_damaged_files_give_what_the_file_gives(tmp_path, format, packing, damage, places):
    lines = TEXTS[format].split("\n")
    for change, i in damage:
        lines = change(lines, i % len(lines))
    path = tmp_path / f"a.{format}"
    path.write_bytes(PACKINGS[packing]("\n".join(lines)))
    assert records(in_pieces(path, format, places)) == records([str(path)])


@pytest.mark.parametrize("format", TEXTS)
def test_a_cut_elsewhere_is_seen_by_these_tests(tmp_path, format):
    path = tmp_path / f"a.{format}"
    path.write_text(TEXTS[format])
    assert records([f"{path}@0-700", f"{path}@700-100000"]) != records([str(path)])


@pytest.mark.parametrize("format", TEXTS)
def test_little_of_the_file_is_read_to_find_a_border(tmp_path, format, monkeypatch):
    path = tmp_path / f"a.{format}"
    path.write_text(TEXTS[format] * 50)
    monkeypatch.setattr(module, "WINDOW", 64)
    found = []
    near = module._near

    def counting(find, text, place):
        def counted(start, size):
            found.append(size)
            return text(start, size)

        return near(find, counted, place)

    monkeypatch.setattr(module, "_near", counting)
    size = path.stat().st_size
    [place] = borders(Source(str(path), format), [size // 2])
    assert size // 2 <= place < size // 2 + 2000 and sum(found) < 10_000
    assert records(in_pieces(path, format, [size // 2])) == records([str(path)])


def test_a_fatal_record_is_listed_and_not_read(tmp_path):
    path = tmp_path / "a.sdf"
    path.write_text(TEXTS["sdf"])
    first, second = borders(Source(str(path), "sdf"), [700, 701 + len(TEXTS["sdf"]) // N])
    [block] = list(read_blocks([f"{path}@{first}-{second}!"]))
    [bad] = block.rejected
    assert not len(block) and bad.reason == FATAL and bad.title.startswith("m")


def test_rows_of_hdf5_are_read_in_pieces(tmp_path, sdf):
    path = tmp_path / "a.h5"
    [block] = list(read_blocks(str(sdf)))
    with Hdf5Writer(path, columns=()) as writer:
        writer.append(block)
    names = [f"{path}@0-7", f"{path}@7-8!", f"{path}@8-20"]
    titles = [c.title for block in read_inputs(names) for c in block]
    assert titles == [c.title for c in block if c.title != "m7"]
    [bad] = [bad for block in read_inputs(names) for bad in block.rejected]
    assert (bad.title, bad.record, bad.reason) == ("m7", 8, FATAL)


@pytest.mark.parametrize("name", ["a.sdf@0-10", "a b@c.xyz@5-6!", "@1-2@3-4"])
def test_names_of_pieces_are_understood(name):
    assert str(piece_of(name)) == name and piece_of(name).stop is not None


def test_a_file_of_the_name_of_a_piece_is_a_file(tmp_path):
    path = tmp_path / "a.sdf@0-10"
    path.write_text("")
    assert piece_of(str(path)) == Piece(str(path))
