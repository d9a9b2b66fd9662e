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

HEADER_LINES = 3
V2000_LIMIT = 999
PROGRAM_LINE = f"  {'molgiae':<8}{'':10}3D"
WEDGES_V2000 = frozenset(("1", "6"))
WAVY_V2000 = "4"

_ATOM_TAIL = " 0" + "  0" * 11
_V3000_COUNTS = "  0  0  0     0  0            999 V3000"
_V30 = "M  V30 "
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


def write_ctab(
    text: str,
    title: str,
    conformer: Conformer,
    order: NDArray[np.integer] | None,
) -> tuple[str, bool]:
    """A connection table, from the title to ``M  END``.

    Args:
        text: the record as read; where it is no connection table of these atoms, one without bonds is made.
        title: first line.
        conformer: elements, isotopes and positions of the atoms to write.
        order: (n,) atom of the record, from 0, that each atom to write was; None leaves order and bonds as read.

    Returns:
        Lines with their ends; whether bonds and charges are those of the record.
    """
    lines = text.replace("\r", "").split("\n")
    try:
        body = _edited(lines, conformer.atomic_number, conformer.position, order)
        comment, kept = lines[2].rstrip(), True
    except (ValueError, KeyError, IndexError):
        body, comment, kept = _plain(conformer), "", False
    return "\n".join([title, PROGRAM_LINE, comment, *body, "M  END", ""]), kept


def _edited(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    order: NDArray[np.integer] | None,
) -> list[str]:
    """Counts line to the last line before ``M  END``.

    Raises:
        ValueError, KeyError, IndexError: the record is not a connection table of these atoms.
    """
    edit = _edited_v3000 if lines[HEADER_LINES].rstrip().endswith("V3000") else _edited_v2000
    return edit(lines, atomic_number, position, order)


def _plain(conformer: Conformer) -> list[str]:
    """A table without bonds."""
    n, position = len(conformer), conformer.position
    symbols = [SYMBOLS[z] for z in conformer.atomic_number]
    if n <= V2000_LIMIT and np.all(np.abs(position) < 9999):
        atoms = [f"{xyz} {s:<3}{_ATOM_TAIL}" for s, xyz in zip(symbols, _columns(position), strict=True)]
        masses = [(k, f" {mass:3d}") for k, mass in enumerate(conformer.isotope.tolist(), 1) if mass]
        isotopes = _list_lines("M  ISO", masses, _VALUES["ISO"]) if masses else ()
        return [f"{n:3d}  0  0  0  0  0  0  0  0  0999 V2000", *atoms, *isotopes]
    lines = ["BEGIN CTAB", f"COUNTS {n} 0 0 0 0", "BEGIN ATOM"]
    tails = [f" MASS={mass}" if mass else "" for mass in conformer.isotope.tolist()]
    rows = zip(symbols, position, tails, strict=True)
    lines += [f"{k} {symbol} {_words(xyz)} 0{tail}" for k, (symbol, xyz, tail) in enumerate(rows, 1)]
    return [_V3000_COUNTS, *(_V30 + line for line in (*lines, "END ATOM", "END CTAB"))]


def _columns(position: NDArray[np.float64]) -> list[str]:
    """For each atom three columns of ten with four decimals; fewer where a coordinate needs the room."""
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
    """The symbol as the record has it (D for deuterium), unless the atom to write is another element."""
    return written if ATOMIC_NUMBER.get(written) == number else SYMBOLS[number]


# V2000


def _edited_v2000(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    order: NDArray[np.integer] | None,
) -> list[str]:
    counts = lines[HEADER_LINES]
    n_atoms, n_bonds, _ = _two_integers(counts)
    if n_atoms != len(atomic_number):
        raise ValueError("another number of atoms")
    old = np.arange(n_atoms) if order is None else order
    first_bond = HEADER_LINES + 1 + n_atoms
    properties = first_bond + n_bonds
    new = np.empty(n_atoms, int)
    new[old] = np.arange(1, n_atoms + 1)
    numbers = {str(k): number for k, number in enumerate(new.tolist(), 1)} | {"0": 0}
    columns = {f"{k:3d}": f"{number:3d}" for k, number in enumerate(new.tolist(), 1)}
    written = lines[HEADER_LINES + 1 : first_bond]
    chiral = "  1" if counts[12:15] == "  1" else "  0"
    bonds = [_bond_v2000(lines[i], columns, numbers) for i in range(first_bond, properties)]
    if order is None:
        below = [line for whole in _properties(lines[properties:]) for line in whole]
    else:
        bonds = [_rising(bond) for bond in bonds]
        rank = sorted(range(n_bonds), key=lambda k: (*sorted((bonds[k][:3], bonds[k][3:6])), bonds[k]))
        bonds = [bonds[k] for k in rank]
        bond_numbers = {str(k + 1): number for number, k in enumerate(rank, 1)}
        below = list(
            _renumbered_properties(lines[properties:], numbers.__getitem__, bond_numbers.__getitem__)
        )
    return [
        f"{n_atoms:3d}{n_bonds:3d}  0  0{chiral}  0  0  0  0  0999 V2000",
        *(
            _atom_v2000(written[k], z, xyz)
            for k, z, xyz in zip(old.tolist(), atomic_number.tolist(), _columns(position), strict=True)
        ),
        *bonds,
        *below,
    ]


def _two_integers(line: str) -> tuple[int, int, str]:
    """Two numbers in three columns each, else two words; and what follows them."""
    left, right = line[:3].strip(), line[3:6].strip()
    if left.isdecimal() and right.isdecimal():
        return int(left), int(right), line[6:]
    left, right, *rest = line.split()
    return int(left), int(right), "".join(f"{word:>3}" for word in rest)


def _atom_v2000(line: str, number: int, xyz: str) -> str:
    written, tail = line[31:34].strip(), line[34:].rstrip()
    if written not in ATOMIC_NUMBER or not line[30].isspace():
        written, tail = line.split()[3], _ATOM_TAIL
        if written not in ATOMIC_NUMBER:
            raise ValueError("not an atom line")
    if tail[5:8] not in ("  0", ""):  # the parity
        tail = f"{tail[:5]}  0{tail[8:]}"
    return f"{xyz} {_symbol(written, number):<3}{tail}"


def _bond_v2000(line: str, columns: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    try:
        ends, tail = columns[line[:3]] + columns[line[3:6]], line[6:]
    except KeyError:
        first, second, tail = _two_integers(line)
        ends = f"{numbers[str(first)]:3d}{numbers[str(second)]:3d}"
    if tail[3:6].strip() in WEDGES_V2000:
        tail = f"{tail[:3]}  0{tail[6:]}"
    return ends + tail.rstrip()


def _rising(bond: str) -> str:
    """The bond line with the lesser atom first, unless it is dative or wavy."""
    first, second, kind, stereo = bond[:3], bond[3:6], bond[6:9].strip(), bond[9:12].strip()
    return bond if first < second or kind == _DATIVE or stereo == WAVY_V2000 else second + first + bond[6:]


def _properties(lines: Sequence[str]) -> Iterator[list[str]]:
    """Each line of the property block, and the text on the line behind it where there is one."""
    i = 0
    while i < len(lines) and not lines[i].startswith(("M  END", ">", "$$$$")):
        whole = [line.rstrip() for line in lines[i : i + 1 + lines[i].startswith(("A  ", "G  "))]]
        i += len(whole)
        if whole[0] and not whole[0].startswith("M  $3D"):
            yield whole


def _renumbered_properties(lines: Sequence[str], atom: Renumber, bond: Renumber) -> Iterator[str]:
    """The property block in the new numbers: what names single atoms first, then values of atoms, then groups.

    Lines that cannot be renumbered are left out.
    """
    named: list[tuple[str, list[str]]] = []
    lists: dict[str, list[tuple[int, str]]] = {}
    others: list[str] = []
    for line, *text in _properties(lines):
        name = line[3:6]
        number = bond if name in _OF_BONDS else atom
        try:
            if line[:3] in _NAMED:
                named.append((_NAMED[line[:3]](line, atom), text))
            elif name in _VALUES:
                pairs = _values(line, number)
                lists.setdefault(line[:6], []).extend(pairs)
            elif name in _GROUPS:
                members = [(number(word), "") for word in line[13:].split()]
                if line[:10] not in lists:
                    others.append(line[:10])
                lists.setdefault(line[:10], []).extend(members)
            else:
                others.append(_GROUP_FIELDS[name](line, number))
        except (KeyError, ValueError):
            continue
    for line, text in sorted(named):
        yield from [line, *text]
    for name, most in _VALUES.items():
        if f"M  {name}" in lists:
            yield from _list_lines(f"M  {name}", lists[f"M  {name}"], most)
    for line in others:
        yield from _list_lines(line, lists[line], IN_A_GROUP_LINE) if line in lists else [line]


def _values(line: str, number: Renumber) -> list[tuple[int, str]]:
    """Number and value of each pair of ``M  CHGnn8 aaa vvv ...``."""
    words = line[6:].split()[1:]
    return [(number(k), f" {value:>3}") for k, value in zip(words[::2], words[1::2], strict=True)]


def _list_lines(head: str, entries: Sequence[tuple[int, str]], most: int) -> Iterator[str]:
    """Lines of at most so many entries, in the order of their numbers, each line with their count."""
    entries = sorted(entries, key=lambda entry: entry[0])
    for start in range(0, max(len(entries), 1), most):
        part = entries[start : start + most]
        yield f"{head}{len(part):3d}" + "".join(f" {number:3d}{value}" for number, value in part)


def _named_atom(line: str, atom: Renumber) -> str:
    """``A  aaa``, ``V  aaa text``."""
    return f"{line[:3]}{atom(line[3:6].strip()):3d}{line[6:]}"


def _named_atoms(line: str, atom: Renumber) -> str:
    """``G  aaappp``."""
    return f"{_named_atom(line[:6], atom)}{atom(line[6:9].strip()):3d}{line[9:]}"


def _as_it_is(line: str, number: Renumber) -> str:
    return line


def _attachment_points(line: str, atom: Renumber) -> str:
    """``M  SAP sssnn6 iii ooo id ...``, by columns: the name may be blank."""
    points = [line[start : start + 11] for start in range(13, len(line), 11)]
    return line[:13] + "".join(
        f" {atom(p[:4].strip()):3d} {atom(p[4:8].strip() or '0'):3d}{p[8:]}" for p in points
    )


def _corresponding_bonds(line: str, bond: Renumber) -> str:
    """``M  CRS sssn8 bbb ...``, whose order means something."""
    return line[:13] + "".join(f" {bond(word):3d}" for word in line[13:].split())


def _bond_vector(line: str, bond: Renumber) -> str:
    """``M  SBV sss bbb x y``."""
    return f"{line[:10]} {bond(line[10:14].strip()):3d}{line[14:]}"


_NAMED: dict[str, Callable[[str, Renumber], str]] = {
    "A  ": _named_atom,
    "V  ": _named_atom,
    "G  ": _named_atoms,
}

_VALUES = dict.fromkeys(("CHG", "RAD", "ISO", "RBC", "SUB", "UNS", "RGP", "ZCH", "HYD", "ZBO"), 8) | {
    "APO": 2
}
"""Property lines of numbers and values, with the most that a line holds."""

_GROUPS = frozenset(("SAL", "SPA", "SBL"))
"""Property lines of the atoms or bonds of a group, by columns: the group and the count may touch."""

IN_A_GROUP_LINE = 15

_OF_BONDS = frozenset(("ZBO", "SBL", "CRS", "SBV"))
"""Property lines whose numbers are of bonds."""

_GROUP_FIELDS: dict[str, Callable[[str, Renumber], str]] = {
    **dict.fromkeys(
        ("STY", "SST", "SLB", "SCN", "SDS", "SMT", "SDI", "SDT", "SDD", "SCD", "SED", "SPL", "SNC", "SCL"),
        _as_it_is,
    ),
    **dict.fromkeys(("SBT", "REG", "LOG"), _as_it_is),
    "SAP": _attachment_points,
    "CRS": _corresponding_bonds,
    "SBV": _bond_vector,
}
"""Other property lines that can be renumbered; groups keep their numbers."""


# V3000


def _edited_v3000(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    order: NDArray[np.integer] | None,
) -> list[str]:
    logical = list(_logical_lines(lines))
    logical = logical[: logical.index("END CTAB") + 1]
    begin, end = logical.index("BEGIN ATOM"), logical.index("END ATOM")
    atoms = [line.split(maxsplit=5) for line in logical[begin + 1 : end]]
    if len(atoms) != len(atomic_number):
        raise ValueError("another number of atoms")
    old = np.arange(len(atoms)) if order is None else order
    numbers = {atoms[k][0]: new for new, k in enumerate(old.tolist(), 1)} | {"0": 0}
    edited = [_without_3d_features(line) for line in logical[: begin + 1]]
    for new, (k, z, xyz) in enumerate(zip(old.tolist(), atomic_number.tolist(), position, strict=True), 1):
        _, written, _, _, _, *rest = atoms[k]
        if written not in ATOMIC_NUMBER:
            raise ValueError("not an atom line")
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
    """The lines of the bonds in the new numbers, and the new number, from 1, of each bond."""
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
    """The line in the new numbers; a list with bonds that are not there is left out."""

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


def _logical_lines(lines: Sequence[str]) -> Iterator[str]:
    """Contents of the ``M  V30`` lines, continuations joined."""
    joined = ""
    for line in lines[HEADER_LINES + 1 :]:
        if not line.startswith(_V30):
            return
        joined += line[len(_V30) :].rstrip()
        if joined.endswith("-"):
            joined = joined[:-1]
        else:
            yield joined.strip()
            joined = ""


def _wrapped(line: str) -> Iterator[str]:
    """``M  V30`` lines of at most 80 characters."""
    while len(line) > _V30_WIDTH:
        cut = line.rfind(" ", 0, _V30_WIDTH) + 1 or _V30_WIDTH
        yield f"{_V30}{line[:cut]}-"
        line = line[cut:]
    yield _V30 + line
