"""Element symbols as files write them, formulas, and covalent radii."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConformerError

# these tables are in ase.data, too, but training and embedding from npz and HDF5 do without ase
_SYMBOLS = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
Mc Lv Ts Og
"""

SYMBOLS = tuple(_SYMBOLS.split())
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

_RADII = """
0.2 0.31 0.28 1.28 0.96 0.84 0.76 0.71 0.66 0.57 0.58 1.66 1.41 1.21 1.11 1.07 1.05 1.02 1.06 2.03 1.76 1.7
1.6 1.53 1.39 1.39 1.32 1.26 1.24 1.32 1.22 1.22 1.2 1.19 1.2 1.2 1.16 2.2 1.95 1.9 1.75 1.64 1.54 1.47 1.46
1.42 1.39 1.45 1.44 1.42 1.39 1.39 1.38 1.39 1.4 2.44 2.15 2.07 2.04 2.03 2.01 1.99 1.98 1.98 1.96 1.94 1.92
1.92 1.89 1.9 1.87 1.87 1.75 1.7 1.62 1.51 1.44 1.41 1.36 1.36 1.32 1.45 1.46 1.48 1.4 1.5 1.5 2.6 2.21 2.15
2.06 2 1.96 1.9 1.87 1.8 1.69
"""

COVALENT_RADIUS: NDArray[np.float64] = np.full(len(SYMBOLS), 1.7)
"""(Z,) covalent radii, angstrom, by atomic number (Cordero, Dalton Trans. 2008, 2832); 1.7 beyond curium."""
COVALENT_RADIUS[:97] = _RADII.split()


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


def hill_of(elements: Iterable[int]) -> str:
    """Return the molecular formula of atomic numbers in Hill order: carbon, hydrogen, the others by the alphabet."""
    count = Counter(SYMBOLS[z] for z in elements)
    first = [s for s in ("C", "H") if "C" in count and s in count]
    rest = sorted(set(count) - set(first))
    return "".join(s + (str(count[s]) if count[s] > 1 else "") for s in [*first, *rest])
