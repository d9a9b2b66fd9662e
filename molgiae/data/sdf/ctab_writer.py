"""Connection tables with other coordinates, atoms in another order, all else as it was read.

The text of the record is edited, no chemistry toolkit is asked: valences, aromaticity, isotopes, queries and
S-groups stay what the file said. What depends on the old order or pose is dropped: atom parities, wedges, 3D
features. Formats after BIOVIA, CTfile Formats.

A table whose atoms are renumbered does not remember how it was written before: bonds lead from the lesser atom to the
greater, unless their direction means something, and stand in the order of their atoms; what refers to them by number
follows; lists of atoms and bonds rise. So tables that differ in these things alone become one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.data.elements import ATOMIC_NUMBER, SYMBOLS
from molgiae.data.sdf.ctab import HEADER_LINES, V30, property_lines, two_integers, v30_lines
from molgiae.errors import ConformerError

V2000_LIMIT = 999
"""Atoms that three columns can count."""
MAX_V2000_COORDINATE = 9999
"""Angstrom; greater ones have no four decimals in ten columns."""
PROGRAM_LINE = f"  {'molgiae':<8}{'':10}3D"
WEDGES_V2000 = frozenset(("1", "6"))
WAVY_V2000 = "4"

_ATOM_TAIL = " 0" + "  0" * 11
_V3000_COUNTS = "  0  0  0     0  0            999 V3000"
_V30_WIDTH = 72
_V30_LISTS = re.compile(r"( ?)\b(P?ATOMS|ENDPTS|[XC]?BONDS|XBHEAD|XBCORR)=\((\d+)([\d\s]*)\)")
_V30_OF_ATOMS = frozenset(("ATOMS", "PATOMS", "ENDPTS"))
_V30_IN_ORDER = frozenset(("XBHEAD", "XBCORR"))
_V30_CROSSING = re.compile(r"(\bCSTATE=\(\d+ +)(\d+)")
_V30_PARITY = re.compile(r"\s+(?:CFG=\S+|ATTCHORD=\([^)]*\))")
_V30_WEDGE = re.compile(r"\s+CFG=[13]\b")
_V30_WAVY = re.compile(r"\bCFG=2\b")
_V30_ATTACHMENT = re.compile(r"\bSAP=\((\d+)\s+(\d+)\s+(\w+)")

_DATIVE = "9"
"""Bond type whose direction means something; so does that of wavy bonds and of bonds to several atoms."""

Renumber = Callable[[str], int]
"""New number, from 1, of an atom or bond named as in the record; atom 0 stays 0. KeyError if there is none."""
Edit = Callable[[str, Renumber], str]
Order = NDArray[np.integer] | None
Bond = tuple[int, int, str]
"""Numbers of two atoms, from 1, and the rest of the line."""


def write_ctab(conformer: Conformer, title: str, order: Order) -> tuple[str, bool]:
    """Write a connection table, from the title to ``M  END``.

    Args:
        conformer: elements, isotopes and positions of the atoms to write, and their record as read; where its `text`
            is no connection table of these atoms, one without bonds is made.
        title: first line.
        order: (n,) atom of the record, from 0, that each atom to write was; None leaves order and bonds as read.

    Returns:
        Lines with their ends; whether bonds and charges are those of the record.
    """
    lines = conformer.text.replace("\r", "").split("\n")
    try:
        edit = _edited_v3000 if lines[HEADER_LINES].rstrip().endswith("V3000") else _edited_v2000
        body = edit(lines, conformer, order)
        comment, kept = lines[2].rstrip(), True
    except (ConformerError, ValueError, KeyError, IndexError):  # it is no connection table of these atoms
        body, comment, kept = _without_bonds(conformer), "", False
    return "\n".join([title, PROGRAM_LINE, comment, *body, "M  END", ""]), kept


def _without_bonds(conformer: Conformer) -> list[str]:
    n, masses = len(conformer), conformer.isotope.tolist()
    symbols = [SYMBOLS[z] for z in conformer.atomic_number]
    if n <= V2000_LIMIT and np.all(np.abs(conformer.position) < MAX_V2000_COORDINATE):
        places = _columns(conformer.position)
        atoms = [f"{xyz} {symbol:<3}{_ATOM_TAIL}" for symbol, xyz in zip(symbols, places, strict=True)]
        listed = [(k, f" {mass:3d}") for k, mass in enumerate(masses, 1) if mass]
        isotopes = _list_lines("M  ISO", listed, _VALUES["ISO"]) if listed else ()
        return [f"{n:3d}  0  0  0  0  0  0  0  0  0999 V2000", *atoms, *isotopes]
    lines = ["BEGIN CTAB", f"COUNTS {n} 0 0 0 0", "BEGIN ATOM"]
    for k, (symbol, xyz, mass) in enumerate(zip(symbols, conformer.position, masses, strict=True), 1):
        lines.append(f"{k} {symbol} {_words(xyz)} 0" + (f" MASS={mass}" if mass else ""))
    return [_V3000_COUNTS, *(V30 + line for line in (*lines, "END ATOM", "END CTAB"))]


def _columns(position: NDArray[np.float64]) -> list[str]:
    """Return for each atom three columns of ten with four decimals; fewer where a coordinate needs the room."""
    text = "%10.4f%10.4f%10.4f\n" * len(position) % tuple(position.ravel().tolist())
    rows = text.replace("-0.0000", " 0.0000").split("\n")[:-1]
    return [
        row if len(row) == 30 else "".join(map(_column, xyz))
        for row, xyz in zip(rows, position.tolist(), strict=True)
    ]


def _column(x: float) -> str:
    for decimals in range(4, -1, -1):
        text = f"{x:10.{decimals}f}"
        if len(text) == 10:
            return text.replace("-0.0000", " 0.0000")
    raise ValueError(f"{x} does not fit ten columns")


def _words(xyz: NDArray[np.float64]) -> str:
    return " ".join(f"{x:.6f}" for x in xyz.tolist()).replace("-0.000000", "0.000000")


def _symbol(written: str, number: int) -> str:
    """Return the symbol as the record has it (D for deuterium), unless the atom to write is another element."""
    if written not in ATOMIC_NUMBER:
        raise ValueError("not an atom line")
    return written if ATOMIC_NUMBER[written] == number else SYMBOLS[number]


def _renumbering(
    labels: Sequence[str], conformer: Conformer, order: Order
) -> tuple[list[int], dict[str, int]]:
    """Return the old index, from 0, of each atom to write, and by its label in the record its new number, from 1."""
    if len(labels) != len(conformer):
        raise ValueError("another number of atoms")
    old = list(range(len(labels))) if order is None else order.tolist()
    return old, {labels[k]: new for new, k in enumerate(old, 1)} | {"0": 0}


# V2000


def _edited_v2000(lines: Sequence[str], conformer: Conformer, order: Order) -> list[str]:
    """Return the counts line to the last line before ``M  END``."""
    counts, first_atom = lines[HEADER_LINES], HEADER_LINES + 1
    n_atoms, n_bonds, _ = two_integers(counts, "a counts line")
    first_bond = first_atom + n_atoms
    after = first_bond + n_bonds
    old, numbers = _renumbering([str(k) for k in range(1, n_atoms + 1)], conformer, order)
    numbers |= {f"{label:>3}": new for label, new in numbers.items()}
    rows = zip(old, conformer.atomic_number.tolist(), _columns(conformer.position), strict=True)
    atoms = [_atom_v2000(lines[first_atom + k], z, xyz) for k, z, xyz in rows]
    bonds = [_bond_v2000(lines[i], numbers) for i in range(first_bond, after)]
    properties = [whole for where in property_lines(lines, after) if (whole := _property(lines[where]))]
    if order is None:
        below = [line for whole in properties for line in whole]
    else:
        bonds = list(map(_rising, bonds))
        rank = sorted(range(n_bonds), key=lambda k: (sorted(bonds[k][:2]), bonds[k]))
        bonds = [bonds[k] for k in rank]
        bond_numbers = {str(k + 1): new for new, k in enumerate(rank, 1)}
        below = list(_renumbered(properties, numbers.__getitem__, bond_numbers.__getitem__))
    chiral = "  1" if counts[12:15] == "  1" else "  0"
    return [
        f"{n_atoms:3d}{n_bonds:3d}  0  0{chiral}  0  0  0  0  0999 V2000",
        *atoms,
        *(f"{first:3d}{second:3d}{tail}" for first, second, tail in bonds),
        *below,
    ]


def _atom_v2000(line: str, number: int, xyz: str) -> str:
    written, tail = line[31:34].strip(), line[34:].rstrip()
    if written not in ATOMIC_NUMBER or not line[30].isspace():
        written, tail = line.split()[3], _ATOM_TAIL
    if tail[5:8] not in ("  0", ""):  # the parity
        tail = f"{tail[:5]}  0{tail[8:]}"
    return f"{xyz} {_symbol(written, number):<3}{tail}"


def _bond_v2000(line: str, numbers: Mapping[str, int]) -> Bond:
    try:
        first, second, tail = numbers[line[:3]], numbers[line[3:6]], line[6:]
    except KeyError:
        first, second, tail = two_integers(line, "a bond")
        first, second = numbers[str(first)], numbers[str(second)]
    if tail[3:6].strip() in WEDGES_V2000:
        tail = f"{tail[:3]}  0{tail[6:]}"
    return first, second, tail.rstrip()


def _rising(bond: Bond) -> Bond:
    """Return the bond with the lesser atom first, unless it is dative or wavy."""
    first, second, tail = bond
    keeps = first < second or tail[:3].strip() == _DATIVE or tail[3:6].strip() == WAVY_V2000
    return bond if keeps else (second, first, tail)


def _property(lines: Sequence[str]) -> list[str]:
    """Return a property line and its text; nothing for an empty one and for 3D features."""
    whole = [line.rstrip() for line in lines]
    return whole if whole[0] and not whole[0].startswith("M  $3D") else []


def _renumbered(properties: Sequence[Sequence[str]], atom: Renumber, bond: Renumber) -> Iterator[str]:
    """Yield the property block in the new numbers: what names single atoms, then values of atoms, then groups.

    Lines that cannot be renumbered are left out.
    """
    named: list[tuple[str, list[str]]] = []
    entries: dict[str, list[tuple[int, str]]] = {}
    others: list[str] = []
    for line, *text in properties:
        name = line[3:6] if line.startswith("M  ") else line[:3]
        number = bond if name in _OF_BONDS else atom
        try:
            if name in _VALUES:
                words = line[6:].split()[1:]
                pairs = [(number(k), f" {v:>3}") for k, v in zip(words[::2], words[1::2], strict=True)]
                entries.setdefault(line[:6], []).extend(pairs)
            elif name in _GROUPS:
                members = [(number(word), "") for word in line[13:].split()]
                if line[:10] not in entries:
                    others.append(line[:10])
                entries.setdefault(line[:10], []).extend(members)
            elif line.startswith("M  "):
                others.append(_FIELDS[name](line, number))
            else:
                named.append((_FIELDS[name](line, number), text))
        except (KeyError, ValueError):
            continue
    for line, text in sorted(named):
        yield from [line, *text]
    for name, most in _VALUES.items():
        if f"M  {name}" in entries:
            yield from _list_lines(f"M  {name}", entries[f"M  {name}"], most)
    for line in others:
        yield from _list_lines(line, entries[line], IN_A_GROUP_LINE) if line in entries else [line]


def _list_lines(head: str, entries: Sequence[tuple[int, str]], most: int) -> Iterator[str]:
    """Yield lines of at most so many entries, in the order of their numbers, each line with their count."""
    entries = sorted(entries, key=lambda entry: entry[0])
    for start in range(0, max(len(entries), 1), most):
        part = entries[start : start + most]
        yield f"{head}{len(part):3d}" + "".join(f" {number:3d}{value}" for number, value in part)


def _at(*columns: tuple[int, int]) -> Edit:
    """Return what renumbers a property line that has numbers in these columns."""

    def edit(line: str, number: Renumber) -> str:
        for start, stop in columns:
            if start < len(line):
                new = number(line[start:stop].strip() or "0")
                line = f"{line[:start]}{new:{stop - start}d}{line[stop:]}"
        return line

    return edit


def _in_order(line: str, bond: Renumber) -> str:
    """Renumber ``M  CRS sssn8 bbb ...``, whose order means something."""
    return line[:13] + "".join(f" {bond(word):3d}" for word in line[13:].split())


_VALUES = dict.fromkeys(("CHG", "RAD", "ISO", "RBC", "SUB", "UNS", "RGP", "ZCH", "HYD", "ZBO"), 8) | {
    "APO": 2
}
"""Property lines of numbers and values, ``M  CHGnn8 aaa vvv ...``, with the most that a line holds."""

_GROUPS = frozenset(("SAL", "SPA", "SBL"))
"""Property lines of the atoms or bonds of a group, by columns: the group and the count may touch."""

IN_A_GROUP_LINE = 15

_OF_BONDS = frozenset(("ZBO", "SBL", "CRS", "SBV"))
"""Property lines whose numbers are of bonds."""

_UNNUMBERED = """STY SST SLB SCN SDS SMT SDI SDT SDD SCD SED SPL SNC SCL SBT REG LOG"""
"""Property lines of groups, which keep their numbers, and of nothing else."""

_FIELDS: dict[str, Edit] = {
    **dict.fromkeys(("A  ", "V  "), _at((3, 6))),
    "G  ": _at((3, 6), (6, 9)),
    "SAP": _at(*((start, start + 4) for point in range(13, 79, 11) for start in (point, point + 4))),
    "SBV": _at((10, 14)),
    "CRS": _in_order,
    **dict.fromkeys(_UNNUMBERED.split(), _at()),
}
"""What renumbers the other property lines."""


# V3000


def _edited_v3000(lines: Sequence[str], conformer: Conformer, order: Order) -> list[str]:
    """Return the counts line to the last line before ``M  END``."""
    logical = [line for _, line in v30_lines(lines)]
    logical = logical[: logical.index("END CTAB") + 1]
    begin, end = logical.index("BEGIN ATOM") + 1, logical.index("END ATOM")
    atoms = [line.split(maxsplit=5) for line in logical[begin:end]]
    old, numbers = _renumbering([label for label, *_ in atoms], conformer, order)
    edited = [_without_3d_features(line) for line in logical[:begin]]
    rows = zip(old, conformer.atomic_number.tolist(), conformer.position, strict=True)
    for new, (k, z, xyz) in enumerate(rows, 1):
        _, written, _, _, _, *rest = atoms[k]
        kept = _V30_PARITY.sub("", " " + "".join(rest))
        edited.append(f"{new} {_symbol(written, z)} {_words(xyz)}{kept}")
    edited += _after_atoms_v3000(logical[end:], numbers, rising=order is not None)
    return [_V3000_COUNTS, *(piece for line in edited for piece in _wrapped(line))]


def _after_atoms_v3000(logical: Sequence[str], atoms: Mapping[str, int], *, rising: bool) -> Iterator[str]:
    begin = logical.index("BEGIN BOND") + 1 if "BEGIN BOND" in logical else 0
    end = logical.index("END BOND") if begin else 0
    written, bonds = _bonds_v3000(logical[begin:end], atoms, rising=rising)
    yield from [*logical[:begin], *written]
    inside = False
    for line in logical[end:]:
        inside |= line == "BEGIN OBJ3D"
        if not inside and not line.startswith("LINKNODE "):
            yield _renumbered_lists(line, atoms, bonds, rising=rising)
        inside &= line != "END OBJ3D"


def _bonds_v3000(
    lines: Sequence[str], atoms: Mapping[str, int], *, rising: bool
) -> tuple[list[str], dict[str, int]]:
    """Return the lines of the bonds in the new numbers, and the new number, from 1, of each bond."""
    bonds = []
    for line in lines:
        label, kind, first, second, *rest = line.split(maxsplit=4)
        kept = _V30_WEDGE.sub("", " " + "".join(rest)).rstrip()
        kept = _renumbered_lists(kept, atoms, {}, rising=rising)
        ends = [atoms[first], atoms[second]]
        lesser_first = sorted(ends)
        wavy = kind == "1" and _V30_WAVY.search(kept)
        if rising and not (kind == _DATIVE or wavy or "ENDPTS=" in kept):
            ends = lesser_first
        bonds.append((lesser_first, f"{kind} {ends[0]} {ends[1]}{kept}", label))
    if rising:
        bonds.sort()
    text = [f"{number} {bond}" for number, (_, bond, _) in enumerate(bonds, 1)]
    return text, {label: number for number, (_, _, label) in enumerate(bonds, 1)}


def _without_3d_features(line: str) -> str:
    if not line.startswith("COUNTS "):
        return line
    name, atoms, bonds, groups, _, *rest = line.split()
    return " ".join([name, atoms, bonds, groups, "0", *rest])


def _renumbered_lists(line: str, atoms: Mapping[str, int], bonds: Mapping[str, int], *, rising: bool) -> str:
    """Return the line in the new numbers; a list with bonds that are not there is left out."""

    def members(match: re.Match[str]) -> str:
        space, name, count, words = match.groups()
        if name in _V30_OF_ATOMS:
            new = [atoms[word] for word in words.split()]
        elif bonds.keys() >= set(words.split()):
            new = [bonds[word] for word in words.split()]
        else:
            return ""
        if rising and name not in _V30_IN_ORDER:
            new.sort()
        return f"{space}{name}=({count} {' '.join(map(str, new))})"

    def crossing(match: re.Match[str]) -> str:
        return f"{match[1]}{bonds[match[2]]}" if match[2] in bonds else match[0]

    def attachment(match: re.Match[str]) -> str:
        leaving = match[3] if not match[3].isdecimal() else atoms[match[3]]
        return f"SAP=({match[1]} {atoms[match[2]]} {leaving}"

    return _V30_CROSSING.sub(crossing, _V30_ATTACHMENT.sub(attachment, _V30_LISTS.sub(members, line)))


def _wrapped(line: str) -> Iterator[str]:
    """Yield ``M  V30`` lines of at most 80 characters."""
    while len(line) > _V30_WIDTH:
        cut = line.rfind(" ", 0, _V30_WIDTH) + 1 or _V30_WIDTH
        yield f"{V30}{line[:cut]}-"
        line = line[cut:]
    yield V30 + line
