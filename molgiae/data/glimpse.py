"""A few conformers from all over the inputs, without reading them: files are often sorted, their start says little."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.inputs import is_hdf5
from molgiae.data.readers import READERS
from molgiae.data.sources import ByteStream, Cursor, Source, find_sources, is_packed, sniff

PLACES = 32
STRETCH = 1 << 17
"""Bytes read at each place of a structure file."""
ROWS = 32
"""Conformers read at each place of an HDF5 file."""


def glimpse(
    inputs: Sequence[str], format: str | None = None, *, places: int = PLACES
) -> Iterator[ConformerBlock]:
    """Yield conformers from places evenly spread over the bytes of the inputs.

    What cannot be read twice, as standard input, is left alone; of a compressed file the start is read. Records
    that are cut or rejected are left out. Inputs and format are those of `molgiae.data.inputs.read_inputs`.
    """
    if any(is_hdf5(name) and not os.path.isdir(name) for name in inputs) and format is None:
        sources = [Source(name) for name in inputs]
    else:
        sources = find_sources(inputs, format)
    for source, places_there in groupby(dict.fromkeys(_spread(sources, places)), key=itemgetter(0)):
        marks = [at for _, at in places_there]
        if is_hdf5(source.name) and not source.format:
            blocks = _rows(source.name, marks)
        else:
            blocks = (_stretch(source, at) for at in marks)
        yield from (block for block in blocks if len(block))


def _spread(sources: Sequence[Source], places: int) -> Iterator[tuple[Source, int]]:
    """Yield places as a source and a byte of it; the one byte 0 for all places of a compressed source."""
    files = [(source, os.path.getsize(source.name)) for source in sources if os.path.isfile(source.name)]
    total = sum(size for _, size in files)
    marks = [total * place // places for place in range(places)]
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
