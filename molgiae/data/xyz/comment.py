"""Comment lines of XYZ frames: plain titles, and the key=value pairs of extended XYZ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from molgiae.data.state import charge_and_multiplicity
from molgiae.data.text import clean, shown
from molgiae.errors import ConformerError

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_ARRAY = r"(?:\{[^{}]*\}|\[(?:[^\[\]]|\[[^\[\]]*\])*\])"
_END = r"(?=[\s,;]|$)"
_PAIR = re.compile(
    rf"({_QUOTED}(?=\s*=|\s|$)|[^\s=]+)(?:\s*=\s*((?:{_QUOTED}|{_ARRAY}){_END}|\S+))?", re.ASCII
)
"""A key, and its value unless it is a bare word."""
PLAIN_PAIR = re.compile(
    rf"(?:^|(?<=[\s;,|]))([^\s=:;,|\"']+)\s*(?:=\s*({_QUOTED}|[^\s;,|]+)|:\s*([^\s;,|=]+)(?=[\s;,|]|$))"
    rf"|(?:^|(?<=[\s;,|=])){_QUOTED}",
    re.ASCII,
)
"""A key and its value behind ``=`` or ``:``; or a quotation, in which there are none."""
_ESCAPED = re.compile(r"\\([\\\"'n])")
_ESCAPES = {"n": "\n"}
_EXTENDED = re.compile(r"(?:^|\s)(?:Properties|Lattice)\s*=", re.IGNORECASE | re.ASCII)
_WIDTH = re.compile(r"\d+", re.ASCII)
TITLE_KEYS = ("title", "name", "config_type")
"""Keys whose value is the title of an extended frame, the best first."""

KINDS = {"f": "R", "i": "I", "b": "L", "U": "S"}
"""Kinds of numpy arrays to those of columns."""


class Further(NamedTuple):
    """Columns of the atom lines under one name, of R real numbers, I integers, L logical values or S text."""

    name: str
    kind: str
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Columns:
    """Where an atom line holds its element, the first of its three coordinates, and what else is named."""

    species: int = 0
    position: int = 1
    further: tuple[Further, ...] = ()

    @property
    def width(self) -> int:
        """Words that an atom line has at least."""
        return max(self.species + 1, self.position + 3, *(one.start + one.width for one in self.further))


class Comment(NamedTuple):
    """What a comment line says."""

    title: str = ""
    charge: int = 0
    multiplicity: int = 0
    columns: Columns = Columns()
    properties: Mapping[str, str] = {}


def parse_comment(line: str) -> Comment:
    """Read a comment line; extended XYZ if it has ``Properties=`` or ``Lattice=``, else the title.

    Charge and multiplicity are taken from both. Lattice and pbc are kept as properties, not used.

    Raises:
        ConformerError: ``Properties=`` names no species or no positions.
    """
    if "=" not in line:
        return Comment(clean(line))
    if not _EXTENDED.search(line):
        return Comment(clean(line), *charge_and_multiplicity(plain_pairs(line, colons=False)))
    found = _PAIR.findall(line)
    pairs = {unquoted(key): unquoted(value) for key, value in found if value}
    title = next((pairs[key] for key in TITLE_KEYS if key in pairs), "")
    layout = next((value for key, value in pairs.items() if key.lower() == "properties"), "")
    columns = columns_of(layout) if layout else Columns()
    pairs |= {unquoted(word): "T" for word, value in found if not value and word.strip(",;")}
    return Comment(title, *charge_and_multiplicity(pairs), columns, pairs)


def plain_pairs(line: str, *, colons: bool = True) -> dict[str, str]:
    """Read the pairs ``key=value``, and ``key: value`` with `colons`, among words; quotations hold none."""
    found = PLAIN_PAIR.findall(line)
    return {
        clean(key): unquoted(value or other) for key, value, other in found if value or (colons and other)
    }


def unquoted(word: str) -> str:
    """Return a key or value without the quotation marks around it and the escapes in it."""
    word = clean(word)
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        return _ESCAPED.sub(lambda escaped: _ESCAPES.get(escaped[1], escaped[1]), word[1:-1])
    return word


@lru_cache(maxsize=64)
def columns_of(layout: str) -> Columns:
    """Read the value of ``Properties``, for instance ``species:S:1:pos:R:3:forces:R:3``.

    Raises:
        ConformerError: it cannot be read, or names no species or no positions.
    """
    words = layout.split(":")
    names, kinds, widths = words[::3], words[1::3], words[2::3]
    if len(words) % 3 or not set(kinds) <= set("RILS") or not all(map(_WIDTH.fullmatch, widths)):
        raise ConformerError(f"Properties cannot be read: {shown(layout)}")
    column: dict[str, Further] = {}
    start = 0
    for name, kind, width in zip(names, kinds, map(int, widths), strict=True):
        column[name.lower()] = Further(name, kind, start, width)
        start += width
    species = next((column.pop(key) for key in ("species", "z") if key in column), None)
    position = next((column.pop(key) for key in ("pos", "positions") if key in column), None)
    if species is None or position is None or (species.width, position.width) != (1, 3):
        raise ConformerError(f"Properties needs species:S:1 and pos:R:3, found {shown(layout)}")
    further = tuple(one for one in column.values() if one.width)
    return Columns(species.start, position.start, further)
