"""Rotations of things that agree with those which lay them onto one another: angular synchronization.

Of two pictures of one thing the group actions should differ by the rotation between them (Singer, Appl. Comput. Harmon.
Anal. 30, 20, 2011). Only things that come near one another when rotated say so; which class they are of is not asked,
nor which way is up.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from torch import Tensor

DENSE = 500
"""Rows of a matrix up to which all its eigenvectors are found at once."""

LANCZOS = 15
"""Vectors that Lanczos's method holds for each eigenvector that is asked for."""

TOLERANCE = (1.0, 0.25)
"""Angles of disagreement, radians, at which a pair counts by half, in the first sweep and the last."""

Floats = NDArray[np.float64]


def synchronize(number: int, edge: Tensor, relative: Tensor, weight: Tensor) -> Tensor:
    """Return rotations R of things that agree best with rotations between pairs of them.

    The convention: an edge (i, j) says R_i = Q R_j, with Q its relative rotation, acting on columns. So where Q x_j is
    nearest to x_i, as columns, group actions g of the things fulfil g_i = Q g_j, and x_i = R_i x for one x that all
    share. An edge is given once, in either direction; (i, j) with Q is the same as (j, i) with Q transposed.

    They are the leading d eigenvectors of the connection matrix, whose blocks are weighted Q over square roots of
    the sums of weights at both ends, each block of rows taken to the nearest rotation (Singer 2011; Singer and Wu,
    Comm. Pure Appl. Math. 65, 1067, 2012). All R of things that are connected may be multiplied by one
    rotation from the right, and are chosen arbitrarily among these; things without any edge get the identity.

    Args:
        number: N things.
        edge: (2, E) int64, rows i and j.
        relative: (E, d, d) Q, d = 2 or 3, orthogonal with determinant +1.
        weight: (E,) above zero, how far to trust each.

    Returns:
        (N, d, d) float64, on the CPU.
    """
    d = relative.shape[-1]
    i, j = edge.cpu().numpy()
    q, w = relative.double().cpu().numpy(), weight.double().cpu().numpy()
    degree = np.bincount(i, w, number) + np.bincount(j, w, number)
    q = q * (w / np.sqrt(degree[i] * degree[j]))[:, None, None]
    row, column = np.indices((d, d))
    places = (d * i[:, None, None] + row, d * j[:, None, None] + column)
    half = sparse.csr_array((q.ravel(), tuple(place.ravel() for place in places)), shape=(d * number,) * 2)
    matrix = half + half.T
    links = sparse.csr_array((w, (i, j)), shape=(number, number))
    component = connected_components(links, directed=False)[1]
    size = np.bincount(component)
    found = np.tile(np.eye(d), (number, 1, 1))
    for one in np.flatnonzero(size > 1):
        own = np.flatnonzero(component == one)
        rows = (d * own[:, None] + np.arange(d)).ravel()
        found[own] = _nearest_rotations(_leading(matrix[rows][:, rows], d).reshape(-1, d, d))
    return torch.from_numpy(found)


def settled(rotations: Tensor, edge: Tensor, relative: Tensor, weight: Tensor, sweeps: int = 100) -> Tensor:
    """Return rotations that agree better with pairs which are not far off, and let go of those which are.

    From `synchronize`, in sweeps: every R_i becomes the nearest rotation to the sum of what its pairs say, weighted
    by w / (1 + (angle / tolerance)^2), where the angle is by how much a pair disagrees and the tolerance becomes
    smaller from sweep to sweep.

    Args:
        rotations: (N, d, d) float64, where to begin.
        edge: (2, E) int64, as for `synchronize`, as is what follows.
        relative: (E, d, d).
        weight: (E,).
        sweeps: how many.

    Returns:
        (N, d, d) float64.
    """
    (i, j), q = edge, relative.double()
    for tolerance in np.geomspace(*TOLERANCE, sweeps):
        ahead = q @ rotations[j]
        # 2 sin(angle / 2), times sqrt(2)
        off = torch.linalg.matrix_norm(ahead - rotations[i]) / 2**0.5
        trust = (weight.double() / (1 + (off / tolerance) ** 2))[:, None, None]
        total = torch.zeros_like(rotations)
        total.index_add_(0, i, trust * ahead).index_add_(0, j, trust * (q.mT @ rotations[i]))
        rotations = torch.from_numpy(_nearest_rotations(total.numpy()))
    return rotations


def _leading(matrix: sparse.csr_array, number: int) -> Floats:
    """Return the eigenvectors (K, number) of the largest eigenvalues of a symmetric matrix (K, K)."""
    if matrix.shape[0] <= DENSE:
        return np.linalg.eigh(matrix.toarray())[1][:, -number:]
    start = np.random.default_rng(0).normal(size=matrix.shape[0])
    return eigsh(matrix, number, which="LA", v0=start, ncv=LANCZOS * number)[1]


def _nearest_rotations(block: Floats) -> Floats:
    """Return the rotations (N, d, d) nearest to blocks, all of which may be mirrored together."""
    if np.sign(np.linalg.det(block)).sum() < 0:
        block = block * np.append(np.ones(block.shape[-1] - 1), -1)
    u, _, vt = np.linalg.svd(block)
    u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return u @ vt
