"""The best proper rotation for matched points: how large their overlap is, and how fast it falls when one turns away.

A covariance C (9,) has in entry 3 i + j the sum over atoms of x_i y_j, angstrom squared, of positions from their
centroids. The RMSD is least where the overlap, the trace of R^T C, is largest.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_FALL = 1e-6
"""A fall of the overlap, relative to the largest singular value, that round-off leaves no rotation to be told by."""
TOLERANCE = 1e-7
"""Angstrom by which an RMSD must be lesser to be looked for."""
TINY = 1e-300
"""Keeps quotients finite where both terms vanish."""


def rmsd(reference: Floats, probe: Floats) -> float:
    """Return the root of the mean squared distance of atoms (n, 3), as they stand."""
    return float(np.sqrt(np.square(reference - probe).sum(axis=-1).mean()))


def kabsch(reference: Floats, probe: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the proper rotation and translation that bring probe onto reference with the least RMSD (Kabsch 1976).

    Args:
        reference: (..., n, 3) angstrom.
        probe: (..., n, 3) angstrom, atom k matched with atom k.

    Returns:
        rotation (..., 3, 3) of determinant +1, translation (..., 3), RMSD (...) in angstrom.
    """
    to, start = reference.mean(axis=-2), probe.mean(axis=-2)
    x, y = reference - to[..., None, :], probe - start[..., None, :]
    u, _, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    u[..., 2] *= np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)[..., None]
    rotation = u @ vt
    translation = to - (rotation @ start[..., None])[..., 0]
    left = x - y @ np.swapaxes(rotation, -1, -2)
    return rotation, translation, np.sqrt(np.square(left).sum(axis=-1).mean(axis=-1))


@kernel
def best_rotation(c: Floats, rotation: Floats) -> tuple[float, float]:
    """Find the proper rotation R of the largest overlap, and how far the overlap falls when one turns away from it.

    R is the eigenvector of the quaternion matrix (Horn, J. Opt. Soc. Am. A 1987, 4, 629) of which the eigenvalues are
    a + b + c, a - b - c, ... with the signed singular values a, b, c of C. A rotation by an angle 2 f from R has an
    overlap of at most a + b + c - fall sin(f)^2, where fall = 2 (b + c) for the least two.

    Args:
        c: (9,) covariance.
        rotation: (9,) filled in; one of many where the fall is 0.

    Returns:
        the overlap and its fall, angstrom squared.
    """
    m = np.empty((4, 4))
    m[0, 0], m[1, 1] = c[0] + c[4] + c[8], c[0] - c[4] - c[8]
    m[2, 2], m[3, 3] = c[4] - c[0] - c[8], c[8] - c[0] - c[4]
    m[0, 1], m[0, 2], m[0, 3] = c[7] - c[5], c[2] - c[6], c[3] - c[1]
    m[1, 2], m[1, 3], m[2, 3] = c[1] + c[3], c[2] + c[6], c[5] + c[7]
    for i in range(4):
        for j in range(i):
            m[i, j] = m[j, i]
    value, vector = eigen(m)
    w, x, y, z = vector[0, 0], vector[1, 0], vector[2, 0], vector[3, 0]
    rotation[0], rotation[4] = w * w + x * x - y * y - z * z, w * w - x * x + y * y - z * z
    rotation[8] = w * w - x * x - y * y + z * z
    rotation[1], rotation[3] = 2 * (x * y - w * z), 2 * (x * y + w * z)
    rotation[2], rotation[6] = 2 * (x * z + w * y), 2 * (x * z - w * y)
    rotation[5], rotation[7] = 2 * (y * z - w * x), 2 * (y * z + w * x)
    fall = value[0] - value[1]
    return value[0], fall if fall > MIN_FALL * (value[0] + value[1]) / 2 else 0.0


@kernel
def largest_turn(excess: float, fall: float) -> float:
    """Return the angle, radian, beyond which a rotation costs more than the excess, see `best_rotation`."""
    return 2 * math.asin(math.sqrt(min(max(excess / max(fall, TINY), 0.0), 1.0)))


@kernel
def reach(value: float, whole: float, cosine: float, sine: float) -> float:
    """Return the most that an overlap can become within a turn, radian.

    Args:
        value: the overlap of two arrangements of points as they stand, angstrom squared.
        whole: the product of their norms, the overlap if a rotation brought one onto the other.
        cosine: of the turn, by which the angle between them, as vectors, changes at most; at most pi.
        sine: of the same.
    """
    if value >= whole * cosine:
        return whole
    return value * cosine + math.sqrt(max(whole * whole - value * value, 0.0)) * sine


@kernel
def sufficient(overlap: float, square: float, n: int) -> float:
    """Return the overlap that lowers the RMSD of n atoms by more than `TOLERANCE`.

    It follows from the overlap of the best known solution, -inf for none, and the sum of the squared positions of both
    conformers, all in angstrom squared.
    """
    if overlap == -np.inf:
        return overlap
    left = max(square - 2 * overlap, 0.0)
    return overlap + math.sqrt(left * n) * TOLERANCE + n * TOLERANCE**2 / 2


@kernel
def covariance(x: Floats, y: Floats, order: Ints, c: Floats) -> None:
    """Fill in the covariance (9,) of positions (n, 3) where atom order[k] of y is matched with k; -1 is left out."""
    for k in range(9):
        c[k] = 0.0
    for k in range(len(x)):
        if order[k] >= 0:
            for i in range(3):
                for j in range(3):
                    c[3 * i + j] += x[k, i] * y[order[k], j]


@kernel
def posed(x: Floats, y: Floats, order: Ints) -> tuple[Floats, float]:
    """Return the best rotation (3, 3) of y onto x (n, 3), from their centroids, matched as told, and the RMSD."""
    c, rotation, total = np.empty(9), np.empty(9), 0.0
    covariance(x, y, order, c)
    best_rotation(c, rotation)
    for k in range(len(x)):
        for i in range(3):
            left = x[k, i]
            for j in range(3):
                left -= rotation[3 * i + j] * y[order[k], j]
            total += left * left
    return rotation.reshape(3, 3), math.sqrt(total / len(x))
