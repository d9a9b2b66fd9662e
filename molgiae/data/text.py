"""Text as files hold it: numbers, words, and the lines of a buffer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConformerError

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[dD]|\*\^)[-+]?\d+", re.ASCII)
_EXPONENT = re.compile(r"[dD]|\*\^")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

MAX_SHOWN = 60
"""Characters of a line of input in an error message."""
MAX_TITLE = 200
"""Characters kept of the title of a rejected record, which may be any garbage."""


def parse_number(word: str) -> float:
    """Read a finite number: plain, with an exponent, with a Fortran ``D`` or a Mathematica ``*^`` exponent (QM9).

    Raises:
        ConformerError: NaN, infinite, or not a number.
    """
    word = word.strip()
    try:
        number = float(word)
    except ValueError:
        number = float(_EXPONENT.sub("e", word)) if _NUMBER.fullmatch(word) else math.nan
    if math.isfinite(number) and "_" not in word:
        return number + 0.0  # no negative zero
    raise ConformerError(f"coordinate '{word[:MAX_SHOWN]}' is not a finite number")


def repair(latin: str) -> str:
    """Return text that was decoded as Latin-1 byte by byte, read again as UTF-8 where it is that, else as it is."""
    if latin.isascii():
        return latin
    try:
        return latin.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return latin


def verbatim(latin: str) -> str:
    """Return one line of a value: decoded, with its indentation, without control characters but tabs."""
    line = repair(latin)
    return line if line.isprintable() else _CONTROL.sub("", line)


def clean(latin: str) -> str:
    """Return one line for titles and names: decoded, without surrounding space or control characters."""
    line = repair(latin).strip()
    return line if line.isprintable() else _CONTROL.sub("", line).strip()


def nul_fault(lines: Iterable[str], first_line: int) -> str:
    """Return where lines hold a NUL byte, which no text has: it was damaged, or never was text. Empty if none does."""
    for number, line in enumerate(lines, first_line):
        if "\0" in line:
            return (
                f"line {number}: has a NUL byte, which no text has; the file is damaged, or of another format"
            )
    return ""


def shown(line: str) -> str:
    """Return a line of input, shortened for an error message."""
    line = clean(line)
    return f"'{line[:MAX_SHOWN]}...'" if len(line) > MAX_SHOWN else f"'{line}'"


Index = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


class Lines:
    """Lines of a buffer.

    Attributes:
        text: the buffer, each byte a character.
        view: its bytes.
        start: (L + 1,) offset of the first byte of each line, and of what follows the last one.
        width: (L,) bytes of each line, without its line feed.
        end: (L,) offset of the line feed of each line.
    """

    def __init__(self, buffer: bytes) -> None:
        self.text = buffer.decode("latin-1")
        self.view = np.frombuffer(buffer, np.uint8)
        self.end: Index = np.flatnonzero(self.view == ord("\n"))
        self.start: Index = np.append(0, self.end + 1)
        self.width: Index = self.end - self.start[:-1]

    def texts(self, first: Index, last: Index) -> list[str]:
        """Return the text from each first line to each last one, which is left out."""
        bounds = zip(self.start[first].tolist(), self.start[last].tolist(), strict=True)
        return [self.text[start:end] for start, end in bounds]

    def records(self, first: Index, last: Index, *, keep: bool) -> list[str]:
        """Return the texts as users know them; empty ones if they are not to be kept."""
        texts = self.texts(first, last) if keep else [""] * len(first)
        return texts if self.text.isascii() else [repair(text) for text in texts]

    def columns(self, line: Index, width: int, first: int = 0) -> tuple[Bytes, Mask]:
        """Return the (len(line), width) bytes from column `first` on, and which lines are long enough."""
        long = self.width[line] >= first + width
        if width > len(self.view):
            return np.zeros((len(line), width), np.uint8), long
        windows = np.ndarray((len(self.view) - width + 1,), f"V{width}", self.view, strides=(1,))
        rows = windows[np.where(long, self.start[line] + first, 0)]
        return rows.view(np.uint8).reshape(-1, width), long

    def starting(self, mark: bytes, among: Index | None = None, column: int = 0) -> Index:
        """Return the lines, of those in `among`, that have `mark` at `column`."""
        if among is None:
            among = np.flatnonzero(self.width >= column + len(mark))
            among = among[self.view[self.start[among] + column] == mark[0]]
        rows, long = self.columns(among, len(mark), column)
        return among[(rows == np.frombuffer(mark, np.uint8)).all(axis=1) & long]


def two_byte_table(values: Mapping[str, int]) -> Bytes:
    """Return a table (65536,) of the values of words by their two bytes, 0 for no word; longer ones are left out."""
    table = np.zeros(1 << 16, np.uint8)
    for word, value in values.items():
        if len(word) <= 2:
            first, second = word.ljust(2).encode()
            table[first | second << 8] = value
    return table


def split_lines(text: str) -> list[str]:
    """Return the lines of a text that ends with a line end, without carriage returns."""
    return text.replace("\r", "").split("\n")[:-1]
