"""Lower bounds of the symmetric RMSD that cost nothing: invariants whose distance never exceeds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def radial_bound(z: NDArray[np.integer], pos: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fingerprint whose Euclidean distance is a lower bound of the RMSD of two conformers of one formula.

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
