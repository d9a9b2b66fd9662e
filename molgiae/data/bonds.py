"""Which atoms are bonded: as the record says, or perceived from distances where it says nothing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.data.conformer import Conformer
from molgiae.data.ctab import read_ctab
from molgiae.data.elements import COVALENT_RADIUS

Bonds = NDArray[np.int64]
"""(K, 2) atoms of each bond, counted from 0, the lesser first, sorted, none twice."""

BOND_FACTOR = 1.3
"""Atoms are bonded if nearer than this times the sum of their covalent radii.

Bonds of H2 (0.74 angstrom) and F2 (1.41), the longest by this measure, need 1.19 and 1.24; carbons across a
four-membered ring (2.1) would need 1.38.
"""

_RADIUS = np.array(COVALENT_RADIUS)


def bonds_of(conformer: Conformer) -> Bonds | None:
    """The bonds written in the record of a conformer (V2000, V3000); None if it has no connection table.

    Raises:
        ConformerError: the table cannot be read.
    """
    return _written(conformer.text, conformer.line)


@lru_cache(maxsize=256)
def _written(text: str, first_line: int) -> Bonds | None:
    """Remembered, for conformers that were made of one record share its text."""
    lines = text.replace("\r", "").split("\n")
    if len(lines) < 4 or ("V2000" not in lines[3] and "V3000" not in lines[3]):
        return None
    listed = _in_columns(lines) if "V2000" in lines[3] else None
    bonds = normalised(read_ctab(lines, first_line).bonds if listed is None else listed)
    bonds.flags.writeable = False
    return bonds


def _in_columns(lines: list[str]) -> Bonds | None:
    """Bonds of a V2000 table that keeps to its columns, as nearly all do; None for the careful parser."""
    try:
        n_atoms, n_bonds = int(lines[3][:3]), int(lines[3][3:6])
        table = lines[4 + n_atoms : 4 + n_atoms + n_bonds]
        bonds = np.array([(int(line[:3]), int(line[3:6])) for line in table], np.int64).reshape(-1, 2) - 1
    except ValueError:
        return None
    return bonds if len(bonds) == n_bonds and ((bonds >= 0) & (bonds < n_atoms)).all() else None


def perceived_bonds(z: NDArray[np.integer], pos: NDArray[np.floating]) -> Bonds:
    """Pairs of atoms nearer than `BOND_FACTOR` times the sum of their covalent radii.

    Args:
        z: (n,) atomic numbers.
        pos: (n, 3) angstrom.
    """
    radius = _RADIUS[z]
    pairs = cKDTree(pos).query_pairs(2 * BOND_FACTOR * float(radius.max(initial=0.0)), output_type="ndarray")
    first, second = pairs.T
    near = np.linalg.norm(pos[first] - pos[second], axis=1) < BOND_FACTOR * (radius[first] + radius[second])
    return normalised(pairs[near].astype(np.int64))


def normalised(bonds: Bonds) -> Bonds:
    """The bonds as `Bonds` has them."""
    low, high = np.sort(bonds, axis=1).T
    size = int(high.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(low * size + high), size), axis=1)
