"""The bonds of a record and nothing else, held once for all conformers that share them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import Bonds, bonds_of
from molgiae.data.conformer import Conformer
from molgiae.data.elements import SYMBOLS

REMEMBERED = 1 << 16
"""Records that are held to be shared."""
NOWHERE = "    0.0000    0.0000    0.0000"
V2000_LIMIT = 999


def has_bonds(conformer: Conformer) -> bool:
    """Whether the bonds of a conformer are known: its record lists some, or it has one atom.

    Connection tables that were made from coordinates alone list none, and say nothing about bonds.
    """
    bonds = bonds_of(conformer)
    return len(conformer) == 1 or (bonds is not None and len(bonds) > 0)


def bond_record(conformer: Conformer) -> str:
    """A connection table with the atoms and bonds of a conformer and nothing else; empty if none are known.

    Conformers with equal atoms and bonds share one string, so that a long ensemble holds its bonds once.
    """
    if not has_bonds(conformer):
        return ""
    bonds = bonds_of(conformer)
    return record_of(conformer.atomic_number, np.empty((0, 2), np.int64) if bonds is None else bonds)


def record_of(atomic_number: NDArray[np.uint8], bonds: Bonds) -> str:
    """A connection table without coordinates; for equal atoms and bonds the same string.

    Args:
        atomic_number: (n,) uint8.
        bonds: (K, 2) atoms of each bond, from 0.
    """
    return _record(atomic_number.tobytes(), bonds.tobytes())


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
        listed = [f"{k} 1 {i} {j}" for k, (i, j) in enumerate(bonds, 1)]
        lines = ["BEGIN CTAB", f"COUNTS {len(atoms)} {len(bonds)} 0 0 0", "BEGIN ATOM", *atoms, "END ATOM"]
        lines += ["BEGIN BOND", *listed, "END BOND", "END CTAB"]
        table = ["M  V30 " + line for line in lines]
    return "\n".join(["", "", "", counts, *table, "M  END", ""])
