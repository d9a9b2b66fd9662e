"""The bonds of a record and nothing else, held once for all conformers that share them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from molgiae.data.bonds import Bonds, bonds_of, perceived_bonds
from molgiae.data.conformer import Conformer
from molgiae.data.elements import SYMBOLS

HEADER_LINES = 3
NOWHERE = "    0.0000    0.0000    0.0000"
V2000_LIMIT = 999
REMEMBERED = 1 << 16
"""Tables that are held to be shared."""


def bond_record(conformer: Conformer, *, perceive: bool = False) -> str:
    """A connection table with the atoms and bonds of a conformer and nothing else; empty if no bonds are known.

    They are known where the record is a connection table that lists some; one atom needs none. Tables that
    were made from coordinates alone list none and say nothing about bonds. Conformers with equal atoms and
    bonds share one string, so that a long ensemble holds its bonds once.

    Args:
        conformer: with the text of its record.
        perceive: take bonds from distances where none are known.
    """
    numbers = conformer.atomic_number.tobytes()
    bare = _without_atoms(conformer.text)
    bonds = bonds_of(conformer) if bare is None else _bonds_listed(numbers, bare)
    if bonds is None or not (len(bonds) or len(conformer) == 1):
        if not perceive:
            return ""
        bonds = perceived_bonds(conformer.atomic_number, conformer.position)
    return _record(numbers, bonds.tobytes())


def _without_atoms(text: str) -> str | None:
    """A V2000 table with all atoms alike, so that those with the same bonds are equal; None for other text."""
    lines = text.split("\n", HEADER_LINES + 1)
    if len(lines) < HEADER_LINES + 2 or "V2000" not in lines[HEADER_LINES]:
        return None
    counts = lines[HEADER_LINES]
    if not (counts[:3].strip().isdecimal() and counts[3:6].strip().isdecimal()):
        return None
    n_atoms, n_bonds = int(counts[:3]), int(counts[3:6])
    bonds = [line[:6] for line in lines[HEADER_LINES + 1].split("\n")[n_atoms : n_atoms + n_bonds]]
    return "\n".join(["", "", "", counts.rstrip(), *[NOWHERE] * n_atoms, *bonds, "M  END", ""])


@lru_cache(maxsize=REMEMBERED)
def _bonds_listed(numbers: bytes, text: str) -> Bonds | None:
    number = np.frombuffer(numbers, np.uint8)
    return bonds_of(Conformer(number, np.zeros((len(number), 3)), text=text))


@lru_cache(maxsize=REMEMBERED)
def _record(numbers: bytes, pairs: bytes) -> str:
    bonds = (np.frombuffer(pairs, np.int64).reshape(-1, 2) + 1).tolist()
    if len(numbers) <= V2000_LIMIT and len(bonds) <= V2000_LIMIT:
        counts = f"{len(numbers):3d}{len(bonds):3d}  0  0  0  0            999 V2000"
        table = [f"{NOWHERE} {SYMBOLS[z]:<3} 0  0" for z in numbers]
        table += [f"{i:3d}{j:3d}  1  0" for i, j in bonds]
    else:
        counts = "  0  0  0     0  0            999 V3000"
        atoms = [f"{k} {SYMBOLS[z]} 0 0 0 0" for k, z in enumerate(numbers, 1)]
        pairs_ = [f"{k} 1 {i} {j}" for k, (i, j) in enumerate(bonds, 1)]
        lines = ["BEGIN CTAB", f"COUNTS {len(atoms)} {len(bonds)} 0 0 0", "BEGIN ATOM", *atoms, "END ATOM"]
        lines += ["BEGIN BOND", *pairs_, "END BOND", "END CTAB"]
        table = ["M  V30 " + line for line in lines]
    return "\n".join(["", "", "", counts, *table, "M  END", ""])
