"""Clusters of conformers, by a matrix of RMSDs or by vectors: Butina, HDBSCAN, k-means, and who is in their middle."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConfigError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE = -1
"""Label of what is in no cluster."""
ROWS = 1 << 10
"""Vectors whose distances to others are computed at once."""


def check_sizes(k: int | None, min_size: int | None) -> None:
    """Raise a ConfigError for clusters of k-means and least members of one of HDBSCAN that cannot be."""
    if k is not None and min_size is not None:
        raise ConfigError("-k is of k-means and --min-size of HDBSCAN; give one of them")
    if k is not None and k < 1:
        raise ConfigError(f"{k} clusters: ask for at least 1")
    if min_size is not None and min_size < 2:
        raise ConfigError(f"clusters of {min_size}: ask for at least 2")


class Distances(Protocol):
    """Distances between n conformers."""

    def totals(self, rows: Ints) -> Floats:
        """Return (r,) the sum of the distances of each of some conformers to all of these."""

    def to(self, row: int, rows: Ints) -> Floats:
        """Return (r,) the distances of one conformer to some."""


class Matrix:
    """Distances that are known, (n, n)."""

    def __init__(self, values: Floats) -> None:
        self._values = values

    def totals(self, rows: Ints) -> Floats:
        """Return (r,) the sum of the distances of each of some conformers to all of these."""
        return self._values[np.ix_(rows, rows)].sum(axis=1)

    def to(self, row: int, rows: Ints) -> Floats:
        """Return (r,) the distances of one conformer to some."""
        return self._values[row, rows]


class Vectors:
    """Euclidean distances of vectors (n, D)."""

    def __init__(self, values: Floats) -> None:
        self._values = values

    def totals(self, rows: Ints) -> Floats:
        """Return (r,) the sum of the distances of each of some conformers to all of these."""
        from scipy.spatial.distance import cdist  # noqa: PLC0415 (seldom needed)

        own = self._values[rows]
        parts = [cdist(own[first : first + ROWS], own).sum(axis=1) for first in range(0, len(own), ROWS)]
        return np.concatenate(parts)

    def to(self, row: int, rows: Ints) -> Floats:
        """Return (r,) the distances of one conformer to some."""
        return np.linalg.norm(self._values[rows] - self._values[row], axis=1)


def butina(distance: Floats, threshold: float) -> Ints:
    """Cluster by a matrix of distances (n, n); return labels (n,) from 0.

    The conformer with most neighbours within the threshold makes a cluster with them, then the one with most of those
    that are left, and so on (Taylor, J. Chem. Inf. Comput. Sci. 1995, 35, 59; Butina, ibid. 1999, 39, 747). Of several
    with as many the one nearest to all others is taken, so that the order of the conformers does not matter.
    """
    near = distance <= threshold
    label, closeness = np.full(len(distance), NONE), distance.sum(axis=1)
    count, cluster = near.sum(axis=1), 0
    while (label == NONE).any():
        most = np.flatnonzero(count == count.max())
        center = most[np.argmin(closeness[most])]
        members = np.flatnonzero(near[center] & (label == NONE))
        label[members] = cluster
        count -= near[:, members].sum(axis=1)
        count[label != NONE] = 0
        cluster += 1
    return label


def hdbscan(vectors: Floats, min_size: int) -> Ints:
    """Cluster vectors (n, D) by density; return labels (n,), `NONE` for what is in no cluster.

    Campello, Moulavi, Sander, Lecture Notes in Computer Science 2013, 7819, 160. Clusters have at least so many
    members.
    """
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 (slow to import)

    if len(vectors) < max(min_size, 2):
        return np.full(len(vectors), NONE)
    return HDBSCAN(min_cluster_size=min_size, copy=True).fit(vectors).labels_.astype(np.int64)


def k_means(vectors: Floats, k: int, seed: int) -> Ints:
    """Cluster vectors (n, D) into k clusters, the best of ten starts; return labels (n,).

    Where fewer than k vectors differ, there are as many clusters.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 (slow to import)
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    if not len(vectors):
        return np.empty(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(k, n_init=10, random_state=seed).fit(vectors).labels_.astype(np.int64)


def representative(rows: Ints, distances: Distances, energy: Floats | None) -> int:
    """Return the conformer of lowest energy, or without energies the one nearest to all others; of equals the first.

    Args:
        rows: of the cluster, ascending.
        distances: of all conformers.
        energy: (n,) of all conformers; None if unknown.
    """
    costs = distances.totals(rows) if energy is None else energy[rows]
    return int(rows[np.argmin(costs)])
