"""Inputs of the commands: structure files or HDF5, one or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import is_hdf5, listed, read_inputs
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from tests.conformers import random_conformer


def write_hdf5(path: Path, *seeds: int) -> Path:
    with Hdf5Writer(path, columns=()) as writer:
        writer.append(ConformerBlock.of([random_conformer(4, seed) for seed in seeds]))
    return path


def titles(inputs, **options) -> list[str]:
    return [title for block in read_inputs(inputs, **options) for title in block.title]


def test_one_name_or_several_or_a_generator():
    assert listed("a.sdf") == listed(Path("a.sdf")) == listed(["a.sdf"]) == ["a.sdf"]
    assert listed(Path(name) for name in "ab") == ["a", "b"]


def test_hdf5_goes_by_name():
    assert is_hdf5("a.h5") and is_hdf5(Path("x/a.HDF5"))
    assert not is_hdf5("a.sdf") and not is_hdf5("h5")


@pytest.mark.parametrize("as_list", [True, False])
def test_hdf5_is_recognised_alone_and_in_a_list(tmp_path, as_list):
    path = write_hdf5(tmp_path / "a.h5", 1, 2)
    assert titles([str(path)] if as_list else path) == ["random 1", "random 2"]


def test_several_hdf5_files_are_read_in_turn(tmp_path):
    names = [write_hdf5(tmp_path / f"{k}.h5", k) for k in (2, 0, 1)]
    assert titles(names) == ["random 2", "random 0", "random 1"]


def test_hdf5_is_not_mixed_with_other_formats(tmp_path, sdf):
    path = write_hdf5(tmp_path / "a.h5", 1)
    for names in ([path, sdf], [sdf, path], [path, "-"], [path, tmp_path]):
        with pytest.raises(ConfigError, match=r"a\.h5 is HDF5 and .* is not"):
            read_inputs(names)


def test_what_is_missing_is_said_before_anything_is_read(tmp_path):
    path = write_hdf5(tmp_path / "a.h5", 1)
    with pytest.raises(ConfigError, match=r"b\.h5: no such file"):
        read_inputs([path, tmp_path / "b.h5"])
    with pytest.raises(ConfigError, match=r"b\.sdf: no such file"):
        read_inputs(tmp_path / "b.sdf")
    with pytest.raises(ConfigError, match="no input was named"):
        read_inputs([])


def test_hdf5_without_conformers_is_an_error(tmp_path):
    empty = write_hdf5(tmp_path / "a.h5")
    with pytest.raises(ConformerError, match=r"a\.h5: holds no conformers"):
        titles(empty)
    assert titles([empty, write_hdf5(tmp_path / "b.h5", 3)]) == ["random 3"]


def test_other_hdf5_and_damaged_files_are_errors(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n rubbish")
    with pytest.raises(MolgiaeError, match=r"a\.h5: cannot be read as HDF5"):
        titles(tmp_path / "a.h5")


def test_a_directory_may_be_named_like_an_hdf5_file(tmp_path, sdf):
    folder = tmp_path / "run.h5"
    folder.mkdir()
    sdf.rename(folder / sdf.name)
    assert len(titles(folder)) == 20


def test_the_format_named_is_the_format_read(tmp_path, xyz):
    odd = xyz.rename(tmp_path / "odd.h5")
    assert len(titles(odd, format="xyz")) == 20


def test_text_is_kept_on_request(sdf):
    (kept,), (left,) = (list(read_inputs(sdf, keep_text=keep)) for keep in (True, False))
    assert all(kept.text) and not any(left.text)
    np.testing.assert_array_equal(kept.position, left.position)
