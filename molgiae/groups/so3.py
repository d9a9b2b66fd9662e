"""SO(3), the rotations of space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.rotation import Rotation, unit

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
