"""SDF and MOL: records cut at ``$$$$``, clean ones decoded together, the others one by one.

A bad record is skipped in `_one_by_one`, where its error becomes a `Rejected`; `molgiae.data.sdf.ctab` says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.sdf.columns import read_tables
from molgiae.data.sdf.ctab import HEADER_LINES, read_ctab
from molgiae.data.sdf.data_items import parse_items
from molgiae.data.sources import Cursor
from molgiae.data.state import charge_and_multiplicity
from molgiae.data.text import MAX_TITLE, Index, Lines, clean, nul_fault, split_lines
from molgiae.errors import ConformerError

DELIMITER = b"$$$$"
MAX_ONE_BY_ONE = 3
"""Records that are read one by one sooner than together, at most."""

_STAMPED_COUNTS = re.compile(r"[ \d]{2}\d[ \d]{2}\d.*V[23]000\s*$", re.ASCII)


def read_sdf(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int]:
    """Read the records of a buffer, as a `molgiae.data.readers.Reader`; the last one need not end with ``$$$$``."""
    if final:
        buffer = _completed(buffer)
    lines = Lines(buffer)
    last = lines.starting(DELIMITER)
    used = len(buffer) if final else int(lines.end[last[-1]]) + 1 if len(last) else 0
    first = np.append(0, last[:-1] + 1)[: len(last)]
    together = len(first) if len(first) > MAX_ONE_BY_ONE and "\0" not in lines.text else 0
    block, done = _together(lines, first[:together], last[:together], cursor)
    rest = np.delete(np.arange(len(first)), done)
    return (_one_by_one(lines, first[rest], last[rest], block, cursor) if len(rest) else block), used


def _completed(buffer: bytes) -> bytes:
    """Return the buffer with a line end and a delimiter at its end, where these are missing."""
    if not buffer.endswith(b"\n"):
        buffer += b"\n"
    tail = buffer[buffer.rfind(b"\n" + DELIMITER) + 1 :]
    if tail.startswith(DELIMITER):
        tail = tail[tail.index(b"\n") :]
    return buffer + DELIMITER + b"\n" if tail.strip() else buffer


def _together(lines: Lines, first: Index, last: Index, cursor: Cursor) -> tuple[ConformerBlock, Index]:
    """Return the clean records of those between these lines, and which ones they are."""
    tables = read_tables(lines, first, last)
    first, last = first[tables.record], last[tables.record]
    properties: list[Mapping[str, str]] = [{}] * len(first)
    ok = np.ones(len(first), bool)
    for k, items in enumerate(lines.texts(tables.end, last)):
        try:
            properties[k] = parse_items(split_lines(items)) if items else {}
        except ConformerError:
            ok[k] = False
    block = tables.block
    known = zip(properties, block.charge.tolist(), block.multiplicity.tolist(), tables.n_charged, strict=True)
    state = np.array([_state(*one) for one in known], np.int64).reshape(-1, 2)
    block = replace(
        block,
        charge=state[:, 0],
        multiplicity=state[:, 1],
        title=[clean(title) for title in lines.texts(first, first + 1)],
        source=[cursor.source] * len(first),
        record=cursor.record + 1 + np.arange(len(first)),
        line=cursor.line + first,
        properties=properties,
        text=lines.records(first, last, keep=cursor.keep_text),
    )
    return block if ok.all() else block.take(ok), tables.record[ok]


def _one_by_one(
    lines: Lines, first: Index, last: Index, block: ConformerBlock, cursor: Cursor
) -> ConformerBlock:
    """Return the conformers of a block and of the records between these lines, in order; bad ones are rejected."""
    parts = [
        (cursor.line + int(k) + start, text[start:stop])
        for k, whole in zip(first, lines.texts(first, last), strict=True)
        for text in [split_lines(whole)]
        for start, stop in split_glued(text)
    ]
    starts = np.sort(np.append(block.line, [line for line, _ in parts]))
    block = replace(block, record=cursor.record + 1 + np.searchsorted(starts, block.line))
    conformers: list[Conformer] = []
    rejected: list[Rejected] = []
    for line, part in parts:
        record = cursor.record + 1 + int(np.searchsorted(starts, line))
        place = np.array([line, line + len(part)]) - cursor.line
        [text] = lines.records(place[:1], place[1:], keep=cursor.keep_text)
        try:
            conformer = _parsed(part, line)
        except ConformerError as error:
            title = clean(part[0])[:MAX_TITLE] if part else ""
            rejected.append(Rejected(cursor.source, record, title, line, error.reason))
        else:
            conformers.append(replace(conformer, source=cursor.source, record=record, line=line, text=text))
    block = concatenate([block, ConformerBlock.of(conformers)])
    return block.take(np.argsort(block.record), rejected)


def split_glued(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Cut a stretch between two ``$$$$`` where another record starts inside it.

    Every counts line starts a record three lines above itself, unless the header line above that names a
    data item whose value the table is. A part is its first line and the line after its last.
    """
    stamps = [i for i, line in enumerate(lines) if _STAMPED_COUNTS.match(line)]
    starts = [0]
    for previous, stamp in zip([-1, *stamps], stamps, strict=False):
        start = max(stamp - HEADER_LINES, previous + 1)
        if start == 0 or lines[start - 1].startswith(">"):
            continue
        ended = [i for i in range(start, stamp) if lines[i].startswith("M  END")]
        start = ended[-1] + 1 if ended else start
        if previous < 0 and not any(line.strip() for line in lines[:start]):
            starts = []  # blank lines in front are not a record
        starts.append(start)
    return list(zip(starts, [*starts[1:], len(lines)], strict=True))


def _parsed(lines: list[str], first_line: int) -> Conformer:
    """Return the conformer of a record whose title stands in this line; a ConformerError if the record is bad."""
    if fault := nul_fault(lines, first_line):
        raise ConformerError(fault)
    if not any(line.strip() for line in lines):
        raise ConformerError("the record is empty")
    conformer, n_charged, end = read_ctab(lines, first_line)
    properties = parse_items(lines[end:])
    charge, multiplicity = _state(properties, conformer.charge, conformer.multiplicity, n_charged)
    return replace(
        conformer, title=clean(lines[0]), charge=charge, multiplicity=multiplicity, properties=properties
    )


def _state(properties: Mapping[str, str], charge: int, multiplicity: int, n_charged: int) -> tuple[int, int]:
    """Return charge and multiplicity of a record, from its table or, where that has none, its data items.

    XYZ knows no formal charges, so that molgiae writes the total charge as an item when it turns XYZ into SDF.
    """
    if not properties:
        return charge, multiplicity
    named = charge_and_multiplicity(properties)
    return charge if n_charged else named[0], multiplicity or named[1]
