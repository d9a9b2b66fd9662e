"""Which atoms are bonded: as the record says, or perceived from distances where it says nothing.

Equivalent atoms share bond lengths, distances and heights up to round-off and to the decimals of a file. A cut decided
value by value would part them where it meets such a value. Two habits prevent this, here and in `canonical`: no cut
stands at a round number, which made-up structures meet, and values that follow each other in small steps fall on one
side (`at_least`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.data.conformer import Bonds, Conformer
from molgiae.data.elements import COVALENT_RADIUS

SAME_LENGTH = 0.0037
"""Lengths that follow each other by no more stay together, angstrom.

Coordinates of three decimals, as in many files, move a distance by up to 0.0009 angstrom and part two equal ones
by up to twice that.
"""

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

APART = 1e9
"""Angstrom between conformers in the fourth dimension of a tree that holds the atoms of them all."""


def known_bonds(conformer: Conformer) -> Bonds:
    """Return the bonds of the record, or perceived ones where it has none."""
    if conformer.has_bonds:
        return conformer.bonds
    return perceived_bonds(conformer.atomic_number, conformer.position)


def perceived_bonds(z: NDArray[np.integer], pos: NDArray[np.floating]) -> Bonds:
    """Return the bonds that distances show in one conformer, by the rule of `perceived_bonds_of_block`.

    Args:
        z: (n,) atomic numbers.
        pos: (n, 3) angstrom.
    """
    return perceived_bonds_of_block(z, pos, np.array([0, len(z)]))[0]


def perceived_bonds_of_block(
    z: NDArray[np.integer], pos: NDArray[np.floating], offset: NDArray[np.int64]
) -> tuple[Bonds, NDArray[np.float64]]:
    """Return the bonds that distances show in many conformers, and how far each conformer is from other bonds.

    Atoms are bonded by `BOND_LENGTH_FACTOR` and the exceptions to it above. Lengths that are nearly the same are
    judged together (`at_least`), so that bonds which a symmetry exchanges are all there or none is.

    Args:
        z: (N,) atomic numbers of all conformers.
        pos: (N, 3) angstrom.
        offset: (M + 1,) from 0 to N; the atoms of conformer m are rows ``offset[m]:offset[m + 1]``.

    Returns:
        bonds (K, 2), rows of `pos`, the lesser first, sorted, so that those of a conformer stand together; and
        margin (M,), the smallest difference between the distance of two atoms and the one below which they are
        bonded, angstrom; inf where there is one atom.
    """
    pairs = _NearPairs(z, pos, offset)
    first, second = pairs.first[pairs.bonded], pairs.second[pairs.bonded]
    place = np.sort(first * len(z) + second)
    return np.stack(np.divmod(place, max(len(z), 1)), axis=1), pairs.margin


def apart(pos: NDArray[np.floating], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (N, 4) places of atoms at which those of different conformers are far from each other.

    Args:
        pos: (N, 3) angstrom.
        owner: (N,) conformer of each atom.
    """
    return np.column_stack([pos, APART * owner])


class _NearPairs:
    """The pairs of atoms of one conformer that are near enough for any bond; arguments as of the function above.

    Attributes:
        first, second: (P,) rows of `pos`.
        bonded: (P,) whether they are bonded.
        margin: (M,) smallest difference of a distance from its limit in each conformer, angstrom.
    """

    def __init__(self, z: NDArray[np.integer], pos: NDArray[np.floating], offset: NDArray[np.int64]) -> None:
        self.z, self.radius = z, COVALENT_RADIUS[z]
        owner = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
        widest = np.zeros(len(offset) - 1)
        np.maximum.at(widest, owner, self.radius)
        self._find(pos, owner, 2 * LONE_HYDROGEN_FACTOR * widest)
        radii, self.whose = self.radius[self.first] + self.radius[self.second], owner[self.first]
        surely, spare = SURE_FACTOR * radii - self.length, BOND_LENGTH_FACTOR * radii - self.length
        sure = at_least(surely, 0.0, group=self.whose)
        self.bonded = sure | (at_least(spare, 0.0, group=self.whose) & ~self._at(self._full(sure)))
        self._bind_lone_hydrogens(spare, self.length < LONE_HYDROGEN_FACTOR * radii)
        full = self._full(surely > 0)
        barred = self._at(full) & (surely < 0)
        self.margin = np.full(len(widest), np.inf)
        np.minimum.at(self.margin, self.whose, np.abs(np.where(barred, surely, spare)))
        beyond = 2 * (LONE_HYDROGEN_FACTOR - BOND_LENGTH_FACTOR) * widest
        for m in np.flatnonzero((self.margin > beyond) & (np.diff(offset) > 1)).tolist():
            own = slice(int(offset[m]), int(offset[m + 1]))
            self.margin[m] = min(self.margin[m], _margin_of_all(pos[own], self.radius[own], full[own]))

    def _find(self, pos: NDArray[np.floating], owner: NDArray[np.int64], reach: NDArray[np.float64]) -> None:
        """Find the pairs that are no farther apart than the reach (M,) of their conformer, and their distances."""
        tree = cKDTree(apart(pos, owner))
        first, second = tree.query_pairs(float(reach.max(initial=0.0)), output_type="ndarray").T
        between = pos[first] - pos[second]
        length = np.sqrt(np.einsum("pi,pi->p", between, between))
        near = length <= reach[owner[first]]
        self.first, self.second, self.length = first[near].astype(np.int64), second[near], length[near]

    def _at(self, atoms: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (P,) which pairs have one of some atoms (N,)."""
        return atoms[self.first] | atoms[self.second]

    def _full(self, sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (N,) the atoms of `FOUR_BONDS` that have four neighbours by some of the pairs (P,)."""
        ends = np.concatenate([self.first[sure], self.second[sure]])
        return (self.z == FOUR_BONDS) & (np.bincount(ends, minlength=len(self.z)) >= 4)

    def _bind_lone_hydrogens(self, spare: NDArray[np.float64], near: NDArray[np.bool_]) -> None:
        """Bond every hydrogen that has no bond to the atom that is nearest, judged by radii.

        Args:
            spare: (P,) by how much distances are below the limit, angstrom.
            near: (P,) whether they may be bonded at all.
        """
        lone = self.z == 1
        lone[self.first[self.bonded]] = lone[self.second[self.bonded]] = False
        pair, end = np.nonzero(np.stack([lone[self.first], lone[self.second]], axis=1) & near[:, None])
        atom, best = np.where(end == 0, self.first[pair], self.second[pair]), np.full(len(lone), -np.inf)
        np.maximum.at(best, atom, spare[pair])
        self.bonded[pair[at_least(spare[pair] - best[atom], 0.0, group=atom)]] = True


def _margin_of_all(pos: NDArray[np.floating], radius: NDArray[np.float64], full: NDArray[np.bool_]) -> float:
    """Return the margin of one conformer, whose atoms are all far from the limits of bonds."""
    first, second = np.triu_indices(len(pos), 1)
    factor = np.where(full[first] | full[second], SURE_FACTOR, BOND_LENGTH_FACTOR)
    excess = np.linalg.norm(pos[first] - pos[second], axis=1) - factor * (radius[first] + radius[second])
    return float(np.abs(excess).min())


def at_least(
    values: NDArray[np.float64],
    cut: float,
    step: float = SAME_LENGTH,
    group: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Tell which values reach a cut, or follow downwards, in small steps, one that does.

    Args:
        values: (n,) finite, angstrom.
        cut: angstrom.
        step: the largest that is small, angstrom.
        group: (n,) which values belong together; others do not follow each other. None if all do.
    """
    reaches = values >= cut
    near = ~reaches & (values >= cut - 2 * step)
    if not near.any():
        return reaches
    group = np.zeros(len(values), np.int64) if group is None else group
    rows = np.flatnonzero(np.isin(group, group[near]))
    rows = rows[np.lexsort((-values[rows], group[rows]))]
    downwards = values[rows]
    starts = np.append(True, (np.diff(group[rows]) != 0) | (-np.diff(downwards) > step))
    highest = downwards[starts][np.cumsum(starts) - 1]
    reaches[rows] = highest >= cut
    return reaches
