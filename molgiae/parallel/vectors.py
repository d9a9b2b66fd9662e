"""Vectors in space, for kernels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel

Floats = NDArray[np.float64]


@kernel
def cross(first: Floats, second: Floats, product: Floats) -> None:
    """Fill in the cross product (3,)."""
    product[0] = first[1] * second[2] - first[2] * second[1]
    product[1] = first[2] * second[0] - first[0] * second[2]
    product[2] = first[0] * second[1] - first[1] * second[0]


@kernel
def dot(first: Floats, second: Floats) -> float:
    """Return the scalar product of two vectors (3,)."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


@kernel
def normalize(vector: Floats) -> None:
    """Give a vector (3,) length 1."""
    length = max(math.sqrt(dot(vector, vector)), 1e-12)
    for x in range(3):
        vector[x] /= length


@kernel
def square_apart(x: Floats, y: Floats, i: int, j: int) -> float:
    """Return the squared distance of point i of x and point j of y, both (n, 3)."""
    a, b, c = x[i, 0] - y[j, 0], x[i, 1] - y[j, 1], x[i, 2] - y[j, 2]
    return a * a + b * b + c * c


@kernel
def square_of(x: Floats, i: int) -> float:
    """Return the squared length of vector i of (n, 3)."""
    return x[i, 0] * x[i, 0] + x[i, 1] * x[i, 1] + x[i, 2] * x[i, 2]


@kernel
def distance_of(pos: Floats, i: int, j: int) -> float:
    """Return the distance of two points of (n, 3)."""
    return math.sqrt(square_apart(pos, pos, i, j))


@kernel
def orthonormalize(first: Floats, second: Floats, axes: Floats) -> None:
    """Fill in the axes (3, 3), as rows, of the frame that two vectors (3,) span, by Gram-Schmidt."""
    for x in range(3):
        axes[0, x], axes[1, x] = first[x], second[x]
    normalize(axes[0])
    for _ in range(2):  # once more: exact for nearly collinear vectors too
        along = dot(axes[0], axes[1])
        for x in range(3):
            axes[1, x] -= along * axes[0, x]
        normalize(axes[1])
    cross(axes[0], axes[1], axes[2])
