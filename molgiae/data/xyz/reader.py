"""XYZ and extended XYZ: regular frames decoded in one go, the others one by one, with resynchronisation.

A frame is a line with the number of atoms, a comment line, and one line for each atom. Blank lines may stand
between frames. After a frame that does not keep its count the next plausible frame is looked for: a number, a
comment that is no atom line, that many lines that may be atoms, and no further atom line after them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.elements import ISOTOPE
from molgiae.data.fields import MAX_TITLE, clean, nul_fault, repair, shown
from molgiae.data.sources import Cursor
from molgiae.data.xyz.atoms import (
    decode,
    decode_carefully,
    further_columns,
    is_atom,
    may_be_atom,
    split_isotope,
)
from molgiae.data.xyz.columns import decode_lines
from molgiae.data.xyz.comment import Columns, Comment, parse_comment
from molgiae.data.xyz.species import any_may_be_types
from molgiae.errors import ConformerError

HEADER_LINES = 2
ONE_BY_ONE = 1 << 16
"""Bytes below which frames that are not all alike are read one by one."""
NEWLINE = ord("\n")
QM9_TRAILER = 3
"""Lines of frequencies, SMILES and InChI at the end of a frame of QM9 itself (comment ``gdb ...``)."""

_ISOTOPE_SYMBOLS = tuple(symbol.encode() for symbol in ISOTOPE)

_FIXED_DECIMALS = re.compile(rb"\s*\w+(?=\s)(?:\s+-?\d+\.(\d{4,})(?=\s))(?:\s+-?\d+\.\d+){2}\s*")


def read_xyz(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int]:
    """Read the complete frames of a buffer.

    Args:
        buffer: bytes from the start of a frame on.
        final: no more bytes follow.
        cursor: where the buffer starts in its source; left as it is.

    Returns:
        Conformers and rejected frames, and how many bytes they took.
    """
    if final and not buffer.endswith(b"\n"):
        # Without its last line the frame misses an atom, and is rejected for it.
        buffer = buffer[: buffer.rfind(b"\n") + 1] if _ends_in_a_number(buffer) else buffer + b"\n"
    found = _in_one_go(buffer, final, cursor)
    if found is None and len(buffer) > ONE_BY_ONE:
        found = _in_halves(buffer, final, cursor)
    return found or _one_by_one(buffer, final, cursor)


def _ends_in_a_number(buffer: bytes) -> bool:
    """Whether the last line stops short in its last number, where two lines before have all their decimals."""
    *_, before, previous, last = (b"\n\n" + buffer[-1000:]).split(b"\n")
    fixed = _FIXED_DECIMALS.fullmatch(previous)
    if fixed is None or not _FIXED_DECIMALS.fullmatch(before):
        return False
    words, decimals = last.split(), len(fixed[1])
    cut = [len(word.partition(b".")[2]) for word in words[1:4]]
    return len(words) == 4 and cut[:2] == [decimals, decimals] and cut[2] < decimals


def _in_halves(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int] | None:
    """Each half by itself, so that one odd frame does not slow down the others."""
    first, used = read_xyz(buffer[: len(buffer) // 2], False, cursor)
    if not used:
        return None
    seen = cursor.record + len(first) + len(first.rejected)
    there = replace(cursor, record=seen, line=cursor.line + buffer.count(b"\n", 0, used))
    second, more = read_xyz(buffer[used:], final, there)
    return concatenate([first, second]), used + more


def _one_by_one(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int]:
    lines = buffer.decode("latin-1").split("\n")[:-1]
    block, taken = _Frames(lines, final, cursor).read()
    return block, sum(map(len, lines[:taken])) + taken


def count_of(line: str) -> int:
    """Number of atoms of a header line; -1 if the line is no header."""
    word = line.strip()
    return int(word) if word.isdigit() and word.isascii() and len(word) < 10 else -1


def _in_one_go(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int] | None:
    """All frames and the bytes they took, if they are regular and alike; None otherwise."""
    text = buffer.decode("latin-1")
    line_start = [0, *(np.flatnonzero(np.frombuffer(buffer, np.uint8) == NEWLINE) + 1).tolist()]
    starts, counts, taken = _regular_frames(text, line_start, final)
    if not starts or "\0" in text:
        return None
    try:
        comments = [parse_comment(text[line_start[i + 1] : line_start[i + 2] - 1]) for i in starts]
    except ConformerError:
        return None
    columns = comments[0].columns
    if any(comment.columns != columns for comment in comments):
        return None
    ends = [line_start[i + HEADER_LINES + n] for i, n in zip(starts, counts, strict=True)]
    bodies = [buffer[line_start[i + HEADER_LINES] : end] for i, end in zip(starts, ends, strict=True)]
    body = b"".join(bodies)
    atoms = decode_lines(body, sum(counts), columns)
    offset = np.cumsum([0, *counts])
    if atoms is None or any_may_be_types(atoms[0], offset):
        return None
    try:
        isotope, further = _further(body, atoms[0], columns)
    except (ValueError, IndexError):
        return None
    stretches = [slice(*ends) for ends in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)]
    return ConformerBlock.from_arrays(
        atomic_number=atoms[0],
        position=atoms[1],
        offset=offset,
        isotope=isotope,
        atom_data=[{name: values[atoms] for name, values in further.items()} for atoms in stretches],
        multiplicity=np.array([comment.multiplicity for comment in comments], np.int64),
        title=[comment.title for comment in comments],
        charge=np.array([comment.charge for comment in comments], np.int64),
        source=[cursor.source] * len(starts),
        record=cursor.record + 1 + np.arange(len(starts)),
        line=cursor.line + np.array(starts),
        properties=[comment.properties for comment in comments],
        text=[
            repair(text[line_start[i] : end]) if cursor.keep_text else ""
            for i, end in zip(starts, ends, strict=True)
        ],
    ), line_start[taken]


def _further(
    body: bytes, number: NDArray[np.uint8], columns: Columns
) -> tuple[NDArray[np.uint16], dict[str, NDArray[Any]]]:
    """Isotopes and further columns of atom lines that all have as many words.

    Raises:
        ValueError, IndexError: a column is not of the kind that it is said to be of.
    """
    n = len(number)
    if not columns.further and not (number == 1).any():
        return np.zeros(n, np.uint16), {}
    if not columns.further and not any(mark in body for mark in _ISOTOPE_SYMBOLS):
        return np.zeros(n, np.uint16), {}
    words = body.decode("latin-1").split()
    step = len(words) // n
    by_column = [words[k::step] for k in range(step)]
    return split_isotope(further_columns(by_column[columns.species], by_column, columns), n)


def _regular_frames(text: str, line_start: list[int], final: bool) -> tuple[list[int], list[int], int]:
    """First lines and atom counts of the frames, if every one keeps its count; the line after the last."""
    starts: list[int] = []
    counts: list[int] = []
    i, stop = 0, len(line_start) - 1
    while i < stop:
        header = text[line_start[i] : line_start[i + 1]]
        n = count_of(header)
        if n <= 0:
            if header.strip():
                return [], [], 0
            i += 1
            continue
        end = i + HEADER_LINES + n
        if end > stop and final:
            return [], [], 0
        if end >= stop and not final:
            break
        starts.append(i)
        counts.append(n)
        i = end
    return starts, counts, i


def _is_boundary(line: str) -> bool:
    return not line.strip() or count_of(line) >= 0


def _text(lines: list[str], cursor: Cursor) -> str:
    return repair("\n".join(lines)) + "\n" if cursor.keep_text else ""


class _UnfinishedError(Exception):
    """The buffer ends before it is clear what a frame is."""


class _Frames:
    """Frames of a buffer one by one; decisions depend on the lines, not on where buffers were cut."""

    def __init__(self, lines: list[str], final: bool, cursor: Cursor) -> None:
        self.lines, self.final, self.cursor = lines, final, cursor

    def read(self) -> tuple[ConformerBlock, int]:
        """Conformers and rejected frames, and the number of lines they took."""
        conformers: list[Conformer] = []
        rejected: list[Rejected] = []
        i = 0
        while i < len(self.lines):
            if not self.lines[i].strip():
                i += 1
                continue
            record = self.cursor.record + len(conformers) + len(rejected) + 1
            try:
                end, frame = self._frame(i, record)
            except _UnfinishedError:
                break
            frame = nul_fault(self.lines[i:end], self.cursor.line + i) or frame
            if isinstance(frame, Conformer):
                conformers.append(frame)
            else:
                title = clean(self.lines[i + 1])[:MAX_TITLE] if i + 1 < end else ""
                rejected.append(Rejected(self.cursor.source, record, title, self.cursor.line + i, frame))
            i = end
        return ConformerBlock.of(conformers, rejected), i

    def _frame(self, i: int, record: int) -> tuple[int, Conformer | str]:
        """Line after the frame that starts at line i, and the frame or what is wrong with it."""
        n = count_of(self.lines[i])
        if n < 0:
            return self._next_frame(i), f"expected the number of atoms, found {shown(self.lines[i])}"
        if n == 0:
            return self._next_frame(i), "the frame has no atoms"
        end = i + HEADER_LINES + n
        broken = self._interruption(i + HEADER_LINES, end)
        if broken is not None:
            found = broken - i - HEADER_LINES
            reason = f"{n} atoms announced, {max(found, 0)} found before line {self.cursor.line + broken}"
            return self._next_frame(i), reason
        try:
            comment = parse_comment(self.lines[i + 1])
        except ConformerError as error:
            return end, error.reason
        if end < len(self.lines) and is_atom(self.lines[end], comment.columns):
            reason = f"{n} atoms announced, more found at line {self.cursor.line + end}"
            return self._next_frame(i), reason
        return end + self._trailer(i, end), self._conformer(i, end, comment, record)

    def _conformer(self, i: int, end: int, comment: Comment, record: int) -> Conformer | str:
        atoms = self.lines[i + HEADER_LINES : end]
        try:
            number, position, further = decode(atoms, comment.columns)
        except (ValueError, KeyError):
            try:
                first = self.cursor.line + i + HEADER_LINES
                note = partial(self.cursor.notes.add, self.cursor.source, record)
                number, position, further = decode_carefully(atoms, comment.columns, first, note)
            except ConformerError as error:
                return error.reason
        isotope, further = split_isotope(further, len(number))
        return Conformer(
            atomic_number=number,
            position=position,
            isotope=isotope,
            title=comment.title,
            charge=comment.charge,
            multiplicity=comment.multiplicity,
            source=self.cursor.source,
            record=record,
            line=self.cursor.line + i,
            properties=comment.properties,
            atom_data=further,
            text=_text(self.lines[i:end], self.cursor),
        )

    def _trailer(self, i: int, end: int) -> int:
        if end >= len(self.lines) or _is_boundary(self.lines[end]):
            return 0
        if not self.lines[i + 1].startswith("gdb "):
            return 0
        if end + QM9_TRAILER > len(self.lines):
            if not self.final:
                raise _UnfinishedError
            return 0
        return QM9_TRAILER

    def _interruption(self, start: int, end: int) -> int | None:
        """First of these lines that is blank or a number alone, or missing because the source ends.

        Raises:
            _UnfinishedError: the lines, and the one after them, are not all there yet.
        """
        for j in range(start, min(end, len(self.lines))):
            if _is_boundary(self.lines[j]):
                return j
        if end >= len(self.lines) and not self.final:
            raise _UnfinishedError
        return len(self.lines) if end > len(self.lines) else None

    def _next_frame(self, i: int) -> int:
        """First line after i where a plausible frame starts, or the end of the source."""
        for j in range(i + 1, len(self.lines)):
            if count_of(self.lines[j]) > 0 and self._is_plausible(j):
                return j
        if not self.final:
            raise _UnfinishedError
        return len(self.lines)

    def _is_plausible(self, j: int) -> bool:
        end = j + HEADER_LINES + count_of(self.lines[j])
        if j + 1 < len(self.lines) and is_atom(self.lines[j + 1], Columns()):
            return False
        try:
            if self._interruption(j + HEADER_LINES, end) is not None:
                return False
        except _UnfinishedError:
            loose = self.lines[j + HEADER_LINES :]
            if all(may_be_atom(line) for line in loose):
                raise
            return False
        if not all(may_be_atom(line) for line in self.lines[j + HEADER_LINES : end]):
            return False
        return end >= len(self.lines) or not is_atom(self.lines[end], Columns())
