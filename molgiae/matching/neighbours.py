"""Pairs of conformers of one molecule that may be within a distance: no bound of their RMSD excludes them.

**The bounds.** Let y be matched to x and superposed, both centered, e_k = x_k - y_k, so that n RMSD^2 = sum |e_k|^2.
From | |x_k| - |y_k| | <= |e_k|, and | |x_i - x_j| - |y_i - y_j| | <= |e_i - e_j| with
sum_{i<j} |e_i - e_j|^2 = n sum |e_k|^2, it follows that neither

    sqrt(sum_k (|x_k| - |y_k|)^2 / n)      nor      sqrt(sum_{i<j} (d_ij(x) - d_ij(y))^2) / n

exceeds the RMSD, for any pose, matching or reflection. Sorting the numbers among atoms, or pairs of atoms, of the
same colours makes them independent of the matching and no larger (rearrangement inequality); an orthogonal
projection makes them no larger, too. What is farther apart than the reach by any of these is no neighbour.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUND_OFF = 1e-6
"""Angstrom that the bounds are allowed."""
MAX_AXES, MAX_SAMPLE = 12, 512
"""Principal axes of the distances in which neighbours are searched, and conformers these are taken from."""
MAX_SORTED, MAX_HELD = 1 << 17, 1 << 23
"""Distances that are sorted at once, and that are held for all conformers of a molecule."""
QUERIES = 256
"""Conformers whose neighbours are searched at once."""


def radial_bound(z: NDArray[np.integer], pos: NDArray[np.floating]) -> Floats:
    """Return a fingerprint whose Euclidean distance is a lower bound of the RMSD of two conformers of one formula.

    Whatever the matching within elements and the rotation, proper or not, ``||x_i| - |y_j|| <= |x_i - R y_j|``
    for positions from the centroid, which the best translation superposes; sorted values are matched best.

    Args:
        z: (n,) atomic numbers, or (P, n).
        pos: (n, 3) angstrom, or (P, n, 3).

    Returns:
        (n,) or (P, n) angstrom: distances to the centroid, sorted within each element, elements in turn, divided
        by the root of n.
    """
    n = pos.shape[-2]
    radius = np.linalg.norm(pos - pos.mean(axis=-2, keepdims=True), axis=-1)
    order = np.lexsort((radius, np.broadcast_to(z, radius.shape)), axis=-1)
    return np.take_along_axis(radius, order, axis=-1) / np.sqrt(n)


class Neighbours:
    """Pairs of conformers of one molecule that no bound keeps apart.

    Neighbours are searched by the sorted distances between atoms, projected to a few principal axes; those
    found are looked at again with all radii, then with all distances.

    Args:
        position: (m, n, 3) angstrom, centered.
        colour: (n,) ascending; atoms of different colours are never matched.
        reach: angstrom; every pair whose RMSD is within is found.
    """

    def __init__(self, position: Floats, colour: Ints, reach: float) -> None:
        self._position, self._reach = position, reach + ROUND_OFF
        n = len(colour)
        first, second = np.triu_indices(n, 1)
        _, kind = np.unique(colour[first] * n + colour[second], return_inverse=True)
        by_kind = np.argsort(kind, kind="stable")
        self._pair, self._kind = (first * n + second)[by_kind], kind[by_kind]
        self._span = 1.0 + 4.0 * np.abs(position).max(initial=0.0)
        self._at_once = max(MAX_SORTED // max(len(first), 1), 1)
        self._radii = radial_bound(colour, position)
        self._distances: Floats | None = None
        if len(position) * len(first) <= MAX_HELD:
            self._distances = self.distances(np.arange(len(position)))
        self._place = self._projected()

    def distances(self, chosen: Ints) -> Floats:
        """Return the distances between atoms over n (c, n (n - 1) / 2), sorted within each pair of colours."""
        if self._distances is not None:
            return self._distances[chosen]
        n = self._position.shape[1]
        found = np.empty((len(chosen), len(self._pair)))
        for k in range(0, len(chosen), self._at_once):
            position = self._position[chosen[k : k + self._at_once]]
            inner = position @ position.transpose(0, 2, 1)
            square = np.einsum("cii->ci", inner)
            apart = square[:, :, None] + square[:, None] - 2.0 * inner
            distance = np.sqrt(np.maximum(apart.reshape(len(position), n * n)[:, self._pair], 0.0))
            distance += self._kind * self._span
            distance.sort(axis=1)
            found[k : k + self._at_once] = (distance - self._kind * self._span) / n
        return found

    def before(self, start: int, stop: int, kept: Ints) -> tuple[Ints, Ints, Floats]:
        """Find candidates for ``start:stop``: those of `kept`, and those among them that stand before.

        Returns:
            Pairs as two arrays (E,), the later conformer first, and the lower bound of their RMSD (E,), sorted
            by later conformer and bound.
        """
        among = np.concatenate([kept, np.arange(start, stop)])
        tree, found = cKDTree(self._place[among]), []
        for first in range(start, stop, QUERIES):
            queries = cKDTree(self._place[first : min(first + QUERIES, stop)])
            near = queries.sparse_distance_matrix(tree, self._reach, output_type="ndarray")
            later, earlier = first + near["i"], among[near["j"]]
            before = earlier < later
            found.append(self._bounded(later[before], earlier[before]))
        later, earlier, bound = (np.concatenate(columns) for columns in zip(*found, strict=True))
        nearest = np.lexsort((bound, later))
        return later[nearest], earlier[nearest], bound[nearest]

    def _projected(self) -> Floats:
        """Return places in space (m, MAX_AXES) whose distances are lower bounds of the RMSD."""
        size = len(self._position)
        if not len(self._pair):
            return np.zeros((size, 1))
        sample = self.distances(np.linspace(0, size - 1, min(size, MAX_SAMPLE)).astype(np.int64))
        centre = sample.mean(axis=0)
        sample -= centre
        rank = len(sample)
        leading = eigh(sample @ sample.T, subset_by_index=(max(rank - MAX_AXES, 0), rank - 1))[1]
        axes = np.linalg.qr(sample.T @ leading)[0]
        chunks = np.array_split(np.arange(size), range(QUERIES, size, QUERIES))
        return np.concatenate([(self.distances(chunk) - centre) @ axes for chunk in chunks])

    def _bounded(self, later: Ints, earlier: Ints) -> tuple[Ints, Ints, Floats]:
        """Return the pairs that are within reach by all bounds, and the larger of these."""
        radial = _apart(self._radii, later, earlier)
        near = radial <= self._reach
        later, earlier, radial = later[near], earlier[near], radial[near]
        bound = np.empty(len(later))
        for k in range(0, len(later), QUERIES):
            pairs = slice(k, k + QUERIES)
            members, place = np.unique(np.concatenate([later[pairs], earlier[pairs]]), return_inverse=True)
            bound[pairs] = _apart(self.distances(members), *np.split(place, 2))
        near = bound <= self._reach
        return later[near], earlier[near], np.maximum(bound, radial)[near]


def _apart(points: Floats, first: Ints, second: Ints) -> Floats:
    apart = points[first] - points[second]
    return np.sqrt(np.einsum("ek,ek->e", apart, apart))
