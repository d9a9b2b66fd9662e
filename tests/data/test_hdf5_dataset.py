"""A directory of parts is the file that one run would have written."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import molgiae
from molgiae.commands.merge import merge
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.hdf5 import dataset as datasets
from molgiae.data.hdf5.dataset import EmbeddingDataset, is_dataset, part_name
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.numbering import Numbering
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.schema import PROJECTION, prediction_columns
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.data.sources import Notes
from molgiae.errors import MolgiaeError
from molgiae.parts import parts_of
from tests.data.test_hdf5 import PARTS, embed, make_conformers

Piece = tuple[str, list[int]]
"""Name of a piece, and its records."""
BIG = "some dir/big@1-2.sdf"
REASON = "atom {} is nowhere"


def columns_of(block: ConformerBlock) -> dict[str, np.ndarray]:
    """Columns that depend on nothing but the conformer."""
    each = [embed(ConformerBlock.of([c]), seed=len(c) + 7 * (c.charge + 1)) for c in block]
    none = embed(ConformerBlock.of([]))
    return {name: np.concatenate([np.asarray(one[name]) for one in each] or [none[name]]) for name in none}


def write(path: Path, conformers: Sequence[Conformer], rejected: Sequence[Rejected] = ()) -> Path:
    block = ConformerBlock.of(conformers, rejected)
    with Hdf5Writer(path, parts=PARTS, model="m", model_sha256="s", command="molgiae embed") as writer:
        writer.append(block, columns_of(block))
    return path


def is_bad(record: int) -> bool:
    return record % 5 == 3


def write_part(path: Path, every: Sequence[Conformer], pieces: Sequence[Piece]) -> None:
    """Write what a run over some pieces of the input writes."""
    good, bad = [], []
    for name, records in pieces:
        for number, record in enumerate(records, 1):
            if is_bad(record):
                bad.append(Rejected(name, number, "", number, REASON.format(record)))
            else:
                good.append(replace(every[record], source=name, record=number))
    write(path, good, bad)
    with h5py.File(path, "r+") as file:
        file.attrs["shard_key"] = "k" * 64
        file.attrs["pieces"] = np.array([name for name, _ in pieces], h5py.string_dtype())
        file.attrs["piece_records"] = np.array([len(records) for _, records in pieces], np.int64)


@st.composite
def splits(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """Return a number of records, and where each part of them is cut into pieces."""
    total = draw(st.integers(0, 24))
    cuts = sorted(draw(st.lists(st.integers(0, total), max_size=6)))
    ends = [0, *cuts, total]
    parts: list[list[int]] = [[]]
    for piece in range(len(ends) - 1):
        if draw(st.booleans()):
            parts.append([])
        parts[-1].append(piece)
    return total, [[ends[piece] for piece in part] + [ends[part[-1] + 1]] if part else [] for part in parts]


def make(folder: Path, total: int, parts: Sequence[Sequence[int]]) -> Path:
    """Write parts, and the file of one run beside them; return the directory."""
    directory = folder / "parts"
    directory.mkdir(parents=True)
    every = make_conformers(total)
    for k, cuts in enumerate(parts, 1):
        pieces = [(f"{BIG}@{a * 10}-{b * 10}", list(range(a, b))) for a, b in itertools.pairwise(cuts)]
        write_part(directory / part_name(k, len(parts)), every, pieces)
    good = [replace(every[m], source=BIG, record=m + 1) for m in range(total) if not is_bad(m)]
    bad = [Rejected(BIG, m + 1, "", 0, REASON.format(m)) for m in range(total) if is_bad(m)]
    write(folder / "one.h5", good, bad)
    return directory


def same(one: Any, other: Any) -> bool:
    first, second = np.asarray(one), np.asarray(other)
    return first.dtype == second.dtype and np.array_equal(first, second)


def differences(one: Embeddings, other: Embeddings, first: int = 0, last: int | None = None) -> list[str]:
    """Names of what differs in conformers ``first:last``."""
    found = [] if one.columns == other.columns else ["columns"]
    found += [
        name
        for name in one.columns
        if not same(one.column(name, first, last), other.column(name, first, last))
    ]
    blocks = [stored[first:last].block for stored in (one, other)]
    for name in ConformerBlock.__dataclass_fields__:
        here, there = (getattr(block, name) for block in blocks)
        if not (same(here, there) if isinstance(here, np.ndarray) else here == there):
            found.append(f"block.{name}")
    if one.properties(first, last) != other.properties(first, last):
        found.append("properties")
    if [replace(r, line=0) for r in one.rejected()] != [replace(r, line=0) for r in other.rejected()]:
        found.append("rejected")
    for name in ("parts", "dimension", "n_atoms"):
        found += [name] if getattr(one, name) != getattr(other, name) else []
    return found


OWN = {"path", "bytes", "bytes_per_conformer", "created", "files", "missing"}


@settings(
    deadline=None,
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(splits(), st.integers(-30, 30), st.integers(-30, 30), st.integers(1, 3))
def test_a_dataset_is_the_file_of_one_run(tmp_path_factory, monkeypatch, split, first, last, open_files):
    folder = tmp_path_factory.mktemp("split")
    monkeypatch.setattr(datasets, "OPEN_FILES", open_files)
    directory = make(folder, *split)
    assert merge(directory, folder / "merged.h5").notes == []
    with (
        molgiae.open(directory) as dataset,
        molgiae.open(folder / "one.h5") as one,
        molgiae.open(folder / "merged.h5") as merged,
    ):
        assert isinstance(dataset, EmbeddingDataset) and isinstance(one, EmbeddingFile)
        assert len(dataset) == len(one) == len(merged)
        for other in (one, merged):
            assert differences(dataset, other) == []
            assert differences(dataset, other, first, last) == []
        for size in (1, 5):
            blocks = [list(stored.iter_blocks(size)) for stored in (dataset, one)]
            assert [len(b) for b in blocks[0]] == [len(b) for b in blocks[1]]
        for m in (0, len(one) // 2, -1) if len(one) else ():
            assert repr(dataset.conformer(m)) == repr(one.conformer(m))
            assert dataset.conformer(m).record == one.conformer(m).record
        here, there = dataset.summary(), one.summary()
        assert {key: here[key] for key in here.keys() - OWN} == {
            key: there[key] for key in there.keys() - OWN
        }
        assert dataset.to_pandas().equals(one.to_pandas())
        dataset.verify()
        assert len(dataset._open) <= open_files
    read = [block for block in read_inputs(folder / "one.h5")] if len(one) else []
    if read:
        assert [c.record for b in read_inputs(directory) for c in b] == [c.record for b in read for c in b]


def test_the_comparison_bites(tmp_path):
    directory = make(tmp_path, 12, [[0, 5], [5, 12]])
    with h5py.File(directory / part_name(2, 2), "r+") as file:
        file["charge"][1] += 1
        file["embedding"][0, 1] += 1
        file["rejected/reason"][0] = "another"
    with molgiae.open(directory) as dataset, molgiae.open(tmp_path / "one.h5") as one:
        assert set(differences(dataset, one)) == {"embedding", "charge", "block.charge", "rejected"}


def test_slices_of_a_file_and_of_a_dataset(tmp_path):
    directory = make(tmp_path, 20, [[0, 5, 9], [], [9, 20]])
    for path in (directory, tmp_path / "one.h5"):
        with molgiae.open(path) as stored:
            every = stored.result()
            for part in (slice(3, 9), slice(None), slice(2, None, 3), slice(-4, None), slice(9, 3)):
                found = stored[part]
                assert same(found["embedding"], every["embedding"][part])
                assert found.block.title == every.block.title[part]
            with pytest.raises(MolgiaeError, match="steps of -1"):
                stored[::-1]
            shape = stored.part("detail").columns
            assert same(stored.column("embedding", 2, 12, shape), stored["embedding"][2:12, shape])


def test_what_is_missing_is_said_and_numbers_behind_it_are_those_of_the_piece(tmp_path):
    directory = make(tmp_path, 12, [[0, 2], [2, 4], [4, 12]])
    (directory / part_name(2, 3)).unlink()
    with molgiae.open(directory) as dataset:
        assert dataset.missing == (part_name(2, 3),)
        assert "1 more missing" in repr(dataset) and dataset.summary()["missing"] == [part_name(2, 3)]
        assert dataset["source"].tolist() == [BIG, BIG, *[f"{BIG}@40-120"] * 7]
        assert dataset["record"].tolist() == [1, 2, 1, 2, 3, 4, 6, 7, 8]
    notes = Notes()
    assert sum(map(len, read_inputs(directory, notes=notes))) == 9
    assert notes.lines() == [f"{directory}: 1 of 3 parts are missing: part-00002-of-00003.h5"]
    with pytest.raises(MolgiaeError, match=r"1 of 3 parts are missing.*--allow-missing"):
        merge(directory, tmp_path / "merged.h5")
    summary = merge(directory, tmp_path / "merged.h5", allow_missing=True)
    assert summary.written == 9 and summary.notes == notes.lines()


def test_parts_that_do_not_belong_together(tmp_path):
    directory = make(tmp_path, 6, [[0, 3], [3, 6]])
    with Hdf5Writer(
        directory / part_name(2, 2), parts=PARTS, overwrite=True, model="m", model_sha256="t"
    ) as writer:
        writer.append(ConformerBlock.of([]), columns_of(ConformerBlock.of([])))
    with pytest.raises(MolgiaeError, match=r"part-00002-of-00002\.h5: is of model_sha256 t, .* of s; make"):
        molgiae.open(directory)
    other = parts_of({"shape": 1, "detail": 3})
    with Hdf5Writer(
        directory / part_name(2, 2), parts=other, overwrite=True, model="m", model_sha256="s"
    ) as writer:
        writer.append(ConformerBlock.of([]), columns_of(ConformerBlock.of([])))
    with (
        molgiae.open(directory) as dataset,
        pytest.raises(MolgiaeError, match="has other parts than part-00001"),
    ):
        dataset.verify()
    write(directory / part_name(1, 3), [])
    with pytest.raises(MolgiaeError, match="holds parts of 2 and 3"):
        molgiae.open(directory)
    (directory / part_name(1, 3)).rename(directory / part_name(4, 2))
    with pytest.raises(MolgiaeError, match="there are parts 1 to 2 only"):
        molgiae.open(directory)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pieces", np.array([1, 2]), "attribute pieces is of type int64, expected a list of texts"),
        (
            "piece_records",
            np.int64(3),
            r"attribute piece_records has shape \(\), expected a list of whole numbers",
        ),
        ("piece_records", np.array([1, 2, 3]), "attribute piece_records has .* a number for each piece"),
        ("piece_records", np.array([-1]), "attribute piece_records has .* a number for each piece"),
        ("shard_key", 5, "attribute shard_key"),
    ],
)
def test_damaged_heads_are_told(tmp_path, name, value, said):
    directory = make(tmp_path, 6, [[0, 6]])
    with h5py.File(directory / part_name(1, 1), "r+") as file:
        file.attrs[name] = value
    with pytest.raises(MolgiaeError, match=said):
        molgiae.open(directory)


def test_no_dataset(tmp_path):
    assert not is_dataset(tmp_path) and not is_dataset(tmp_path / "gone") and not is_dataset(__file__)
    write(tmp_path / "some.h5", make_conformers(2))
    assert not is_dataset(tmp_path)
    for path in (tmp_path, tmp_path / "gone.h5"):
        with pytest.raises(MolgiaeError):
            molgiae.open(path)
    with pytest.raises(MolgiaeError, match="holds no parts"):
        EmbeddingDataset(tmp_path)


def test_pieces_of_many_files_and_records_passed_over():
    numbering = Numbering(
        zip(
            ("b@10-30", "whole.sdf", "a@1-2.sdf", "a@0-5", "b@0-10", "b@30-40!", "b@40-50", "a@7-9", "a@5-5"),
            (4, 9, 3, 2, 3, 1, 2, 5, 0),
            strict=True,
        )
    )
    assert numbering.true("b@0-10", 3) == ("b", 3)
    assert numbering.true("b@10-30", 1) == ("b", 4)
    assert numbering.true("b@30-40!", 1) == ("b", 8)
    assert numbering.true("b@40-50", 1) == ("b", 9)
    assert numbering.true("whole.sdf", 5) == ("whole.sdf", 5)
    assert numbering.true("a@1-2.sdf", 5) == ("a@1-2.sdf", 5)
    assert numbering.true("a@7-9", 5) == ("a@7-9", 5)  # bytes 5 to 7 are missing
    assert numbering.of_rejected(Rejected("b@10-30", 2, "t", 9, "r")) == Rejected("b", 5, "t", 0, "r")
    assert numbering.of_rejected(Rejected("b@0-10", 2, "t", 9, "r")) == Rejected("b", 2, "t", 9, "r")
    assert not Numbering([("a.sdf", 3)])


def test_predictions_and_projections_are_merged_too(tmp_path):
    directory = tmp_path / "parts"
    directory.mkdir()
    columns = (
        replace(PROJECTION, axes="M 3", unit="angstrom", description="norms"),
        *prediction_columns("gap", "eV", "the gap"),
    )
    for k in (1, 2):
        block = ConformerBlock.of(make_conformers(k))
        values = {c.name: np.full(c.size(k, 0), float(k)) for c in columns}
        with Hdf5Writer(directory / part_name(k, 2), columns=(), predictions=columns) as writer:
            writer.append(block, values)
    merge(directory, tmp_path / "one.h5")
    with h5py.File(tmp_path / "one.h5") as file:
        assert file["projection"][:, 2].tolist() == [1, 2, 2] == file["predictions/gap_95"][:].tolist()
        assert [file[c.name].attrs[key] for c in columns for key in ("unit", "description")] == [
            text for c in columns for text in (c.unit, c.description)
        ]


def test_a_column_alone_is_checked_as_in_a_file(tmp_path):
    directory = make(tmp_path, 12, [[0, 5], [5, 12]])
    with h5py.File(directory / part_name(2, 2), "r+") as file:
        del file["charge"]
        file.create_dataset("charge", data=np.zeros(2))
        del file["domain_reason"]
    with molgiae.open(directory) as dataset:
        for name in ("charge", "domain_reason"):
            with pytest.raises(MolgiaeError, match=rf"part-00002-of-00002\.h5: is damaged: {name}"):
                dataset.column(name)
    other = parts_of({"shape": 1, "detail": 3})
    about = {"model": "m", "model_sha256": "s", "overwrite": True}
    with Hdf5Writer(directory / part_name(2, 2), parts=other, **about) as writer:
        writer.append(
            ConformerBlock.of(make_conformers(3)), columns_of(ConformerBlock.of(make_conformers(3)))
        )
    with molgiae.open(directory) as dataset, pytest.raises(MolgiaeError, match="other parts"):
        dataset.column("embedding")
