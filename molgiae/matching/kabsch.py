"""The best proper rotation for matched points, one pair or many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Covariances = Floats
"""(9, ...) entry 3 i + j is the sum over atoms of x_i y_j, angstrom squared."""

MAX_NEWTON_STEPS = 60
CONVERGED = 1e-13
"""Step, relative to the root, that ends Newton's iteration."""
FALL_STEPS = 2
"""Newton's steps from above the largest singular value, which keep a fall a lower bound of the true one."""
DOUBLE_ROOT = 1e-3
"""Where (a + b) (b + c) (c + a) of the signed singular values is less than this times |C|^2 (a + b + c), the largest
roots come together, and Newton's steps lose digits, in the end all of them: singular values take their place. At this
value the overlap keeps 13 digits and the rotation 10."""
ROUND_OFF = 1e-12
"""Of a sum of squares, relative to |C|^2, generously."""
MIN_FALL = 1e-6
"""A fall of the overlap, relative to the largest singular value, that round-off leaves no rotation to be told by."""


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


def best_overlap(c: Covariances) -> Floats:
    """Return the largest trace of R^T C over proper rotations R, without R.

    It is the largest root of the characteristic polynomial of the quaternion matrix of C (Theobald, Acta Cryst.
    2005, A61, 478), x^4 - 2 |C|^2 x^2 - 8 det(C) x + |C|^4 - 4 |cof C|^2. All of its roots are real, so Newton's
    steps from an upper bound approach the largest from above.

    Args:
        c: (9, N) covariances.

    Returns:
        (N,) angstrom squared.
    """
    norm, det, _, overlap = _invariants(c)
    product = overlap * (overlap * overlap - norm) / 2 - det
    double = np.flatnonzero(product < DOUBLE_ROOT * norm * overlap)
    if len(double):
        overlap[double] = _decomposed(c[:, double])[0]
    return overlap


def best_rotations(c: Covariances) -> tuple[Floats, Covariances, Floats]:
    """Return what `best_overlap` does, with the rotations and how far the overlap falls when one turns away from them.

    With the signed singular values a, b, c of C and i1, i2, i3 their elementary symmetric polynomials,
    (i1 i2 - i3) R = (i1^2 - i2) C + i1 cof(C) - C C^T C, by the theorem of Cayley and Hamilton, and
    i1 i2 - i3 = (a + b)(b + c)(c + a). A rotation by an angle 2 f from R has an overlap of at most
    i1 - fall sin(f)^2, where fall = 2 (b + c) for the least two, here a lower bound of it.

    Args:
        c: (9, N) covariances.

    Returns:
        overlap (N,) angstrom squared; rotations (9, N), one of many where fall is 0; fall (N,) angstrom squared.
    """
    norm, det, cofactor, overlap = _invariants(c)
    second = (overlap * overlap - norm) / 2
    product = overlap * second - det
    a = c.reshape(3, 3, -1)
    cubed = np.einsum("ikn,jkn,jln->iln", a, a, a, optimize=["einsum_path", (0, 1), (0, 1)]).reshape(9, -1)
    double = product <= DOUBLE_ROOT * norm * overlap
    safe = np.where(double, 1.0, product)
    rotation = ((overlap * overlap - second) * c + overlap * cofactor - cubed) / safe
    spread = np.maximum(6 * norm - 2 * overlap * overlap, 0) + ROUND_OFF * norm
    first = (overlap + np.sqrt(spread)) / 3  # at least a, and so after every step
    for _ in range(FALL_STEPS):
        slope = (3 * first - 2 * overlap) * first + second
        value = ((first - overlap) * first + second) * first - det
        first -= np.maximum(value / np.where(slope > DOUBLE_ROOT * norm, slope, np.inf), 0)
    fall = 2 * product / np.maximum(first * first + second, 1e-300)
    if double.any():
        overlap[double], rotation[:, double], fall[double] = _decomposed(c[:, double])
    return overlap, rotation, fall


def _decomposed(c: Covariances) -> tuple[Floats, Covariances, Floats]:
    """Return what `best_rotations` does, by singular values: slower, and right whatever the covariances."""
    u, value, vt = np.linalg.svd(c.T.reshape(-1, 3, 3))
    sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[..., 2] *= sign[:, None]
    value[:, 2] *= sign
    fall = 2 * (value[:, 1] + value[:, 2])
    return (
        value.sum(axis=1),
        (u @ vt).reshape(-1, 9).T,
        np.where(fall > MIN_FALL * value[:, 0], fall, 0.0),
    )


def cofactors(c: Covariances) -> Covariances:
    """Return the cofactors (9, N) of matrices (9, N)."""
    a, b, d, e, f, g, h, i, j = c
    rows = (
        (f * j - g * i, g * h - e * j, e * i - f * h),
        (d * i - b * j, a * j - d * h, b * h - a * i),
        (b * g - d * f, d * e - a * g, a * f - b * e),
    )
    return np.array(rows).reshape(9, -1)


def _invariants(c: Covariances) -> tuple[Floats, Floats, Covariances, Floats]:
    """Return the squared norms, determinants and cofactors of C, and the largest root of the polynomial."""
    cofactor = cofactors(c)
    norm, det = np.einsum("kn,kn->n", c, c), np.einsum("kn,kn->n", c[:3], cofactor[:3])
    return norm, det, cofactor, _largest_root(norm, det, np.einsum("kn,kn->n", cofactor, cofactor))


def _largest_root(norm: Floats, det: Floats, cofactor: Floats) -> Floats:
    """Return the largest root of the polynomial in `best_overlap`, from the invariants of C in it.

    Where roots come together it stops above them.
    """
    constant = norm * norm - 4 * cofactor
    twice, eight = 2 * norm, 8 * det
    x = np.sqrt(3 * norm)
    for _ in range(MAX_NEWTON_STEPS):
        square = x * x
        slope = 4 * x * (square - norm) - eight
        steep = slope > 8 * DOUBLE_ROOT * norm * x
        step = ((square - twice) * square - eight * x + constant) / np.where(steep, slope, np.inf)
        x -= np.maximum(step, 0)
        if not (step > CONVERGED * x).any():
            break
    return x
