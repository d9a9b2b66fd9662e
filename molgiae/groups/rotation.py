"""SO(2) and SO(3), the rotations of the plane and of space, as matrices of determinant +1."""

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


@dataclass(frozen=True, eq=False)
class SO2(Rotation):
    """Rotations of the plane, counter-clockwise; Y is the circle.

    Attributes:
        matrix: (..., 2, 2) [[cos, -sin], [sin, cos]].
    """

    dimension = 2

    @classmethod
    def from_angle(cls, angle: Tensor) -> Self:
        """Return the rotations by angles (...,), radians."""
        cos, sin = angle.double().cos(), angle.double().sin()
        return cls._from_cos_sin(torch.stack([cos, sin], dim=-1))

    @property
    def angle(self) -> Tensor:
        """Angle of the rotation, (...,), radians, -pi to pi."""
        return torch.atan2(self.matrix[..., 1, 0], self.matrix[..., 0, 0])

    @classmethod
    def y0(cls, n: int, d: int) -> Tensor:
        """Return the vector (1, 0); n and d are ignored."""
        return torch.eye(2, dtype=torch.float64)[0]

    @classmethod
    def from_equivariant(cls, y: Tensor) -> Self:
        """Return xi(y), the rotation that takes (1, 0) to the direction of y (Eq. 4).

        Args:
            y: (..., 2) any length; zero gives the identity.
        """
        check_shape("y", y.shape, ("...", 2))
        return cls._from_cos_sin(unit(y.double(), cls.y0(n=0, d=0).to(y.device)))

    def act_equivariant(self, y: Tensor) -> Tensor:
        """Turn vectors y (..., 2)."""
        check_shape("y", y.shape, ("...", 2))
        return self.act(y[..., None, :])[..., 0, :]

    @classmethod
    def _from_cos_sin(cls, first: Tensor) -> Self:
        cos, sin = first.unbind(dim=-1)
        return cls(torch.stack([first, torch.stack([-sin, cos], dim=-1)], dim=-1))


MIN_SINE = 1e-10
"""Of the angle between two vectors; below it float64 round-off leaves no second direction."""


@dataclass(frozen=True, eq=False)
class SO3(Rotation):
    """Rotations of space; Y is the space of pairs of independent vectors.

    Attributes:
        matrix: (..., 3, 3) R = [e1 e2 e3], the images of the axes as columns.
    """

    dimension = 3

    @classmethod
    def y0(cls, n: int, d: int) -> Tensor:
        """Return the first two axes of space, (2, 3); n and d are ignored."""
        return torch.eye(3, dtype=torch.float64)[:2]

    @classmethod
    def from_equivariant(cls, y: Tensor) -> Self:
        """Return xi(y), Gram-Schmidt of two vectors, e3 = e1 x e2 (Section 3, "Orthogonal group SO(3)").

        The third axis is a cross product, never a third vector: the determinant is +1 for every finite
        input. Where y does not fix a frame, it is completed, which no rule can do equivariantly: the second
        vector takes the place of a first that is zero, a missing direction becomes the coordinate axis least
        aligned with e1, and two zeros give the identity.

        Args:
            y: (..., 2, 3) vectors v1 and v2, any length.
        """
        check_shape("y", y.shape, ("...", 2, 3))
        v1, v2 = y.double().unbind(dim=-2)
        e1 = unit(v1, otherwise=unit(v2, otherwise=cls.y0(n=0, d=0).to(y.device)[0]))
        axis = torch.nn.functional.one_hot(e1.detach().abs().argmin(dim=-1), num_classes=3).to(e1)
        second = _orthogonal(unit(v2, otherwise=axis), e1)
        collinear = torch.linalg.vector_norm(second.detach(), dim=-1, keepdim=True) < MIN_SINE
        second = torch.where(collinear, _orthogonal(axis, e1), second)
        e2 = unit(second, otherwise=axis)
        e2 = unit(_orthogonal(e2, e1), otherwise=axis)  # once more: exact for nearly collinear vectors too
        return cls(torch.stack([e1, e2, torch.linalg.cross(e1, e2)], dim=-1))

    def act_equivariant(self, y: Tensor) -> Tensor:
        """Turn pairs of vectors y (..., 2, 3)."""
        check_shape("y", y.shape, ("...", 2, 3))
        return self.act(y)


def _orthogonal(v: Tensor, e: Tensor) -> Tensor:
    """Return the part of v (..., 3) orthogonal to the unit vector e (..., 3)."""
    return v - (v * e).sum(dim=-1, keepdim=True) * e
