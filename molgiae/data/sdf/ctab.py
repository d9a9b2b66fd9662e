"""Connection tables (V2000, V3000) line by line: the careful parser, which also says what is wrong.

After Dalby et al., J. Chem. Inf. Comput. Sci. 1992, 32, 244, and BIOVIA, CTfile Formats. Elements,
coordinates, charges, isotopes, radicals and bonded atoms are taken. Bonds are not judged by chemistry, but a bond to an
atom that
is not there shows a corrupt record. A missing ``M  END`` is accepted if the counts are satisfied.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Bonds, normalised
from molgiae.data.elements import ATOMIC_NUMBER, ISOTOPE, atomic_number, most_common_isotope
from molgiae.data.fields import parse_number, shown
from molgiae.errors import ConformerError

HEADER_LINES = 3
OLD_CHARGE = (0, 3, 2, 1, 0, -1, -2, -3)
"""Charge for each value of the charge column of a V2000 atom line."""

Atom = tuple[int, tuple[float, float, float], int, int, int]
"""Atomic number, coordinates in angstrom, charge, mass number or 0, radical or 0."""

MAX_MASS = 999
"""Mass numbers have three digits in connection tables; the heaviest known is 295."""

LISTED = {"CHG": "charges", "RAD": "radicals", "ISO": "isotopes"}
"""Property lines of V2000 whose pairs of atom and value are taken."""

_V3000_KEYS = {"CHG": "CHG", "MASS": "ISO", "RAD": "RAD"}
"""Keys of V3000 atom lines, and the property lines of V2000 that say the same."""

_PROPERTY_MARKS = ("M  ", "A  ", "V  ", "G  ", "S  ")


@dataclass(frozen=True, slots=True)
class Ctab:
    """Atoms of a connection table.

    Attributes:
        atomic_number: (n,) uint8.
        position: (n, 3) float64, angstrom.
        isotope: (n,) uint16 mass numbers, 0 for natural atoms.
        charge: (n,) int64 formal charges.
        multiplicity: as `multiplicity_of` has it.
        bonds: `molgiae.data.conformer.Bonds`.
        end: index of the line after the table.
    """

    atomic_number: NDArray[np.uint8]
    position: NDArray[np.float64]
    isotope: NDArray[np.uint16]
    charge: NDArray[np.int64]
    multiplicity: int
    bonds: Bonds
    end: int


@dataclass(slots=True)
class Listed:
    """Values that property lines of V2000 give to atoms, by number of the atom from 1.

    Attributes:
        charge: None if the charge column of the atom lines stands.
        isotope: None if the mass column stands.
        radical: 1 singlet, 2 doublet, 3 triplet.
    """

    charge: dict[int, int] | None = None
    isotope: dict[int, int] | None = None
    radical: dict[int, int] = field(default_factory=dict)

    def read(self, line: str, n_atoms: int, line_number: int) -> None:
        """Take a line ``M  CHG``, ``M  RAD`` or ``M  ISO``; others are left alone.

        Raises:
            ConformerError: the line cannot be read or names an atom that does not exist.
        """
        if not line.startswith("M  ") or line[3:6] not in LISTED:
            return
        pairs = _listed_pairs(line, n_atoms, line_number)
        if line[3:6] == "ISO":
            self.isotope = (self.isotope or {}) | pairs
            return
        self.charge = self.charge or {}  # both override the charge column
        if line[3:6] == "CHG":
            self.charge |= pairs
        else:
            self.radical |= pairs


def multiplicity_of(radicals: Iterable[int]) -> int:
    """Return the spin multiplicity of a molecule with these radicals: that of the only one, else 0 for unknown.

    Args:
        radicals: 1 singlet, 2 doublet, 3 triplet, 0 none.
    """
    found = [value for value in radicals if value]
    return found[0] if len(found) == 1 else 0


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
    number, named, mass = (
        np.zeros(n_atoms, np.uint8),
        np.zeros(n_atoms, np.uint16),
        np.zeros(n_atoms, np.uint16),
    )
    position, charge = np.zeros((n_atoms, 3)), np.zeros(n_atoms, np.int64)
    for i, line in enumerate(atoms):
        try:
            number[i], position[i], charge[i], named[i], mass[i] = _atom_v2000(line)
        except ConformerError as error:
            reason = f"atom {i + 1} of {n_atoms}: {error.reason}"
            raise _fail(reason, HEADER_LINES + 1 + i, first_line) from error
    if len(lines) < after:
        raise ConformerError(
            f"the record ends after {len(lines)} lines, its counts line announces {n_atoms} atoms "
            f"and {n_bonds} bonds"
        )
    pairs = [_bond_v2000(lines[i], n_atoms, i, first_line) for i in range(bonds, after)]
    end, listed = _property_block(lines, after, n_atoms, first_line)
    if listed.charge is not None:
        charge = scattered(listed.charge, n_atoms)
    if listed.isotope is not None:
        mass = scattered(listed.isotope, n_atoms).astype(np.uint16)
    isotope = np.where(named > 0, named, mass)
    return Ctab(
        number, position, isotope, charge, multiplicity_of(listed.radical.values()), _bonds(pairs), end
    )


def scattered(values: dict[int, int], n_atoms: int) -> NDArray[np.int64]:
    """Return values (n,) of all atoms, 0 where none is given, from those of some, by number from 1."""
    full = np.zeros(n_atoms, np.int64)
    for atom, value in values.items():
        full[atom - 1] = value
    return full


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


def _atom_v2000(line: str) -> tuple[int, tuple[float, float, float], int, int, int]:
    """Return element, coordinates, charge, mass number of the symbol and by the mass column.

    By columns (10.4, 10.4, 10.4, element, mass difference, charge) as specified, else by words.
    """
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
        return atomic_number(words[3]), (x, y, z), 0, ISOTOPE.get(words[3], 0), 0
    if " " in symbol or "\t" in line[:34]:
        raise ConformerError(f"columns are shifted: {shown(line)}")
    number = atomic_number(symbol)
    return number, (x, y, z), _old_charge(line[36:39]), ISOTOPE.get(symbol, 0), _old_mass(line[34:36], number)


def _old_mass(field: str, number: int) -> int:
    """Mass number by the difference to that of the most common isotope; 0 for no difference or no number."""
    try:
        difference = int(field)
    except ValueError:
        return 0
    return max(most_common_isotope(number) + difference, 0) if difference else 0


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


def _bonds(pairs: Sequence[tuple[int, int]]) -> Bonds:
    """Bonds, of pairs that count from 1."""
    return normalised(np.array(pairs, np.int64).reshape(-1, 2) - 1)


def _property_block(lines: Sequence[str], start: int, n_atoms: int, first_line: int) -> tuple[int, Listed]:
    """Index of the line after it, and what its lines give to atoms."""
    listed = Listed()
    i = start
    while i < len(lines):
        line = lines[i]
        if line.startswith("M  END"):
            return i + 1, listed
        if line.startswith(">"):
            break
        listed.read(line, n_atoms, first_line + i)
        if line.strip() and not line.startswith(_PROPERTY_MARKS):
            raise _fail(f"expected properties or M  END, found {shown(line)}", i, first_line)
        i += 2 if line.startswith(("A  ", "G  ")) else 1  # their text stands on a line of its own
    return min(i, len(lines)), listed


def _listed_pairs(line: str, n_atoms: int, line_number: int) -> dict[int, int]:
    words = line[6:].split()
    try:
        count, *rest = (int(word) for word in words)
    except ValueError:
        count, rest = -1, []
    wrong = len(rest) != 2 * count or not all(1 <= atom <= n_atoms for atom in rest[::2])
    if wrong or (line[3:6] == "ISO" and not all(0 <= mass <= MAX_MASS for mass in rest[1::2])):
        raise ConformerError(f"line {line_number}: {LISTED[line[3:6]]} cannot be read: {shown(line)}")
    return dict(zip(rest[::2], rest[1::2], strict=True))


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
    number, position, charge, isotope, radical = zip(*atoms.values(), strict=True)
    place = {label: k for k, label in enumerate(atoms, 1)}
    return Ctab(
        atomic_number=np.array(number, np.uint8),
        position=np.array(position),
        isotope=np.array(isotope, np.uint16),
        charge=np.array(charge, np.int64),
        multiplicity=multiplicity_of(radical),
        bonds=_bonds([(place[first], place[second]) for first, second in pairs]),
        end=end,
    )


def _add_atom_v3000(words: list[str], atoms: dict[str, Atom]) -> None:
    if len(words) < 5:
        raise ConformerError(f"expected index, element, x, y, z, found {shown(' '.join(words))}")
    if words[0] in atoms:
        raise ConformerError(f"atom {words[0]} is given twice")
    x, y, z = (parse_number(word) for word in words[2:5])
    given = dict(word.split("=", 1) for word in words[5:] if "=" in word)
    charge, mass, radical = (_v3000_integer(given, key) for key in ("CHG", "MASS", "RAD"))
    number = ATOMIC_NUMBER.get(words[1]) or atomic_number(words[1])
    atoms[words[0]] = number, (x, y, z), charge, ISOTOPE.get(words[1]) or mass, radical


def _v3000_integer(given: dict[str, str], key: str) -> int:
    text = given.get(key, "0")
    try:
        value = int(text)
    except ValueError:
        value = -1 - MAX_MASS
    if not -MAX_MASS <= value <= MAX_MASS or (key == "MASS" and value < 0):
        raise ConformerError(f"{LISTED[_V3000_KEYS[key]]} cannot be read: '{key}={text}'")
    return value


def _bond_v3000(words: list[str], atoms: Container[str]) -> list[str]:
    if len(words) < 4:
        raise ConformerError(f"expected a bond, found {shown(' '.join(words))}")
    for label in words[2:4]:
        if label not in atoms:
            raise ConformerError(f"bond to atom {label[:20]}, which is not among the atoms")
    return words[2:4]
