"""Numbers and words as text files hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from molgiae.errors import ConformerError

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[dD]|\*\^)[-+]?\d+", re.ASCII)
_EXPONENT = re.compile(r"[dD]|\*\^")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

MAX_SHOWN = 60
"""Characters of a line of input in an error message."""
MAX_TITLE = 200
"""Characters kept of the title of a rejected record, which may be any garbage."""


def parse_number(word: str) -> float:
    """A finite number: plain, with an exponent, with a Fortran ``D`` or a Mathematica ``*^`` exponent (QM9).

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
    """Text that was decoded as Latin-1 byte by byte, read again as UTF-8 where it is that; other text as it is."""
    if latin.isascii():
        return latin
    try:
        return latin.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return latin


def verbatim(latin: str) -> str:
    """One line of a value: decoded, with its indentation, without control characters but tabs."""
    line = repair(latin)
    return line if line.isprintable() else _CONTROL.sub("", line)


def clean(latin: str) -> str:
    """One line for titles and names: decoded, without surrounding space or control characters."""
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
    """A line of input, shortened for an error message."""
    line = clean(line)
    return f"'{line[:MAX_SHOWN]}...'" if len(line) > MAX_SHOWN else f"'{line}'"
