"""All V2000 tables of a buffer at once: fixed columns decoded as byte matrices.

Strict on purpose: a record is taken only if every byte looked at is what the specification puts there; all
others are left to `molgiae.data.sdf.ctab`, which gives the same result for those taken here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Bonds, ConformerBlock, normalised, offset_of, rows_of
from molgiae.data.elements import ATOMIC_NUMBER, ISOTOPE
from molgiae.data.sdf.ctab import HEADER_LINES, LISTED, OLD_CHARGE, Lists, read_list, with_lists
from molgiae.data.text import Bytes, Index, Lines, Mask, split_lines, two_byte_table
from molgiae.errors import ConformerError

SPACE, MINUS, DOT, ZERO = b" -.0"
COUNTS_WIDTH = 39
ATOM_WIDTH = 34
"""Columns of an atom line up to the element."""
CHARGE_WIDTH = 39
"""Columns up to the charge, behind the mass difference; a line may end before both."""
BOND_WIDTH = 9


_SYMBOL, _ISOTOPE = two_byte_table(ATOMIC_NUMBER), two_byte_table(ISOTOPE)
_CHARGE = np.array(OLD_CHARGE, np.int64)
_LISTS = tuple(name.encode() for name in LISTED)


class Tables(NamedTuple):
    """Tables that were clean.

    Attributes:
        record: (K,) which of the records asked for.
        block: their atoms and bonds, total charges and multiplicities.
        n_charged: (K,) numbers of atoms with a formal charge.
        end: (K,) line after ``M  END``.
    """

    record: Index
    block: ConformerBlock
    n_charged: Index
    end: Index


def read_tables(lines: Lines, first: Index, last: Index) -> Tables:
    """Decode the records that are clean V2000.

    Args:
        lines: the buffer.
        first: (R,) title line of each record.
        last: (R,) its ``$$$$`` line.
    """
    record = np.flatnonzero(last - first > HEADER_LINES)
    n_atoms, n_bonds, ok = _counts(lines, first[record] + HEADER_LINES)
    after = first[record] + HEADER_LINES + 1 + n_atoms + n_bonds
    ok &= (n_atoms > 0) & (after < last[record])
    record, n_atoms, n_bonds, after = record[ok], n_atoms[ok], n_bonds[ok], after[ok]
    end, has_lists, ok = _property_blocks(lines, first[record], after, last[record])
    bond, atom = rows_of(after - n_bonds, n_bonds), rows_of(after - n_bonds - n_atoms, n_atoms)
    bond_owner, atom_owner = (np.repeat(np.arange(len(record)), size) for size in (n_bonds, n_atoms))
    bonds, bond_ok = _bonds(lines, bond, n_atoms[bond_owner])
    number, isotope, position, charge, atom_ok = _atoms(lines, atom)
    ok[bond_owner[~bond_ok]] = ok[atom_owner[~atom_ok]] = False
    offset, multiplicity = offset_of(n_atoms), np.zeros(len(record), np.int64)
    for k in np.flatnonzero(has_lists & ok).tolist():
        atoms = slice(int(offset[k]), int(offset[k + 1]))
        lists: Lists = {}
        try:
            for line in split_lines(lines.texts(after[k : k + 1], end[k : k + 1])[0]):
                read_list(line, int(n_atoms[k]), lists)
        except ConformerError:
            ok[k] = False
        given = with_lists(lists, charge[atoms], isotope[atoms], np.zeros_like(isotope[atoms]))
        charge[atoms], isotope[atoms], multiplicity[k] = given
    keep = ok[bond_owner]
    pairs = normalised(bonds[keep] + offset[bond_owner[keep], None])
    pair_owner = atom_owner[pairs[:, 0]]
    block = ConformerBlock.from_arrays(
        number,
        position,
        offset,
        isotope=isotope,
        bonds=pairs - offset[pair_owner, None],
        bond_offset=offset_of(np.bincount(pair_owner, minlength=len(record))),
        charge=np.add.reduceat(charge, offset[:-1]),
        multiplicity=multiplicity,
    )
    n_charged = np.add.reduceat((charge != 0).astype(np.int64), offset[:-1])
    return Tables(record[ok], block if ok.all() else block.take(ok), n_charged[ok], end[ok])


def _counts(lines: Lines, line: Index) -> tuple[Index, Index, Mask]:
    rows, ok = lines.columns(line, COUNTS_WIDTH)
    ok &= (rows[:, 33:39] == np.frombuffer(b" V2000", np.uint8)).all(axis=1)
    n_atoms, atoms_ok = _integers(rows[:, :3])
    n_bonds, bonds_ok = _integers(rows[:, 3:6])
    return n_atoms, n_bonds, ok & atoms_ok & bonds_ok


def _integers(field: Bytes) -> tuple[Index, Mask]:
    """Return right-aligned unsigned integers in three columns, and which are well formed."""
    digit = field - ZERO  # wraps below zero, so that one comparison finds digits
    a, b, c = (digit[:, k] <= 9 for k in range(3))
    blank = field == SPACE
    ok = c & (b | blank[:, 1]) & ((a & b) | blank[:, 0])
    value = (digit * (digit <= 9)) @ np.array([100, 10, 1])
    return value, ok


def _bonds(lines: Lines, line: Index, n_atoms: Index) -> tuple[Bonds, Mask]:
    """Return (K, 2) atoms of bond lines, from 0, and which lines are well formed and name two atoms that exist."""
    rows, ok = lines.columns(line, BOND_WIDTH)
    ends = []
    for k in (0, 3):
        atom, well_formed = _integers(rows[:, k : k + 3])
        ok &= well_formed & (atom >= 1) & (atom <= n_atoms)
        ends.append(atom - 1)
    return np.stack(ends, axis=1), ok & (ends[0] != ends[1])


def _property_blocks(lines: Lines, first: Index, after: Index, last: Index) -> tuple[Index, Mask, Mask]:
    """Return the line after ``M  END``, whether atoms are given values, and whether all lines in front are ``M`` lines.

    A record with two ``M  END`` or two counts lines is not clean: a ``$$$$`` may be missing.
    """
    properties = lines.starting(b"M  ")
    ends = lines.starting(b"END", properties, 3)
    which = np.searchsorted(ends, first)
    ok = np.searchsorted(ends, last) - which == 1
    end = np.append(ends, -1)[which]
    inside = np.searchsorted(properties, end) - np.searchsorted(properties, after)
    ok &= (end >= after) & (inside == end - after)
    stamps = np.sort(np.concatenate([lines.starting(b"V2000", None, 34), lines.starting(b"V3000", None, 34)]))
    ok &= np.searchsorted(stamps, last) - np.searchsorted(stamps, first) == 1
    lists = np.sort(np.concatenate([lines.starting(mark, properties, 3) for mark in _LISTS]))
    has_lists = np.searchsorted(lists, last) > np.searchsorted(lists, after)
    return end + 1, has_lists, ok


def _atoms(lines: Lines, line: Index) -> tuple[Bytes, NDArray[np.uint16], NDArray[np.float64], Index, Mask]:
    """Return atomic numbers, isotopes, positions and charges of atom lines, and which lines are well formed."""
    rows, ok = lines.columns(line, ATOM_WIDTH)
    position, coordinates_ok = _coordinates(rows[:, :30])
    symbol = rows[:, 31] | rows[:, 32].astype(np.uint16) << 8
    number, isotope = _SYMBOL[symbol], _ISOTOPE[symbol].astype(np.uint16)
    ok &= coordinates_ok & (number > 0) & (rows[:, 30] == SPACE) & (rows[:, 33] == SPACE)
    charge, charge_ok = _charges(lines, line)
    return number, isotope, position, charge, ok & charge_ok


def _charges(lines: Lines, line: Index) -> tuple[Index, Mask]:
    """Return charges in columns 37-39 of atom lines, 0 if a line ends before, and which are well formed.

    Well formed with them is a mass difference of 0 in columns 35-36; others are left to the careful parser.
    """
    field, present = lines.columns(line, CHARGE_WIDTH - ATOM_WIDTH, ATOM_WIDTH)
    code = field[:, 4] - ZERO
    natural = (field[:, 0] == SPACE) & ((field[:, 1] == ZERO) | (field[:, 1] == SPACE))
    ok = present & natural & (field[:, 2] == SPACE) & (field[:, 3] == SPACE) & (code < len(_CHARGE))
    return np.where(ok, _CHARGE[np.minimum(code, len(_CHARGE) - 1)], 0), ok | (
        lines.width[line] <= ATOM_WIDTH
    )


def _coordinates(rows: Bytes) -> tuple[NDArray[np.float64], Mask]:
    """Return (N, 3) numbers written in format 10.4, and which lines are well formed.

    All digits together are an integer below 2**31; its quotient by 10**4 is the float nearest to the decimal
    number, as ``float`` of the text would be.
    """
    field = np.ascontiguousarray(rows.reshape(-1, 3, 10).transpose(2, 1, 0))
    digit = field - ZERO
    is_digit = digit <= 9
    minus = field == MINUS
    ok = (field[5] == DOT) & is_digit[4] & is_digit[6:].all(axis=0)
    ok &= ((field[:4] == SPACE) | ((is_digit[:4] | minus[:4]) & is_digit[1:5])).all(axis=0)
    digit *= is_digit
    whole = np.zeros(field.shape[1:], np.int32)
    for k in (0, 1, 2, 3, 4, 6, 7, 8, 9):
        whole *= 10
        whole += digit[k]
    np.negative(whole, out=whole, where=minus[:4].any(axis=0))
    return (whole / 1e4).T.copy(), ok.all(axis=0)
