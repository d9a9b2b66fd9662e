"""Predictions of parts and by parts are those of one file."""

from __future__ import annotations

import numpy as np
import pytest

from molgiae.commands.merge import merge
from molgiae.commands.predict import predict
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.shards import part
from molgiae.shards.drive import in_shards
from tests.commands.test_predict import FAKE_TWO, table
from tests.shards.test_drive import inline  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A model by name, as processes load it."""
    path = tmp_path / "fake.safetensors"
    path.write_text("")
    monkeypatch.setattr(part, "locate", lambda name, kind: path)
    monkeypatch.setattr("molgiae.properties.predictor.Predictor", lambda name, **_: FAKE_TWO)
    return str(path)


def test_parts_hold_the_predictions_of_one_file(sdf, tmp_path, fake):
    summary = in_shards("predict", sdf, tmp_path / "parts", shards=3, model=fake)
    whole = predict(FAKE_TWO, sdf, output=tmp_path / "whole.h5")
    assert summary.written == whole.written == 20
    with open_stored(tmp_path / "parts") as parts, open_stored(tmp_path / "whole.h5") as one:
        assert parts.columns == one.columns and any(name.startswith("predictions/") for name in one.columns)
        for name in one.columns:
            np.testing.assert_array_equal(parts.column(name), one.column(name), err_msg=name)


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
def test_a_directory_is_predicted_as_the_merged_file(sdf, tmp_path, suffix):
    in_shards("canonicalize", sdf, tmp_path / "parts", shards=3)
    merge(tmp_path / "parts", tmp_path / "merged.h5")
    found = [tmp_path / f"{name}{suffix}" for name in ("of_parts", "of_merged")]
    for source, output in zip(("parts", "merged.h5"), found, strict=True):
        assert predict(FAKE_TWO, tmp_path / source, output=output).written == 20
    if suffix == ".csv":
        one, other = map(table, found)
        assert one == other and len(one) == 20
        return
    with open_stored(found[0]) as one, open_stored(found[1]) as other:
        for name in one.columns:
            np.testing.assert_array_equal(one.column(name), other.column(name), err_msg=name)
