"""Where values stand: in the properties of records, in a table keyed by title, in the arrays of an npz file."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.csv_cells import as_given, delimiter_in, title_column
from molgiae.data.npz import open_npz
from molgiae.data.readers import CHUNK_SIZE
from molgiae.data.sources import ByteStream, Source
from molgiae.data.text import clean, parse_number, shown
from molgiae.data.xyz.comment import PLAIN_PAIR, plain_pairs
from molgiae.errors import ConfigError, ConformerError
from molgiae.properties.units import canonical_unit, dimension_of

COMMENT = "comment line"
"""Column of numbers that stand in front of the comment lines of XYZ frames, alone or before ``key=value`` pairs."""
ENERGY = "energy"
"""Name of an energy in comment lines; where none has it, what stands for it is the number in front."""
PROGRAM_UNIT = "Ha"
"""Unit of the energies that CREST, GOAT (ORCA) and xtb write into comment lines: hartree."""
QM9_COLUMNS = (
    "A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv",
)  # fmt: skip
"""What stands behind ``gdb`` and a number in the comment lines of QM9's own XYZ files (Sci. Data 1, 140022, 2014)."""

_ORCA = re.compile(r"Coordinates from ORCA-job \S+ E\s+(\S+)")
_XTB_KEYS = frozenset(("energy", "gnorm", "xtb"))
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)

Words = list[str | None]


@dataclass(frozen=True)
class Column:
    """Values of M conformers.

    Attributes:
        values: (M,) float64, NaN where missing.
        reasons: why, by the index of the conformer.
        units: those that stand behind the numbers themselves, as in ``-40.5 Ha``; "" for none.
    """

    values: NDArray[np.float64]
    reasons: dict[int, str] = field(default_factory=dict)
    units: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Columns:
    """A source of values, in the order of the conformers.

    Attributes:
        where: name of the source, for errors.
        headings: names of its columns.
        words: of a heading to its cells as text; None where a conformer has no row or no such property.
        absent: of a heading to the reason against conformers without a cell.
        by_number: whether columns are called by their numbers, from 1, for want of names.
        unused: titles of a table that no conformer has.
    """

    where: str
    headings: tuple[str, ...]
    words: Callable[[str], Words]
    absent: Callable[[str], str]
    by_number: bool = False
    unused: int = 0

    def column(self, heading: str) -> Column:
        """Return the cells of a column as numbers."""
        words = self.words(heading)
        values = np.full(len(words), np.nan)
        reasons: dict[int, str] = {}
        units = set()
        for m, word in enumerate(words):
            if word is None:
                reasons[m] = self.absent(heading)
                continue
            try:
                values[m], unit = _quantity(word)
                units.add(unit)
            except ConformerError:
                wrong = f"its value {shown(word)} is not a finite number"
                reasons[m] = wrong if word.strip() else "its value is empty"
        return Column(values, reasons, frozenset(units))


def property_columns(block: ConformerBlock, where: str) -> Columns:
    """SD data, properties of extended XYZ and HDF5; ``key=value`` or a bare number in the comments of XYZ."""
    rows = [properties_of(conformer) for conformer in block]
    headings = tuple(dict.fromkeys(key for row in rows for key in row))
    called = {COMMENT: "number alone in its comment line"}
    return Columns(
        where,
        headings,
        lambda heading: [row.get(heading) for row in rows],
        lambda heading: f"has no {called.get(heading, f'property {heading}')}",
    )


def array_columns(path: str | os.PathLike[str], size: int) -> Columns:
    """Arrays of an npz file with one number for each of so many conformers."""
    with open_npz(Path(path)) as file:
        arrays = {name: file[name] for name in file.files}
    fitting = {
        name: array
        for name, array in arrays.items()
        if isinstance(array, np.ndarray) and array.shape == (size,) and array.dtype.kind in "iuf"
    }

    def words(heading: str) -> Words:
        return [str(value) if math.isfinite(value) else None for value in fitting[heading].tolist()]

    return Columns(os.fspath(path), tuple(fitting), words, lambda heading: f"has no {heading}")


def table_columns(
    path: str | os.PathLike[str], titles: Sequence[str], title_column: str | None = None
) -> Columns:
    """Read a CSV file, also .gz, with a row for each title; comma, tab or semicolon between the columns.

    Without a line of names on top the columns are called by their numbers, from 1. Conformers may share titles; the
    column of titles is found by name if it is not named.

    Raises:
        ConfigError: the file cannot be read, has no such column, or none of the titles, or rows of one title disagree.
    """
    where = os.fspath(path)
    cells, headings = _read_rows(where)
    at = _title_at(headings, title_column, where)
    lines: dict[str, list[int]] = {}
    for line, row in cells.items():
        lines.setdefault(_key(_cell(row, at)), []).append(line)
    wanted = [_key(title) for title in titles]
    shared = lines.keys() & set(wanted)
    if titles and not shared:
        theirs, ours = (", ".join(map(shown, list(dict.fromkeys(keys))[:2])) for keys in (lines, wanted))
        raise ConfigError(
            f"{where}: column {headings[at]} has none of the titles of the structures: it starts with "
            f"{theirs}, these with {ours}"
        )

    def words(heading: str) -> Words:
        column = headings.index(heading)
        found = {title: _cell(cells[lines[title][0]], column) for title in shared}
        for title in shared:
            for line in lines[title][1:]:
                first, word = found[title], _cell(cells[line], column)
                if word.strip() != first.strip():
                    raise ConfigError(
                        f"{where}, lines {lines[title][0]} and {line}: title {shown(title)} stands twice with unlike "
                        f"values of {heading}, {shown(first)} and {shown(word)}; give every record a title of its own"
                    )
        return [found.get(title) for title in wanted]

    absent = f"its title is not in {Path(where).name}"
    by_number = bool(headings) and headings[0] == "1"
    return Columns(where, headings, words, lambda _: absent, by_number, len(lines.keys() - shared))


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _title_at(headings: tuple[str, ...], wanted: str | None, where: str) -> int:
    if wanted is not None:
        if wanted not in headings:
            raise ConfigError(f"{where}: no column {wanted}; there are {', '.join(headings)}")
        return headings.index(wanted)
    return title_column(headings) or 0


def _key(title: str) -> str:
    return " ".join(clean(title).split())


def _read_rows(name: str) -> tuple[dict[int, list[str]], tuple[str, ...]]:
    """Return rows by line, and headings."""
    stream = ByteStream(Source(name), CHUNK_SIZE)
    text = b"".join(stream).decode("utf-8", "replace")
    if stream.damage:
        raise ConfigError(f"{name}: cannot be read: {stream.damage}")
    if "\0" in text:
        raise ConfigError(f"{name}: is no table of text")
    heading = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_in(heading))
    rows: dict[int, list[str]] = {}
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows[reader.line_num] = list(map(as_given, row))
    except csv.Error as error:
        raise ConfigError(f"{name}, line {reader.line_num}: not a row of a table: {error}") from error
    if not rows:
        raise ConfigError(f"{name}: is empty")
    top = next(iter(rows))
    names = [clean(cell) for cell in rows[top]]
    if any(map(_is_number, names)):
        return rows, tuple(str(k + 1) for k in range(len(names)))
    return {line: row for line, row in rows.items() if line != top}, tuple(names)


def properties_of(conformer: Conformer) -> Mapping[str, str]:
    """Return properties of a record; where an XYZ frame has none, those that its comment line says in other ways."""
    comment = "" if conformer.properties else _comment_of(conformer)
    if not comment:
        return conformer.properties
    words = comment.split()
    if words[0] == "gdb" and len(words) == 2 + len(QM9_COLUMNS):
        return dict(zip(QM9_COLUMNS, words[2:], strict=True))
    return _in_comment(comment)


def _comment_of(conformer: Conformer) -> str:
    """Return the comment line of an XYZ frame, by its text; empty for other records."""
    header, _, rest = conformer.text.lstrip().partition("\n")
    return clean(rest.partition("\n")[0]) if header.strip().isdecimal() else ""


def _in_comment(comment: str) -> dict[str, str]:
    """Return pairs of a comment line, the number in front of them, energies of xtb and ORCA with their unit."""
    if found := _ORCA.fullmatch(comment):
        return {ENERGY: f"{found[1]} {PROGRAM_UNIT}"}
    pairs = plain_pairs(comment)
    if pairs.keys() >= _XTB_KEYS:
        return pairs | {ENERGY: f"{pairs[ENERGY]} {PROGRAM_UNIT}"}
    number = comment.split(maxsplit=1)[0]
    alone = not _beside_pairs(comment.removeprefix(number))
    if alone and _is_number(number) and not _WHOLE.fullmatch(number):  # whole numbers number the frames
        return {COMMENT: number, **pairs}
    return pairs


def _beside_pairs(comment: str) -> bool:
    """Return whether a comment has words that belong to no pair; but for numbers and the marks of CREST, as ``!t1``."""
    words = PLAIN_PAIR.sub(" ", comment).split()
    return any(any(map(str.isalnum, word)) and word[0] != "!" and not _is_number(word) for word in words)


def is_energy_alone(conformer: Conformer, name: str = ENERGY) -> bool:
    """Return whether the comment line of an XYZ frame tells an energy and not what the molecule is called."""
    comment = "" if conformer.properties else _comment_of(conformer)
    row = _in_comment(comment) if comment else {}
    if COMMENT in row or _ORCA.fullmatch(comment):
        return True
    return bool(row.keys() & {name, ENERGY}) and not _beside_pairs(comment)


class Energy(NamedTuple):
    """An energy as it stands in a record, the unit there, and that which programs mean that write such a line."""

    value: float
    unit: str
    default_unit: str


def energy_of(conformer: Conformer, name: str) -> Energy:
    """Read the energy of a record: the property, or what the comment line of XYZ says.

    "energy" is also the number in front of a comment line, `COMMENT` that alone.

    Raises:
        ConformerError: there is none, or it is no number.
    """
    row = properties_of(conformer)
    heading = COMMENT if name not in row and name == ENERGY else name
    if heading not in row:
        raise ConformerError(f"has no property '{name}' for the energy")
    try:
        value, unit = _quantity(row[heading])
    except ConformerError:
        raise ConformerError(f"property '{name}' is {shown(row[heading])}, expected an energy") from None
    return Energy(value, unit, PROGRAM_UNIT if heading == COMMENT else "")


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ConformerError:
        return False
    return True


def _quantity(word: str) -> tuple[float, str]:
    """Return a number and the unit behind it, empty if there is none; a ConformerError for anything else."""
    number, _, unit = word.strip().partition(" ")
    if unit and dimension_of(unit) is None:
        raise ConformerError("words behind the number")
    return parse_number(number), canonical_unit(unit) if unit else ""
