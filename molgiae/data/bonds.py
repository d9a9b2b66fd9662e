"""Which atoms are bonded: as the record says, or perceived from distances where it says nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.data.conformer import Bonds, Conformer, normalised
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.gaps import at_least

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


def known_bonds(conformer: Conformer) -> Bonds:
    """Return the bonds of the record, or perceived ones where it has none."""
    if conformer.has_bonds:
        return conformer.bonds
    return perceived_bonds(conformer.atomic_number, conformer.position)


def perceived_bonds(z: NDArray[np.integer], pos: NDArray[np.floating]) -> Bonds:
    """Return the bonds that distances show: `BOND_LENGTH_FACTOR` and the exceptions to it below it.

    Lengths that are nearly the same are judged together (`molgiae.data.gaps`), so that bonds which a symmetry
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
