"""Comment lines of XYZ frames: plain titles, and the key=value pairs of extended XYZ."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from molgiae.data.fields import clean, shown
from molgiae.errors import ConformerError

_VALUE = r"""("(?:[^"\\]|\\.)*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|\S+)"""
_PAIR = re.compile(r"([A-Za-z_][\w./-]*)\s*=\s*" + _VALUE, re.ASCII)
_EXTENDED = re.compile(r"(?:^|\s)(?:Properties|Lattice)\s*=", re.IGNORECASE | re.ASCII)
_CHARGE = re.compile(
    r"(?:^|[\s;,])(?:total_)?charge\s*=\s*[\"']?([-+]?\d+)(?:\.0*)?(?![\w.])", re.IGNORECASE | re.ASCII
)
_TITLE_KEYS = ("title", "name", "config_type")


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
    found = _CHARGE.search(line)
    charge = int(found[1]) if found else 0
    if not _EXTENDED.search(line):
        return Comment(clean(line), charge)
    pairs = {clean(key): _unquoted(value) for key, value in _PAIR.findall(line)}
    title = next((pairs[key] for key in _TITLE_KEYS if key in pairs), "")
    layout = next((value for key, value in pairs.items() if key.lower() == "properties"), "")
    return Comment(title, charge, columns_of(layout) if layout else Columns(), pairs)


def _unquoted(value: str) -> str:
    value = clean(value)
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].replace('\\"', '"')
    return value


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
