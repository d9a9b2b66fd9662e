"""The best proper rotation for matched points, one pair or many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEWTON_STEPS = 40
CONVERGED = 1e-13


def rmsd(reference: Floats, probe: Floats) -> float:
    """Root of the mean squared distance of atoms (n, 3), as they stand."""
    return float(np.sqrt(np.square(reference - probe).sum(axis=-1).mean()))


def kabsch(reference: Floats, probe: Floats) -> tuple[Floats, Floats, Floats]:
    """Proper rotation and translation that bring probe onto reference with the least RMSD (Kabsch 1976).

    Args:
        reference: (..., n, 3) angstrom.
        probe: (..., n, 3) angstrom, atom k matched with atom k.

    Returns:
        rotation (..., 3, 3) of determinant +1, translation (..., 3), RMSD (...) in angstrom.
    """
    to, start = reference.mean(axis=-2), probe.mean(axis=-2)
    x, y = reference - to[..., None, :], probe - start[..., None, :]
    rotation = best_rotation(np.swapaxes(x, -1, -2) @ y)
    translation = to - (rotation @ start[..., None])[..., 0]
    left = x - y @ np.swapaxes(rotation, -1, -2)
    return rotation, translation, np.sqrt(np.square(left).sum(axis=-1).mean(axis=-1))


def best_rotation(covariance: Floats) -> Floats:
    """The proper rotation R with the largest trace of R^T C, for covariances C = x^T y (..., 3, 3)."""
    u, _, vt = np.linalg.svd(covariance)
    u[..., 2] *= np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)[..., None]
    return u @ vt


def best_overlap(c: Floats) -> Floats:
    """The largest trace of R^T C over proper rotations R, without R; where it errs it errs upwards.

    It is the largest root of the characteristic polynomial of the quaternion matrix of C (Theobald, Acta Cryst.
    2005, A61, 478), x^4 - 2 |C|^2 x^2 - 8 det(C) x + |C|^4 - 4 |cof C|^2. All of its roots are real, so Newton's
    steps from an upper bound approach the largest from above.

    Args:
        c: (9, N) covariances, entry 3 i + j is sum x_i y_j, angstrom squared.

    Returns:
        (N,) angstrom squared.
    """
    norm, det, cofactor = _invariants(c)
    constant = norm * norm - 4 * cofactor
    x = np.sqrt(3 * norm)
    for _ in range(NEWTON_STEPS):
        square = x * x
        slope = 4 * x * (square - norm) - 8 * det
        step = ((square - 2 * norm) * square - 8 * det * x + constant) / np.where(slope > 0, slope, np.inf)
        x -= np.maximum(step, 0)
        if not (step > CONVERGED * x).any():
            break
    return x


def _invariants(c: Floats) -> tuple[Floats, Floats, Floats]:
    """(N,) squared norm, determinant and squared norm of the cofactors of matrices (9, N)."""
    a, b, d, e, f, g, h, i, j = c
    norm = np.einsum("kn,kn->n", c, c)
    first = [f * j - g * i, g * h - e * j, e * i - f * h]
    others = [b * j - d * i, d * h - a * j, a * i - b * h, b * g - d * f, d * e - a * g, a * f - b * e]
    det = a * first[0] + b * first[1] + d * first[2]
    return norm, det, sum(cofactor * cofactor for cofactor in first + others)
