"""Element symbols as files write them, and covalent radii."""

from __future__ import annotations

from functools import cache

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from molgiae.errors import ConformerError

SYMBOLS: tuple[str, ...] = tuple(chemical_symbols)
"""Symbol of each atomic number; ``X`` stands at 0."""

ATOMIC_NUMBER: dict[str, int] = {
    spelling: number
    for number, symbol in enumerate(SYMBOLS)
    if number
    for spelling in (symbol, symbol.upper(), symbol.lower())
} | dict.fromkeys(("D", "T", "d", "t"), 1)
"""Atomic number of each symbol, spelt ``Cl``, ``CL`` or ``cl``; deuterium and tritium are hydrogen."""

ISOTOPE: dict[str, int] = {"D": 2, "d": 2, "T": 3, "t": 3}
"""Mass number of the symbols that name an isotope."""

PLACEHOLDERS = frozenset(("*", "R", "R#", "A", "Q", "L", "LP", "M", "X", "XX", "DU", "AH", "QH", "MH", "XH"))
"""Names of query atoms, R groups, lone pairs and dummies, in capitals."""

COVALENT_RADIUS: NDArray[np.float64] = covalent_radii.copy()
"""(Z,) covalent radii, angstrom, by atomic number (Cordero, Dalton Trans. 2008, 2832); 1.7 beyond curium."""
COVALENT_RADIUS[97:] = 1.7


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol.

    Raises:
        ConformerError: a placeholder such as ``R#``, or no element at all.
    """
    number = ATOMIC_NUMBER.get(symbol)
    if number is None:
        name = symbol.upper()
        if name in PLACEHOLDERS or (name[:1] == "R" and name[1:].isdigit()):
            raise ConformerError(f"'{symbol}' is a placeholder, expected an element")
        raise ConformerError(f"unknown element '{symbol[:20]}'")
    return number


@cache
def most_common_isotope(number: int) -> int:
    """Return the mass number of the most abundant isotope, which mass differences of V2000 are counted from."""
    from rdkit.Chem import GetPeriodicTable  # noqa: PLC0415 (few files need it)

    return int(GetPeriodicTable().GetMostCommonIsotope(number))
