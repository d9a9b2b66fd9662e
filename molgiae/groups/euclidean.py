"""SE(2) and SE(3), the proper rigid motions of the plane and of space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from molgiae.errors import ShapeError, check_shape
from molgiae.groups.base import Device, Group
from molgiae.groups.rotation import Rotation
from molgiae.groups.so2 import SO2
from molgiae.groups.so3 import SO3
from molgiae.groups.translation import Translation


class RigidVectors(NamedTuple):
    """What xi of SE(d) takes (Eq. 6 and 7); any pair (vectors, translation) will do.

    Attributes:
        vectors: y of the rotation: (..., 2) for SE(2), (..., 2, 3) for SE(3); unmoved by translations.
        translation: (..., d) a vector that moves with the points.
    """

    vectors: Tensor
    translation: Tensor


@dataclass(frozen=True, eq=False)
class Euclidean(Group[RigidVectors]):
    """Rigid motions x -> x R^T + t, the semidirect product of rotations and translations (Eq. 5).

    Attributes:
        rotation: R.
        translation: t, in the units of the points; applied after R.
    """

    rotation: Rotation
    translation: Translation

    rotation_type: ClassVar[type[Rotation]]
    """The rotations of the space, set by the subclass."""

    def __post_init__(self) -> None:
        check_shape("translation", self.translation.vector.shape, ("...", self.rotation_type.dimension))
        if self.rotation.batch_shape != self.translation.batch_shape:
            raise ShapeError(
                f"{type(self).__name__} needs one translation for each rotation, "
                f"got batches {tuple(self.translation.batch_shape)} and {tuple(self.rotation.batch_shape)}"
            )

    @classmethod
    def identity(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> Self:
        """No motion; n and d are ignored."""
        rotation = cls.rotation_type.identity(*batch_shape, dtype=dtype, device=device)
        size = cls.rotation_type.dimension
        return cls(rotation, Translation.identity(*batch_shape, d=size, dtype=dtype, device=device))

    @classmethod
    def random(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Uniform rotations and standard normal translations; n and d are ignored."""
        rotation = cls.rotation_type.random(*batch_shape, dtype=dtype, device=device, generator=generator)
        size = cls.rotation_type.dimension
        return cls(
            rotation,
            Translation.random(*batch_shape, d=size, dtype=dtype, device=device, generator=generator),
        )

    @classmethod
    def reference(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> RigidVectors:
        """The axes of space at the origin (Eq. 7); n and d are ignored."""
        vectors = cls.rotation_type.reference(*batch_shape, dtype=dtype, device=device)
        size = cls.rotation_type.dimension
        return RigidVectors(vectors, Translation.reference(*batch_shape, d=size, dtype=dtype, device=device))

    @classmethod
    def from_equivariant(cls, y: RigidVectors) -> Self:
        """Xi: the rotation from the vectors, the translation as it is (Eq. 6).

        Args:
            y: vectors and translation, see `RigidVectors`; degenerate vectors as in the rotation group.

        Raises:
            ShapeError: if one of them has other axes, or their batches differ.
        """
        vectors, translation = y
        return cls(cls.rotation_type.from_equivariant(vectors), Translation.from_equivariant(translation))

    def __matmul__(self, other: Self) -> Self:
        """The motion x -> (x R2^T + t2) R1^T + t1."""
        return type(self)(self.rotation @ other.rotation, Translation(self._move(other.translation.vector)))

    def inverse(self) -> Self:
        """The motion x -> (x - t) R."""
        back = self.rotation.inverse()
        return type(self)(back, Translation(-back.act(self.translation.vector[..., None, :])[..., 0, :]))

    def act(self, x: Tensor) -> Tensor:
        """Move points: x R^T + t.

        Args:
            x: (..., n, d), in the units of the translation.

        Raises:
            ShapeError: if the last axis is not d.
        """
        return self.translation.act(self.rotation.act(x))

    def act_equivariant(self, y: RigidVectors) -> RigidVectors:
        """Turn the vectors, move the translation; y as in `from_equivariant`.

        Raises:
            ShapeError: if one of them has other axes.
        """
        vectors, translation = y
        return RigidVectors(self.rotation.act_equivariant(vectors), self._move(translation))

    def distance(self, other: Self) -> Tensor:
        """Root of angle squared (radians) plus translation squared (units of the points), (...,)."""
        terms = [self.rotation.distance(other.rotation), self.translation.distance(other.translation)]
        return torch.linalg.vector_norm(torch.stack(terms, dim=-1), dim=-1)

    def _move(self, point: Tensor) -> Tensor:
        """The motion of one point (..., d) for each element."""
        return self.act(point[..., None, :])[..., 0, :]


@dataclass(frozen=True, eq=False)
class SE2(Euclidean):
    """Rigid motions of the plane; y = (vector (..., 2), translation (..., 2))."""

    rotation_type = SO2


@dataclass(frozen=True, eq=False)
class SE3(Euclidean):
    """Rigid motions of space; y = (vectors (..., 2, 3), translation (..., 3))."""

    rotation_type = SO3
