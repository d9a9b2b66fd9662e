"""Which atoms are bonded: as the record says, or perceived from distances where it says nothing.

Equivalent atoms share bond lengths, distances and heights up to round-off and to the decimals of a file. A cut decided
value by value would part them where it meets such a value. Two habits prevent this, here and in `canonical`: no cut
stands at a round number, which made-up structures meet, and values that follow each other in small steps fall on one
side (`lowest_reached`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Bonds, Conformer
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.near_atoms import near_pairs
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
    z: NDArray[np.integer], pos: NDArray[np.floating], offset: Ints
) -> tuple[Bonds, Floats]:
    """Return the bonds that distances show in many conformers, and how far each conformer is from other bonds.

    Atoms are bonded by `BOND_LENGTH_FACTOR` and the exceptions to it above. Lengths that are nearly the same are
    judged together (`lowest_reached`), so that bonds which a symmetry exchanges are all there or none is.

    Args:
        z: (N,) atomic numbers of all conformers.
        pos: (N, 3) angstrom.
        offset: (M + 1,) from 0 to N; the atoms of conformer m are rows ``offset[m]:offset[m + 1]``.

    Returns:
        bonds (K, 2), rows of `pos`, the lesser first, sorted, so that those of a conformer stand together; and
        margin (M,), the smallest difference between the distance of two atoms and the one below which they are
        bonded, angstrom; inf where there is one atom.
    """
    return _bonds_of_block(
        np.ascontiguousarray(z, dtype=np.int64),
        np.ascontiguousarray(pos, dtype=np.float64),
        np.ascontiguousarray(offset, dtype=np.int64),
    )


@kernel
def _bonds_of_block(z: Ints, pos: Floats, offset: Ints) -> tuple[Ints, Floats]:
    bonds, used, margin = np.empty((2 * len(z), 2), np.int64), 0, np.empty(len(offset) - 1)
    for m in range(len(margin)):
        start, stop = offset[m], offset[m + 1]
        first, second, margin[m] = bonds_of(z[start:stop], pos[start:stop])
        if used + len(first) > len(bonds):
            more = np.empty((2 * (used + len(first)), 2), np.int64)
            for k in range(used):
                more[k, 0], more[k, 1] = bonds[k, 0], bonds[k, 1]
            bonds = more
        for k in range(len(first)):
            bonds[used, 0], bonds[used, 1] = first[k] + start, second[k] + start
            used += 1
    return bonds[:used].copy(), margin


@kernel
def bonds_of(z: Ints, pos: Floats) -> tuple[Ints, Ints, float]:
    """Return the bonds of one conformer by the rule of `perceived_bonds_of_block`.

    Args:
        z: (n,) atomic numbers.
        pos: (n, 3) angstrom.

    Returns:
        the lesser and the greater atom (K,) of each bond, sorted, and the margin, angstrom.
    """
    n = len(z)
    radius, widest = np.empty(n), 0.0
    for i in range(n):
        radius[i] = COVALENT_RADIUS[z[i]]
        widest = max(widest, radius[i])
    first, second, length = near_pairs(pos, 2 * LONE_HYDROGEN_FACTOR * widest)
    surely, spare = np.empty(len(first)), np.empty(len(first))
    for p in range(len(first)):
        radii = radius[first[p]] + radius[second[p]]
        surely[p], spare[p] = SURE_FACTOR * radii - length[p], BOND_LENGTH_FACTOR * radii - length[p]
    least = lowest_reached(surely, 0.0, SAME_LENGTH)
    full = _full(z, first, second, surely, least)
    least_spare = lowest_reached(spare, 0.0, SAME_LENGTH)
    bonded = np.empty(len(first), np.bool_)
    for p in range(len(first)):
        is_full = full[first[p]] or full[second[p]]
        bonded[p] = surely[p] >= least or (spare[p] >= least_spare and not is_full)
    _bind_lone_hydrogens(z, radius, first, second, length, spare, bonded)
    # the least number above 0: where a length is just at the limit, it is not within it
    margin = _margin(pos, radius, _full(z, first, second, surely, 5e-324), first, second, length)
    lesser, greater = _sorted_bonds(n, first, second, bonded)
    return lesser, greater, margin


@kernel
def _sorted_bonds(n: int, first: Ints, second: Ints, bonded: Bools) -> tuple[Ints, Ints]:
    """Return the lesser and the greater atom (K,) of those pairs (P,) that are bonded, sorted."""
    key, number = np.empty(len(first)), 0
    for p in range(len(first)):
        if bonded[p]:
            key[number] = min(first[p], second[p]) * n + max(first[p], second[p])
            number += 1
    order = argsort(key[:number])
    lesser, greater = np.empty(number, np.int64), np.empty(number, np.int64)
    for k in range(number):
        pair = int(key[order[k]])
        lesser[k], greater[k] = pair // n, pair % n
    return lesser, greater


@kernel
def _full(z: Ints, first: Ints, second: Ints, surely: Floats, least: float) -> Bools:
    """Return (n,) the atoms of `FOUR_BONDS` with four neighbours by pairs (P,) within a limit by enough."""
    number, full = np.zeros(len(z), np.int64), np.empty(len(z), np.bool_)
    for p in range(len(first)):
        if surely[p] >= least:
            number[first[p]] += 1
            number[second[p]] += 1
    for i in range(len(z)):
        full[i] = z[i] == FOUR_BONDS and number[i] >= 4
    return full


@kernel
def _bind_lone_hydrogens(
    z: Ints, radius: Floats, first: Ints, second: Ints, length: Floats, spare: Floats, bonded: Bools
) -> None:
    """Bond every hydrogen that has no bond to the atom that is nearest, judged by radii; arguments by pairs (P,).

    Args:
        z: (n,) atomic numbers.
        radius: (n,) angstrom.
        first: an atom of each pair.
        second: the other.
        length: distances, angstrom.
        spare: by how much distances are below the limit, angstrom.
        bonded: changed in place.
    """
    is_bound, own = np.zeros(len(z), np.bool_), np.empty(len(first))
    for p in range(len(first)):
        if bonded[p]:
            is_bound[first[p]] = is_bound[second[p]] = True
    for atom in range(len(z)):
        best = -np.inf
        if z[atom] != 1 or is_bound[atom]:
            continue
        for p in range(len(first)):
            near = length[p] < LONE_HYDROGEN_FACTOR * (radius[first[p]] + radius[second[p]])
            own[p] = spare[p] if near and (first[p] == atom or second[p] == atom) else -np.inf
            best = max(best, own[p])
        if best > -np.inf:
            least = lowest_reached(own, best, SAME_LENGTH)
            for p in range(len(first)):
                bonded[p] |= own[p] >= least


@kernel
def _margin(pos: Floats, radius: Floats, full: Bools, first: Ints, second: Ints, length: Floats) -> float:
    """Return the smallest difference between a distance and its limit, angstrom, infinite for one atom.

    Args:
        pos: (n, 3) angstrom.
        radius: (n,) angstrom.
        full: (n,) whether an atom has no bond beyond `SURE_FACTOR`.
        first: an atom of each pair (P,) within `LONE_HYDROGEN_FACTOR`.
        second: the other.
        length: distances, angstrom.
    """
    widest = 0.0
    for i in range(len(radius)):
        widest = max(widest, 2 * radius[i])
    reach = LONE_HYDROGEN_FACTOR * widest
    while True:
        margin = np.inf
        for p in range(len(first)):
            radii = radius[first[p]] + radius[second[p]]
            excess = length[p] - SURE_FACTOR * radii
            if excess <= 0 or not (full[first[p]] or full[second[p]]):
                excess = length[p] - BOND_LENGTH_FACTOR * radii
            margin = min(margin, abs(excess))
        # every pair beyond the reach is farther than this from its limit
        if margin <= reach - BOND_LENGTH_FACTOR * widest or 2 * len(first) >= len(pos) * (len(pos) - 1):
            return margin
        reach *= 2
        first, second, length = near_pairs(pos, reach)


@kernel
def lowest_reached(values: Floats, cut: float, step: float) -> float:
    """Return the least value that reaches a cut, or follows downwards, in small steps, one that does.

    Args:
        values: (n,) finite, angstrom.
        cut: angstrom.
        step: the largest that is small, angstrom.

    Returns:
        infinity if none reaches the cut.
    """
    low = np.inf
    for value in values:
        if cut <= value < low:
            low = value
    while low < np.inf:
        below = -np.inf
        for value in values:
            if below < value < low:
                below = value
        if low - below > step:
            break
        low = below
    return low
