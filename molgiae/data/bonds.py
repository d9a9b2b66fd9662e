"""Which atoms are bonded: as the record says, or perceived from distances where it says nothing."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.data.conformer import Conformer
from molgiae.data.ctab import read_ctab
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.gaps import at_least

Bonds = NDArray[np.int64]
"""(K, 2) atoms of each bond, counted from 0, the lesser first, sorted, none twice."""

BOND_LENGTH_FACTOR = 1.3003
"""Atoms are bonded if nearer than this times the sum of their covalent radii.

Bonds of H2 (0.74 angstrom) and F2 (1.41), the longest by this measure, need 1.19 and 1.24, and vibration stretches
a C-H bond to 1.2. The last digit keeps the limit off lengths of up to three decimals, 1.391 angstrom for C-H, by
more than coordinates of four decimals move a length; so it does in the factors below.
"""

SURE_FACTOR = 1.1503
"""Nearer than this times the sum of their radii, atoms are bonded whatever their other neighbours are."""

FOUR_BONDS = 6
"""The element whose atoms, once they have four neighbours within `SURE_FACTOR`, have no bond longer than that.

Carbon is what cages are made of: across bicyclo[1.1.1]pentane it is 1.87 angstrom to the next, across a
four-membered ring 2.1, while the longest C-C bonds measure 1.7 (1.12 times the radii).
"""

LONE_HYDROGEN_FACTOR = 1.6003
"""A hydrogen without a bond is bonded to its nearest atom, if nearer than this times the sum of their radii.

Hydrogen has one bond: while it is stretched, from 1.39 to 1.71 angstrom for C-H, its partner is not in doubt.
Free atoms and ions stand farther off (H...C at van der Waals contact needs 2.7).
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
    """Return the bonds that distances show: `BOND_LENGTH_FACTOR` and the exceptions to it below it.

    Lengths that are nearly the same are judged together (`molgiae.gaps`), so that bonds which a symmetry
    exchanges are all there or none is.

    Args:
        z: (n,) atomic numbers.
        pos: (n, 3) angstrom.
    """
    radius = _RADIUS[z]
    reach = 2 * LONE_HYDROGEN_FACTOR * float(radius.max(initial=0.0))
    pairs = cKDTree(pos).query_pairs(reach, output_type="ndarray").astype(np.int64)
    first, second = pairs.T
    length, radii = np.linalg.norm(pos[first] - pos[second], axis=1), radius[first] + radius[second]
    sure = at_least(SURE_FACTOR * radii - length, 0.0)
    full = (z == FOUR_BONDS) & (np.bincount(pairs[sure].ravel(), minlength=len(z)) >= 4)
    spare = BOND_LENGTH_FACTOR * radii - length
    bonded = sure | (at_least(spare, 0.0) & ~full[pairs].any(axis=1))
    lone = z == 1
    lone[pairs[bonded]] = False
    for atom in np.flatnonzero(lone).tolist():
        mine = np.flatnonzero((pairs == atom).any(axis=1) & (length < LONE_HYDROGEN_FACTOR * radii))
        if len(mine):
            bonded[mine[at_least(spare[mine], float(spare[mine].max()))]] = True
    return normalised(pairs[bonded])


def normalised(bonds: Bonds) -> Bonds:
    """The bonds as `Bonds` has them."""
    low, high = np.sort(bonds, axis=1).T
    size = int(high.max(initial=0)) + 1
    return np.stack(np.divmod(np.unique(low * size + high), size), axis=1)
