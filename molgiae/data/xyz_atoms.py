"""Atom lines of one XYZ frame: element and coordinates by words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import ATOMIC_NUMBER, SYMBOLS, atomic_number
from molgiae.data.fields import parse_number, shown
from molgiae.data.xyz_comment import Columns
from molgiae.errors import ConformerError

_SPECIES = ATOMIC_NUMBER | {str(number): number for number in range(1, len(SYMBOLS))}

Atoms = tuple[NDArray[np.uint8], NDArray[np.float64]]


def decode(lines: Sequence[str], columns: Columns) -> Atoms:
    """Elements and coordinates of lines that all have the same number of columns.

    Returns:
        (n,) atomic numbers and (n, 3) positions, angstrom.

    Raises:
        ValueError: a number is not plain and finite, or lines differ in their number of columns.
        KeyError: an unknown element.
    """
    step = len(lines[0].split()) + 1
    text = " ; ".join(lines)
    words = text.split()
    marks = words[step - 1 :: step]
    if len(words) != step * len(lines) - 1 or marks.count(";") != len(lines) - 1 or "_" in text:
        raise ValueError("lines differ in their number of columns")
    if step - 1 < max(columns.species + 1, columns.position + 3):
        raise ValueError("too few columns")
    species = words[columns.species :: step]
    number = np.fromiter(map(_SPECIES.__getitem__, species), np.uint8, len(lines))
    position = np.empty((len(lines), 3))
    for axis in range(3):
        position[:, axis] = np.fromiter(
            map(float, words[columns.position + axis :: step]), np.float64, len(lines)
        )
    if not np.isfinite(position).all():
        raise ValueError("a coordinate is not finite")
    position += 0.0  # no negative zero
    return number, position


def decode_carefully(lines: Sequence[str], columns: Columns, first_line: int) -> Atoms:
    """As `decode`, line by line; says what is wrong."""
    number = np.zeros(len(lines), np.uint8)
    position = np.zeros((len(lines), 3))
    for i, line in enumerate(lines):
        try:
            number[i], position[i] = _atom(line, columns)
        except ConformerError as error:
            reason = f"line {first_line + i}: atom {i + 1} of {len(lines)}: {error.reason}"
            raise ConformerError(reason) from error
    return number, position


def _atom(line: str, columns: Columns) -> tuple[int, list[float]]:
    words = line.split()
    if len(words) < max(columns.species + 1, columns.position + 3):
        raise ConformerError(f"expected an element and three coordinates, found {shown(line)}")
    species = words[columns.species]
    number = _SPECIES.get(species) or atomic_number(species)
    return number, [parse_number(word) for word in words[columns.position : columns.position + 3]]


def is_atom(line: str, columns: Columns) -> bool:
    """Whether a line has an element and three coordinates."""
    try:
        _atom(line, columns)
    except ConformerError:
        return False
    return True


def may_be_atom(line: str) -> bool:
    """Four words or more: also an atom line with a fault of its own."""
    return len(line.split()) >= 4
