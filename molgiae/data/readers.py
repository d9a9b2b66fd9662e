"""Every reader behind one door: blocks of conformers from files, directories and standard input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal

from molgiae.data.blocks import part, rebatch
from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.sdf.reader import read_sdf
from molgiae.data.sources import ByteStream, Cursor, Notes, Source, find_sources, sniff
from molgiae.data.xyz.reader import read_xyz
from molgiae.errors import ConfigError, ConformerError

Reader = Callable[[bytes, bool, Cursor], tuple[ConformerBlock, int]]
"""From bytes at a record, whether they are the last, and where they stand, to conformers and bytes used."""

READERS: dict[str, Reader] = {"sdf": read_sdf, "xyz": read_xyz}
"""Reader of each format."""

CHUNK_SIZE = 4 << 20
"""Bytes read at a time."""
MAX_RECORD = 32 << 20
"""Bytes after which a record without an end is given up, so that memory stays bounded."""

SNIFFED, SNIFFED_LINES = 1 << 16, 8
"""Bytes or lines that are enough to tell a format by."""
UNKNOWN_FORMAT = "neither SDF nor XYZ by its name or content; name the format"

OnError = Literal["skip", "stop"]
Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


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
) -> Iterator[ConformerBlock]:
    """Read conformers in constant memory.

    Every record, by its number in its source, is either a conformer of a block or among its rejected. A
    source that holds no record or is damaged is itself listed there, an empty one as record 0.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        format: a row of READERS; by suffix or content if None.
        on_error: ``skip`` lists bad records as rejected, ``stop`` raises at the first.
        block_size: records in a block that were not rejected before their geometry was looked at.
        limit: read at most this many records, good or bad.
        keep_text: keep each record as it was read.
        check_geometry: reject impossible geometry, see `molgiae.data.checks`.
        chunk_size: bytes read at a time.
        notes: gets what the readers had to decide or to leave out.

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
    names = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not names:
        raise ConfigError("no input was named")
    sources = find_sources(names, format)
    blocks = _limited(
        (_read_source(source, keep_text, chunk_size, notes or Notes()) for source in sources), limit
    )
    batched = rebatch(blocks, block_size)
    checked = (reject_faulty(block) if check_geometry else block for block in batched)
    return _watched(checked, on_error)


def read_conformers(
    inputs: Inputs,
    *,
    format: str | None = None,
    on_error: OnError = "stop",
    limit: int | None = None,
    rejected: list[Rejected] | None = None,
) -> Iterator[Conformer]:
    """Conformers one by one; as `read_blocks`.

    Args:
        inputs: files, directories, ``-``.
        format: a row of READERS; by suffix or content if None.
        on_error: ``stop`` raises at the first bad record, ``skip`` leaves it out.
        limit: read at most this many records.
        rejected: list to which rejected records are added.

    Raises:
        ConfigError: as `read_blocks`.
        ConformerError: as `read_blocks`.
    """
    for block in read_blocks(inputs, format=format, on_error=on_error, limit=limit):
        if rejected is not None:
            rejected += block.rejected
        yield from block


def _read_source(source: Source, keep_text: bool, chunk_size: int, notes: Notes) -> Iterator[ConformerBlock]:
    stream = ByteStream(source, chunk_size)
    cursor = Cursor(source.name, keep_text=keep_text, notes=notes)
    chunks = iter(stream)
    rest, following = b"", next(chunks, b"")
    reader = READERS[source.format] if source.format else None
    wanted = 0
    while following:
        buffer, following = rest + following, next(chunks, b"")
        final = not following and not stream.damage
        rest = buffer
        if following and len(buffer) < wanted:
            continue
        if reader is None:
            if following and len(buffer) < SNIFFED and buffer.count(b"\n") < SNIFFED_LINES:
                continue
            found = sniff(buffer)
            if not found:
                yield ConformerBlock.of([], [Rejected(source.name, 0, "", 1, UNKNOWN_FORMAT)])
                return
            reader = READERS[found]
        block, used = reader(buffer, final or len(buffer) > MAX_RECORD, cursor)
        cursor.record += len(block) + len(block.rejected)
        cursor.line += buffer.count(b"\n", 0, used)
        rest = buffer[used:]
        wanted = 0 if used else 2 * len(buffer)
        yield block
    fault = _fault_of(stream, cursor)
    if fault is not None:
        yield ConformerBlock.of([], [fault])


def _fault_of(stream: ByteStream, cursor: Cursor) -> Rejected | None:
    """What is wrong with a source as a whole: it was cut off, or held nothing."""
    if stream.damage:
        return Rejected(cursor.source, cursor.record + 1, "", cursor.line, stream.damage)
    if cursor.record == 0:
        return Rejected(cursor.source, 0, "", 1, "no records: nothing but blank lines, or nothing at all")
    return None


def _limited(sources: Iterable[Iterator[ConformerBlock]], limit: int | None) -> Iterator[ConformerBlock]:
    """Blocks of one source after the other, up to so many records."""
    left = limit
    for blocks in sources:
        for block in blocks:
            if left is None:
                yield block
                continue
            kept = _first_records(block, left)
            left -= len(kept) + len(kept.rejected)
            yield kept
            if left <= 0:
                return


def _first_records(block: ConformerBlock, n: int) -> ConformerBlock:
    numbers = sorted([*block.record.tolist(), *(rejected.record for rejected in block.rejected)])
    if len(numbers) <= n:
        return block
    beyond = numbers[n]
    stop = int(block.record.searchsorted(beyond))
    return part(block, 0, stop, [rejected for rejected in block.rejected if rejected.record < beyond])


def _watched(blocks: Iterable[ConformerBlock], on_error: OnError) -> Iterator[ConformerBlock]:
    """The same blocks; raises what has to be raised."""
    any_record = False
    empty: list[Rejected] = []
    for block in blocks:
        if not len(block) and not block.rejected:
            continue
        rejected = _in_order(block.rejected)
        if rejected and on_error == "stop":
            raise _as_error(rejected[0])
        any_record |= len(block) > 0 or any(bad.record for bad in rejected)
        empty += [bad for bad in rejected if not bad.record]
        yield replace(block, rejected=rejected)
    if empty and not any_record:
        raise _as_error(empty[0])


def _in_order(rejected: list[Rejected]) -> list[Rejected]:
    """By source, in the order in which these were read, and record."""
    order = {source: k for k, source in enumerate(dict.fromkeys(bad.source for bad in rejected))}
    return sorted(rejected, key=lambda bad: (order[bad.source], bad.record))


def _as_error(bad: Rejected) -> ConformerError:
    return ConformerError(
        bad.reason, source=bad.source, record=bad.record, title=bad.title, line=bad.line if bad.record else 0
    )
