"""Npz files and tables of any content: values that are in them, or one of our errors."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molgiae.data.conformer import Rejected
from molgiae.data.molecule_files import read_molecules
from molgiae.data.npz import has_splits, read_npz
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.properties.columns import array_columns, table_columns

SIZES = np.array([2, 1, 3])
PLAIN = {
    "n_atoms": SIZES,
    "atomic_number": np.array([1, 1, 2, 8, 1, 1], np.uint8),
    "position": np.arange(18.0).reshape(6, 3),
    "molecule": np.array([0, 1, 1]),
    "formal_charge": np.array([0, 1, -1]),
    "energy": np.array([1.5, 2.5, 3.5]),
}
QM9 = {
    "gdb_index": np.array([3, 4, 5]),
    "n_atoms": SIZES,
    "atomic_number": PLAIN["atomic_number"],
    "position_high": np.arange(18, dtype=np.int16).reshape(6, 3),
    "position_low": np.arange(18, dtype=np.uint8).reshape(6, 3),
    "split": np.array([0, 1, 2], np.int8),
}
FILES: dict[str, dict[str, Any]] = {"plain": PLAIN, "qm9": QM9}


def read(path: Path) -> None:
    """What is believed makes sense."""
    has_splits(path)
    try:
        block = read_npz(path)
        columns = array_columns(path, len(block))
    except MolgiaeError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    assert len(block) and (block.n_atoms > 0).all() and block.offset[-1] == len(block.position)
    assert np.isfinite(block.position).all() and block.atomic_number.min() > 0
    assert len(list(block)) == len(block.title) == len(block.charge)
    for heading in columns.headings:
        columns.column(heading)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "sizes that do not add up": ("qm9", {"n_atoms": np.array([2, 1, 4])}, "expected whole numbers of shape"),
    "sizes beyond 2^63": (
        "qm9",
        {"n_atoms": np.array([2**63, 2**63, 6], np.uint64)},
        "atomic_number is uint8",
    ),
    "a negative size": ("qm9", {"n_atoms": np.array([5, -2, 3])}, "each of at least one atom"),
    "split too short": ("qm9", {"split": np.array([0])}, "split is int64 of shape"),
    "split of floats": ("qm9", {"split": np.array([0.0, 1, 2])}, "split is float64 of shape"),
    "positions of floats": ("qm9", {"position_high": np.zeros((6, 3))}, "position_high is float64"),
    "positions flat": ("qm9", {"position_low": np.zeros(18, np.uint8)}, "position_low is uint8 of shape"),
    "element 0": ("qm9", {"atomic_number": np.zeros(6, int)}, "atomic_number 0 of atom 0 is no element"),
    "element 257": ("plain", {"atomic_number": np.full(6, 257)}, "atomic_number 257 of atom 0 is no element"),
    "NaN": ("plain", {"position": np.full((6, 3), np.nan)}, "position of atom 0 is not a finite number"),
    "a charge of NaN": ("plain", {"formal_charge": np.array([0, np.nan, 0])}, "formal_charge of conformer 1"),
    "texts": ("plain", {"n_atoms": np.array(["2", "1", "3"])}, "expected a row of whole numbers"),
    "objects": ("plain", {"position": np.array([None] * 6)}, "Object arrays cannot be loaded"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arrays_that_do_not_fit_are_named(case: str, tmp_path: Path) -> None:
    kind, changes, message = WRONG[case]
    np.savez(tmp_path / "a.npz", **{**FILES[kind], **changes})
    with pytest.raises(MolgiaeError, match=rf"a\.npz: .*{message}"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["n_atoms", "atomic_number"])
def test_an_array_that_says_it_is_huge_takes_no_memory(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{key: value for key, value in FILES[kind].items() if key != name})
    with zipfile.ZipFile(path, "a") as archive, archive.open(f"{name}.npy", "w") as entry:
        header = {"descr": "<i8", "fortran_order": False, "shape": (10**16,)}
        np.lib.format.write_array_header_1_0(entry, header)
    with pytest.raises(MolgiaeError, match=r"a\.npz: "):
        read_npz(path)


def test_no_such_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **QM9)
    assert read_npz(tmp_path / "a.npz", "test").title == ["gdb 5"]
    with pytest.raises(ConfigError, match="split 'exam': expected one of train, validation, test"):
        read_npz(tmp_path / "a.npz", "exam")


@pytest.mark.parametrize("heading", ["имя,smiles", "\rsmiles\n,smiles", "smiles" + "s" * 200_000])
def test_headings_of_any_kind(heading: str, tmp_path: Path) -> None:
    """Beyond Latin-1 and read; with line ends of their own or longer than csv takes, and refused."""
    path = tmp_path / "a.csv"
    path.write_text(heading + "\nключ,CCO\n", encoding="utf-8", newline="")
    if heading.startswith("имя"):
        (found,) = read_molecules([str(path)])
        assert not isinstance(found, Rejected) and found.text == "CCO"
        return
    with pytest.raises(ConfigError, match=r"a\.csv, line 1: "):
        list(read_molecules([str(path)]))


VALUES = st.sampled_from(
    [0, 1, -1, 7, 255, 2**31, 2**62, -(2**63), 0.5, float("nan"), float("inf"), "x", True]
)
DTYPES = st.sampled_from(["i8", "u8", "u1", "f8", "f4", "c16", "S3", "U2", "?", "M8[s]"])


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_array_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    arrays = dict(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from(sorted(arrays)))
        how = data.draw(st.sampled_from(["drop", "other", "value", "shape"]))
        if how == "drop":
            del arrays[name]
        elif how == "other":
            shape = data.draw(st.lists(st.integers(0, 6), max_size=3))
            arrays[name] = np.zeros(shape, data.draw(DTYPES))
        elif how == "value" and arrays[name].size:
            with np.errstate(all="ignore"):
                arrays[name] = arrays[name].astype(object)
                arrays[name].flat[data.draw(st.integers(0, arrays[name].size - 1))] = data.draw(VALUES)
                try:
                    arrays[name] = np.array(arrays[name].tolist())
                except (OverflowError, ValueError):
                    return
        else:
            arrays[name] = arrays[name][..., None]
    path = tmp_path_factory.mktemp("fuzz") / "a.npz"
    np.savez(path, **arrays)
    read(path)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_no_bytes_of_an_archive_end_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(buffer, **FILES[kind])
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a.npz"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    read(path)


WORDS = st.sampled_from(
    [
        "smiles",
        "title",
        "name",
        "H [eV]",
        "C",
        "CCO",
        "1.5",
        "nan",
        "1e999",
        '"',
        '""',
        ",",
        ";",
        "\t",
        "\n",
        "\r",
        " ",
        "=1+1",
        "'",
        "é",
    ]
)
TEXT = st.lists(WORDS | st.text(max_size=3), max_size=30).map("".join)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT | st.binary(max_size=200))
def test_no_table_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, text: str | bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    try:
        columns = table_columns(str(path), ["C", "CCO"])
        for heading in columns.headings:
            columns.column(heading)
    except MolgiaeError as error:
        assert "\n" not in str(error)
    for format in ("csv", "smi"):
        try:
            found = list(read_molecules([str(path)], format=format))
        except MolgiaeError as error:
            assert "\n" not in str(error)
        else:
            for item in found:
                assert isinstance(item, Rejected) or (item.text and "\0" not in item.text + item.title)
