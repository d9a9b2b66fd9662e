"""T(d), the translations of d-dimensional space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.base import Group, promoted


@dataclass(frozen=True, eq=False)
class Translation(Group[Tensor]):
    """Translations x -> x + t; Y is the space itself and xi the identity map.

    Attributes:
        vector: (..., d) t, in the units of the points.
    """

    vector: Tensor

    element_ndim = 1

    def __post_init__(self) -> None:
        check_shape("Translation vector", self.vector.shape, ("...", "d"))

    @classmethod
    def y0(cls, n: int, d: int) -> Tensor:
        """Return the origin, (d,); n is ignored."""
        return torch.zeros(d, dtype=torch.float64)

    @classmethod
    def from_equivariant(cls, y: Tensor) -> Self:
        """Return xi(y), the translation that takes the origin to y (..., d)."""
        check_shape("y", y.shape, ("...", "d"))
        return cls(y.double())

    def __matmul__(self, other: Self) -> Self:
        """Return the sum of the vectors."""
        check_shape("Translation vector", other.vector.shape, ("...", self.vector.shape[-1]))
        return type(self)(self.vector + other.vector)

    def inverse(self) -> Self:
        """Return the opposite vector."""
        return type(self)(-self.vector)

    def act(self, x: Tensor) -> Tensor:
        """Move points: x + t.

        Args:
            x: (..., n, d).
        """
        check_shape("x", x.shape, ("...", "n", self.vector.shape[-1]))
        points, vector = promoted(x, self.vector)
        return points + vector[..., None, :]

    def act_equivariant(self, y: Tensor) -> Tensor:
        """Move single points y (..., d)."""
        check_shape("y", y.shape, ("...", self.vector.shape[-1]))
        return y + self.vector

    def distance(self, other: Self) -> Tensor:
        """Return the Euclidean distance of the vectors, (...,), in the units of the points."""
        check_shape("Translation vector", other.vector.shape, ("...", self.vector.shape[-1]))
        return torch.linalg.vector_norm(self.vector - other.vector, dim=-1)
