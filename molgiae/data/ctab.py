"""Connection tables (V2000, V3000) line by line: the careful parser, which also says what is wrong.

After Dalby et al., J. Chem. Inf. Comput. Sci. 1992, 32, 244, and BIOVIA, CTfile Formats. Elements,
coordinates, charges and bonded atoms are taken. Bonds are not judged by chemistry, but a bond to an atom that
is not there shows a corrupt record. A missing ``M  END`` is accepted if the counts are satisfied.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import ATOMIC_NUMBER, atomic_number
from molgiae.data.fields import parse_number, shown
from molgiae.errors import ConformerError

HEADER_LINES = 3
OLD_CHARGE = (0, 3, 2, 1, 0, -1, -2, -3)
"""Charge for each value of the charge column of a V2000 atom line."""

Atom = tuple[int, tuple[float, float, float], int]
"""Atomic number, coordinates in angstrom, charge."""

_PROPERTY_MARKS = ("M  ", "A  ", "V  ", "G  ", "S  ")


@dataclass(frozen=True, slots=True)
class Ctab:
    """Atoms of a connection table.

    Attributes:
        atomic_number: (n,) uint8.
        position: (n, 3) float64, angstrom.
        charge: sum of the formal charges.
        bonds: (K, 2) int64, atoms of each bond from 0.
        end: index of the line after the table.
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    charge: int
    bonds: NDArray[np.int64]
    end: int


def read_ctab(lines: Sequence[str], first_line: int) -> Ctab:
    """Read the connection table of a record.

    Args:
        lines: the record from its title on, without line ends.
        first_line: number of the title line in the source, for messages.

    Raises:
        ConformerError: the table cannot be read or contradicts its counts.
    """
    if len(lines) <= HEADER_LINES:
        raise ConformerError(f"the record has {len(lines)} lines, expected a counts line at its line 4")
    counts = lines[HEADER_LINES].rstrip()
    if counts.endswith("V3000"):
        return _read_v3000(lines, first_line)
    return _read_v2000(lines, first_line)


def _fail(reason: str, index: int, first_line: int) -> ConformerError:
    return ConformerError(f"line {first_line + index}: {reason}")


def _read_v2000(lines: Sequence[str], first_line: int) -> Ctab:
    n_atoms, n_bonds = _counts(lines[HEADER_LINES], first_line)
    bonds = HEADER_LINES + 1 + n_atoms
    after = bonds + n_bonds
    atoms = lines[HEADER_LINES + 1 : bonds]
    number = np.zeros(n_atoms, np.uint8)
    position = np.zeros((n_atoms, 3))
    charge = 0
    for i, line in enumerate(atoms):
        try:
            number[i], position[i], atom_charge = _atom_v2000(line)
        except ConformerError as error:
            reason = f"atom {i + 1} of {n_atoms}: {error.reason}"
            raise _fail(reason, HEADER_LINES + 1 + i, first_line) from error
        charge += atom_charge
    if len(lines) < after:
        raise ConformerError(
            f"the record ends after {len(lines)} lines, its counts line announces {n_atoms} atoms "
            f"and {n_bonds} bonds"
        )
    pairs = [_bond_v2000(lines[i], n_atoms, i, first_line) for i in range(bonds, after)]
    end, listed = _property_block(lines, after, n_atoms, first_line)
    return Ctab(number, position, charge if listed is None else listed, _bonds(pairs), end)


def _counts(line: str, first_line: int) -> tuple[int, int]:
    pair = _two_integers(line)
    if pair is None:
        raise _fail(f"expected a counts line, found {shown(line)}", HEADER_LINES, first_line)
    if pair[0] == 0:
        raise _fail("the record has no atoms", HEADER_LINES, first_line)
    return pair


def _two_integers(line: str) -> tuple[int, int] | None:
    """The first two numbers of a counts or bond line: three columns each as specified, else by words."""
    for words in ([line[:3].strip(), line[3:6].strip()], line.split()[:2]):
        if len(words) == 2 and all(word.isascii() and word.isdecimal() for word in words):
            return int(words[0]), int(words[1])
    return None


def _atom_v2000(line: str) -> Atom:
    """Element, coordinates and charge: by columns (10.4, 10.4, 10.4, element) as specified, else by words."""
    symbol = line[31:34].strip()
    if symbol and not line[30].isspace():
        symbol = ""  # the columns are shifted
    words = line.split()
    try:
        if not symbol:
            raise ConformerError("no element in columns 32-34")
        x, y, z = parse_number(line[:10]), parse_number(line[10:20]), parse_number(line[20:30])
    except ConformerError as error:
        if len(words) < 4:
            raise ConformerError(f"expected x, y, z and an element, found {shown(line)}") from error
        x, y, z = (parse_number(word) for word in words[:3])
        return atomic_number(words[3]), (x, y, z), 0
    if " " in symbol or "\t" in line[:34]:
        raise ConformerError(f"columns are shifted: {shown(line)}")
    return atomic_number(symbol), (x, y, z), _old_charge(line[36:39])


def _old_charge(field: str) -> int:
    code = field.strip()
    if not code or not code.isdecimal() or int(code) >= len(OLD_CHARGE):
        return 0
    return OLD_CHARGE[int(code)]


def _bond_v2000(line: str, n_atoms: int, index: int, first_line: int) -> tuple[int, int]:
    pair = _two_integers(line)
    if pair is None:
        raise _fail(f"expected a bond, found {shown(line)}", index, first_line)
    for atom in pair:
        if not 1 <= atom <= n_atoms:
            raise _fail(f"bond to atom {atom}, the record has {n_atoms} atoms", index, first_line)
    return pair


def _bonds(pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Bonds (K, 2) from 0, of pairs that count from 1."""
    return np.array(pairs, np.int64).reshape(-1, 2) - 1


def _property_block(
    lines: Sequence[str], start: int, n_atoms: int, first_line: int
) -> tuple[int, int | None]:
    """Index of the line after it, and the charge if ``M  CHG`` or ``M  RAD`` override the charge columns."""
    charge: int | None = None
    i = start
    while i < len(lines):
        line = lines[i]
        if line.startswith("M  END"):
            return i + 1, charge
        if line.startswith(">"):
            break
        if line.startswith(("M  CHG", "M  RAD")):
            charge = charge or 0
        if line.startswith("M  CHG"):
            charge = (charge or 0) + listed_charge(line, n_atoms, first_line + i)
        if line.strip() and not line.startswith(_PROPERTY_MARKS):
            raise _fail(f"expected properties or M  END, found {shown(line)}", i, first_line)
        i += 2 if line.startswith(("A  ", "G  ")) else 1  # their text stands on a line of its own
    return min(i, len(lines)), charge


def listed_charge(line: str, n_atoms: int, line_number: int) -> int:
    """Sum of the charges of one ``M  CHG`` line.

    Raises:
        ConformerError: the line cannot be read or names an atom that does not exist.
    """
    words = line[6:].split()
    try:
        count, *rest = (int(word) for word in words)
    except ValueError:
        count, rest = -1, []
    if len(rest) != 2 * count or not all(1 <= atom <= n_atoms for atom in rest[::2]):
        raise ConformerError(f"line {line_number}: charges cannot be read: {shown(line)}")
    return sum(rest[1::2])


def _v30_lines(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Words of each ``M  V30`` line, continuations joined, after the index of its first line."""
    i = HEADER_LINES + 1
    while i < len(lines) and lines[i].startswith("M  V30 "):
        start, line = i, lines[i][7:].rstrip()
        while line.endswith("-") and i + 1 < len(lines) and lines[i + 1].startswith("M  V30 "):
            i += 1
            line = line[:-1] + lines[i][7:].rstrip()
        i += 1
        yield start, line.split()
    yield i, []


def _read_v3000(lines: Sequence[str], first_line: int) -> Ctab:
    section, counts = "", (-1, -1)
    atoms: dict[str, Atom] = {}
    pairs: list[list[str]] = []
    end = 0
    for index, words in _v30_lines(lines):
        end = index
        try:
            if section == "ATOM" and words and words[0] != "END":
                _add_atom_v3000(words, atoms)
                continue
            if section == "BOND" and words and words[0] != "END":
                pairs.append(_bond_v3000(words, atoms))
                continue
            match words:
                case ["COUNTS", n_atoms, bonds, *_] if n_atoms.isdecimal() and bonds.isdecimal():
                    counts = int(n_atoms), int(bonds)
                case ["BEGIN", name, *_]:
                    section = name
                case ["END", *_]:
                    section = ""
        except ConformerError as error:
            raise _fail(error.reason, index, first_line) from error
    if counts != (len(atoms), len(pairs)):
        raise ConformerError(
            f"{len(atoms)} atoms and {len(pairs)} bonds found, COUNTS announces {counts[0]} and {counts[1]}"
            if counts[0] >= 0
            else "no readable M  V30 COUNTS line"
        )
    if not atoms:
        raise ConformerError("the record has no atoms")
    end += end < len(lines) and lines[end].startswith("M  END")
    number = np.array([number for number, _, _ in atoms.values()], np.uint8)
    position = np.array([position for _, position, _ in atoms.values()])
    place = {label: k for k, label in enumerate(atoms, 1)}
    bonded = _bonds([(place[first], place[second]) for first, second in pairs])
    return Ctab(number, position, sum(charge for _, _, charge in atoms.values()), bonded, end)


def _add_atom_v3000(words: list[str], atoms: dict[str, Atom]) -> None:
    if len(words) < 5:
        raise ConformerError(f"expected index, element, x, y, z, found {shown(' '.join(words))}")
    if words[0] in atoms:
        raise ConformerError(f"atom {words[0]} is given twice")
    x, y, z = (parse_number(word) for word in words[2:5])
    charge = 0
    for word in words[5:]:
        if word.startswith("CHG="):
            try:
                charge = int(word[4:])
            except ValueError as error:
                raise ConformerError(f"charge cannot be read: '{word}'") from error
    number = ATOMIC_NUMBER.get(words[1]) or atomic_number(words[1])
    atoms[words[0]] = number, (x, y, z), charge


def _bond_v3000(words: list[str], atoms: Container[str]) -> list[str]:
    if len(words) < 4:
        raise ConformerError(f"expected a bond, found {shown(' '.join(words))}")
    for label in words[2:4]:
        if label not in atoms:
            raise ConformerError(f"bond to atom {label[:20]}, which is not among the atoms")
    return words[2:4]
