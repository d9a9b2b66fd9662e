"""XYZ and extended XYZ: regular frames decoded in one go, the others one by one, with resynchronisation.

A frame is a line with the number of atoms, a comment line, and one line for each atom. Blank lines may stand
between frames. After a frame that does not keep its count the next plausible frame is looked for: a number, a
comment that is no atom line, that many lines that may be atoms, and no further atom line after them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected, offset_of
from molgiae.data.elements import ISOTOPE
from molgiae.data.sources import Cursor
from molgiae.data.text import MAX_TITLE, Index, Lines, clean, nul_fault, repair, shown
from molgiae.data.xyz.atoms import Data, decode, further_columns, is_atom
from molgiae.data.xyz.columns import decode_lines
from molgiae.data.xyz.comment import Columns, Comment, parse_comment
from molgiae.data.xyz.species import any_may_be_types
from molgiae.errors import ConformerError

HEADER_LINES = 2
MIN_WORDS = 4
"""Words of an atom line, at least; also one with a fault of its own has them."""
ONE_BY_ONE = 1 << 16
"""Bytes below which frames that are not all alike are read one by one."""
QM9_TRAILER = 3
"""Lines of frequencies, SMILES and InChI at the end of a frame of QM9 itself (comment ``gdb ...``)."""

_ISOTOPE_SYMBOLS = tuple(symbol.encode() for symbol in ISOTOPE)

_FIXED_DECIMALS = re.compile(rb"\s*\w+(?=\s)(?:\s+-?\d+\.(\d{4,})(?=\s))(?:\s+-?\d+\.\d+){2}\s*")

_BOUNDARY = re.compile(r"\s*(?:\d{1,9}\s*)?")
"""A line that stands between frames: blank, or the number of atoms of the next one."""


def read_xyz(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int]:
    """Read the frames of a buffer, as a `molgiae.data.readers.Reader`."""
    if final and not buffer.endswith(b"\n"):
        # Without its last line the frame misses an atom, and is rejected for it.
        buffer = buffer[: buffer.rfind(b"\n") + 1] if _ends_in_a_number(buffer) else buffer + b"\n"
    found = _in_one_go(buffer, final, cursor)
    if found is None and len(buffer) > ONE_BY_ONE:
        found = _in_halves(buffer, final, cursor)
    return found or _one_by_one(buffer, final, cursor)


def _ends_in_a_number(buffer: bytes) -> bool:
    """Return whether the last line stops short in its last number, where two lines before have all their decimals."""
    *_, before, previous, last = (b"\n\n" + buffer[-1000:]).split(b"\n")
    fixed = _FIXED_DECIMALS.fullmatch(previous)
    if fixed is None or not _FIXED_DECIMALS.fullmatch(before):
        return False
    words, decimals = last.split(), len(fixed[1])
    cut = [len(word.partition(b".")[2]) for word in words[1:4]]
    return len(words) == 4 and cut[:2] == [decimals, decimals] and cut[2] < decimals


def _in_halves(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int] | None:
    """Read each half by itself, so that one odd frame does not slow down the others."""
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
    """Return the number of atoms that a header line says; -1 if the line is no header."""
    word = line.strip()
    return int(word) if word.isdigit() and word.isascii() and len(word) < 10 else -1


def _in_one_go(buffer: bytes, final: bool, cursor: Cursor) -> tuple[ConformerBlock, int] | None:
    """Return all frames and the bytes they took, if they are regular and alike; None otherwise."""
    lines = Lines(buffer)
    first, n_atoms, taken = _regular_frames(lines, final)
    if not len(first) or "\0" in lines.text:
        return None
    body_start = first + HEADER_LINES
    end = body_start + n_atoms
    body = "".join(lines.texts(body_start, end)).encode("latin-1")
    try:
        comments = [parse_comment(line.rstrip("\n")) for line in lines.texts(first + 1, body_start)]
        title, charge, multiplicity, (columns, *others), properties = map(list, zip(*comments, strict=True))
        if any(other != columns for other in others):
            return None
        atoms = decode_lines(body, int(n_atoms.sum()), columns)
        offset = offset_of(n_atoms)
        if atoms is None or any_may_be_types(atoms[0], offset):
            return None
        isotope, further = _further(body, atoms[0], columns)
    except (ConformerError, ValueError, IndexError):
        return None
    stretches = [slice(*ends) for ends in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)]
    return ConformerBlock.from_arrays(
        *atoms,
        offset,
        isotope=isotope,
        atom_data=[{name: values[atoms] for name, values in further.items()} for atoms in stretches],
        multiplicity=np.array(multiplicity, np.int64),
        charge=np.array(charge, np.int64),
        title=title,
        source=[cursor.source] * len(first),
        record=cursor.record + 1 + np.arange(len(first)),
        line=cursor.line + first,
        properties=properties,
        text=lines.records(first, end, keep=cursor.keep_text),
    ), int(lines.start[taken])


def _further(body: bytes, number: NDArray[np.uint8], columns: Columns) -> tuple[NDArray[np.uint16], Data]:
    """Return isotopes and further columns of atom lines that all have as many words.

    Raises:
        ValueError, IndexError: a column is not of the kind that it is said to be of.
    """
    n = len(number)
    named = (number == 1).any() and any(mark in body for mark in _ISOTOPE_SYMBOLS)
    if not columns.further and not named:
        return np.zeros(n, np.uint16), {}
    words = body.decode("latin-1").split()
    step = len(words) // n
    return further_columns([words[k::step] for k in range(step)], columns)


def _regular_frames(lines: Lines, final: bool) -> tuple[Index, Index, int]:
    """Return first lines and atom counts of the frames, if every one keeps its count; the line after the last."""
    text, start = lines.text, lines.start.tolist()
    none = np.empty(0, np.int64)
    frames: list[tuple[int, int]] = []
    i, stop = 0, len(start) - 1
    while i < stop:
        header = text[start[i] : start[i + 1]]
        n = count_of(header)
        end = i + HEADER_LINES + n
        if n <= 0 and not header.strip():
            i += 1
        elif n <= 0 or (end > stop and final):
            return none, none, 0
        elif end >= stop and not final:
            break
        else:
            frames.append((i, n))
            i = end
    first, n_atoms = np.array(frames, np.int64).reshape(-1, 2).T
    return first, n_atoms, i


def next_frame(lines: list[str], final: bool) -> int | None:
    """Return the first line where a plausible frame starts; None if there is none, or more lines are needed to say.

    Args:
        lines: without their line feeds.
        final: whether the source ends with them.
    """
    try:
        found = _Frames(lines, final, Cursor("")).next_frame(-1)
    except _UnfinishedError:
        return None
    return found if found < len(lines) else None


class _UnfinishedError(Exception):
    """The buffer ends before it is clear what a frame is."""


class _Frames:
    """Frames of a buffer one by one; decisions depend on the lines, not on where buffers were cut."""

    def __init__(self, lines: list[str], final: bool, cursor: Cursor) -> None:
        self.lines, self.final, self.cursor = lines, final, cursor

    def read(self) -> tuple[ConformerBlock, int]:
        """Return conformers and rejected frames, and the number of lines they took; a bad frame is skipped here."""
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
        """Return the line after the frame that starts at line i, and the frame or what is wrong with it."""
        n, start = count_of(self.lines[i]), i + HEADER_LINES
        stop = start + n
        reason = ""
        if n < 0:
            reason = f"expected the number of atoms, found {shown(self.lines[i])}"
        elif n == 0:
            reason = "the frame has no atoms"
        elif (broken := self._interruption(start, stop)) is not None:
            found = max(broken - start, 0)
            reason = f"{n} atoms announced, {found} found before line {self.cursor.line + broken}"
        if reason:
            return self.next_frame(i), reason
        try:
            comment = parse_comment(self.lines[i + 1])
            if stop < len(self.lines) and is_atom(self.lines[stop], comment.columns):
                reason = f"{n} atoms announced, more found at line {self.cursor.line + stop}"
                return self.next_frame(i), reason
            end, stop = stop, stop + self._trailer(i, stop)
            return stop, self._conformer(i, end, comment, record)
        except ConformerError as error:
            return stop, error.reason

    def _conformer(self, i: int, end: int, comment: Comment, record: int) -> Conformer:
        start = i + HEADER_LINES
        note = partial(self.cursor.notes.add, self.cursor.source, record)
        number, position, isotope, further = decode(
            self.lines[start:end], comment.columns, self.cursor.line + start, note
        )
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
            text=repair("\n".join(self.lines[i:end])) + "\n" if self.cursor.keep_text else "",
        )

    def _trailer(self, i: int, end: int) -> int:
        """Return how many lines of a frame of QM9 itself stand behind its atoms."""
        left = len(self.lines) - end
        if left <= 0 or _BOUNDARY.fullmatch(self.lines[end]) or not self.lines[i + 1].startswith("gdb "):
            return 0
        if left < QM9_TRAILER and not self.final:
            raise _UnfinishedError
        return QM9_TRAILER if left >= QM9_TRAILER else 0

    def _interruption(self, start: int, end: int) -> int | None:
        """Return the first of these lines that is blank or a number alone, or missing because the source ends.

        Raises:
            _UnfinishedError: the lines, and the one after them, are not all there yet.
        """
        for j in range(start, min(end, len(self.lines))):
            if _BOUNDARY.fullmatch(self.lines[j]):
                return j
        if end >= len(self.lines) and not self.final:
            raise _UnfinishedError
        return len(self.lines) if end > len(self.lines) else None

    def next_frame(self, i: int) -> int:
        """Return the first line after i where a plausible frame starts, or the end of the source."""
        for j in range(i + 1, len(self.lines)):
            if count_of(self.lines[j]) > 0 and self._is_plausible(j):
                return j
        if not self.final:
            raise _UnfinishedError
        return len(self.lines)

    def _is_plausible(self, j: int) -> bool:
        start, lines = j + HEADER_LINES, self.lines
        end = start + count_of(lines[j])
        if j + 1 < len(lines) and is_atom(lines[j + 1], Columns()):
            return False
        if any(len(line.split()) < MIN_WORDS for line in lines[start:end]):
            return False
        if self._interruption(start, end) is not None:
            return False
        return end >= len(lines) or not is_atom(lines[end], Columns())
