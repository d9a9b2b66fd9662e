"""CSV files: their delimiter, their column of titles, and cells that no spreadsheet evaluates when it opens a table.

A spreadsheet evaluates cells that start with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return (OWASP, CSV
injection). Such a cell, unless it holds numbers alone, is written behind an apostrophe, and so is one that starts with
apostrophes in front of one of these, so that `as_given` is the exact inverse of `inert`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

DELIMITERS = ",\t;"
TITLE_COLUMNS = ("title", "name", "id", "index", "molecule", "compound")
"""Names of the column of titles, or their last word after ``_``, the best first."""

_LIVE = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)


def delimiter_in(heading: str) -> str:
    """Return what stands between the columns of a table with this first line: comma, tab or semicolon."""
    return max(DELIMITERS, key=heading.count)


def title_column(names: Sequence[str]) -> int | None:
    """Return which of the columns of these names holds titles; None if no name says so."""
    words = [name.lower().replace(" ", "_").rpartition("_")[2] for name in names]
    return next((words.index(name) for name in TITLE_COLUMNS if name in words), None)


def inert(cell: object) -> object:
    """Return the cell as it is written: text that a spreadsheet would evaluate stands behind an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and _LIVE.match(cell) and not _is_numbers(cell) else cell


def as_given(cell: str) -> str:
    """Return the text of which `inert` made this cell."""
    return cell[1:] if cell.startswith("'") and _LIVE.match(cell) else cell


def _is_numbers(cell: str) -> bool:
    """Return whether a cell is a number, or several with blanks between them, as of a rotation."""
    try:
        return bool([float(word) for word in cell.split()])
    except ValueError:
        return False


class CsvWriter:
    """A `csv.writer` of inert cells; the one way in which text of the user gets into a CSV file.

    Args:
        file: to write to.
        delimiter: between cells.
        line_end: behind rows.
    """

    def __init__(self, file: SupportsWrite[str], delimiter: str = ",", line_end: str = "\r\n") -> None:
        self._rows = csv.writer(file, delimiter=delimiter, lineterminator=line_end)

    def row(self, cells: Iterable[object]) -> None:
        """Write one row."""
        self._rows.writerow(map(inert, cells))

    def rows(self, rows: Iterable[Iterable[object]]) -> None:
        """Write rows."""
        self._rows.writerows(map(inert, cells) for cells in rows)
