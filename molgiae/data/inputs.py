"""Whatever the commands take: SDF and XYZ from files, directories and ``-``; files of `ROW_FILES`; HDF5 parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from molgiae.data.ase_database import read_ase_database
from molgiae.data.blocks import BLOCK_ROWS
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.hdf5.dataset import is_dataset
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.npz import read_npz_blocks
from molgiae.data.parquet import read_parquet
from molgiae.data.pieces import FATAL, piece_of
from molgiae.data.readers import OnError, read_blocks
from molgiae.data.sources import Inputs, Notes, is_there, listed
from molgiae.errors import ConfigError, ConformerError

HDF5_SUFFIXES = (".h5", ".hdf5")
ROW_FILES: dict[str, Callable[[str], Iterator[ConformerBlock]]] = {
    ".npz": read_npz_blocks,
    ".db": read_ase_database,
    ".parquet": read_parquet,
}
"""By suffix, how files other than HDF5 are read that keep rows of numbers and no text of the records."""


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says HDF5, or is that of a directory of HDF5 parts."""
    return Path(path).suffix.lower() in HDF5_SUFFIXES or is_dataset(path)


def is_stored(path: str | os.PathLike[str]) -> bool:
    """Return whether there is an HDF5 file of this name, or a directory of HDF5 parts."""
    return is_hdf5(path) and (os.path.isfile(path) or is_dataset(path))


def in_rows(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is HDF5 or of `ROW_FILES` by its name, or a directory holds HDF5 parts; also of pieces."""
    known = _suffix(path) in ROW_FILES or _suffix(path) in HDF5_SUFFIXES
    return (known and not os.path.isdir(path)) or is_dataset(piece_of(os.fspath(path)).file)


def _suffix(path: str | os.PathLike[str]) -> str:
    return Path(piece_of(os.fspath(path)).file).suffix.lower()


def read_inputs(
    inputs: Inputs,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    keep_text: bool = True,
    notes: Notes | None = None,
    allow_empty: bool = False,
) -> Iterator[ConformerBlock]:
    """Read blocks of conformers from SDF and XYZ, and from files of `ROW_FILES`.

    Inputs are structure files, directories and ``-``, or files in rows and directories of HDF5 parts, which keep no
    text; or pieces of these, see `molgiae.data.pieces`; one or several. The other arguments are those of
    `molgiae.data.readers.read_blocks`.

    Raises:
        ConfigError: an input is missing, or files in rows are mixed with others.
        ConformerError: there is no record at all, or a bad one with ``on_error="stop"``.
        MolgiaeError: a file in rows cannot be read.
    """
    names = listed(inputs)
    rows = [name for name in names if format is None and in_rows(name)]
    if not rows:
        return read_blocks(
            names, format=format, on_error=on_error, keep_text=keep_text, notes=notes, allow_empty=allow_empty
        )
    if len(rows) < len(names):
        other = next(name for name in names if name not in rows)
        kind = "HDF5" if is_hdf5(rows[0]) else f"a {Path(rows[0]).suffix} file"
        raise ConfigError(f"{rows[0]} is {kind} and {other} is not; give them to separate runs")
    for name in rows:
        if not is_there(name):
            raise ConfigError(f"{name}: no such file or directory")
    return _read_rows(rows, on_error, notes or Notes(), allow_empty)


def _read_rows(
    names: list[str], on_error: OnError, notes: Notes, allow_empty: bool
) -> Iterator[ConformerBlock]:
    empty = True
    for block in chain.from_iterable(_blocks_of(name, notes) for name in names):
        if on_error == "stop" and block.rejected:
            raise block.rejected[0].error()
        empty &= not len(block) and not block.rejected
        yield block
    if empty and not allow_empty:
        raise ConformerError("holds no conformers", source=", ".join(names))


def _blocks_of(name: str, notes: Notes) -> Iterator[ConformerBlock]:
    if (read := ROW_FILES.get(_suffix(name))) is not None:
        yield from read(name)
        return
    piece = piece_of(name)
    with open_stored(piece.file) as stored:
        notes.left_out += stored.notes()
        first, last, _ = slice(piece.start, piece.stop).indices(len(stored))
        if piece.fatal:
            values = [stored.column(key, first, last).tolist() for key in ("source", "record", "title")]
            rows = zip(*values, strict=True)
            rejected = [Rejected(source, record, title, 0, FATAL) for source, record, title in rows]
            yield ConformerBlock.of([], rejected)
            return
        for start in range(first, last, BLOCK_ROWS):
            yield stored.block(start, min(start + BLOCK_ROWS, last))
