"""Files without atoms or in half precision, and directories of parts, in the commands that take them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import molgiae
from molgiae.commands.info import describe
from molgiae.commands.search import search
from molgiae.data.hdf5.dataset import part_name
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.parts import parts_of
from tests.conformers import random_conformer

KEEP = "embedding,title"


@pytest.fixture(scope="module")
def xyz(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("inputs") / "in.xyz"
    molgiae.convert([random_conformer(6 + m % 5, m) for m in range(24)], path)
    return path


@pytest.fixture(scope="module")
def full(xyz, model_path) -> Path:
    path = xyz.with_name("full.h5")
    molgiae.embed(xyz, output=path, model=model_path)
    return path


@pytest.fixture(scope="module")
def lean(xyz, model_path) -> Path:
    path = xyz.with_name("lean.h5")
    molgiae.embed(xyz, output=path, model=model_path, columns=KEEP)
    return path


@pytest.fixture(scope="module")
def parts(xyz, full, model_path) -> Path:
    """The conformers of the input in three parts, of which one is empty."""
    folder = xyz.with_name("parts")
    folder.mkdir()
    with molgiae.open(full) as file:
        about = {key: file.attributes[key] for key in ("model", "model_sha256")}
        for k, rows in enumerate((slice(0, 10), slice(10, 10), slice(10, 24)), 1):
            result = file[rows]
            about |= {"parts": file.parts, "columns": tuple(result.columns)}
            with Hdf5Writer(folder / part_name(k, 3), **about) as writer:
                writer.append(result.block, result.columns)
    return folder


def test_only_the_columns_named_are_there(full, lean):
    with h5py.File(lean) as file:
        assert set(file) == {"embedding", "title", "source", "record", "rejected", "properties"}
        assert not len(file["properties"])
    with molgiae.open(lean) as small, molgiae.open(full) as whole:
        assert small.columns == ("embedding", "title", "source", "record") and not small.has_atoms
        for name in small.columns:
            assert np.array_equal(small[name], whole[name])
        assert small.parts == whole.parts and small.n_atoms == 0
        assert small[3:5].block.title == whole[3:5].block.title
        frame = small.to_pandas()
        assert list(frame["record"]) == list(range(1, 25)) and "features_0" in frame
        small.verify()
    said, other = describe(str(lean)), describe(str(full))
    assert said["columns_kept"] == "embedding,title,source,record" and said["atomic_numbers"] == {}
    assert said["bytes_per_conformer"] < other["bytes_per_conformer"]
    assert said["bytes_per_conformer"] == round(lean.stat().st_size / 24)


def test_a_file_that_lost_what_it_kept_is_damaged(lean, tmp_path):
    path = Path(shutil.copy(lean, tmp_path / "bad.h5"))
    with h5py.File(path, "r+") as file:
        del file["source"]
    with pytest.raises(MolgiaeError, match="source missing"):
        molgiae.open(path)


@pytest.mark.parametrize("by", ["features", "shape", "overlay"])
def test_search_ranks_by_embeddings_alone(by, xyz, full, lean, model_path):
    found, exact = (search(xyz, file, k=3, by=by, model=model_path) for file in (lean, full))
    assert found.notes == [f"{lean}: holds no atoms; hits are ranked by embeddings alone"] and not exact.notes
    assert {hit.relation for hit in found.hits} == {"unknown"} and {hit.rmsd for hit in found.hits} == {None}
    if by == "features":
        assert [(h.row, h.title, h.distance) for h in found.hits] == [
            (h.row, h.title, h.distance) for h in exact.hits
        ]
    for first in range(0, len(found.hits), 3):
        ranked = found.hits[first : first + 3]
        key = [-(h.estimate or 0) if by == "overlay" else h.distance for h in ranked]
        assert key == sorted(key)


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_select_and_cluster_go_by_names(full, lean, parts, tmp_path):
    for number, file in enumerate((full, lean, parts)):
        output = tmp_path / f"{number}.csv"
        molgiae.select(file, output=output, k=5, by="features")
        molgiae.cluster(file, output=tmp_path / f"c{number}.csv", by="features", k=3)
        for name in ("0.csv", "c0.csv"):
            mine = rows(tmp_path / name.replace("0", str(number)))
            assert [row[:5] for row in mine] == [row[:5] for row in rows(tmp_path / name)]


def test_tables_are_made_of_what_is_there(full, lean, tmp_path):
    for ending in ("csv", "parquet", "npz"):
        for file in (full, lean):
            assert molgiae.embed(file, output=tmp_path / f"{file.stem}.{ending}").written == 24
    own, other = (rows(tmp_path / f"{file.stem}.csv") for file in (full, lean))
    assert own[0][5:7] == ["decoded_rmsd", "decoded_formula"]  # not of those that were not decoded
    assert [row[:3] + row[7:] for row in own] == [row[:3] + row[5:] for row in other]
    with np.load(tmp_path / "full.npz") as one, np.load(tmp_path / "lean.npz") as two:
        assert np.array_equal(one["arr_0"], two["arr_0"])


def test_what_needs_atoms_says_so(xyz, lean, tmp_path, model_path):
    deeds = {
        "convert": lambda: molgiae.convert(lean, tmp_path / "x.sdf"),
        "embed": lambda: molgiae.embed(lean, output=tmp_path / "x.h5", model=model_path),
        "join": lambda: molgiae.embed(lean, output=tmp_path / "x.h5"),
        "select": lambda: molgiae.select(lean, output=tmp_path / "x.sdf", k=2),
        "select to HDF5": lambda: molgiae.select(lean, output=tmp_path / "x.h5", k=2),
        "cluster": lambda: molgiae.cluster(lean, output=tmp_path / "x.csv"),
        "representatives": lambda: molgiae.cluster(
            lean, output=tmp_path / "x.csv", by="features", k=2, representatives=tmp_path / "r.sdf"
        ),
        "report": lambda: molgiae.report(lean, output=tmp_path / "x.html"),
        "poses": lambda: search(xyz, lean, by="features", poses=tmp_path / "p.sdf", model=model_path),
        "hits": lambda: search(xyz, lean, by="features", output=tmp_path / "p.sdf", model=model_path),
        "read": lambda: list(read_inputs(lean)),
        "conformer": lambda: molgiae.EmbeddingFile(lean).conformer(0),
    }
    for name, deed in deeds.items():
        with pytest.raises(MolgiaeError, match=r"lean\.h5: holds no atoms, only embedding") as caught:
            deed()
            pytest.fail(name)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", ["embedding,position", "nothing", "embedding,rmsd"])
def test_columns_that_cannot_be_kept_are_named(keep, xyz, tmp_path, model_path):
    with pytest.raises(
        ConfigError, match=f"{keep.split(',')[-1]} is not a column per conformer; keep some of"
    ):
        molgiae.embed(xyz, output=tmp_path / "x.h5", model=model_path, columns=keep)
    for small in ({"columns": KEEP}, {"float16": True}):
        with pytest.raises(ConfigError, match="are for HDF5"):
            molgiae.embed(xyz, output=tmp_path / "x.csv", model=model_path, **small)


def test_half_precision(full, xyz, tmp_path, model_path):
    path = tmp_path / "half.h5"
    summary = molgiae.embed(xyz, output=path, model=model_path, float16=True, columns=KEEP)
    assert "kept as float16: numbers up to" in summary.notes[-1]
    with molgiae.open(path) as half, molgiae.open(full) as whole, h5py.File(path) as file:
        assert file["embedding"].dtype == np.float16 and half["embedding"].dtype == np.float32
        assert half.is_float16 and not whole.is_float16
        error = np.abs(half["embedding"] - whole["embedding"]).max()
        assert f"at most {error:.2g}" in summary.notes[-1]
        assert np.all(
            np.abs(half["embedding"] - whole["embedding"]) <= 2.0**-11 * np.abs(whole["embedding"]) + 1e-7
        )
    folder = tmp_path / "halves"
    folder.mkdir()
    for k in (1, 2):
        shutil.copy(path, folder / part_name(k, 2))
    molgiae.merge(folder, tmp_path / "merged.h5")
    with h5py.File(tmp_path / "merged.h5") as file, h5py.File(path) as one:
        assert set(file) == set(one) and file["embedding"].dtype == np.float16
        assert np.array_equal(file["embedding"][24:], one["embedding"])
    assert describe(str(folder))["bytes_per_conformer"] == describe(str(path))["bytes_per_conformer"]


def test_numbers_beyond_half_precision_are_an_error(tmp_path):
    block = molgiae.ConformerBlock.of([random_conformer(4, 1)])
    columns = {"embedding": np.array([[1.0, 70000.0]], np.float32)}
    about = {"parts": parts_of({"detail": 2}), "columns": ("embedding",), "float16": True}
    with (
        pytest.raises(ConfigError, match="has 7e\\+04, beyond float16"),
        Hdf5Writer(tmp_path / "x.h5", **about) as writer,
    ):
        writer.append(block, columns)
    assert list(tmp_path.iterdir()) == []


def test_directories_of_parts_are_what_the_file_is(xyz, full, parts, tmp_path, model_path):
    found = [search(xyz, file, k=3, model=model_path) for file in (full, parts)]
    assert found[0].hits == found[1].hits
    for number, file in enumerate((full, parts)):
        assert molgiae.convert(file, tmp_path / f"{number}.xyz").written == 24
        molgiae.report(file, output=tmp_path / f"{number}.html")
        assert molgiae.embed(file, output=tmp_path / f"{number}.h5").written == 24
        assert molgiae.rmsd(file).rmsd.shape == (24, 24)
        assert len(molgiae.conformers_of(file)) == 24
    assert (tmp_path / "0.xyz").read_text() == (tmp_path / "1.xyz").read_text()
    with molgiae.open(parts) as dataset:
        assert len(molgiae.conformers_of(dataset)) == 24
        assert molgiae.embed(dataset, model=model_path)["embedding"].shape[0] == 24
    assert {key: describe(str(parts))[key] for key in ("conformers", "files", "missing")} == {
        "conformers": 24,
        "files": 3,
        "missing": [],
    }
