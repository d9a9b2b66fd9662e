"""The best proper rotation for matched points, one pair or many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Covariances = Floats
"""(9, ...) entry 3 i + j is the sum over atoms of x_i y_j, angstrom squared."""

NEWTON_STEPS = 60
CONVERGED = 1e-13
FALL_STEPS = 2
DOUBLE = 1e-3
"""Where (a + b) (b + c) (c + a) of the signed singular values is less than this times |C|^2 (a + b + c), the largest
roots come together, and Newton's steps lose digits, in the end all of them: singular values take their place. At this
value the overlap keeps 13 digits and the rotation 10."""
ROUND_OFF = 1e-12
"""Of |C|^2, generously."""
FLAT = 1e-6
"""A fall of the overlap, relative to the largest singular value, that round-off leaves no rotation to be told by."""


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
    u, _, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    u[..., 2] *= np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)[..., None]
    rotation = u @ vt
    translation = to - (rotation @ start[..., None])[..., 0]
    left = x - y @ np.swapaxes(rotation, -1, -2)
    return rotation, translation, np.sqrt(np.square(left).sum(axis=-1).mean(axis=-1))


def best_overlap(c: Covariances) -> Floats:
    """The largest trace of R^T C over proper rotations R, without R.

    It is the largest root of the characteristic polynomial of the quaternion matrix of C (Theobald, Acta Cryst.
    2005, A61, 478), x^4 - 2 |C|^2 x^2 - 8 det(C) x + |C|^4 - 4 |cof C|^2. All of its roots are real, so Newton's
    steps from an upper bound approach the largest from above.

    Args:
        c: (9, N) covariances.

    Returns:
        (N,) angstrom squared.
    """
    norm = np.einsum("kn,kn->n", c, c)
    cofactor = cofactors(c)
    det = _determinant(c, cofactor)
    overlap = _largest_root(norm, det, np.einsum("kn,kn->n", cofactor, cofactor))
    product = overlap * (overlap * overlap - norm) / 2 - det
    double = np.flatnonzero(product < DOUBLE * norm * overlap)
    if len(double):
        overlap[double] = _decomposed(c[:, double])[0]
    return overlap


def best_rotations(c: Covariances) -> tuple[Floats, Covariances, Floats]:
    """As `best_overlap`, with the rotations and how far the overlap falls when one turns away from them.

    With the signed singular values a, b, c of C and i1, i2, i3 their elementary symmetric polynomials,
    (i1 i2 - i3) R = (i1^2 - i2) C + i1 cof(C) - C C^T C, by the theorem of Cayley and Hamilton, and
    i1 i2 - i3 = (a + b)(b + c)(c + a). A rotation by an angle 2 f from R has an overlap of at most
    i1 - fall sin(f)^2, where fall = 2 (b + c) for the least two, here a lower bound of it.

    Args:
        c: (9, N) covariances.

    Returns:
        overlap (N,) angstrom squared; rotations (9, N), one of many where fall is 0; fall (N,) angstrom squared.
    """
    norm = np.einsum("kn,kn->n", c, c)
    cofactor = cofactors(c)
    det = _determinant(c, cofactor)
    overlap = _largest_root(norm, det, np.einsum("kn,kn->n", cofactor, cofactor))
    second = (overlap * overlap - norm) / 2
    product = overlap * second - det
    a = c.reshape(3, 3, -1)
    cubed = np.einsum("ikn,jkn,jln->iln", a, a, a, optimize=["einsum_path", (0, 1), (0, 1)]).reshape(9, -1)
    double = product <= DOUBLE * norm * overlap
    safe = np.where(double, 1.0, product)
    rotation = ((overlap * overlap - second) * c + overlap * cofactor - cubed) / safe
    spread = np.maximum(6 * norm - 2 * overlap * overlap, 0) + ROUND_OFF * norm
    first = (overlap + np.sqrt(spread)) / 3  # at least a, and so after every step
    for _ in range(FALL_STEPS):
        slope = (3 * first - 2 * overlap) * first + second
        value = ((first - overlap) * first + second) * first - det
        first -= np.maximum(value / np.where(slope > DOUBLE * norm, slope, np.inf), 0)
    fall = 2 * product / np.maximum(first * first + second, 1e-300)
    if double.any():
        overlap[double], rotation[:, double], fall[double] = _decomposed(c[:, double])
    return overlap, rotation, fall


def _decomposed(c: Covariances) -> tuple[Floats, Covariances, Floats]:
    """What `best_rotations` returns, by singular values: slower, and right whatever the covariances."""
    u, value, vt = np.linalg.svd(c.T.reshape(-1, 3, 3))
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[..., 2] *= sign[:, None]
    value[:, 2] *= sign
    fall = 2 * (value[:, 1] + value[:, 2])
    return (
        value.sum(axis=1),
        (u @ vt).reshape(-1, 9).T,
        np.where(fall > FLAT * value[:, 0], fall, 0.0),
    )


def cofactors(c: Covariances) -> Covariances:
    """(9, N) cofactors of the matrices (9, N)."""
    a, b, d, e, f, g, h, i, j = c
    rows = (
        (f * j - g * i, g * h - e * j, e * i - f * h),
        (d * i - b * j, a * j - d * h, b * h - a * i),
        (b * g - d * f, d * e - a * g, a * f - b * e),
    )
    return np.array(rows).reshape(9, -1)


def _determinant(c: Covariances, cofactor: Covariances) -> Floats:
    return np.einsum("kn,kn->n", c[:3], cofactor[:3])


def _largest_root(norm: Floats, det: Floats, cofactor: Floats) -> Floats:
    """Of the polynomial in `best_overlap`, from squared norms of C and cof C and the determinant of C.

    Where roots come together it stops above them.
    """
    constant = norm * norm - 4 * cofactor
    twice, eight = 2 * norm, 8 * det
    x = np.sqrt(3 * norm)
    for _ in range(NEWTON_STEPS):
        square = x * x
        slope = 4 * x * (square - norm) - eight
        steep = slope > 8 * DOUBLE * norm * x
        step = ((square - twice) * square - eight * x + constant) / np.where(steep, slope, np.inf)
        x -= np.maximum(step, 0)
        if not (step > CONVERGED * x).any():
            break
    return x
