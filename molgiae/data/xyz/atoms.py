"""Atom lines of one XYZ frame: element and coordinates by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import ISOTOPE
from molgiae.data.text import parse_number, shown
from molgiae.data.xyz.comment import Columns
from molgiae.data.xyz.species import SPECIES, elements_of, meanings, types_fault
from molgiae.errors import ConformerError

ISOTOPE_COLUMN = "isotope"
"""Column of mass numbers, 0 for natural atoms, which molgiae writes where symbols cannot name the isotopes."""

Data = dict[str, NDArray[Any]]
Atoms = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.uint16], Data]
"""(n,) atomic numbers, (n, 3) positions in angstrom, (n,) mass numbers or 0, and further columns."""


def decode(
    lines: Sequence[str], columns: Columns, first_line: int, note: Callable[[str], object] = str
) -> Atoms:
    """Read the atom lines of a frame.

    Args:
        lines: n lines.
        columns: what their words mean.
        first_line: number of the first one in the source, for messages.
        note: called with a sentence if something had to be decided.

    Raises:
        ConformerError: a line cannot be read, or LAMMPS types stand for elements.
    """
    words = [line.split() for line in lines]
    by_column = list(zip(*words, strict=False))
    coordinates = slice(columns.position, columns.position + 3)
    try:
        number = np.array(list(map(SPECIES.__getitem__, by_column[columns.species])), np.uint8)
        position = np.array([list(map(float, column)) for column in by_column[coordinates]])
        position = position.T.copy() + 0.0  # no negative zero
        plain = len(by_column) >= columns.width and np.isfinite(position).all() and "_" not in "".join(lines)
    except (KeyError, ValueError, IndexError):
        plain = False
    if not plain:
        position = np.zeros((len(lines), 3))
        for i, line in enumerate(lines):
            try:
                position[i] = _atom(line, columns)
            except ConformerError as error:
                reason = f"line {first_line + i}: atom {i + 1} of {len(lines)}: {error.reason}"
                raise ConformerError(reason) from error
        number = elements_of(by_column[columns.species], position, note)
    if fault := types_fault(by_column[columns.species], number, position):
        raise ConformerError(fault)
    try:
        return number, position, *further_columns(by_column, columns)
    except ValueError as error:
        raise ConformerError(f"from line {first_line} on: {error}") from error


def further_columns(words: Sequence[Sequence[str]], columns: Columns) -> tuple[NDArray[np.uint16], Data]:
    """Return the isotopes (n,) that symbols or a column name, 0 for natural atoms, and the further columns.

    Args:
        words: of each column, n words.
        columns: what they mean.

    Raises:
        ValueError: a word is not of the kind that its column is said to be of.
    """
    found: Data = {}
    for one in columns.further:
        values = [_of_kind(one.name, one.kind, words[k]) for k in range(one.start, one.start + one.width)]
        found[one.name] = values[0] if one.width == 1 else np.stack(values, axis=1)
    species = words[columns.species]
    if not ISOTOPE.keys().isdisjoint(species):
        named = np.array([ISOTOPE.get(symbol, 0) for symbol in species], np.int64)
        found[ISOTOPE_COLUMN] = np.where(named > 0, named, found.get(ISOTOPE_COLUMN, 0))
    mass = found.get(ISOTOPE_COLUMN)
    if mass is None or mass.ndim != 1 or mass.dtype.kind != "i" or not ((mass >= 0) & (mass < 1000)).all():
        return np.zeros(len(species), np.uint16), found
    del found[ISOTOPE_COLUMN]
    return mass.astype(np.uint16), found


def _of_kind(name: str, kind: str, words: Sequence[str]) -> NDArray[Any]:
    convert, dtype = _KINDS[kind]
    try:
        return np.array([convert(word) for word in words], dtype)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"column {name}: {error}") from error


def _truth(word: str) -> bool:
    if word.upper() not in _TRUTH:
        raise ValueError("expected T or F")
    return _TRUTH[word.upper()]


_TRUTH = {**dict.fromkeys(("T", "TRUE", "1"), True), **dict.fromkeys(("F", "FALSE", "0"), False)}
_KINDS: dict[str, tuple[Callable[[str], Any], type]] = {
    "R": (float, np.float64),
    "I": (int, np.int64),
    "L": (_truth, np.bool_),
    "S": (str, np.str_),
}
"""What reads a word of each kind of column, and the type of their array."""


def _atom(line: str, columns: Columns) -> list[float]:
    words = line.split()
    if len(words) < columns.width:
        kind = "an element and three coordinates" if not columns.further else f"{columns.width} columns"
        raise ConformerError(f"expected {kind}, found {shown(line)}")
    meanings(words[columns.species])
    return [parse_number(word) for word in words[columns.position : columns.position + 3]]


def is_atom(line: str, columns: Columns) -> bool:
    """Return whether a line has an element and three coordinates; words that may be names of atoms are not enough."""
    try:
        _atom(line, columns)
        _, symbol = meanings(line.split()[columns.species])
    except ConformerError:
        return False
    return symbol > 0
