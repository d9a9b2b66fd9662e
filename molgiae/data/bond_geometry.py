"""What the bonds of conformers say of their geometry: pieces, flat centres, odd lengths, odd units.

Which atoms are bonded is decided in `molgiae.data.bonds`.

Lengths are judged by `molgiae.data.training_ranges`, what the training data of the shipped models hold.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from molgiae.data.bonds import perceived_bonds_of_block
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import COVALENT_RADIUS, SYMBOLS
from molgiae.data.near_atoms import nearest
from molgiae.data.training_ranges import BOND_LENGTHS

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

LENGTH_TOLERANCE = 0.08
"""Angstrom that a bond may lie beyond the range of the training data.

The amplitude of the zero-point vibration of C-H, sqrt(hbar / 2 mu omega), and that of every other bond is smaller;
training displaced atoms by up to 0.05 angstrom a coordinate, which changes a length by 0.07.
"""

FLAT_CENTRE = 0.5
"""Neighbours lie in a plane with an atom if the determinant of the sum of u u^T over their directions u is less.

A tetrahedron has 2.37, a plane 0; the least of the 541 214 carbons with four neighbours of the QM9 training split,
fenestranes among them, has 0.99.
"""

TETRAHEDRAL = frozenset((6, 7, 14, 15, 16))
"""C, N, Si, P, S: with four neighbours that are no metals they are not flat. Metals, xenon and iodine can be."""

NO_METALS = frozenset((1, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53))

UNITS = {"bohr": 0.529177, "nanometers": 10.0, "picometers": 0.01}
"""Angstrom per unit of coordinates that are met in files meant to hold angstrom."""

MONOVALENT = frozenset((1, 9, 17, 35, 53))
"""Hydrogen and halogens: the next atoms of their own kind, as in C2I6, are as near as in a long bond."""

_TETRAHEDRAL, _NO_METAL, _MONOVALENT = (
    np.isin(np.arange(256), list(zs)) for zs in (TETRAHEDRAL, NO_METALS, MONOVALENT)
)


@lru_cache(maxsize=64)
def length_bounds(wider: tuple[tuple[int, int, float, float], ...] = ()) -> tuple[Floats, Floats]:
    """Return (Z, Z) the least and largest length of bonds, tolerance included; empty ranges for pairs not seen.

    Args:
        wider: two elements, least and largest length, for pairs that go beyond `BOND_LENGTHS`.
    """
    low = np.full((256, 256), np.inf)
    high = np.full((256, 256), -np.inf)
    known = [(*pair, *ends) for pair, ends in BOND_LENGTHS.items()]
    for first, second, least, largest in (*known, *wider):
        for pair in ((first, second), (second, first)):
            low[pair] = min(low[pair], least - LENGTH_TOLERANCE)
            high[pair] = max(high[pair], largest + LENGTH_TOLERANCE)
    return low, high


def shares(block: ConformerBlock) -> Floats:
    """Return (M, Z) the share of each element among the atoms of a conformer that are no hydrogen."""
    place = block.owner * len(SYMBOLS) + block.atomic_number
    counts = np.bincount(place, minlength=len(block) * len(SYMBOLS)).reshape(len(block), len(SYMBOLS))
    counts[:, 1] = 0
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def unit_of(block: ConformerBlock) -> list[str]:
    """Return the row of `UNITS` in which coordinates look like a molecule; empty if there is none.

    They do if the nearest neighbour of every atom is at the distance of a bond. So it is not told of one atom.
    """
    owner = block.owner
    found = np.full(len(block), "", dtype=object)
    if not len(owner):
        return []
    distance, neighbour = nearest(block.position, block.offset, 1)
    low, high = length_bounds()
    pair = block.atomic_number, block.atomic_number[neighbour[:, 0]]
    for name, factor in UNITS.items():
        length = factor * distance[:, 0]
        odd = ~((low[pair] <= length) & (length <= high[pair]))
        found[np.bincount(owner, odd, len(block)) == 0] = name
    return [str(name) for name in found]


def remedy(unit: str) -> str:
    """Return what to say of coordinates in a row of `UNITS`."""
    return f"coordinates look like {unit}: multiply by {UNITS[unit]:g}"


ORDER_DECAY = 0.173
"""Of the order of a bond, exp((1 - ratio) / decay) by Pauling's rule: 2 where its length is 0.88 times the radii."""
MIN_CARBON_BONDS = 3.5
"""Sum of the orders of its bonds below which carbon lacks a hydrogen: 4, less the error of Pauling's rule."""
LINEAR_ANGLE = 150.0
"""Degrees between two bonds beyond which these may be all that a carbon has, as in alkynes and carbon dioxide.

The sum of their directions is shorter than 0.52 then; that of three bonds in a plane is, too, however long they are, as
in crowded arenes; where a hydrogen is left out of a tetrahedron it is 1.
"""


class Bonding:
    """The bonds of conformers, as distances show them, and what they say of the geometry.

    Args:
        block: M conformers of N atoms, whose coordinates are finite.

    Attributes:
        block: the conformers.
        owner: (N,) conformer of each atom.
        pair: (K, 2) atoms of each bond, rows of the block, the lesser first.
    """

    def __init__(self, block: ConformerBlock) -> None:
        self.block, self.owner = block, block.owner
        self.pair = perceived_bonds_of_block(block.atomic_number, block.position, block.offset)[0]

    @cached_property
    def length(self) -> Floats:
        """(K,) of the bonds, angstrom."""
        first, second = self.block.position[self.pair.T]
        return np.asarray(np.linalg.norm(first - second, axis=1))

    @cached_property
    def elements(self) -> NDArray[np.uint8]:
        """(K, 2) atomic numbers of the bonds, the lesser first."""
        return np.sort(self.block.atomic_number[self.pair], axis=1)

    @cached_property
    def degree(self) -> Ints:
        """(N,) bonds of each atom."""
        return np.bincount(self.pair.ravel(), minlength=len(self.owner))

    @cached_property
    def _ratio(self) -> Floats:
        """(K,) lengths over the sums of the radii."""
        return np.asarray(self.length / COVALENT_RADIUS[self.elements].sum(axis=1))

    @cached_property
    def _graph(self) -> csr_array:
        """(N, N) ratio of each bond, in both directions."""
        from scipy.sparse import csr_array  # noqa: PLC0415 (slow to import, and few files need it)

        both = np.concatenate([self.pair, self.pair[:, ::-1]])
        return csr_array((np.tile(self._ratio, 2), tuple(both.T)), shape=(len(self.owner),) * 2)

    def longest_sides(self, bonds: Ints) -> Mask:
        """Return which of some bonds are the longest side of a triangle of bonds, relative to the radii of its atoms.

        Across three- and four-membered rings atoms are as near as in a long bond.

        Args:
            bonds: (J,) rows of `pair`.
        """
        if not len(bonds):
            return np.empty(0, bool)
        shorter = []
        for atoms in self.pair[bonds].T:
            rows = self._graph[atoms]
            rows.data = rows.data < np.repeat(self._ratio[bonds], np.diff(rows.indptr))
            shorter.append(rows)
        return np.asarray(shorter[0].multiply(shorter[1]).sum(axis=1) > 0)

    def odd(self, low: Floats, high: Floats) -> Ints:
        """Return the rows of `pair` whose lengths are out of bounds from `length_bounds`."""
        z = self.elements.T
        odd = np.flatnonzero(~((low[*z] <= self.length) & (self.length <= high[*z])))
        long = odd[self.length[odd] > high[*z[:, odd]]]
        return np.setdiff1d(odd, long[self.longest_sides(long) | self._contacts(long)])

    def _contacts(self, bonds: Ints) -> Mask:
        """Return which of some bonds (J,) are between two atoms of `MONOVALENT` that both have a shorter one."""
        nearest = np.full(len(self.owner), np.inf)
        np.minimum.at(nearest, self.pair.ravel(), np.repeat(self._ratio, 2))
        shorter = nearest[self.pair[bonds]] < self._ratio[bonds, None]
        return np.asarray((shorter & _MONOVALENT[self.elements[bonds]]).all(axis=1))

    @cached_property
    def pieces(self) -> Ints:
        """(M,) fragments of each conformer that no bond connects."""
        from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 (slow to import)

        _, label = connected_components(self._graph, directed=False)
        _, first = np.unique(label, return_index=True)
        return np.bincount(self.owner[first], minlength=len(self.block))

    @cached_property
    def flat_centres(self) -> Mask:
        """(N,) atoms that have four neighbours or more, cannot be flat, and are, see `FLAT_CENTRE`."""
        flat = self._flat(self.pair)
        theirs = np.flatnonzero(flat[self.pair].any(axis=1))
        # across a flat four-membered ring stands no fourth neighbour
        return flat & self._flat(self.pair[theirs[~self.longest_sides(theirs)]])

    @cached_property
    def bare_carbons(self) -> Mask:
        """(N,) carbons that lack hydrogens, where no carbon of the conformer has one."""
        z, n = self.block.atomic_number, len(self.owner)
        order = np.bincount(self.pair.ravel(), np.repeat(np.exp((1 - self._ratio) / ORDER_DECAY), 2), n)
        with_hydrogen = np.isin(np.arange(len(self.block)), self.owner[self.pair[self._is_ch, 0]])
        end = (self.degree == 1) & (order > 2)  # as in isonitriles and carbon monoxide
        lacking = (z == 6) & (self.degree > 0) & (self.degree < 4) & (order < MIN_CARBON_BONDS)
        return lacking & ~end & ~self._balanced & ~with_hydrogen[self.owner]

    @property
    def _balanced(self) -> Mask:
        """(N,) atoms of two bonds that are opposite to each other, up to `LINEAR_ANGLE`, or of three as in a plane."""
        first, second = self.pair.T
        unit = (self.block.position[second] - self.block.position[first]) / self.length[:, None]
        n = len(self.owner)
        total = np.stack([np.bincount(first, u, n) - np.bincount(second, u, n) for u in unit.T])
        balanced = (total**2).sum(axis=0) < 2 + 2 * np.cos(np.radians(LINEAR_ANGLE))
        return np.asarray(np.isin(self.degree, (2, 3)) & balanced)

    @property
    def _is_ch(self) -> Mask:
        return (self.elements == (1, 6)).all(axis=1)

    def _flat(self, pair: Ints) -> Mask:
        """Return (N,) which atoms of `TETRAHEDRAL` have four or more neighbours, no metals, in their plane."""
        z, n = self.block.atomic_number, len(self.owner)
        start, end = np.concatenate([pair, pair[:, ::-1]]).T
        metals = np.bincount(start, ~_NO_METAL[z[end]], minlength=n)
        centre = _TETRAHEDRAL[z] & (np.bincount(start, minlength=n) >= 4) & (metals == 0)
        start, end = start[centre[start]], end[centre[start]]
        apart = self.block.position[end] - self.block.position[start]
        unit = apart / np.linalg.norm(apart, axis=1)[:, None]
        row, size = (np.cumsum(centre) - 1)[start], int(centre.sum())
        products = (unit[:, :, None] * unit[:, None]).reshape(-1, 9)
        spread = np.stack([np.bincount(row, product, size) for product in products.T], axis=1)
        flat = np.zeros(n, bool)
        flat[centre] = np.linalg.det(spread.reshape(-1, 3, 3)) < FLAT_CENTRE
        return flat
