"""Whatever the commands take, or a glimpse of it: SDF and XYZ from files, directories and ``-``, or HDF5 of molgiae.

A glimpse is of a few conformers from all over the inputs: files are often sorted, their start says little.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile, read_hdf5_blocks
from molgiae.data.readers import READERS, OnError, read_blocks
from molgiae.data.sources import (
    ByteStream,
    Cursor,
    Inputs,
    Notes,
    Source,
    find_sources,
    is_packed,
    listed,
    sniff,
)
from molgiae.errors import ConfigError, ConformerError

HDF5_SUFFIXES = (".h5", ".hdf5")
PLACES = 32
"""Places in the inputs of which a glimpse is taken."""
STRETCH = 1 << 17
"""Bytes read at each place of a structure file."""
ROWS = 32
"""Conformers read at each place of an HDF5 file."""


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


def glimpse(inputs: Sequence[str], format: str | None = None) -> Iterator[ConformerBlock]:
    """Yield conformers from places evenly spread over the bytes of the inputs.

    What cannot be read twice, as standard input, is left alone; of a compressed file the start is read. Records
    that are cut or rejected are left out. Inputs and format are those of `read_inputs`.
    """
    if any(is_hdf5(name) and not os.path.isdir(name) for name in inputs) and format is None:
        sources = [Source(name) for name in inputs]
    else:
        sources = find_sources(inputs, format)
    for source, places_there in groupby(dict.fromkeys(_spread(sources)), key=itemgetter(0)):
        marks = [at for _, at in places_there]
        if is_hdf5(source.name) and not source.format:
            blocks = _rows(source.name, marks)
        else:
            blocks = (_stretch(source, at) for at in marks)
        yield from (block for block in blocks if len(block))


def _spread(sources: Sequence[Source]) -> Iterator[tuple[Source, int]]:
    """Yield places as a source and a byte of it; the one byte 0 for all places of a compressed source."""
    files = [(source, os.path.getsize(source.name)) for source in sources if os.path.isfile(source.name)]
    total = sum(size for _, size in files)
    marks = [total * place // PLACES for place in range(PLACES)]
    start = 0
    for source, size in files:
        here = [mark - start for mark in marks if start <= mark < start + size]
        packed = bool(here) and is_packed(source.name)
        yield from ((source, 0 if packed else at) for at in here)
        start += size


def _stretch(source: Source, at: int) -> ConformerBlock:
    if at:
        with open(source.name, "rb") as file:
            file.seek(at)
            file.readline()
            buffer = file.read(STRETCH)
    else:
        buffer = next(iter(ByteStream(source, STRETCH)), b"")
    reader = READERS.get(source.format or sniff(buffer))
    if reader is None:
        return ConformerBlock.of([])
    block, _ = reader(buffer, False, Cursor(source.name, keep_text=False))
    return reject_faulty(replace(block, rejected=[]))


def _rows(name: str, marks: Sequence[int]) -> Iterator[ConformerBlock]:
    with EmbeddingFile(name) as file:
        for at in marks:
            first = len(file) * at // max(Path(name).stat().st_size, 1)
            yield file.block(first, first + ROWS)
