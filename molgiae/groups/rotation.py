"""What rotations of the plane and of space have in common: elements are matrices of determinant +1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.base import Group, promoted

MIN_LENGTH = 1e-20
"""Vectors with no component above this count as zero: gradients, about 1/length, stay finite in float32."""


def unit(v: Tensor, otherwise: Tensor) -> Tensor:
    """Return the direction of v, and where v is zero that of `otherwise`; finite gradients everywhere.

    Args:
        v: (..., d) any length: scaled before squaring, so that nothing overflows.
        otherwise: (..., d) not zero.
    """
    scale = v.detach().abs().amax(dim=-1, keepdim=True)
    direction = torch.where(scale > MIN_LENGTH, v / scale.clamp(min=MIN_LENGTH), otherwise)
    return direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Rotation(Group[Tensor]):
    """Rotations of d-dimensional space about the origin; row vectors turn as x -> x R^T.

    Attributes:
        matrix: (..., d, d) R, orthogonal, determinant +1.
    """

    matrix: Tensor

    element_ndim = 2
    dimension = 0
    """d, set by the subclass."""

    def __post_init__(self) -> None:
        check_shape(
            f"{type(self).__name__} matrix", self.matrix.shape, ("...", self.dimension, self.dimension)
        )

    def __matmul__(self, other: Self) -> Self:
        """Return the rotation that turns by `other` first: the product of the matrices."""
        mine, theirs = promoted(self.matrix, other.matrix)
        return type(self)(mine @ theirs)

    def inverse(self) -> Self:
        """Return the transposed matrix."""
        return type(self)(self.matrix.mT)

    def act(self, x: Tensor) -> Tensor:
        """Turn points: x R^T.

        Args:
            x: (..., n, d) row vectors, any unit.
        """
        check_shape("x", x.shape, ("...", "n", self.dimension))
        points, matrix = promoted(x, self.matrix)
        return points @ matrix.mT

    def distance(self, other: Self) -> Tensor:
        """Return the angle of the rotation between the two, (...,), radians, 0 to pi."""
        relative = (self.inverse() @ other).matrix
        # |R - R^T| = 2 sqrt(2) sin, tr R = d - 2 + 2 cos: together exact at 0 and at pi, where arccos is not
        sine = torch.linalg.matrix_norm(relative - relative.mT) / 8**0.5
        cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(dim=-1) - self.dimension + 2) / 2
        return torch.atan2(sine, cosine)
