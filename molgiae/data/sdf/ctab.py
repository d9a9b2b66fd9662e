"""Connection tables (V2000, V3000) line by line: the careful parser, which also says what is wrong.

After Dalby et al., J. Chem. Inf. Comput. Sci. 1992, 32, 244, and BIOVIA, CTfile Formats. Elements, coordinates,
charges, isotopes, radicals and bonded atoms are taken. Bonds are not judged by chemistry, but a bond to an atom that
is not there shows a corrupt record. A missing ``M  END`` is accepted if the counts are satisfied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer, normalised
from molgiae.data.elements import ISOTOPE, atomic_number, most_common_isotope
from molgiae.data.state import multiplicity_of
from molgiae.data.text import parse_number, shown
from molgiae.errors import ConformerError

HEADER_LINES = 3
V30 = "M  V30 "
"""Start of the lines of a V3000 table."""
OLD_CHARGE = (0, 3, 2, 1, 0, -1, -2, -3)
"""Charge for each value of the charge column of a V2000 atom line."""
MAX_LISTED = 999
"""Listed values have three digits; the heaviest known mass number is 295."""

LISTED = {"CHG": "charges", "RAD": "radicals", "ISO": "isotopes"}
"""Property lines of V2000 whose pairs of atom and value are taken."""
_V3000_KEYS = {"CHG": "CHG", "MASS": "ISO", "RAD": "RAD"}
"""Keys of V3000 atom lines, and the property lines of V2000 that say the same."""
_PROPERTY_MARKS = ("M  ", "A  ", "V  ", "G  ", "S  ")

Lists = dict[str, dict[int, int]]
"""Values that lines of `LISTED` give to atoms, by number of the atom from 1; radicals are 1 singlet, 2 doublet..."""

Atom = tuple[int, list[float], int, int, int]
"""Atomic number, coordinates in angstrom, charge, mass number of the symbol (as D) and by the mass column, or 0."""
Parsed = TypeVar("Parsed")
Lines = Sequence[str] | Mapping[int, str]
"""Lines by their index in the record."""


class Ctab(NamedTuple):
    """A connection table.

    Attributes:
        conformer: its atoms and bonds, total charge and multiplicity.
        n_charged: number of atoms with a formal charge.
        end: index of the line after the table.
    """

    conformer: Conformer
    n_charged: int
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
    read = _read_v3000 if lines[HEADER_LINES].rstrip().endswith("V3000") else _read_v2000
    return read(lines, first_line)


def read_list(line: str, n_atoms: int, lists: Lists) -> None:
    """Add the values of a line ``M  CHG``, ``M  RAD`` or ``M  ISO`` to the lists; other lines are left alone.

    Raises:
        ConformerError: the line cannot be read or names an atom that does not exist.
    """
    name = line[3:6]
    if not line.startswith("M  ") or name not in LISTED:
        return
    try:
        count, *rest = line[6:].split()
        found = [(int(k), _listed(name, value)) for k, value in zip(rest[::2], rest[1::2], strict=True)]
        is_whole = len(found) == int(count) and all(1 <= atom <= n_atoms for atom, _ in found)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConformerError(f"{LISTED[name]} cannot be read: {shown(line)}")
    lists.setdefault(name, {}).update(found)


def _listed(name: str, word: str) -> int:
    """Return the value that a word gives to an atom; a ValueError if it is none."""
    value = int(word)
    if not (0 if name == "ISO" else -MAX_LISTED) <= value <= MAX_LISTED:
        raise ValueError(f"{value} is out of range")
    return value


def with_lists(
    lists: Lists, charge: NDArray[np.int64], symbol_mass: NDArray[np.integer], mass: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.uint16], int]:
    """Return charges (n,), mass numbers (n,) and the multiplicity of a table.

    Listed charges or radicals override all of the charge column, listed isotopes all of the mass column, and mass
    numbers of symbols, as of D, override both; 0 is none.
    """
    if "CHG" in lists or "RAD" in lists:
        charge = _scattered(lists.get("CHG", {}), len(charge))
    if "ISO" in lists:
        mass = _scattered(lists["ISO"], len(charge))
    isotope = np.where(symbol_mass > 0, symbol_mass, mass).astype(np.uint16)
    return charge, isotope, multiplicity_of(lists.get("RAD", {}).values())


def _scattered(values: dict[int, int], n_atoms: int) -> NDArray[np.int64]:
    full = np.zeros(n_atoms, np.int64)
    full[np.array(list(values), np.int64) - 1] = list(values.values())
    return full


def _ctab(atoms: Iterable[Atom], pairs: Sequence[tuple[int, int]], lists: Lists, end: int) -> Ctab:
    number, position, *columns = zip(*atoms, strict=True)
    charge, isotope, multiplicity = with_lists(lists, *(np.array(column, np.int64) for column in columns))
    conformer = Conformer(
        atomic_number=np.array(number, np.uint8),
        position=np.array(position, np.float64),
        charge=int(charge.sum()),
        multiplicity=multiplicity,
        isotope=isotope,
        bonds=normalised(np.array(pairs, np.int64).reshape(-1, 2) - 1),
    )
    return Ctab(conformer, int(np.count_nonzero(charge)), end)


def _parsed(
    parse: Callable[[str], Parsed], lines: Lines, where: Iterable[int], first_line: int, what: str = ""
) -> list[Parsed]:
    """Parse the lines of these indices; an error says in which line of the source it is."""
    found: list[Parsed] = []
    for i in where:
        try:
            found.append(parse(lines[i]))
        except ConformerError as error:
            place = f"line {first_line + i}: {what.format(len(found) + 1)}"
            raise ConformerError(place + error.reason) from error
    return found


def _read_v2000(lines: Sequence[str], first_line: int) -> Ctab:
    first_atom = HEADER_LINES + 1
    [(n_atoms, n_bonds)] = _parsed(_counts, lines, [HEADER_LINES], first_line)
    first_bond = first_atom + n_atoms
    after = first_bond + n_bonds
    where = range(first_atom, min(first_bond, len(lines)))
    atoms = _parsed(_atom_v2000, lines, where, first_line, f"atom {{}} of {n_atoms}: ")
    if len(lines) < after:
        raise ConformerError(
            f"the record ends after {len(lines)} lines, its counts line announces {n_atoms} atoms "
            f"and {n_bonds} bonds"
        )
    bond = partial(_bond_v2000, n_atoms=n_atoms)
    pairs = _parsed(bond, lines, range(first_bond, after), first_line)
    lists: Lists = {}
    block = list(property_lines(lines, after))
    read = partial(_property, n_atoms=n_atoms, lists=lists)
    _parsed(read, lines, (one.start for one in block), first_line)
    end = min(block[-1].stop if block else after, len(lines))
    end += end < len(lines) and lines[end].startswith("M  END")
    return _ctab(atoms, pairs, lists, end)


def _counts(line: str) -> tuple[int, int]:
    n_atoms, n_bonds, _ = two_integers(line, "a counts line")
    if n_atoms == 0:
        raise ConformerError("the record has no atoms")
    return n_atoms, n_bonds


def _atom_v2000(line: str) -> Atom:
    """Read an atom line by columns (10.4, 10.4, 10.4, element, mass difference, charge), else by words."""
    symbol = line[31:34].strip()
    if symbol and not line[30].isspace():
        symbol = ""  # the columns are shifted
    words = line.split()
    try:
        if not symbol:
            raise ConformerError("no element in columns 32-34")
        position = [parse_number(line[start : start + 10]) for start in (0, 10, 20)]
    except ConformerError as error:
        if len(words) < 4:
            raise ConformerError(f"expected x, y, z and an element, found {shown(line)}") from error
        position = [parse_number(word) for word in words[:3]]
        return atomic_number(words[3]), position, 0, ISOTOPE.get(words[3], 0), 0
    if " " in symbol or "\t" in line[:34]:
        raise ConformerError(f"columns are shifted: {shown(line)}")
    number = atomic_number(symbol)
    charge, mass = _old_charge(line[36:39].strip()), _old_mass(line[34:36], number)
    return number, position, charge, ISOTOPE.get(symbol, 0), mass


def _old_charge(code: str) -> int:
    return OLD_CHARGE[int(code)] if code.isdecimal() and int(code) < len(OLD_CHARGE) else 0


def _old_mass(field: str, number: int) -> int:
    """Return the mass number by the difference to the most common isotope; 0 for no difference or no number."""
    try:
        difference = int(field)
    except ValueError:
        return 0
    return max(most_common_isotope(number) + difference, 0) if difference else 0


def _bond_v2000(line: str, n_atoms: int) -> tuple[int, int]:
    first, second, _ = two_integers(line, "a bond")
    for atom in (first, second):
        if not 1 <= atom <= n_atoms:
            raise ConformerError(f"bond to atom {atom}, the record has {n_atoms} atoms")
    return _two_atoms(first, second)


def _two_atoms(first: int, second: int) -> tuple[int, int]:
    if first == second:
        raise ConformerError(f"bond of atom {first} to itself")
    return first, second


def _property(line: str, n_atoms: int, lists: Lists) -> None:
    read_list(line, n_atoms, lists)
    if line.strip() and not line.startswith(_PROPERTY_MARKS):
        raise ConformerError(f"expected properties or M  END, found {shown(line)}")


def _read_v3000(lines: Sequence[str], first_line: int) -> Ctab:
    logical = dict(v30_lines(lines))
    section, counts = "", (-1, -1)
    where: dict[str, list[int]] = {"ATOM": [], "BOND": []}
    for i, line in logical.items():
        match line.split(maxsplit=3):
            case ["END", *_]:
                section = ""
            case [_, *_] if section in where:
                where[section].append(i)
            case ["COUNTS", n_atoms, n_bonds, *_] if n_atoms.isdecimal() and n_bonds.isdecimal():
                counts = int(n_atoms), int(n_bonds)
            case ["BEGIN", name, *_]:
                section = name
    place: dict[str, int] = {}
    lists: Lists = {name: {} for name in LISTED}
    atom = partial(_atom_v3000, place=place, lists=lists)
    atoms = _parsed(atom, logical, where["ATOM"], first_line)
    pairs = _parsed(partial(_bond_v3000, place=place), logical, where["BOND"], first_line)
    if counts[0] < 0:
        raise ConformerError("no readable M  V30 COUNTS line")
    if counts != (len(atoms), len(pairs)):
        raise ConformerError(
            f"{len(atoms)} atoms and {len(pairs)} bonds found, COUNTS announces {counts[0]} and {counts[1]}"
        )
    if not atoms:
        raise ConformerError("the record has no atoms")
    end = HEADER_LINES + 1
    end += sum(1 for _ in takewhile(lambda line: line.startswith(V30), lines[end:]))
    end += end < len(lines) and lines[end].startswith("M  END")
    return _ctab(atoms, pairs, lists, end)


def _atom_v3000(line: str, place: dict[str, int], lists: Lists) -> Atom:
    """Read an atom line; its label gets the next place, from 1, and its place the values in the lists."""
    words = line.split()
    if len(words) < 5:
        raise ConformerError(f"expected index, element, x, y, z, found {shown(' '.join(words))}")
    label, symbol, *_ = words
    if label in place:
        raise ConformerError(f"atom {label} is given twice")
    place[label] = len(place) + 1
    position = [parse_number(word) for word in words[2:5]]
    for word in words[5:]:
        key, is_given, value = word.partition("=")
        if is_given and (name := _V3000_KEYS.get(key)):
            try:
                lists[name][place[label]] = _listed(name, value)
            except ValueError as error:
                raise ConformerError(f"{LISTED[name]} cannot be read: '{word}'") from error
    return atomic_number(symbol), position, 0, ISOTOPE.get(symbol, 0), 0


def _bond_v3000(line: str, place: Mapping[str, int]) -> tuple[int, int]:
    words = line.split()
    if len(words) < 4:
        raise ConformerError(f"expected a bond, found {shown(' '.join(words))}")
    for label in words[2:4]:
        if label not in place:
            raise ConformerError(f"bond to atom {label[:20]}, which is not among the atoms")
    return _two_atoms(place[words[2]], place[words[3]])


# Lines of the two formats, as the writer needs them, too


def two_integers(line: str, expected: str) -> tuple[int, int, str]:
    """Return the numbers that a counts or bond line starts with, and the rest of it in columns of three.

    Raises:
        ConformerError: there are none, neither in three columns each, as specified, nor as words.
    """
    for words in ([line[:3].strip(), line[3:6].strip(), line[6:]], line.split()):
        if len(words) > 1 and words[0].isdecimal() and words[1].isdecimal():
            return int(words[0]), int(words[1]), "".join(f"{word:>3}" for word in words[2:])
    raise ConformerError(f"expected {expected}, found {shown(line)}")


def property_lines(lines: Sequence[str], start: int) -> Iterator[slice]:
    """Yield where each property of a V2000 table stands, with the line of text that some have behind theirs."""
    while start < len(lines) and not lines[start].startswith(("M  END", ">", "$$$$")):
        stop = start + 1 + lines[start].startswith(("A  ", "G  "))
        yield slice(start, stop)
        start = stop


def v30_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the contents of V3000 lines, continuations joined, behind the index of their first line."""
    i = HEADER_LINES + 1
    while i < len(lines) and lines[i].startswith(V30):
        start, text = i, lines[i].removeprefix(V30).rstrip()
        i += 1
        while text.endswith("-") and i < len(lines) and lines[i].startswith(V30):
            text = text[:-1] + lines[i].removeprefix(V30).rstrip()
            i += 1
        yield start, text.strip()
