"""Comment lines of XYZ frames: plain titles, and the key=value pairs of extended XYZ."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from molgiae.data.fields import clean, shown
from molgiae.errors import ConformerError

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_ARRAY = r"(?:\{[^{}]*\}|\[(?:[^\[\]]|\[[^\[\]]*\])*\])"
_END = r"(?=[\s,;]|$)"
_PAIR = re.compile(
    rf"({_QUOTED}(?=\s*=|\s|$)|[^\s=]+)(?:\s*=\s*((?:{_QUOTED}|{_ARRAY}){_END}|\S+))?", re.ASCII
)
"""A key, and its value unless it is a bare word."""
_PLAIN_PAIR = re.compile(
    rf"(?:^|(?<=[\s;,|]))([^\s=:;,|\"']+)\s*(?:=\s*({_QUOTED}|[^\s;,|]+)|:\s*([^\s;,|=]+)(?=[\s;,|]|$))"
    rf"|(?:^|(?<=[\s;,|=])){_QUOTED}",
    re.ASCII,
)
"""A key and its value behind ``=`` or ``:``; or a quotation, in which there are none."""
_ESCAPED = re.compile(r"\\([\\\"'n])")
_ESCAPES = {"n": "\n"}
_EXTENDED = re.compile(r"(?:^|\s)(?:Properties|Lattice)\s*=", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"([-+]?\d+)(?:\.0*)?[,;]?", re.ASCII)
_CHARGE_KEYS = ("charge", "total_charge")
TITLE_KEYS = ("title", "name", "config_type")
"""Keys whose value is the title of an extended frame, the best first."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where an atom line holds its element and the first of its three coordinates."""

    species: int = 0
    position: int = 1


@dataclass(frozen=True, slots=True)
class Comment:
    """What a comment line says."""

    title: str = ""
    charge: int = 0
    columns: Columns = Columns()
    properties: dict[str, str] = field(default_factory=dict)


def parse_comment(line: str) -> Comment:
    """Read a comment line; extended XYZ if it has ``Properties=`` or ``Lattice=``, else the title.

    ``charge=`` and ``total_charge=`` are heeded in both. Lattice and pbc are kept as properties, not used.

    Raises:
        ConformerError: ``Properties=`` names no species or no positions.
    """
    if "=" not in line:
        return Comment(clean(line))
    if not _EXTENDED.search(line):
        return Comment(clean(line), _whole(plain_pairs(line, colons=False), _CHARGE_KEYS))
    found = _PAIR.findall(line)
    pairs = {unquoted(key): unquoted(value) for key, value in found if value}
    title = next((pairs[key] for key in TITLE_KEYS if key in pairs), "")
    layout = next((value for key, value in pairs.items() if key.lower() == "properties"), "")
    columns = columns_of(layout) if layout else Columns()
    pairs |= {unquoted(word): "T" for word, value in found if not value and word.strip(",;")}
    return Comment(title, _whole(pairs, _CHARGE_KEYS), columns, pairs)


def plain_pairs(line: str, *, colons: bool = True) -> dict[str, str]:
    """Read the pairs ``key=value`` of words of any kind; what stands in quotation marks holds none.

    Args:
        line: words.
        colons: whether ``key: value`` is a pair, too.
    """
    found = _PLAIN_PAIR.findall(line)
    return {
        clean(key): unquoted(value or other) for key, value, other in found if value or (colons and other)
    }


def _whole(pairs: Mapping[str, str], names: Collection[str]) -> int:
    """The whole number that is the value of one of these keys, in any case; 0 if there is none."""
    values = (_WHOLE.fullmatch(value) for key, value in pairs.items() if key.lower() in names)
    return next((int(value[1]) for value in values if value), 0)


def unquoted(word: str) -> str:
    """A key or value without the quotation marks around it, and what these had made necessary."""
    word = clean(word)
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        return _ESCAPED.sub(lambda escaped: _ESCAPES.get(escaped[1], escaped[1]), word[1:-1])
    return word


@lru_cache(maxsize=64)
def columns_of(layout: str) -> Columns:
    """Columns from the value of ``Properties``, for instance ``species:S:1:pos:R:3:forces:R:3``.

    Raises:
        ConformerError: it cannot be read, or names no species or no positions.
    """
    words = layout.split(":")
    names, widths = words[::3], words[2::3]
    if len(words) % 3 or not all(width.isascii() and width.isdecimal() for width in widths):
        raise ConformerError(f"Properties cannot be read: {shown(layout)}")
    start, column = 0, {}
    for name, width in zip(names, widths, strict=True):
        column[name.lower()] = start, int(width)
        start += int(width)
    species = column.get("species", column.get("z", (0, 0)))
    position = column.get("pos", column.get("positions", (0, 0)))
    if species[1] != 1 or position[1] != 3:
        raise ConformerError(f"Properties needs species:S:1 and pos:R:3, found {shown(layout)}")
    return Columns(species[0], position[0])
