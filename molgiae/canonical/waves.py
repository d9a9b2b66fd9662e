"""A continuous function of clouds of atoms, by which one of several candidate frames is chosen."""

from __future__ import annotations

import math

import numpy as np

from molgiae.canonical.bond_graph import Floats, Ints
from molgiae.parallel.kernels import kernel

_PLACED_AT_ONCE = 64
"""Frames that an atom is placed in at once, so that processors do several in one step."""

_WAVES = np.array([[1.31, 0.47, 0.73], [-0.53, 1.17, 0.91], [0.37, -0.83, 1.43]])
_PHASES = np.array([0.4, 1.3, 2.2])


@kernel
def waves(classes: Ints, pos: Floats, frames: Floats) -> Floats:
    """Return (m,) a continuous function of clouds that tells poses, but not orders of atoms, apart.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom.
        frames: (m, 3, 3) rotations, axes as rows.
    """
    value, wave = np.empty(len(frames)), np.zeros((4, _PLACED_AT_ONCE))
    for begin in range(0, len(frames), _PLACED_AT_ONCE):
        size, total = min(_PLACED_AT_ONCE, len(frames) - begin), np.zeros(_PLACED_AT_ONCE)
        for w in range(3):
            for k in range(size):
                for x in range(3):
                    wave[x, k] = 0.0
                    for y in range(3):
                        wave[x, k] += _WAVES[w, y] * frames[begin + k, y, x] / (2 * math.pi)
                wave[3, k] = _PHASES[w] / (2 * math.pi)
            for i in range(len(pos)):
                _add_waves(total, wave, pos[i, 0], pos[i, 1], pos[i, 2], _weight(classes[i]))
        for k in range(size):
            value[begin + k] = total[k]
    return value


@kernel
def _add_waves(total: Floats, wave: Floats, x: float, y: float, z: float, weight: float) -> None:
    """Add the weighted waves (4, k), in whole turns along the axes and at the origin, at one point; k at once."""
    for k in range(len(total)):
        total[k] += weight * _cosine(wave[0, k] * x + wave[1, k] * y + wave[2, k] * z + wave[3, k])


@kernel
def _cosine(turns: float) -> float:
    """Return the cosine of an angle in whole turns, to round-off, by steps that processors do several of at once."""
    t = 0.25 - abs(turns - np.floor(turns + 0.5))  # the cosine is the sine of the complement
    angle = 2 * math.pi * t
    square = angle * angle
    total = square / 51090942171709440000.0 - 1.0 / 121645100408832000.0
    total = (total * square + 1.0 / 355687428096000.0) * square - 1.0 / 1307674368000.0
    total = (total * square + 1.0 / 6227020800.0) * square - 1.0 / 39916800.0
    total = (total * square + 1.0 / 362880.0) * square - 1.0 / 5040.0
    total = ((total * square + 1.0 / 120.0) * square - 1.0 / 6.0) * square + 1.0
    return angle * total


@kernel
def slope(classes: Ints, cloud: Floats) -> float:
    """Return the length of the gradient of `waves` at a cloud (n, 3)."""
    total = 0.0
    for i in range(len(cloud)):
        x = y = z = 0.0
        for w in range(3):
            wave = _WAVES[w]
            steep = math.sin(
                cloud[i, 0] * wave[0] + cloud[i, 1] * wave[1] + cloud[i, 2] * wave[2] + _PHASES[w]
            )
            x, y, z = x + steep * wave[0], y + steep * wave[1], z + steep * wave[2]
        total += _weight(classes[i]) ** 2 * (x * x + y * y + z * z)
    return math.sqrt(total) + 1e-12


@kernel
def _weight(number: int) -> float:
    turns = 0.618034 * (number + 1)
    return 1.0 + turns - np.floor(turns)
