"""Named parts of embeddings: written alone on request, told by info and models, asked for where they are needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

import molgiae
from molgiae.commands.search import search
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from molgiae.parts import PARTS, Part, chosen_parts, column_names, parts_of
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import TINY, TINY_DOMAIN
from tests.data.test_hdf5 import as_version_1

SIZES = {"features": 2, "overlay": 3, "color": 2, "shape": 3, "detail": 2}


@pytest.fixture(scope="module")
def two_parts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained model of shape and detail."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    config = replace(TINY, embedding_dim=8, features_dim=0, overlay_dim=0, color_dim=0)
    checkpoint.save(path, build(config), TINY_DOMAIN, {"data": "none"})
    return str(path)


def written(path: Path) -> tuple[np.ndarray, tuple[Part, ...]]:
    with EmbeddingFile(path) as file:
        file.verify()
        return file.column("embedding"), file.parts


def test_every_column_has_a_name_that_says_its_part():
    assert column_names(parts_of({"shape": 2, "features": 1})) == ["features_0", "shape_0", "shape_1"]


def test_parts_are_chosen_by_name_in_their_order():
    parts = parts_of(SIZES)
    assert [part.name for part in parts] == list(PARTS)
    assert chosen_parts(parts, "shape, features", "it") == (parts[0], parts[3])
    assert chosen_parts(parts, ["shape", "shape"], "it") == (parts[3],)
    for names in ("colour", "shape,colour", ["s"]):
        with pytest.raises(ConfigError, match=r"it: .* no part (colour|s); its parts are features, overlay"):
            chosen_parts(parts, names, "it")
    for nothing in ("", ",", []):
        with pytest.raises(ConfigError, match="it: no part of the embedding is named"):
            chosen_parts(parts, nothing, "it")


@pytest.mark.parametrize("parts", ["features,overlay", ["shape", "features"], "detail"])
def test_files_hold_the_parts_asked_for_and_say_so(sdf, tmp_path, model_path, parts):
    molgiae.embed(sdf, output=tmp_path / "all.h5", model=model_path)
    molgiae.embed(sdf, output=tmp_path / "some.h5", model=model_path, parts=parts)
    molgiae.embed(sdf, output=tmp_path / "some.npz", model=model_path, parts=parts)
    whole, every = written(tmp_path / "all.h5")
    some, found = written(tmp_path / "some.h5")
    assert every == parts_of(SIZES)
    chosen = chosen_parts(every, parts, "")
    assert found == parts_of({part.name: SIZES[part.name] for part in chosen})
    assert_array_equal(some, np.hstack([whole[:, part.columns] for part in chosen]))
    with np.load(tmp_path / "some.npz", allow_pickle=False) as file:
        assert_array_equal(file["arr_0"], some)
        names, starts, stops = file["parts"].tolist(), file["part_start"], file["part_stop"]
        assert tuple(map(Part, names, starts.tolist(), stops.tolist())) == found
        assert file["part_unit"].tolist() == [part.unit for part in found]


def test_the_command_takes_parts(sdf, model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["embed", sdf, "-m", model_path]
    assert molgiae_(*words, "--parts", "features,overlay").exit_code == 0
    assert molgiae_(*words, "--parts", "features", "--npz").exit_code == 0
    assert written(tmp_path / "molecules.h5")[1] == parts_of({"features": 2, "overlay": 3})
    assert np.load("molecules.npz")["arr_0"].shape == (20, 2)
    done = molgiae_(*words, "--parts", "shape", "--projection", "norms", "-o", "p.h5")
    assert done.exit_code == 0, done.output
    with h5py.File("p.h5") as file:
        assert file["embedding"].shape == (20, 3) and len(file["projection"]) == 20


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("overlay", "tiny.safetensors: the embedding has no part overlay; its parts are shape, detail"),
        ("shape,colour", "the embedding has no part colour; its parts are shape, detail"),
        (",", "no part of the embedding is named; its parts are shape, detail"),
    ],
)
def test_parts_that_are_not_there_are_one_line(sdf, two_parts, tmp_path, monkeypatch, parts, message):
    monkeypatch.chdir(tmp_path)
    assert_one_line(molgiae_("embed", sdf, "-m", two_parts, "--parts", parts), message)
    assert_one_line(molgiae_("embed", sdf, "-m", two_parts, "--parts", parts, "--npz"), message)
    assert list(tmp_path.iterdir()) == [sdf]


def test_reconstructions_do_not_need_the_parts_that_come_out(sdf, model_path):
    conformers = ConformerBlock.of(list(molgiae.read_conformers(sdf)))
    whole, features = (Embedder(model_path, device="cpu", parts=parts) for parts in (None, "features"))
    assert (whole.dimension, features.dimension) == (12, 2)
    assert whole.is_whole and not features.is_whole
    assert features.part("features") == Part("features", 0, 2)
    with pytest.raises(ConfigError, match="no part shape"):
        features.part("shape")
    expected, found = (one.embed(conformers, reconstruct=True) for one in (whole, features))
    assert_array_equal(found["embedding"], expected["embedding"][:, :2])
    assert_array_equal(found["reconstructed_position"], expected["reconstructed_position"])
    with pytest.raises(ConfigError, match="evaluate measures whole embeddings"):
        molgiae.evaluate(conformers, features)


def test_search_needs_the_shape_part_alone_and_says_so(sdf, model_path, tmp_path):
    for name, parts in (("all", None), ("shape", "shape"), ("detail", "detail,overlay")):
        molgiae.embed(sdf, output=tmp_path / f"{name}.h5", model=model_path, parts=parts)
    whole, shape = (search(sdf, tmp_path / f"{name}.h5", k=3).hits for name in ("all", "shape"))
    assert [hit.row for hit in whole] == [hit.row for hit in shape]
    assert_array_equal([hit.distance for hit in whole], [hit.distance for hit in shape])
    assert_one_line(
        molgiae_("search", sdf, tmp_path / "detail.h5"),
        "detail.h5 has no part shape of the embedding, only overlay, detail; embed it again",
    )
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        file["embedding"].attrs.update(
            part_start=np.array([0, 1, 4, 5, 8]), part_stop=np.array([1, 4, 5, 8, 12])
        )
    assert_one_line(molgiae_("search", sdf, tmp_path / "all.h5"), "have not the columns of the model")


def test_files_of_version_1_are_searched(sdf, two_parts, tmp_path):
    molgiae.embed(sdf, output=tmp_path / "a.h5", model=two_parts)
    expected = search(sdf, tmp_path / "a.h5", k=3).hits
    as_version_1(tmp_path / "a.h5", 3)
    assert search(sdf, tmp_path / "a.h5", k=3).hits == expected
    content = json.loads(molgiae_("info", tmp_path / "a.h5", "--json").stdout)
    assert content["schema_version"] == 1 and "shape_dimension" not in content
    assert [(part["name"], part["start"], part["stop"]) for part in content["parts"]] == [
        ("shape", 0, 3), ("detail", 3, 8),
    ]  # fmt: skip


def test_info_tells_the_parts_of_files_and_models(sdf, model_path, tmp_path):
    molgiae.embed(sdf, output=tmp_path / "a.h5", model=model_path)
    for name in (tmp_path / "a.h5", model_path):
        parts = json.loads(molgiae_("info", name, "--json").stdout)["parts"]
        assert parts == [part.to_dict() for part in parts_of(SIZES)]
        lines = [" ".join(line.split()) for line in molgiae_("info", name).stdout.splitlines()]
        assert "name start stop unit meaning" in lines
        for part in parts_of(SIZES):
            assert f"{part.name} {part.start} {part.stop} {part.unit} {part.meaning}" in lines
