"""SO(2), the rotations of the plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.rotation import Rotation, unit


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
