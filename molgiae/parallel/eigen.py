"""Eigenvectors of small symmetric matrices by rotations (Jacobi, 1846), exact to round-off for all of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel

Floats = NDArray[np.float64]

_SWEEPS = 50
"""More than any matrix takes; each squares what is left beside the diagonal."""


@kernel
def eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues (k,), the largest first, and eigenvectors (k, k) as columns.

    Args:
        matrix: (k, k) symmetric; left as it is.
    """
    size = len(matrix)
    a, vectors = np.empty((size, size)), np.zeros((size, size))
    for i in range(size):
        vectors[i, i] = 1.0
        for j in range(size):
            a[i, j] = matrix[i, j]
    for _ in range(_SWEEPS):
        beside, diagonal = 0.0, 0.0
        for i in range(size):
            diagonal += abs(a[i, i])
            for j in range(i):
                beside += abs(a[i, j])
        if beside <= 1e-18 * diagonal:
            break
        for p in range(size):
            for q in range(p + 1, size):
                if a[p, q] != 0.0:
                    _rotate(a, vectors, p, q)
    for i in range(size):  # the largest first
        best = i
        for j in range(i + 1, size):
            if a[j, j] > a[best, best]:
                best = j
        a[i, i], a[best, best] = a[best, best], a[i, i]
        for k in range(size):
            vectors[k, i], vectors[k, best] = vectors[k, best], vectors[k, i]
    values = np.empty(size)
    for i in range(size):
        values[i] = a[i, i]
    return values, vectors


@kernel
def _rotate(a: Floats, vectors: Floats, p: int, q: int) -> None:
    """Turn a matrix so that its element (p, q) vanishes, and the vectors with it."""
    theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
    t = 1.0 / (abs(theta) + math.hypot(theta, 1.0))
    if theta < 0:
        t = -t
    c = 1.0 / math.hypot(t, 1.0)
    s = t * c
    for k in range(len(a)):
        a[k, p], a[k, q] = c * a[k, p] - s * a[k, q], s * a[k, p] + c * a[k, q]
    for k in range(len(a)):
        a[p, k], a[q, k] = c * a[p, k] - s * a[q, k], s * a[p, k] + c * a[q, k]
        vectors[k, p], vectors[k, q] = (
            c * vectors[k, p] - s * vectors[k, q],
            s * vectors[k, p] + c * vectors[k, q],
        )
    a[p, q] = a[q, p] = 0.0
