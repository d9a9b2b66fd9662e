"""All atom lines of regular XYZ frames at once: words found in the byte array, digits put together by eight.

Strict on purpose: plain decimal numbers of at most fifteen digits, one number of columns. All else is left to
`molgiae.data.xyz.reader`, which gives the same result for what is taken here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.data.text import Bytes, Index, Mask, two_byte_table
from molgiae.data.xyz.comment import Columns
from molgiae.data.xyz.species import SPECIES

_MARGIN = 16
_MAX_DIGITS = 15
"""Integers of so many digits are exact in float64; their quotient by a power of ten is the nearest float."""
_MAX_FRACTION = 14
_POWER = 10 ** np.arange(_MAX_FRACTION + 1, dtype=np.int64)
_ZEROS = np.uint64(0x3030303030303030)
_TAIL = np.array([(2 ** (8 * n) - 1) << (8 * (8 - n)) for n in range(9)], np.uint64)
"""Mask of the last n bytes of eight, as they lie in memory read as a little-endian integer."""
_SPECIES = two_byte_table(SPECIES)


def decode_lines(body: bytes, n_atoms: int, columns: Columns) -> tuple[Bytes, NDArray[np.float64]] | None:
    """Decode elements and coordinates of atom lines.

    Args:
        body: so many atom lines, nothing between them, each with its line feed.
        n_atoms: their number.
        columns: where the element and the coordinates stand.

    Returns:
        (n_atoms,) atomic numbers and (n_atoms, 3) positions, angstrom; None if a line is not as expected.
    """
    view = np.frombuffer(b" " * _MARGIN + body, np.uint8)
    start, end = _words(view)
    n_columns, uneven = divmod(len(start), n_atoms)
    if uneven or n_columns < columns.width:
        return None
    start, end = start.reshape(n_atoms, n_columns), end.reshape(n_atoms, n_columns)
    feed = np.flatnonzero(view == ord("\n"))
    if len(feed) != n_atoms or (end[:, -1] > feed).any() or (start[1:, 0] < feed[:-1]).any():
        return None
    first, length = start[:, columns.species], (end - start)[:, columns.species]
    second = np.where(length == 2, view[first + 1], ord(" ")).astype(np.uint16)
    number = _SPECIES[view[first] | second << 8]
    if (length > 2).any() or not number.all():
        return None
    coordinates = slice(columns.position, columns.position + 3)
    value = _decimals(view, start[:, coordinates].ravel(), end[:, coordinates].ravel())
    return None if value is None else (number, value.reshape(n_atoms, 3))


def _words(view: Bytes) -> tuple[Index, Index]:
    """Return the start of each word, and the byte after it."""
    blank = (view == ord(" ")) | (view == ord("\n")) | (view == ord("\t")) | (view == ord("\r"))
    edge = np.flatnonzero(blank[1:] != blank[:-1]) + 1
    return edge[::2], edge[1::2]


def _decimals(view: Bytes, start: Index, end: Index) -> NDArray[np.float64] | None:
    """Read numbers such as ``-12.345678``; None if one is not written so."""
    minus = view[start] == ord("-")
    dot = np.flatnonzero(view == ord("."))
    if len(dot) != len(start):  # there are more columns
        dot = np.append(dot, len(view))[np.searchsorted(dot, start)]
    whole, fraction = dot - start - minus, end - dot - 1
    longest = int(fraction.max())
    if whole.min() < 1 or fraction.min() < 1 or whole.max() > 8 or longest > _MAX_FRACTION:
        return None
    if int(whole.max()) + longest > _MAX_DIGITS and (whole + fraction > _MAX_DIGITS).any():
        return None
    windows = np.ndarray((len(view) - 7,), "V8", view, strides=(1,))
    value, ok = _integers(windows, dot, whole)
    value *= _POWER[fraction]
    low, low_ok = _integers(windows, end, np.minimum(fraction, 8))
    value += low
    ok &= low_ok
    if longest > 8:
        high, high_ok = _integers(windows, end - 8, np.maximum(fraction - 8, 0))
        value += high * 10**8
        ok &= high_ok
    if not ok.all():
        return None
    np.negative(value, out=value, where=minus)
    return value / _POWER[fraction]


def _integers(windows: NDArray[np.void], end: Index, n_digits: Index) -> tuple[Index, Mask]:
    """Return integers of `n_digits` (at most 8) digits in front of `end`, and which of them are all digits.

    Neighbouring digits, then pairs, then fours are put together by one multiplication for all eight.
    """
    mask = _TAIL[n_digits]
    word: NDArray[np.uint64] = windows[end - 8].view("<u8")
    word = (word & mask) | (_ZEROS & ~mask)
    high_nibbles = np.uint64(0xF0F0F0F0F0F0F0F0)
    above_nine = ((word + np.uint64(0x0606060606060606)) & high_nibbles) >> np.uint64(4)
    ok = ((word & high_nibbles) | above_nine) == np.uint64(0x3333333333333333)
    word = ((word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
    return word.astype(np.int64), ok
