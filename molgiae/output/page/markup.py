"""HTML from text: whatever is not HTML already is escaped, so that no title can become a part of the page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Html(str):
    """Text that is HTML already."""


def tag(name: str, *children: str, **attributes: object) -> Html:
    """Return an element with children, of which those that are no `Html` are escaped.

    A trailing underscore of the name of an attribute is left out, other ones become hyphens.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{named}>{joined(children)}</{name}>")


def joined(parts: Iterable[str]) -> Html:
    """Return parts one after another, escaped where they are no `Html`."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> Html:
    """Return a table with a row of cells for each of some rows; empty if there are none."""
    lines = [tag("tr", *(tag("td", _cell(cell)) for cell in row)) for row in rows]
    top = [tag("tr", *(tag("th", cell) for cell in head))] if head else []
    return tag("table", *top, *lines) if lines else Html("")


def _cell(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def section(title: str, *children: str, **attributes: object) -> Html:
    """Return a part of the page with a heading; empty if it has no children but empty ones."""
    return tag("section", tag("h2", title), *children, **attributes) if any(children) else Html("")


def data(name: str, value: Any) -> Html:
    """Return an element with data for scripts, in which nothing can end it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Html(f'<script type="application/json" id="{name}">{text}</script>')
