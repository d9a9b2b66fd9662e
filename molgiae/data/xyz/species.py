"""What stands for an element in XYZ: symbols, atomic numbers, atom names of PDB files and force fields, LAMMPS types.

A name such as ``O1``, ``HW2``, ``CL1`` or ``H3'`` starts with its element. Where the letters in front name two
elements, as ``CA`` does (alpha carbon, calcium), or are no symbol, as ``CB``, the distances to the neighbours decide.
LAMMPS numbers its atom types from 1; read as atomic numbers they make hydrogen, helium and lithium of everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import ATOMIC_NUMBER, COVALENT_RADIUS, SYMBOLS, atomic_number
from molgiae.data.near_atoms import nearest
from molgiae.errors import ConformerError

Numbers = NDArray[np.uint8]
Positions = NDArray[np.float64]

NAMED = "CHNO"
"""Elements whose atoms have names of two letters in PDB files and force fields that are symbols of others, too."""
KEPT = frozenset(("Cl",))
"""Symbols that start with one of these letters and are no such names."""
_ALSO_NAMES = {
    symbol: ATOMIC_NUMBER[symbol[0]]
    for symbol in SYMBOLS[1:]
    if (len(symbol) == 2 and (symbol[0] in NAMED and symbol not in KEPT)) or symbol in ("Pa", "Pb", "Sg")
}
"""Atomic number that a symbol has as a name: ``CA`` and ``ca`` (GAFF), ``HG``, ``PB`` of ATP, ``SG`` of cysteine."""

AMBIGUOUS = {spelling: symbol for symbol in _ALSO_NAMES for spelling in (symbol.upper(), symbol.lower())}
"""Symbol behind each spelling that is a name, too; ``Ca`` itself is calcium."""
SPECIES = {word: number for word, number in ATOMIC_NUMBER.items() if word not in AMBIGUOUS} | {
    str(number): number for number in range(1, len(SYMBOLS))
}
"""Atomic number of the words that have but one meaning."""

_NAME = re.compile(r"(\d*)([A-Za-z]{1,3})(?:[\d'\"*+_.-][\w'\"*+.-]*)?", re.ASCII)
_BONDED = "HBCNOFPSI"
"""Elements for which a name that starts with their letter is taken."""

BOND_FACTOR = 1.3
"""Bonds over the sum of covalent radii, at most; the usual rule, where nothing else is in question."""
SHORT_BOND_FACTOR = 1.08
"""The same where a metal is in question: C-C up to 1.64, C-O to 1.53 angstrom; Cr=O is 1.57, Co-C 1.80, Ca-O 2.3."""
NEIGHBOURS = 4
"""Nearest atoms looked at; partners of C, H, N and O are among them."""

NAMES_READ = "atom names, as CA or HW2, were read as elements by their letters and distances"
HELIUM_BONDS = (0.85, 2.0)
"""Angstrom; He is in HeH+ (0.77) or alone: other contacts from one to the other are not those of helium."""
HYDROGEN_BOND_LENGTH = 0.9
"""Angstrom; longest to another H, or to He: H2 0.74, HeH+ 0.77, H3+ 0.87; O-H of water models 0.95 and more."""

_RADIUS = np.array(COVALENT_RADIUS)


def meanings(word: str) -> tuple[int, int]:
    """Return the atomic number that a word has as a name, and that which it has as a symbol; 0 for none.

    Raises:
        ConformerError: it has none at all.
    """
    if number := SPECIES.get(word):
        return 0, number
    found = _NAME.fullmatch(word)
    prefix, letters = (found[1], found[2]) if found else ("", "")
    symbol = letters if letters in SYMBOLS else letters.capitalize()
    if letters in AMBIGUOUS and not prefix:
        return _ALSO_NAMES[symbol], ATOMIC_NUMBER[symbol]
    if symbol in SYMBOLS[1:] and letters not in AMBIGUOUS and not prefix:
        return 0, ATOMIC_NUMBER[symbol]
    if letters[:1].upper() in _BONDED and len(letters) > 1:
        return ATOMIC_NUMBER[letters[0]], 0
    return 0, atomic_number(word)


def elements_of(words: Sequence[str], position: Positions, note: Callable[[str], object]) -> Numbers:
    """Return the elements of the atoms of one frame.

    Args:
        words: n words that stand for elements.
        position: (n, 3) angstrom.
        note: called with a sentence if something had to be decided.

    Raises:
        ConformerError: a word stands for none, or the distances do not agree.
    """
    known = {word: meanings(word) for word in dict.fromkeys(words)}
    name, symbol = np.array([known[word] for word in words]).T
    number = np.where(name > 0, name, symbol)
    named = np.flatnonzero(name)
    if len(named):
        factor = np.where((symbol[named] > 0) & (name[named] > 1), SHORT_BOND_FACTOR, BOND_FACTOR)
        agrees = _least_ratio(number, position, named) <= factor
        for i in named[~agrees].tolist():
            if not symbol[i]:
                raise ConformerError(
                    f"unknown element '{words[i][:20]}' (atom {i + 1}); as an atom name it would be "
                    f"{SYMBOLS[name[i]]}, but nothing is at the length of a bond; write element symbols"
                )
            number[i] = symbol[i]
            note(
                f"'{words[i]}' was read as {SYMBOLS[symbol[i]]}, for nothing is at the length of a bond of "
                f"{SYMBOLS[name[i]]}; write {SYMBOLS[symbol[i]]} or {SYMBOLS[name[i]]} to be sure"
            )
    if any(word not in AMBIGUOUS and word not in SPECIES for word in known) or (number == name)[named].any():
        note(NAMES_READ)
    return number.astype(np.uint8)


def _least_ratio(number: NDArray[np.integer], position: Positions, atoms: NDArray[np.int64]) -> Positions:
    """Return the least distance of atoms to a neighbour over the sum of covalent radii; infinite for one atom alone."""
    distance, neighbour = nearest(position, np.array([0, len(number)]), NEIGHBOURS)
    ratio = distance / (_RADIUS[number][:, None] + _RADIUS[number[neighbour]])
    return ratio[atoms].min(axis=1)


def any_may_be_types(number: Numbers, offset: NDArray[np.integer]) -> bool:
    """Whether numbers (N,) of a frame, which starts at offset (M + 1,), may be types: helium, or hydrogen alone."""
    return bool((number == 2).any() or (np.maximum.reduceat(number, offset[:-1]) == 1).any())


def types_fault(words: Sequence[str], number: Numbers, position: Positions) -> str:
    """Say why n words, read as these numbers (n,), look like LAMMPS types at (n, 3) angstrom; empty if not."""
    if len(number) < 2 or not (number.max() == 1 or (number == 2).any()):
        return ""
    kinds = sorted(set(number.tolist()))
    from_one = kinds == list(range(1, len(kinds) + 1))
    shortest = nearest(position, np.array([0, len(number)]), 1)[0][:, 0]
    low, high = HELIUM_BONDS
    helium_bonds = bool(((number == 2) & (shortest > low) & (shortest < high)).any())
    listed = ", ".join(map(str, kinds))
    read_as = ", ".join(SYMBOLS[kind] for kind in kinds)
    if not all(map(str.isdecimal, set(words))):
        if from_one and len(kinds) > 1 and helium_bonds:
            return f"{read_as}, with bonds of He, look like LAMMPS types {listed}; write the elements behind these"
        return ""
    lonely = bool(((number == 1) & (shortest > HYDROGEN_BOND_LENGTH)).any())
    if helium_bonds or (from_one and (len(kinds) > 2 or lonely)):
        return (
            f"species {listed} look like LAMMPS types, for {read_as} at these distances are no molecule; "
            "write element symbols"
        )
    return ""
