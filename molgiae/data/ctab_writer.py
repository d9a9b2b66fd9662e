"""Connection tables with other coordinates, atoms in another order, all else as it was read.

The text of the record is edited, no chemistry toolkit is asked: valences, aromaticity, isotopes, queries and
S-groups stay what the file said. What depends on the old order or pose is dropped: atom parities, wedges, 3D
features. Formats after BIOVIA, CTfile Formats.
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

_ATOM_TAIL = " 0" + "  0" * 11
_V3000_COUNTS = "  0  0  0     0  0            999 V3000"
_V30 = "M  V30 "
_V30_WIDTH = 72
_V30_ATOM_LISTS = re.compile(r"\b(ATOMS|PATOMS|ENDPTS)=\((\d+)([\d\s]*)\)")
_V30_PARITY = re.compile(r"\s+(?:CFG=\S+|ATTCHORD=\([^)]*\))")
_V30_WEDGE = re.compile(r"\s+CFG=[13]\b")
_V30_ATTACHMENT = re.compile(r"\bSAP=\((\d+)\s+(\d+)\s+(\w+)")

Renumber = Callable[[str], int]
"""New number, from 1, of an atom named as in the record; 0 stays 0. KeyError if there is no such atom."""


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
        order: (n,) atom of the record, from 0, that each atom to write was; None for the same order.

    Returns:
        Lines with their ends; whether bonds and charges are those of the record.
    """
    n = len(conformer)
    old = np.arange(n) if order is None else np.asarray(order)
    lines = text.replace("\r", "").split("\n")
    try:
        body = _edited(lines, conformer.atomic_number, conformer.position, old)
        comment, kept = lines[2].rstrip(), True
    except (ValueError, KeyError, IndexError):
        body, comment, kept = _plain(conformer), "", False
    return "\n".join([title, PROGRAM_LINE, comment, *body, "M  END", ""]), kept


def _edited(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    old: NDArray[np.integer],
) -> list[str]:
    """Counts line to the last line before ``M  END``.

    Raises:
        ValueError, KeyError, IndexError: the record is not a connection table of these atoms.
    """
    edit = _edited_v3000 if lines[HEADER_LINES].rstrip().endswith("V3000") else _edited_v2000
    return edit(lines, atomic_number, position, old)


def _plain(conformer: Conformer) -> list[str]:
    """A table without bonds."""
    n, position = len(conformer), conformer.position
    symbols = [SYMBOLS[z] for z in conformer.atomic_number]
    if n <= V2000_LIMIT and np.all(np.abs(position) < 9999):
        atoms = [f"{xyz} {s:<3}{_ATOM_TAIL}" for s, xyz in zip(symbols, _columns(position), strict=True)]
        return [f"{n:3d}  0  0  0  0  0  0  0  0  0999 V2000", *atoms, *_isotope_lines(conformer)]
    lines = ["BEGIN CTAB", f"COUNTS {n} 0 0 0 0", "BEGIN ATOM"]
    masses = [f" MASS={mass}" if mass else "" for mass in conformer.isotope.tolist()]
    rows = zip(symbols, position, masses, strict=True)
    lines += [f"{k} {symbol} {_words(xyz)} 0{mass}" for k, (symbol, xyz, mass) in enumerate(rows, 1)]
    return [_V3000_COUNTS, *(_V30 + line for line in (*lines, "END ATOM", "END CTAB"))]


def _isotope_lines(conformer: Conformer) -> Iterator[str]:
    """``M  ISO`` lines, eight atoms each."""
    atoms = np.flatnonzero(conformer.isotope)
    for start in range(0, len(atoms), 8):
        part = atoms[start : start + 8].tolist()
        yield f"M  ISO{len(part):3d}" + "".join(f" {k + 1:3d} {int(conformer.isotope[k]):3d}" for k in part)


def _columns(position: NDArray[np.float64]) -> list[str]:
    """For each atom three columns of ten with four decimals; fewer where a coordinate needs the room."""
    rows = ("%10.4f%10.4f%10.4f\n" * len(position) % tuple(position.ravel().tolist())).split("\n")[:-1]
    return [
        row if len(row) == 30 else "".join(map(_column, xyz))
        for row, xyz in zip(rows, position.tolist(), strict=True)
    ]


def _column(x: float) -> str:
    for decimals in range(4, -1, -1):
        text = f"{x:10.{decimals}f}"
        if len(text) == 10:
            return text
    raise ValueError(f"{x} does not fit ten columns")


def _words(xyz: NDArray[np.float64]) -> str:
    return " ".join(f"{x:.6f}" for x in xyz.tolist())


def _symbol(written: str, number: int) -> str:
    """The symbol as the record has it (D for deuterium), unless the atom to write is another element."""
    return written if ATOMIC_NUMBER.get(written) == number else SYMBOLS[number]


# V2000


def _edited_v2000(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    old: NDArray[np.integer],
) -> list[str]:
    counts = lines[HEADER_LINES]
    n_atoms, n_bonds, _ = _two_integers(counts)
    if n_atoms != len(old):
        raise ValueError("another number of atoms")
    first_bond = HEADER_LINES + 1 + n_atoms
    properties = first_bond + n_bonds
    new = np.empty(n_atoms, int)
    new[old] = np.arange(1, n_atoms + 1)
    numbers = {str(k): number for k, number in enumerate(new.tolist(), 1)} | {"0": 0}
    columns = {f"{k:3d}": f"{number:3d}" for k, number in enumerate(new.tolist(), 1)}
    renumber = numbers.__getitem__
    written = lines[HEADER_LINES + 1 : first_bond]
    chiral = "  1" if counts[12:15] == "  1" else "  0"
    return [
        f"{n_atoms:3d}{n_bonds:3d}  0  0{chiral}  0  0  0  0  0999 V2000",
        *(
            _atom_v2000(written[k], z, xyz)
            for k, z, xyz in zip(old.tolist(), atomic_number.tolist(), _columns(position), strict=True)
        ),
        *(_bond_v2000(lines[i], columns, renumber) for i in range(first_bond, properties)),
        *_properties_v2000(lines[properties:], renumber, unchanged=bool(np.all(np.diff(old) == 1))),
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


def _bond_v2000(line: str, columns: Mapping[str, str], renumber: Renumber) -> str:
    try:
        ends, tail = columns[line[:3]] + columns[line[3:6]], line[6:]
    except KeyError:
        first, second, tail = _two_integers(line)
        ends = f"{renumber(str(first)):3d}{renumber(str(second)):3d}"
    if tail[3:6].strip() in WEDGES_V2000:
        tail = f"{tail[:3]}  0{tail[6:]}"
    return ends + tail.rstrip()


def _properties_v2000(lines: Sequence[str], renumber: Renumber, *, unchanged: bool) -> Iterator[str]:
    """The property block in the new numbers; lines that cannot be renumbered are left out if they must be."""
    i = 0
    while i < len(lines) and not lines[i].startswith(("M  END", ">", "$$$$")):
        line = lines[i].rstrip()
        following = lines[i + 1 : i + 2] if line.startswith(("A  ", "G  ")) else []
        i += 1 + len(following)
        if not line or line.startswith("M  $3D"):
            continue
        try:
            yield _property_v2000(line, renumber)
        except (KeyError, ValueError):
            if not unchanged:
                continue
            yield line
        yield from (text.rstrip() for text in following)


def _property_v2000(line: str, renumber: Renumber) -> str:
    if line[:3] in ("A  ", "V  "):
        return f"{line[:3]}{renumber(line[3:6].strip()):3d}{line[6:]}"
    if line[:3] == "G  ":
        return f"G  {renumber(line[3:6].strip()):3d}{renumber(line[6:9].strip()):3d}{line[9:]}"
    name, fields = line[3:6], line[6:]
    if name in _ATOM_FIELDS:
        return line[:6] + _ATOM_FIELDS[name](fields, renumber)
    if name in _WITHOUT_ATOMS:
        return line
    raise KeyError(name)


def _value_pairs(fields: str, renumber: Renumber) -> str:
    """``nn8 aaa vvv ...``."""
    count, *words = fields.split()
    pairs = zip(words[::2], words[1::2], strict=True)
    return f"{count:>3}" + "".join(f" {renumber(atom):3d} {value:>3}" for atom, value in pairs)


def _group_atoms(fields: str, renumber: Renumber) -> str:
    """``sssn15 aaa ...``, by columns: the group and the count may touch."""
    return fields[:7] + "".join(f" {renumber(atom):3d}" for atom in fields[7:].split())


def _attachment_points(fields: str, renumber: Renumber) -> str:
    """``sssnn6 iii ooo id ...``, by columns: the name may be blank."""
    points = [fields[start : start + 11] for start in range(7, len(fields), 11)]
    return fields[:7] + "".join(
        f" {renumber(p[:4].strip()):3d} {renumber(p[4:8].strip() or '0'):3d}{p[8:]}" for p in points
    )


_ATOM_FIELDS: dict[str, Callable[[str, Renumber], str]] = {
    **dict.fromkeys(
        ("CHG", "RAD", "ISO", "RBC", "SUB", "UNS", "APO", "RGP", "ZCH", "HYD"),
        _value_pairs,
    ),
    **dict.fromkeys(("SAL", "SPA"), _group_atoms),
    "SAP": _attachment_points,
}

_WITHOUT_ATOMS = frozenset(
    ("STY", "SST", "SLB", "SCN", "SDS", "SBL", "SMT", "CRS", "SDI", "SBV", "SDT", "SDD", "SCD", "SED", "SPL")
) | {"SNC", "SCL", "SBT", "REG", "LOG", "ZBO"}
"""Property lines that name groups or bonds, which keep their numbers."""


# V3000


def _edited_v3000(
    lines: Sequence[str],
    atomic_number: NDArray[np.uint8],
    position: NDArray[np.float64],
    old: NDArray[np.integer],
) -> list[str]:
    logical = list(_logical_lines(lines))
    logical = logical[: logical.index("END CTAB") + 1]
    begin, end = logical.index("BEGIN ATOM"), logical.index("END ATOM")
    atoms = [line.split(maxsplit=5) for line in logical[begin + 1 : end]]
    if len(atoms) != len(old):
        raise ValueError("another number of atoms")
    numbers = {atoms[k][0]: new for new, k in enumerate(old.tolist(), 1)} | {"0": 0}
    edited = [_without_3d_features(line) for line in logical[: begin + 1]]
    for new, (k, z, xyz) in enumerate(zip(old.tolist(), atomic_number.tolist(), position, strict=True), 1):
        _, written, _, _, _, *rest = atoms[k]
        if written not in ATOMIC_NUMBER:
            raise ValueError("not an atom line")
        kept = _V30_PARITY.sub("", " " + "".join(rest))
        edited.append(f"{new} {_symbol(written, z)} {_words(xyz)}{kept}")
    edited += _after_atoms_v3000(logical[end:], numbers)
    return [_V3000_COUNTS, *(piece for line in edited for piece in _wrapped(line))]


def _after_atoms_v3000(logical: Sequence[str], numbers: dict[str, int]) -> Iterator[str]:
    section = ""
    for line in logical:
        if line.startswith("BEGIN "):
            section = line.split()[1]
        if section == "OBJ3D" or line.startswith("LINKNODE "):
            section = "" if line == "END OBJ3D" else section
            continue
        if section == "BOND" and not line.startswith(("BEGIN ", "END ")):
            index, kind, first, second, *rest = line.split(maxsplit=4)
            kept = _V30_WEDGE.sub("", " " + "".join(rest)).rstrip()
            yield _renumbered_lists(f"{index} {kind} {numbers[first]} {numbers[second]}{kept}", numbers)
        else:
            yield _renumbered_lists(line, numbers)


def _without_3d_features(line: str) -> str:
    if not line.startswith("COUNTS "):
        return line
    name, atoms, bonds, groups, _, *rest = line.split()
    return " ".join([name, atoms, bonds, groups, "0", *rest])


def _renumbered_lists(line: str, numbers: dict[str, int]) -> str:
    def atoms(match: re.Match[str]) -> str:
        new = " ".join(str(numbers[atom]) for atom in match[3].split())
        return f"{match[1]}=({match[2]} {new})"

    def attachment(match: re.Match[str]) -> str:
        leaving = match[3] if not match[3].isdecimal() else numbers[match[3]]
        return f"SAP=({match[1]} {numbers[match[2]]} {leaving}"

    return _V30_ATTACHMENT.sub(attachment, _V30_ATOM_LISTS.sub(atoms, line))


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
