"""Atom lines of one XYZ frame: element and coordinates by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import ISOTOPE
from molgiae.data.fields import parse_number, shown
from molgiae.data.xyz.comment import Columns, Further
from molgiae.data.xyz.species import SPECIES, elements_of, meanings, types_fault
from molgiae.errors import ConformerError

ISOTOPE_COLUMN = "isotope"
"""Column of mass numbers, 0 for natural atoms, which molgiae writes where symbols cannot name the isotopes."""

_TRUE, _FALSE = frozenset(("T", "TRUE", "1")), frozenset(("F", "FALSE", "0"))

Atoms = tuple[NDArray[np.uint8], NDArray[np.float64], dict[str, NDArray[Any]]]
"""Elements, coordinates and further columns, among them `ISOTOPE_COLUMN` where there is one or a symbol names one."""


def decode(lines: Sequence[str], columns: Columns) -> Atoms:
    """Elements and coordinates of lines that all have the same number of columns.

    Returns:
        (n,) atomic numbers, (n, 3) positions, angstrom, and further columns.

    Raises:
        ValueError: a number is not plain and finite, lines differ in their number of columns, or types stand for
            elements.
        KeyError: an unknown element, or an atom name.
    """
    step = len(lines[0].split()) + 1
    text = " ; ".join(lines)
    words = text.split()
    marks = words[step - 1 :: step]
    if len(words) != step * len(lines) - 1 or marks.count(";") != len(lines) - 1 or "_" in text:
        raise ValueError("lines differ in their number of columns")
    if step - 1 < _width(columns):
        raise ValueError("too few columns")
    species = words[columns.species :: step]
    number = np.fromiter(map(SPECIES.__getitem__, species), np.uint8, len(lines))
    position = np.empty((len(lines), 3))
    for axis in range(3):
        position[:, axis] = np.fromiter(
            map(float, words[columns.position + axis :: step]), np.float64, len(lines)
        )
    if not np.isfinite(position).all():
        raise ValueError("a coordinate is not finite")
    position += 0.0  # no negative zero
    if types_fault(species, number, position):
        raise ValueError("types, not elements")
    return number, position, further_columns(species, [words[k::step] for k in range(step - 1)], columns)


def decode_carefully(
    lines: Sequence[str], columns: Columns, first_line: int, note: Callable[[str], object] = str
) -> Atoms:
    """As `decode`, line by line, also with atom names; says what is wrong, and by `note` what was decided."""
    position = np.zeros((len(lines), 3))
    for i, line in enumerate(lines):
        try:
            position[i] = _atom(line, columns)
        except ConformerError as error:
            reason = f"line {first_line + i}: atom {i + 1} of {len(lines)}: {error.reason}"
            raise ConformerError(reason) from error
    words = [line.split() for line in lines]
    by_column = [[row[k] for row in words] for k in range(_width(columns))]
    species = by_column[columns.species]
    number = elements_of(species, position, note)
    if fault := types_fault(species, number, position):
        raise ConformerError(fault)
    try:
        return number, position, further_columns(species, by_column, columns)
    except ValueError as error:
        raise ConformerError(f"from line {first_line} on: {error}") from error


def further_columns(
    species: Sequence[str], words: Sequence[Sequence[str]], columns: Columns
) -> dict[str, NDArray[Any]]:
    """Return the further columns of atom lines, and the isotopes that symbols name, as arrays.

    Args:
        species: symbols of n atoms.
        words: of each column, n words.
        columns: what they mean.

    Raises:
        ValueError: a word is not of the kind that its column is said to be of.
    """
    found: dict[str, NDArray[Any]] = {}
    for one in columns.further:
        values = [_of_kind(one, words[k]) for k in range(one.start, one.start + one.width)]
        found[one.name] = values[0] if one.width == 1 else np.stack(values, axis=1)
    if not ISOTOPE.keys().isdisjoint(species):
        named = np.array([ISOTOPE.get(symbol, 0) for symbol in species], np.int64)
        found[ISOTOPE_COLUMN] = np.where(named > 0, named, found.get(ISOTOPE_COLUMN, 0))
    return found


def _of_kind(column: Further, words: Sequence[str]) -> NDArray[Any]:
    try:
        match column.kind:
            case "R":
                return np.array(list(map(float, words)))
            case "I":
                return np.array(list(map(int, words)), np.int64)
            case "S":
                return np.array(words, str)
    except ValueError as error:
        raise ValueError(f"column {column.name}: {error}") from error
    if not _TRUE.union(_FALSE).issuperset(map(str.upper, words)):
        raise ValueError(f"column {column.name}: expected T or F")
    return np.array([word.upper() in _TRUE for word in words])


def split_isotope(
    columns: dict[str, NDArray[Any]], n: int
) -> tuple[NDArray[np.uint16], dict[str, NDArray[Any]]]:
    """Return mass numbers (n,) and the columns without them."""
    rest = {name: values for name, values in columns.items() if name != ISOTOPE_COLUMN}
    mass = columns.get(ISOTOPE_COLUMN)
    if mass is None or mass.ndim != 1 or mass.dtype.kind != "i" or not ((mass >= 0) & (mass < 1000)).all():
        return np.zeros(n, np.uint16), rest if mass is None else columns
    return mass.astype(np.uint16), rest


def _width(columns: Columns) -> int:
    """Words that an atom line has at least."""
    ends = (further.start + further.width for further in columns.further)
    return max(columns.species + 1, columns.position + 3, *ends)


def _atom(line: str, columns: Columns) -> list[float]:
    words = line.split()
    if len(words) < _width(columns):
        kind = "an element and three coordinates" if not columns.further else f"{_width(columns)} columns"
        raise ConformerError(f"expected {kind}, found {shown(line)}")
    meanings(words[columns.species])
    return [parse_number(word) for word in words[columns.position : columns.position + 3]]


def is_atom(line: str, columns: Columns) -> bool:
    """Whether a line has an element and three coordinates; words that may be names of atoms are not enough."""
    try:
        _atom(line, columns)
        _, symbol = meanings(line.split()[columns.species])
    except ConformerError:
        return False
    return symbol > 0


def may_be_atom(line: str) -> bool:
    """Four words or more: also an atom line with a fault of its own."""
    return len(line.split()) >= 4
