"""Structure files, SDF and XYZ, as blocks of conformers; HDF5 is in `hdf5`, SMILES in `molecule_files`.

A format is a `Reader` with a row in `READERS` and its suffixes in `molgiae.data.sources.SUFFIXES`. It tells bad records
from good ones itself and never loses the good neighbour of a bad record.

A bad record is skipped where its error becomes a `Rejected`: for SDF in `sdf.reader._one_by_one`, for XYZ in
`xyz.reader._Frames.read`, for impossible geometry in `checks.reject_faulty`. With ``on_error="stop"`` the first one
is raised here, in `_checked_for_errors`, or by `commands.run` for what a command rejects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from molgiae.data.blocks import rebatch
from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.pieces import FATAL
from molgiae.data.sdf.reader import read_sdf
from molgiae.data.sources import (
    STDIN,
    ByteStream,
    Cursor,
    Inputs,
    Notes,
    Source,
    checked_names,
    find_sources,
    sniff,
)
from molgiae.data.text import MAX_TITLE, clean
from molgiae.data.xyz.reader import read_xyz
from molgiae.errors import ConfigError

Reader = Callable[[bytes, bool, Cursor], tuple[ConformerBlock, int]]
"""What reads the complete records of a buffer.

Its arguments are bytes, normally from the start of a record on; whether the source ends with them, so that the last
record counts as complete; and where they stand in it, which is left as it is. It returns conformers and rejected
records, with their numbers and lines, and how many bytes they took.
"""

READERS: dict[str, Reader] = {
    "sdf": read_sdf,
    "xyz": read_xyz,
}
"""Reader of each format."""

CHUNK_SIZE = 4 << 20
"""Bytes read at a time."""
MAX_RECORD = 32 << 20
"""Bytes after which a record without an end is given up, so that memory stays bounded."""
SNIFFED, SNIFFED_LINES = 1 << 16, 8
"""Bytes or lines that are enough to tell a format by."""
UNKNOWN_FORMAT = "neither SDF nor XYZ by its name or content; name the format"

OnError = Literal["skip", "stop"]


def read_blocks(
    inputs: Inputs,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    block_size: int = 1024,
    limit: int | None = None,
    keep_text: bool = True,
    check_geometry: bool = True,
    chunk_size: int = CHUNK_SIZE,
    notes: Notes | None = None,
    allow_empty: bool = False,
) -> Iterator[ConformerBlock]:
    """Read conformers in constant memory.

    Every record, by its number in its source, is either a conformer of a block or among its rejected. A
    source that holds no record or is damaged is itself listed there, an empty one as record 0.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        format: a row of READERS; by suffix or content if None.
        on_error: ``skip`` lists bad records as rejected, ``stop`` raises at the first.
        block_size: records in a block, counted before their geometry is checked.
        limit: read at most this many records, good or bad.
        keep_text: keep each record as it was read.
        check_geometry: reject impossible geometry, see `molgiae.data.checks`.
        chunk_size: bytes read at a time.
        notes: gets what the readers had to decide or to leave out.
        allow_empty: inputs without any record are no error.

    Raises:
        ConfigError: an input is missing or cannot be opened, or an option has no such value.
        ConformerError: a bad record with ``on_error="stop"``; no records in all of the inputs.
    """
    if format is not None and format not in READERS:
        raise ConfigError(f"unknown format '{format}', expected one of {', '.join(READERS)}")
    if on_error not in ("skip", "stop"):
        raise ConfigError(f"on_error is '{on_error}', expected 'skip' or 'stop'")
    if block_size < 1 or chunk_size < 1:
        raise ConfigError("block_size and chunk_size must be at least 1")
    notes = Notes() if notes is None else notes
    sources = find_sources(inputs, format, notes)
    blocks = chain.from_iterable(_read_source(source, keep_text, chunk_size, notes) for source in sources)
    batched = rebatch(_limited(blocks, limit), block_size)
    checked = (reject_faulty(block) if check_geometry else block for block in batched)
    return _checked_for_errors(checked, on_error, allow_empty)


def read_conformers(
    inputs: Inputs,
    *,
    format: str | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    rejected: list[Rejected] | None = None,
) -> Reading:
    """Return the conformers of files, which are read when they are gone through, as often as that is.

    Arguments and errors are those of `read_blocks`, but the first bad record is raised unless `on_error` says other.
    Rejected records are added to the list `rejected`, each once. Standard input can be read only once.

    Examples:
        >>> conformers = molgiae.read_conformers("conformers.sdf")
        >>> len(list(conformers)), len(list(conformers)), next(iter(conformers)).title
        (74, 74, 'water')
    """
    names = checked_names(inputs)
    find_sources(names, format)  # finds out before the reading what is missing
    return Reading(names, format, on_error, limit, [] if rejected is None else rejected)


@dataclass
class Reading:
    """Conformers of files, as `read_conformers` reads them."""

    inputs: list[str]
    format: str | None
    on_error: OnError
    limit: int | None
    rejected: list[Rejected]
    _listed: int = 0
    _was_read: bool = False

    def __iter__(self) -> Iterator[Conformer]:
        if self._was_read and STDIN in self.inputs:
            raise ConfigError(
                "standard input can be read only once; keep its conformers, as in conformers = list(conformers)"
            )
        self._was_read, count = True, 0
        for block in read_blocks(self.inputs, format=self.format, on_error=self.on_error, limit=self.limit):
            self.rejected += block.rejected[max(self._listed - count, 0) :]
            count += len(block.rejected)
            self._listed = max(self._listed, count)
            yield from block


def _read_source(source: Source, keep_text: bool, chunk_size: int, notes: Notes) -> Iterator[ConformerBlock]:
    stream = ByteStream(source, chunk_size)
    if source.piece.fatal:
        lines = b"".join(stream).decode("latin-1").split("\n", 2)
        title = clean(lines[source.format == "xyz" and len(lines) > 1])[:MAX_TITLE]
        yield ConformerBlock.of([], [Rejected(source.name, 1, title, 1, FATAL)])
        return
    cursor = Cursor(source.name, keep_text=keep_text, notes=notes)
    chunks = iter(stream)
    buffer, following = b"", next(chunks, b"")
    reader = READERS.get(source.format)
    wanted = 0
    while following:
        buffer, following = buffer + following, next(chunks, b"")
        if following and len(buffer) < wanted:
            continue
        if reader is None:
            if following and len(buffer) < SNIFFED and buffer.count(b"\n") < SNIFFED_LINES:
                continue
            reader = READERS.get(sniff(buffer))
            if reader is None:
                yield ConformerBlock.of([], [Rejected(source.name, 0, "", 1, UNKNOWN_FORMAT)])
                return
        final = not following and not stream.damage
        block, used = reader(buffer, final or len(buffer) > MAX_RECORD, cursor)
        cursor.record += len(block) + len(block.rejected)
        cursor.line += buffer.count(b"\n", 0, used)
        wanted = 0 if used else 2 * len(buffer)
        buffer = buffer[used:]
        yield block
    if stream.damage:
        fault = Rejected(source.name, cursor.record + 1, "", cursor.line, stream.damage)
        yield ConformerBlock.of([], [fault])
    elif cursor.record == 0 and source.piece.stop is None:
        reason = "no records: nothing but blank lines, or nothing at all"
        yield ConformerBlock.of([], [Rejected(source.name, 0, "", 1, reason)])


def _limited(blocks: Iterable[ConformerBlock], limit: int | None) -> Iterator[ConformerBlock]:
    """Yield the blocks up to so many records."""
    left = math.inf if limit is None else limit
    for block in blocks:
        size = len(block) + len(block.rejected)
        yield block if size <= left else _first_records(block, int(left))
        left -= size
        if left <= 0:
            return


def _first_records(block: ConformerBlock, n: int) -> ConformerBlock:
    beyond = sorted([*block.record.tolist(), *(bad.record for bad in block.rejected)])[n]
    kept = [bad for bad in block.rejected if bad.record < beyond]
    return replace(block.take(block.record < beyond), rejected=kept)


def _checked_for_errors(
    blocks: Iterable[ConformerBlock], on_error: OnError, allow_empty: bool
) -> Iterator[ConformerBlock]:
    """Yield the blocks, what was rejected in order; raise the first bad record if asked to, or if nothing was read."""
    any_record = False
    empty: list[Rejected] = []
    for block in blocks:
        if not len(block) and not block.rejected:
            continue
        turn = {name: k for k, name in enumerate(dict.fromkeys(bad.source for bad in block.rejected))}
        rejected = sorted(block.rejected, key=lambda bad: (turn[bad.source], bad.record))
        if rejected and on_error == "stop":
            raise rejected[0].error()
        any_record |= len(block) > 0 or any(bad.record for bad in rejected)
        empty += [bad for bad in rejected if not bad.record]
        yield replace(block, rejected=rejected)
    if empty and not any_record and not allow_empty:
        raise empty[0].error()
