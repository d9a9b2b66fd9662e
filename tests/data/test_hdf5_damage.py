"""HDF5 files that are not what the schema says: refused in one line, whatever is wrong, and never believed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.data.conformer import Rejected
from molgiae.data.hdf5 import checks as hdf5_checks
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.schema import ATTRIBUTES, PART_ATTRIBUTES, REQUIRED_ATTRIBUTES, SCHEMA
from molgiae.errors import MolgiaeError
from tests.data.test_hdf5 import DIMENSION, PARTS, contents, make_conformers, write

CONFORMERS = 40
HUGE = 10**10

Spoil = Callable[[h5py.File, Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file with everything in it: embeddings, properties, rejected records."""
    path = tmp_path_factory.mktemp("good") / "good.h5"
    rejected = [Rejected("in.sdf", m, "", m, "empty") for m in range(3)]
    bonded = [
        replace(c, bonds=np.array(list(combinations(range(min(len(c), 3)), 2)), np.int64).reshape(-1, 2))
        for c in make_conformers(CONFORMERS)
    ]
    write(path, bonded, rejected)
    with h5py.File(path, "r+") as file:
        values = np.linspace(0, 1, CONFORMERS)
        file.create_dataset("predictions/H", data=values)
        file.create_dataset("properties/%other", data=np.array([json.dumps({"k": "v"})] * CONFORMERS, object))
        file["properties/%other"].attrs["key"] = ""
        file.create_dataset("rmsd", data=values)
    return path


def replaced(name: str, make: Callable[[np.ndarray], Any], **options: Any) -> Spoil:
    """Another dataset in place of one, made of its values; attributes are kept."""

    def spoil(file: h5py.File, folder: Path) -> None:
        values, attributes = make(file[name][()]), dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, data=values, **options)
        file[name].attrs.update(attributes)

    return spoil


def changed(name: str, row: Any, value: Any) -> Spoil:
    def spoil(file: h5py.File, folder: Path) -> None:
        file[name][row] = value

    return spoil


def attribute(name: str, value: Any, item: str = "/") -> Spoil:
    def spoil(file: h5py.File, folder: Path) -> None:
        del file[item].attrs[name]
        if value is not None:
            file[item].attrs[name] = value

    return spoil


def version_1(shape_dimension: Any) -> Spoil:
    """The file as of version 1, with an attribute that is wrong."""

    def spoil(file: h5py.File, folder: Path) -> None:
        file.attrs.update(schema_version=1, shape_dimension=shape_dimension)

    return spoil


def without(name: str) -> Spoil:
    def spoil(file: h5py.File, folder: Path) -> None:
        del file[name]

    return spoil


def linked(name: str, external: bool) -> Spoil:
    def spoil(file: h5py.File, folder: Path) -> None:
        with h5py.File(folder / "other.h5", "w") as other:
            file.copy(name, other, name="copy")
        file.move(name, "moved")
        file[name] = (
            h5py.ExternalLink(str(folder / "other.h5"), "copy") if external else h5py.SoftLink("/moved")
        )

    return spoil


def raw_elsewhere(file: h5py.File, folder: Path) -> None:
    values = file["record"][()]
    (folder / "raw").write_bytes(values.tobytes())
    del file["record"]
    file.create_dataset(
        "record", values.shape, values.dtype, external=[(str(folder / "raw"), 0, values.nbytes)]
    )


def virtual(file: h5py.File, folder: Path) -> None:
    values = file["position"][()]
    with h5py.File(folder / "other.h5", "w") as other:
        other["position"] = values
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource(folder / "other.h5", "position", values.shape)
    del file["position"]
    file.create_virtual_dataset("position", layout)


def declared(*names: str, rows: int = HUGE, chunks: Any = True) -> Spoil:
    """Datasets that say they have many rows, without storage for any."""

    def spoil(file: h5py.File, folder: Path) -> None:
        for name in names:
            shape, dtype, attributes = file[name].shape[1:], file[name].dtype, dict(file[name].attrs)
            del file[name]
            file.create_dataset(name, (rows + (name == "atom_offset"), *shape), dtype, chunks=chunks)
            file[name].attrs.update(attributes)

    return spoil


def one_chunk(file: h5py.File, folder: Path) -> None:
    """A small file that unpacks to a gibibyte."""
    del file["translation"]
    file.create_dataset("translation", (CONFORMERS, 3), "f8", chunks=(1 << 26, 3), maxshape=(None, 3))


PER_CONFORMER = [n for n, c in SCHEMA.items() if c.per == "conformer" and c.origin in ("input", "embedding")]

STRUCTURE: dict[str, tuple[Spoil, str]] = {
    "offsets shifted": (
        replaced("atom_offset", lambda a: a + 1),
        "atom_offset starts with 1, expected 0",
    ),
    "offsets negative": (replaced("atom_offset", lambda a: a - 5), "atom_offset starts with -5, expected 0"),
    "offsets fall": (
        changed("atom_offset", 5, 1),
        "atom_offset goes from .* to 1 at row 5, expected it to rise",
    ),
    "offsets stand still": (changed("atom_offset", 1, 0), "atom_offset goes from 0 to 0 at row 1"),
    "offsets beyond 2^63": (
        replaced("atom_offset", lambda a: np.where(a == a[3], 2**64 - 1, a).astype("u8")),
        "atom_offset has 18446744073709551615 in row 3",
    ),
    "offsets end late": (changed("atom_offset", -1, 10_000), "rows, expected 10000 as atom_offset says"),
    "offsets end early": (
        replaced("atom_offset", lambda a: np.append(a[:-1], a[-2] + 1)),
        "as atom_offset says",
    ),
    "offsets too few": (replaced("atom_offset", lambda a: a[:-1]), "atom_offset has 40 rows, expected 41"),
    "offsets of floats": (
        replaced("atom_offset", lambda a: a.astype("f8")),
        "atom_offset is of type float64",
    ),
    "offsets in two columns": (
        replaced("atom_offset", lambda a: a[:, None]),
        r"atom_offset has shape \(41, 1\)",
    ),
    "bonds without offsets": (without("bond_offset"), "bonds stands alone, expected bond_offset beside it"),
    "offsets without bonds": (without("bonds"), "bond_offset stands alone, expected data of each bond"),
    "offsets of bonds fall": (changed("bond_offset", 3, -1), "bond_offset goes from .* to -1 at row 3"),
    "bonds of three": (
        replaced("bonds", lambda a: np.c_[a, a[:, :1]]),
        r"bonds has shape .*, expected \(rows, 2\)",
    ),
    "no offsets": (without("atom_offset"), "atom_offset missing"),
    "embedding too short": (replaced("embedding", lambda a: a[:10]), "embedding has 10 rows, expected 40"),
    "embedding of integers": (
        replaced("embedding", lambda a: (9 * a).astype("i4")),
        "embedding is of type int32, expected float32",
    ),
    "embedding of texts": (replaced("embedding", lambda a: a.astype("S9")), "embedding is of type"),
    "embedding of complex numbers": (replaced("embedding", lambda a: a.astype("c8")), "embedding is of type"),
    "embedding flat": (
        replaced("embedding", lambda a: a[:, 0]),
        r"embedding has shape \(40,\), expected \(rows, D\)",
    ),
    "embedding empty": (replaced("embedding", lambda a: a[:, :0]), r"embedding has shape \(40, 0\)"),
    "embedding a group": (
        lambda file, folder: (file.move("embedding", "moved"), file.create_group("embedding")),
        "embedding is a group, expected a dataset",
    ),
    "positions flat": (replaced("position", np.ravel), r"position has shape .* expected \(rows, 3\)"),
    "positions in two dimensions": (replaced("position", lambda a: a[:, :2]), "position has shape"),
    "records of booleans": (replaced("record", lambda a: a > 0), "record is of type bool"),
    "titles of numbers": (replaced("title", lambda a: np.arange(len(a))), "title is of type int64"),
    "titles no data": (
        lambda file, folder: (
            without("title")(file, folder),
            file.create_dataset("title", data=h5py.Empty("S1")),
        ),
        "title has shape None",
    ),
    "shape_dimension too large": (version_1(100_000), "shape_dimension is 100000, expected 0 to 4"),
    "shape_dimension negative": (version_1(-4), "shape_dimension is -4, expected 0 to 4"),
    "shape_dimension broken": (version_1(1.5), "shape_dimension is float64, expected a whole"),
    "shape_dimension a list": (version_1([1, 2]), r"shape_dimension has shape \(2,\)"),
    **{
        f"no {name}": (attribute(name, None, "embedding"), f"{name} of embedding is missing")
        for name in PART_ATTRIBUTES
    },
    "parts a text": (attribute("parts", "shape,detail", "embedding"), r"parts of embedding has shape \(\)"),
    "parts of numbers": (
        attribute("parts", [1, 2], "embedding"),
        "parts of embedding is of type int64, expected a list of texts",
    ),
    "parts that no one knows": (
        attribute("parts", ["shape", "colour"], "embedding"),
        "parts of embedding has colour, expected each of features, overlay, color, shape, detail at most once",
    ),
    "parts twice": (attribute("parts", ["shape", "shape"], "embedding"), "parts of embedding has shape, exp"),
    "parts without end": (
        attribute("parts", ["shape"] * 500, "embedding"),
        r"parts of embedding has shape \(500,\)",
    ),
    "parts nothing": (
        attribute("parts", h5py.Empty("S5"), "embedding"),
        "parts of embedding has shape None",
    ),
    "parts of two lengths": (
        attribute("part_start", [0, 2, 3], "embedding"),
        r"part_start of embedding has shape \(3,\), expected \(P,\), the same for all",
    ),
    "parts that overlap": (
        attribute("part_start", [0, 1], "embedding"),
        "part_start of embedding is 1 for detail, expected 2, where the part before it ends",
    ),
    "parts with a gap": (
        attribute("part_stop", [1, 4], "embedding"),
        "part_start of embedding is 2 for detail, expected 1",
    ),
    "parts that begin below 0": (
        attribute("part_start", [-1, 2], "embedding"),
        "part_start of embedding is -1 for shape, expected 0",
    ),
    "parts beyond the embedding": (
        attribute("part_stop", [2, 5], "embedding"),
        "part_stop of embedding is 5 for detail, expected 3 to 4, the size of the embedding",
    ),
    "parts beyond 2^63": (
        attribute("part_stop", np.array([2, 2**64 - 1], "u8"), "embedding"),
        "part_stop of embedding is 18446744073709551615 for detail",
    ),
    "parts that end early": (
        attribute("part_stop", [2, 3], "embedding"),
        "part_stop of embedding ends with 3, expected 4",
    ),
    "an empty part": (
        lambda file, folder: file["embedding"].attrs.update(part_start=[0, 0], part_stop=[0, 4]),
        "part_stop of embedding is 0 for shape, expected 1 to 4",
    ),
    "columns of parts that are fractions": (
        attribute("part_start", [0.0, 2.0], "embedding"),
        "part_start of embedding is of type float64, expected a list of whole numbers",
    ),
    "another unit of a part": (
        attribute("part_unit", ["bohr", "1"], "embedding"),
        "part_unit of embedding is bohr for shape, expected angstrom",
    ),
    "schema_version a text": (
        attribute("schema_version", "one"),
        "schema_version is str, expected a whole number",
    ),
    "schema_version 0": (attribute("schema_version", 0), "schema_version is 0, expected 1 to 2"),
    "model a number": (attribute("model", 3), "attribute model is int, expected a text"),
    "no model": (attribute("model", None), "attribute model missing"),
    "no digest": (attribute("model_sha256", None), "attribute model_sha256 missing"),
    "no rejected": (without("rejected"), "rejected.* missing"),
    "no properties": (without("properties"), "properties missing"),
    "rejected lacks a column": (without("rejected/line"), "rejected/line missing"),
    "rejected of two lengths": (
        replaced("rejected/line", lambda a: a[:2]),
        "rejected/line has 2 rows, expected 3 as rejected/record says",
    ),
    "a property too short": (
        replaced("properties/energy", lambda a: a[:3]),
        "properties/energy has 3 rows, expected 40",
    ),
    "a property of numbers": (
        replaced("properties/energy", lambda a: np.arange(len(a))),
        "properties/energy is of type",
    ),
    "a property without key": (
        attribute("key", None, "properties/energy"),
        "key of properties/energy is missing",
    ),
    "a property with a number for key": (attribute("key", 5, "properties/energy"), "attribute key is int"),
    "a group among properties": (
        lambda file, folder: file.create_group("properties/more"),
        "properties/more is a group",
    ),
    "a prediction too long": (
        replaced("predictions/H", lambda a: np.append(a, 0)),
        "predictions/H has 41 rows, expected 40",
    ),
    "predictions a dataset": (
        lambda file, folder: (
            without("predictions")(file, folder),
            file.create_dataset("predictions", data=1),
        ),
        "predictions is a dataset, expected a group",
    ),
    "an external link": (linked("position", True), "position is a link, expected data in the file itself"),
    "a soft link": (linked("title", False), "title is a link"),
    "an external group": (linked("rejected", True), "rejected is a link"),
    "an external property": (linked("properties/energy", True), "properties/energy is a link"),
    "raw data elsewhere": (raw_elsewhere, "record keeps its data in other files"),
    "virtual data": (virtual, "position keeps its data in other files"),
    "10^10 rows": (declared(*PER_CONFORMER, "atom_offset"), "lacks some of its .* chunks, expected storage"),
    "10^10 records": (declared("record"), "record lacks some of its"),
    "10^10 records in one chunk": (
        declared("record", chunks=(1 << 28,)),
        "record has chunks of 2147483648 bytes",
    ),
    "10^10 rejected": (declared(*(n for n in SCHEMA if "rejected" in n)), "lacks some of its"),
    "rows without storage": (declared("position", rows=100, chunks=None), "position holds 0 of 2400 bytes"),
    "a giant chunk": (one_chunk, "translation has chunks of 1610612736 bytes"),
}
"""What every command refuses when it opens the file."""


VALUES: dict[str, tuple[Spoil, str]] = {
    "NaN in the embedding": (
        changed("embedding", (30, 1), np.nan),
        "embedding has nan in row 30, expected finite",
    ),
    "infinite positions": (
        changed("position", (7, 2), np.inf),
        "position has inf in row 7, expected finite numbers",
    ),
    "positions beyond doubles": (
        replaced("embedding", lambda a: np.full(a.shape, 1e300)),
        r"embedding has 1e\+300 in row 0",
    ),
    "atom 0": (changed("atomic_number", 11, 0), "atomic_number has 0 in row 11, expected 1 to 118"),
    "atom 200": (changed("atomic_number", 11, 200), "atomic_number has 200 in row 11, expected 1 to 118"),
    "atom 257": (
        replaced("atomic_number", lambda a: a.astype("i4") + 256),
        "atomic_number has .* in row 0, expected 1 to 118",
    ),
    "negative records": (changed("record", 3, -1), "record has -1 in row 3, expected 0 to"),
    "a charge beyond 32 bits": (
        replaced("charge", lambda a: a.astype("i8") + 2**40),
        "charge has 109951162.* in row 0",
    ),
    "atoms twice": (
        lambda file, folder: file["permutation"].write_direct(np.zeros(len(file["permutation"]), "i4")),
        "permutation has 0 in row .*, expected every atom of its conformer once",
    ),
    "atoms of others": (
        changed("permutation", 0, 99),
        "permutation has 99 in row 0, expected atoms of its conformer",
    ),
    "atom -1": (
        changed("permutation", 5, -1),
        "permutation has -1 in row 5, expected atoms of its conformer",
    ),
    "bonds of others": (
        changed("bonds", (2, 1), 50),
        "bonds has 50 in row 2, expected atoms of its conformer",
    ),
    "a bond of an atom with itself": (
        changed("bonds", 2, (1, 1)),
        "bonds has 1 in row 2, expected the lesser",
    ),
    "a bond turned": (changed("bonds", 0, (1, 0)), "bonds has 1 in row 0, expected the lesser atom first"),
    "a bond twice": (
        replaced("bonds", lambda a: a[[0, 0, *range(2, len(a))]]),
        "bonds has 0 in row 1, expected pairs",
    ),
    "multiplicity -1": (changed("multiplicity", 3, -1), "multiplicity has -1 in row 3, expected 0 to"),
    "an unknown pose": (
        changed("pose_defined", 2, b"half"),
        "pose_defined has half in row 2, expected full, axis",
    ),
    "neither in nor out": (changed("in_domain", 2, 7), "in_domain has 7 in row 2, expected 0, 1"),
    "no pairs": (changed("properties/%other", 4, "[1]"), "properties/%other has .*, expected texts by key"),
    "no JSON": (changed("properties/%other", 4, "{"), "properties/%other has .*, expected texts by key"),
    "deep JSON": (changed("properties/%other", 4, "[" * 100_000), "properties/%other has .*, expected texts"),
    "no texts": (changed("properties/%other", 4, '{"a": 1}'), "properties/%other has .*, expected texts"),
    "rejected record -3": (changed("rejected/record", 1, -3), "rejected/record has -3 in row 1"),
}
"""What is refused by whatever reads it; `info` reads all."""


def spoiled(good: Path, spoil: Spoil, folder: Path) -> Path:
    path = folder / "bad.h5"
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        spoil(file, folder)
    return path


def assert_refused(*words: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1, (words, result.output)
    assert result.stderr.splitlines()[-1].startswith("molgiae: error: "), result.stderr
    assert "bad.h5: is damaged: " in result.stderr and "fault in molgiae" not in result.stderr


def test_the_good_file_is_good(good: Path) -> None:
    with EmbeddingFile(good) as file:
        file.verify()
        assert file.parts == PARTS and file.properties()[1] == {"energy": "-1.5", "k": "v"}


READING = (
    ["embed", "BAD", "-o", "out.h5", "-m", "MODEL"],
    ["embed", "BAD", "-o", "out.h5"],
    ["align", "BAD", "-o", "out.h5"],
    ["dedup", "BAD", "-o", "out.h5"],
    ["search", "GOOD", "BAD"],
)
"""All open files alike, so each meets some of the damages by default, and all of them when slow tests are run."""


@pytest.mark.parametrize("number", [1, pytest.param(len(READING), marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", STRUCTURE)
def test_a_file_that_is_not_laid_out_as_the_schema_says_is_refused_by_all(
    kind: str, number: int, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_path: str
) -> None:
    spoil, message = STRUCTURE[kind]
    path, began = str(spoiled(good, spoil, tmp_path)), time.monotonic()
    stands = {"BAD": path, "GOOD": str(good), "MODEL": model_path}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MolgiaeError, match=rf"bad\.h5: is damaged: .*{message}.*; make the file again"):
        EmbeddingFile(path)
    first = list(STRUCTURE).index(kind)
    for words in (["info", "BAD"], *(READING[(first + k) % len(READING)] for k in range(number))):
        assert_refused(*(stands.get(word, word) for word in words))
    assert time.monotonic() - began < 10 * number
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_that_cannot_be_is_refused_where_it_is_read(kind: str, good: Path, tmp_path: Path) -> None:
    spoil, message = VALUES[kind]
    path = spoiled(good, spoil, tmp_path)
    with EmbeddingFile(path) as file, pytest.raises(MolgiaeError, match=f"is damaged: .*{message}"):
        file.verify()
    assert_refused("info", str(path))


@pytest.mark.parametrize("block_size", [1, 7, 1000])
def test_values_are_looked_at_in_blocks_of_any_size(
    block_size: int, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row in the message is that of the file, wherever blocks begin."""
    monkeypatch.setattr(hdf5_checks, "SCAN_ROWS", block_size)
    path = spoiled(good, changed("position", (100, 0), np.nan), tmp_path)
    assert sum(map(len, EmbeddingFile(good).blocks(block_size))) == CONFORMERS
    with pytest.raises(MolgiaeError, match="position has nan in row 100"):
        list(EmbeddingFile(path).blocks(block_size))
    with pytest.raises(MolgiaeError, match=r"atom_offset goes from .* to 1 at row 20"):
        EmbeddingFile(spoiled(good, changed("atom_offset", 20, 1), tmp_path))


@pytest.mark.parametrize("name", [n for n, c in SCHEMA.items() if not c.required or c.origin == "embedding"])
def test_columns_that_older_files_lack_may_be_absent(name: str, good: Path, tmp_path: Path) -> None:
    def lack(file: h5py.File, folder: Path) -> None:
        for absent in ("bonds", "bond_offset") if "bond" in name else (name,):
            del file[absent]

    with EmbeddingFile(spoiled(good, lack, tmp_path)) as file:
        file.verify()
        assert [c.title for block in file.blocks() for c in block] == [
            f"molecule {m}" for m in range(CONFORMERS)
        ]


@pytest.mark.parametrize("name", [n for n in ATTRIBUTES if n not in REQUIRED_ATTRIBUTES])
def test_attributes_that_say_nothing_needed_may_be_absent(name: str, good: Path, tmp_path: Path) -> None:
    path = spoiled(good, lambda file, _: file.attrs.pop(name, None), tmp_path)
    with EmbeddingFile(path) as file:
        file.verify()


def test_what_other_programs_make_of_a_file_is_read(good: Path, tmp_path: Path) -> None:
    """Compressed, contiguous, big-endian, in wider types, with datasets and attributes of their own."""

    def rewrite(file: h5py.File, folder: Path) -> None:
        replaced("embedding", lambda a: a.astype(">f8"), compression="gzip", shuffle=True)(file, folder)
        replaced("atomic_number", lambda a: a.astype("i4"))(file, folder)
        replaced("record", lambda a: a.astype(">u2"))(file, folder)
        replaced("title", lambda a: a.astype("S20"))(file, folder)
        replaced("pose_defined", lambda a: a.astype("S9"))(file, folder)
        file["mine/more"] = np.arange(3)
        file["elsewhere"] = h5py.ExternalLink("/no/such/file", "x")
        file.attrs["note"] = np.arange(3)
        file["embedding"].attrs["parts"] = np.array([b"shape", b"detail"])
        file["embedding"].attrs["part_stop"] = np.array([2, 4], ">u8")

    with EmbeddingFile(good) as before, EmbeddingFile(spoiled(good, rewrite, tmp_path)) as file:
        file.verify()
        for name in file.columns:
            found, expected = file.column(name), before.column(name)
            assert found.dtype == expected.dtype and np.array_equal(found, expected), name
        assert file.parts == before.parts
        json.dumps(file.summary())


DATASETS = [
    *sorted(n for n in SCHEMA if SCHEMA[n].origin in ("input", "embedding")),
    "properties/energy",
    "rmsd",
]
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.sampled_from([0, 1, -1, 10**6]))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_change_of_a_number_passes_for_another_number_or_ends_in_a_traceback(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What is read after any change is what was there, what the schema allows in its place, or refused."""
    name = data.draw(st.sampled_from(DATASETS))
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "bad.h5"
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        dataset = file[name]
        how = data.draw(st.sampled_from(["value", "rows", "type", "shape", "name"]))
        values = dataset[()]
        if how == "value" and values.dtype.kind in "iuf":
            row = data.draw(st.integers(0, len(values) - 1))
            kind = data.draw(st.sampled_from([values.dtype.str, "i8", "f8", "u8"]))
            with np.errstate(all="ignore"):
                values = values.astype(kind)
                values[row] = np.array(data.draw(NUMBERS)).astype(kind)
        elif how == "rows":
            size = data.draw(st.integers(0, len(values) + 3))
            values = np.resize(values, (size, *values.shape[1:])) if size else values[:0]
        elif how == "type":
            values = np.array([str(v) for v in values.ravel()], object).reshape(values.shape)
        elif how == "shape":
            values = values[..., None]
        attributes = dict(dataset.attrs)
        del file[name]
        target = (
            name
            if how != "name"
            else name + data.draw(st.text("abé/.", min_size=1, max_size=3)).strip("/") + "x"
        )
        file.create_dataset(target, data=values)
        file[target].attrs.update(attributes)
    before = contents(good)
    try:
        with EmbeddingFile(path) as file:
            file.verify()
            json.dumps(file.summary())
            assert len(file) == CONFORMERS and file.dimension in (0, DIMENSION)
            sizes = np.diff(file.column("atom_offset"))
            assert (sizes > 0).all() and sizes.sum() == file.n_atoms == len(before["position"])
            assert all(np.isfinite(c.position).all() for block in file.blocks(7) for c in block)
    except MolgiaeError as error:
        assert "\n" not in str(error) and str(path) in str(error)


SPOILS = {name: spoil for name, (spoil, _) in {**STRUCTURE, **VALUES}.items()}


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(sorted(SPOILS)), min_size=2, max_size=4, unique=True))
def test_several_faults_at_once_are_one_error(
    good: Path, tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "bad.h5"
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, over complex numbers made real
        for kind in sorted(kinds, key=lambda kind: "10^10" in kind):  # nothing reads what that declares
            try:
                SPOILS[kind](file, folder)
            except (KeyError, ValueError, TypeError, OSError, AttributeError, IndexError, RuntimeError):
                continue  # an earlier fault left nothing to spoil
    try:
        with EmbeddingFile(path) as file:
            file.verify()
    except MolgiaeError as error:
        assert "\n" not in str(error)
    else:  # without both it is a file of molgiae 0.1
        assert {"bonds without offsets", "offsets without bonds"} <= set(kinds)


BYTES = """
import random, sys
from pathlib import Path
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import MolgiaeError
good, path, first, last = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
for seed in range(first, last):
    chance = random.Random(seed)
    bytes_ = bytearray(good)
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.randrange(len(bytes_)) if chance.random() < 0.5 else chance.randrange(4096)
        bytes_[place] = chance.choice([0, 255, chance.randrange(256), bytes_[place] ^ 1 << chance.randrange(8)])
    path.write_bytes(bytes_[: chance.randrange(len(good))] if chance.random() < 0.1 else bytes_)
    try:
        with EmbeddingFile(path) as file:
            file.verify()
            file.summary()
    except MolgiaeError as error:
        assert "\\n" not in str(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 50))
def test_flipped_bytes_raise_nothing_but_our_errors(first: int, good: Path, tmp_path: Path) -> None:
    """In a process of its own: the HDF5 library itself crashes or hangs over some, about one in a thousand."""
    words = [sys.executable, "-c", BYTES, str(good), str(tmp_path / "bad.h5"), str(first), str(first + 50)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("the HDF5 library hangs")
    if done.returncode < 0:
        pytest.skip(f"the HDF5 library crashes (signal {-done.returncode})")
    assert done.returncode == 0, done.stderr
