"""SD data items behind a connection table: names, and values to the letter (BIOVIA, CTfile Formats).

Inside a value a blank line would end it, and a line that starts with ``$$$$`` or ``> <`` would start something else.
Such lines stand in a file behind one blank of their own, which is taken off when they are read; lines that look like
that already get one more, so that every value comes back as it was and every file is written as it was read.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from molgiae.data.text import clean, verbatim
from molgiae.errors import ConformerError

UNNAMED = "unnamed"
"""Name written for an empty one; readers stop at ``> <>``, and RDKit drops the record."""

BLANKS = " \t\f\v"
LINE_END = re.compile(r"\r\n|\r|\n")
_ATOM_LINE = re.compile(r"(?:\s*-?\d+\.\d{4}){3} [A-Z*]", re.ASCII)
_NAME = re.compile(r"<(.*)>")
_NEW_ITEM = re.compile(r">\s.*<.+>")
_SHIELDED = re.compile(r" *(?:\$\$\$\$|>\s.*<.+>|$)")


def parse_items(lines: Sequence[str]) -> dict[str, str]:
    """Read the items; the lines of a value, with their indentation, are joined with line feeds.

    Raises:
        ConformerError: atoms stand where data items should: a ``$$$$`` is missing.
    """
    items: dict[str, list[str]] = {}
    value: list[str] | None = None
    after_blank = True
    for line in lines:
        blank = not line.strip(BLANKS)
        if line.startswith(">") and (after_blank or _NEW_ITEM.match(line)):
            name = _NAME.search(line)
            value = items[clean(name[1] if name else line[1:])] = []
        else:
            if (value is None or after_blank) and _ATOM_LINE.match(line):
                raise ConformerError("atoms found among the data items: a $$$$ line is missing")
            if value is not None:
                shielded = line.startswith(" ") and _needs_shield(line, after_blank)
                value.append(verbatim(line[1:] if shielded else line))
        after_blank = blank
    return {name: "\n".join(value).rstrip("\n") for name, value in items.items()}


def render_items(properties: Mapping[str, str]) -> str:
    """Write the items, each with the blank line that ends it."""
    names: dict[str, str] = {}
    for key, value in properties.items():
        names[free_name(item_name(key), names)] = value
    return "".join(f">  <{name}>\n{_value(value)}\n\n" for name, value in names.items())


def item_name(key: str) -> str:
    """Return the name under which a property of this key is written, if that is not taken."""
    return LINE_END.sub(" ", key).strip() or UNNAMED


def free_name(name: str, taken: Container[str]) -> str:
    """Return the name itself, with ``_`` behind it as long as it is taken."""
    while name in taken:
        name += "_"
    return name


def _value(value: str) -> str:
    lines = LINE_END.split(value)
    if lines == [""]:
        return ""
    before = ["-", *lines]
    return "\n".join(
        f" {line}" if _needs_shield(line, not previous.strip(BLANKS)) else line
        for previous, line in zip(before, lines, strict=False)
    )


def _needs_shield(line: str, after_blank: bool) -> bool:
    return bool(_SHIELDED.match(line)) or (after_blank and line.lstrip(" ").startswith(">"))
