"""Whatever the commands take: SDF and XYZ from files, directories and ``-``, or HDF5 of molgiae."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import read_hdf5_blocks
from molgiae.data.readers import OnError, read_blocks
from molgiae.data.sources import Inputs, Notes, listed
from molgiae.errors import ConfigError, ConformerError

HDF5_SUFFIXES = (".h5", ".hdf5")


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says HDF5."""
    return Path(path).suffix.lower() in HDF5_SUFFIXES


def read_inputs(
    inputs: Inputs,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    keep_text: bool = True,
    notes: Notes | None = None,
) -> Iterator[ConformerBlock]:
    """Read blocks of conformers from SDF and XYZ, or from HDF5 files.

    Inputs are structure files, directories and ``-``, or HDF5 files, which keep no text; one or several. The other
    arguments are those of `molgiae.data.readers.read_blocks`.

    Raises:
        ConfigError: an input is missing, or HDF5 is mixed with other formats.
        ConformerError: there is no record at all, or a bad one with ``on_error="stop"``.
        MolgiaeError: an HDF5 file cannot be read.
    """
    names = listed(inputs)
    hdf5 = [name for name in names if format is None and is_hdf5(name) and not os.path.isdir(name)]
    if not hdf5:
        return read_blocks(names, format=format, on_error=on_error, keep_text=keep_text, notes=notes)
    if len(hdf5) < len(names):
        other = next(name for name in names if name not in hdf5)
        raise ConfigError(f"{hdf5[0]} is HDF5 and {other} is not; give them to separate runs")
    for name in hdf5:
        if not os.path.exists(name):
            raise ConfigError(f"{name}: no such file or directory")
    return _read_hdf5(hdf5)


def _read_hdf5(names: list[str]) -> Iterator[ConformerBlock]:
    empty = True
    for name in names:
        for block in read_hdf5_blocks(name):
            empty = False
            yield block
    if empty:
        raise ConformerError("holds no conformers", source=", ".join(names))
