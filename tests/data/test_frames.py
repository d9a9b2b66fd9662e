"""Data frames have a row for each conformer, and every number that the arrays have."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import molgiae
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError


def test_a_frame_has_what_the_result_and_the_file_have(embedder, model_path, sdf, tmp_path):
    pytest.importorskip("pandas", reason="an extra")
    result = embedder.embed(sdf)
    frame = result.to_pandas()
    assert list(frame["title"]) == result.block.title and frame["record"].tolist() == list(range(1, 21))
    parts = [
        name for name in frame if name.split("_")[0] in ("features", "overlay", "color", "shape", "detail")
    ]
    assert parts[:3] == ["features_0", "features_1", "overlay_0"]
    assert_array_equal(frame[parts], result["embedding"])
    assert_array_equal(frame["rotation_0_2"], result["rotation"][:, 0, 2])
    assert set(frame["pose_defined"]) <= {"full", "axis", "none"} and "permutation" not in frame
    assert_array_equal(frame["k"], np.arange(20.0))
    molgiae.embed(sdf, output=tmp_path / "a.h5", model=model_path)
    with EmbeddingFile(tmp_path / "a.h5") as file:
        stored = file.to_pandas()
        assert list(file) == list(file.keys()) and "embedding" in file and "nothing" not in file
        assert_array_equal(np.concatenate([b["embedding"] for b in file.iter_blocks(7)]), file["embedding"])
        assert str(file) == f"EmbeddingFile({str(tmp_path / 'a.h5')!r}, 20 conformers)"
    assert set(stored) == set(frame)
    assert_array_equal(stored[list(frame)].to_numpy(), frame.to_numpy())


def test_without_pandas_the_error_says_so(embedder, sdf, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="to_pandas needs pandas, which is not here"):
        embedder.embed(sdf).to_pandas()
