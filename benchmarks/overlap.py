"""The largest overlap volume of densities of heavy atoms, by a compiled kernel, many times as fast as RDKit's.

For labels that a network learns shape overlays from; what users see is RDKit's (`molgiae.data.overlay`, which has the
formula). From eight starts, inertial frames on each other in all four proper ways, as they are and with two axes
exchanged, Newton's method climbs to a maximum; the best is taken. Of 1 440 pairs of held-out ZINC training
molecules it was at or above that of RDKit, from one side, to 0.005 of Tanimoto in 98 %, and above by more in 42 %.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from molgiae.data.overlay import KAPPA, RADIUS

Floats = NDArray[np.float64]

EXPONENT = KAPPA / (2 * RADIUS**2)
"""a of the overlap exp(-a d^2) of two atoms at a distance d, in units of that at 0; per square angstrom."""
FAR = 24.0
"""Squared distance beyond which atoms do not overlap, square angstrom: 4e-5 of the overlap at 0."""
FIRST, LATER, KEPT = 3, 20, 3
"""Steps from every start, further steps from the best of them, and how many of these there are."""
ENOUGH = 1e-4
"""Relative gain of a step that ends a climb."""
LONGEST_TURN, LONGEST_SHIFT = 0.5, 1.5
"""Of a step: radians, angstrom."""
ROTATION_SCALE = 30.0
"""Square of the lever, square angstrom, by which rotations are compared with translations in damping."""


def starts(number: int = 8) -> Floats:
    """Return (S, 3, 3) proper rotations that lay axes on axes, at most 24; the first four keep each axis."""
    found = []
    for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return np.array(found[:number])


def inertial(position: Floats) -> Floats:
    """Return positions (n, 3) about their centroid in a right-handed frame of principal axes, the longest first."""
    centered = position - position.mean(axis=0)
    axes = np.linalg.eigh(centered.T @ centered)[1][:, ::-1].copy()
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return centered @ axes


def tanimoto_of_all(positions: list[Floats]) -> Floats:
    """Return (G, G) largest shape Tanimotos of G sets of heavy atoms, each (n, 3) in angstrom."""
    rows = np.concatenate([inertial(position.astype(np.float64)) for position in positions])
    offset = np.cumsum([0, *(len(position) for position in positions)])
    return _tanimoto_of_all(rows, offset, starts())


@njit(cache=True, nogil=True)
def _tanimoto_of_all(rows, offset, frames):
    size = len(offset) - 1
    own, found = np.empty(size), np.eye(size)
    gradient, curvature = np.empty(6), np.empty((6, 6))
    for a in range(size):
        x = rows[offset[a] : offset[a + 1]]
        own[a] = _derivatives(x, x, gradient, curvature)
        for b in range(a):
            y = rows[offset[b] : offset[b + 1]]
            both = _largest(x, y, frames) if len(x) >= len(y) else _largest(y, x, frames)
            found[a, b] = found[b, a] = both / (own[a] + own[b] - both)
    return found


@njit(cache=True, nogil=True)
def _largest(x, y, frames):
    moved = np.empty((len(frames), len(y), 3))
    reached = np.empty(len(frames))
    for k in range(len(frames)):
        moved[k] = y @ frames[k].T
        reached[k] = _climb(x, moved[k], FIRST)
    best = 0.0
    for k in np.argsort(-reached)[:KEPT]:
        if reached[k] >= 0.9 * best:
            best = max(best, _climb(x, moved[k], LATER))
    return best


@njit(cache=True, nogil=True)
def _climb(x, y, steps):
    """Move y (m, 3) uphill, in place, by damped Newton steps of rotation and translation; return the overlap."""
    gradient, curvature, step = np.empty(6), np.empty((6, 6)), np.empty(6)
    value, damping = _derivatives(x, y, gradient, curvature), 1.0
    trial = np.empty_like(y)
    for _ in range(steps):
        gain = -1.0
        for _ in range(8):
            if _newton(gradient, curvature, damping, step):
                _move(y, step, trial)
                after = _derivatives(x, trial, gradient, curvature)
                gain = after - value
                if gain >= 0:
                    break
                _derivatives(x, y, gradient, curvature)
            damping = max(5 * damping, 0.3)
        if gain < 0:
            return value
        y[:] = trial
        value, damping = after, 0.2 * damping
        if gain < ENOUGH * value:
            return value
    return value


@njit(cache=True, nogil=True, fastmath=True)
def _derivatives(x, y, gradient, curvature):
    """Return the overlap of x and y; set its derivatives by a rotation of y about the origin, then a translation."""
    gradient[:] = 0.0
    curvature[:] = 0.0
    arm, inner = np.zeros((3, 6)), np.empty((3, 3))
    for k in range(3):
        arm[k, 3 + k] = 1.0
    total, a = 0.0, EXPONENT
    for j in range(len(y)):
        p, q, r = y[j, 0], y[j, 1], y[j, 2]
        s = sx = sy = sz = xx = xy = xz = yy = yz = zz = 0.0
        for i in range(len(x)):
            dx, dy, dz = x[i, 0] - p, x[i, 1] - q, x[i, 2] - r
            square = dx * dx + dy * dy + dz * dz
            if square < FAR:
                w = math.exp(-a * square)
                wx, wy, wz = w * dx, w * dy, w * dz
                s, sx, sy, sz = s + w, sx + wx, sy + wy, sz + wz
                xx, xy, xz = xx + wx * dx, xy + wx * dy, xz + wx * dz
                yy, yz, zz = yy + wy * dy, yz + wy * dz, zz + wz * dz
        if s == 0.0:
            continue
        total += s
        arm[0, 1], arm[0, 2], arm[1, 2] = r, -q, p
        arm[1, 0], arm[2, 0], arm[2, 1] = -r, q, -p
        force = (sx, sy, sz)
        inner[0, 0], inner[1, 1], inner[2, 2] = xx, yy, zz
        inner[0, 1] = inner[1, 0] = xy
        inner[0, 2] = inner[2, 0] = xz
        inner[1, 2] = inner[2, 1] = yz
        inner *= 4 * a * a
        for k in range(3):
            inner[k, k] -= 2 * a * s
        for k in range(6):
            for n in range(3):
                gradient[k] += 2 * a * arm[n, k] * force[n]
                along = arm[0, k] * inner[0, n] + arm[1, k] * inner[1, n] + arm[2, k] * inner[2, n]
                for m in range(6):
                    curvature[k, m] += along * arm[n, m]
        work = p * sx + q * sy + r * sz
        for k in range(3):
            curvature[k, k] -= 2 * a * work
            for m in range(3):
                curvature[k, m] += a * (y[j, k] * force[m] + y[j, m] * force[k])
    return total


@njit(cache=True, nogil=True)
def _newton(gradient, curvature, damping, step):
    """Set the damped step uphill, no longer than is sensible; False where the overlap is not concave enough."""
    lower = np.zeros((6, 6))
    for i in range(6):
        for j in range(i + 1):
            rest = -curvature[i, j]
            if i == j:
                rest += damping * (ROTATION_SCALE if i < 3 else 1.0)
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            if i > j:
                lower[i, j] = rest / lower[j, j]
            elif rest > 1e-9:
                lower[i, i] = math.sqrt(rest)
            else:
                return False
    for i in range(6):
        step[i] = gradient[i]
        for k in range(i):
            step[i] -= lower[i, k] * step[k]
        step[i] /= lower[i, i]
    for i in range(5, -1, -1):
        for k in range(i + 1, 6):
            step[i] -= lower[k, i] * step[k]
        step[i] /= lower[i, i]
    turn = math.sqrt(step[0] ** 2 + step[1] ** 2 + step[2] ** 2)
    shift = math.sqrt(step[3] ** 2 + step[4] ** 2 + step[5] ** 2)
    step *= min(1.0, LONGEST_TURN / max(turn, 1e-9), LONGEST_SHIFT / max(shift, 1e-9))
    return True


@njit(cache=True, nogil=True)
def _move(y, step, moved):
    """Set moved (m, 3) to y turned by the rotation vector and shifted by the translation of a step."""
    x, y_, z = step[0], step[1], step[2]
    angle = max(math.sqrt(x * x + y_ * y_ + z * z), 1e-9)
    cross = np.array([[0.0, -z, y_], [z, 0.0, -x], [-y_, x, 0.0]]) / angle
    rotation = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    moved[:] = y @ rotation.T + step[3:]
