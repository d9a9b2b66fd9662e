"""Bonds of whole blocks of conformers at once, and what they say of a geometry: pieces, flat centres, odd lengths.

Lengths are judged by `molgiae.data.training_ranges`, what the training data of the shipped models hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from molgiae.data.bonds import BOND_LENGTH_FACTOR
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import COVALENT_RADIUS, SYMBOLS
from molgiae.data.training_ranges import BOND_LENGTHS

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

_RADIUS = np.array(COVALENT_RADIUS)
_TETRAHEDRAL, _NO_METAL = (np.isin(np.arange(256), list(zs)) for zs in (TETRAHEDRAL, NO_METALS))
_APART = 1e9
"""Angstrom between conformers in the fourth dimension of the tree that holds them all."""


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


def owners(block: ConformerBlock) -> Ints:
    """Return (N,) the conformer of each atom."""
    return np.repeat(np.arange(len(block)), block.n_atoms)


def shares(block: ConformerBlock) -> Floats:
    """Return (M, Z) the share of each element among the atoms of a conformer that are no hydrogen."""
    place = owners(block) * len(SYMBOLS) + block.atomic_number
    counts = np.bincount(place, minlength=len(block) * len(SYMBOLS)).reshape(len(block), len(SYMBOLS))
    counts[:, 1] = 0
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _placed(position: Floats, owner: Ints) -> Floats:
    """(N, 4) places at which atoms of different conformers are far from each other."""
    return np.column_stack([position, _APART * owner])


def nearest(position: Floats, owner: Ints, count: int) -> tuple[Floats, Ints]:
    """Return the nearest atoms of each atom in its conformer.

    Args:
        position: (N, 3) angstrom.
        owner: (N,) conformer of each atom.
        count: k, how many to look for.

    Returns:
        distance (N, k) angstrom, ascending, inf where there are no more atoms; and atom (N, k), rows of `position`.
    """
    places = _placed(position, owner)
    distance, atom = cKDTree(places).query(places, list(range(2, count + 2)))
    return np.where(distance < _APART / 2, distance, np.inf), np.minimum(atom, len(owner) - 1)


def unit_of(block: ConformerBlock) -> list[str]:
    """Return the row of `UNITS` in which coordinates look like a molecule; empty if there is none.

    They do if the nearest neighbour of every atom is at the distance of a bond. So it is not told of one atom.
    """
    owner = owners(block)
    found = np.full(len(block), "", dtype=object)
    if not len(owner):
        return []
    distance, neighbour = nearest(block.position, owner, 1)
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


@dataclass(frozen=True)
class Bonding:
    """The bonds of M conformers with N atoms, perceived from distances.

    Attributes:
        atomic_number: (N,).
        position: (N, 3) angstrom.
        owner: (N,) conformer of each atom.
        size: M.
        pair: (K, 2) atoms of each bond, rows of the block, the lesser first.
    """

    atomic_number: NDArray[np.uint8]
    position: Floats
    owner: Ints
    size: int
    pair: Ints

    @classmethod
    def of(cls, block: ConformerBlock) -> Bonding:
        """Return the bonds of a block of conformers with finite coordinates."""
        z, owner = block.atomic_number, owners(block)
        reach = 2 * BOND_LENGTH_FACTOR * float(_RADIUS[z].max(initial=0.0))
        near = np.empty((0, 2), np.int64)
        if len(z):
            near = cKDTree(_placed(block.position, owner)).query_pairs(reach, output_type="ndarray")
        first, second = near.T
        length = np.linalg.norm(block.position[first] - block.position[second], axis=1)
        bonded = length < BOND_LENGTH_FACTOR * (_RADIUS[z[first]] + _RADIUS[z[second]])
        return cls(z, block.position, owner, len(block), near[bonded].astype(np.int64))

    @cached_property
    def length(self) -> Floats:
        """(K,) of the bonds, angstrom."""
        first, second = self.pair.T
        return np.asarray(np.linalg.norm(self.position[first] - self.position[second], axis=1))

    @cached_property
    def elements(self) -> NDArray[np.uint8]:
        """(K, 2) atomic numbers of the bonds, the lesser first."""
        return np.sort(self.atomic_number[self.pair], axis=1)

    @cached_property
    def degree(self) -> Ints:
        """(N,) bonds of each atom."""
        return np.bincount(self.pair.ravel(), minlength=len(self.owner))

    @cached_property
    def _ratio(self) -> Floats:
        return np.asarray(self.length / _RADIUS[self.atomic_number[self.pair]].sum(axis=1))

    @cached_property
    def _neighbours(self) -> tuple[Ints, Ints, Ints]:
        """Bonds in both directions by their first atom: where those of each atom start, second atom, bond."""
        start = np.concatenate([self.pair[:, 0], self.pair[:, 1]])
        end = np.concatenate([self.pair[:, 1], self.pair[:, 0]])
        order = np.argsort(start, kind="stable")
        return np.concatenate([[0], np.cumsum(self.degree)]), end[order], order % max(len(self.pair), 1)

    def count(self, atoms: Mask) -> Ints:
        """Return (M,) how many atoms of each conformer are marked."""
        return np.bincount(self.owner[atoms], minlength=self.size)

    def longest_sides(self, bonds: Ints) -> Mask:
        """Return which of some bonds are the longest side of a triangle of bonds, relative to the radii of its atoms.

        Across three- and four-membered rings atoms are as near as in a long bond.

        Args:
            bonds: (J,) rows of `pair`.
        """
        start, end, bond = self._neighbours
        first, second = self.pair[bonds].T
        degree = self.degree[first]
        side = np.repeat(np.arange(len(bonds)), degree)
        path = np.repeat(start[first] - np.cumsum(degree) + degree, degree) + np.arange(degree.sum())
        key = self.pair[:, 0] * len(self.owner) + self.pair[:, 1]
        order = np.argsort(key)
        wanted = np.sort(np.stack([end[path], second[side]]), axis=0)
        place = np.searchsorted(key, wanted[0] * len(self.owner) + wanted[1], sorter=order)
        other = order[np.minimum(place, len(order) - 1)] if len(order) else place
        closed = key[other] == wanted[0] * len(self.owner) + wanted[1]
        shorter = np.maximum(self._ratio[bond[path]], self._ratio[other]) < self._ratio[bonds][side]
        longest = np.zeros(len(bonds), bool)
        longest[side[closed & shorter]] = True
        return longest

    def odd(self, low: Floats, high: Floats) -> Ints:
        """Return the rows of `pair` whose lengths are out of bounds from `length_bounds`."""
        z = self.elements.T
        odd = np.flatnonzero(~((low[*z] <= self.length) & (self.length <= high[*z])))
        long = self.length[odd] > high[*z[:, odd]]
        excused = np.zeros(len(odd), bool)
        excused[long] = self.longest_sides(odd[long])
        return odd[~excused]

    @cached_property
    def pieces(self) -> Ints:
        """(M,) fragments of each conformer that no bond connects."""
        n = len(self.owner)
        graph = coo_matrix((np.ones(len(self.pair), np.int8), (self.pair[:, 0], self.pair[:, 1])), (n, n))
        _, label = connected_components(graph, directed=False)
        _, first = np.unique(label, return_index=True)
        return np.bincount(self.owner[first], minlength=self.size)

    @cached_property
    def flat_centres(self) -> Mask:
        """(N,) atoms that have four neighbours or more, cannot be flat, and are, see `FLAT_CENTRE`."""
        flat = flat_centres(self.atomic_number, self.position, self.pair)
        theirs = np.flatnonzero(flat[self.pair].any(axis=1))
        # across a flat four-membered ring stands no fourth neighbour
        bonds = theirs[~self.longest_sides(theirs)]
        return flat & flat_centres(self.atomic_number, self.position, self.pair[bonds])


def flat_centres(atomic_number: NDArray[np.uint8], position: Floats, pair: Ints) -> Mask:
    """Return (N,) which atoms of `TETRAHEDRAL` have four or more neighbours, no metals, in a plane with themselves.

    Args:
        atomic_number: (N,).
        position: (N, 3) angstrom.
        pair: (K, 2) rows of bonded atoms.
    """
    n = len(atomic_number)
    start, end = np.concatenate([pair, pair[:, ::-1]]).T
    count = np.bincount(start, minlength=n)
    no_metals = np.bincount(start, ~_NO_METAL[atomic_number[end]], minlength=n) == 0
    centre = _TETRAHEDRAL[atomic_number] & (count >= 4) & no_metals
    here = centre[start]
    start, end = start[here], end[here]
    row = np.cumsum(centre) - 1
    apart = position[end] - position[start]
    unit = apart / np.linalg.norm(apart, axis=1)[:, None]
    spread = np.zeros((int(centre.sum()), 3, 3))
    for i in range(3):
        for j in range(3):
            spread[:, i, j] = np.bincount(row[start], unit[:, i] * unit[:, j], minlength=len(spread))
    flat = np.zeros(n, bool)
    flat[centre] = np.linalg.det(spread) < FLAT_CENTRE
    return flat
