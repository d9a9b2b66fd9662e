"""SE(2) and SE(3), the proper rigid motions of the plane and of space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.base import Group
from molgiae.groups.composite import Composite
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


@dataclass(frozen=True, eq=False, init=False)
class Euclidean(Composite[RigidVectors]):
    """Rigid motions x -> x R^T + t, the semidirect product of rotations R and translations t (Eq. 5).

    Y0 is the axes of space at the origin (Eq. 7), xi the rotation from the vectors and the translation as it is
    (Eq. 6). A distance is the root of an angle squared, in radians, plus a length squared, in the units of the points.
    """

    dimension = 0
    """d, set by the subclass."""

    def __init__(self, *factors: Group[Any]) -> None:
        super().__init__(*factors)
        check_shape("translation", self.translation.vector.shape, ("...", self.dimension))

    @property
    def rotation(self) -> Rotation:
        """R, applied first."""
        return cast(Rotation, self.factors[0])

    @property
    def translation(self) -> Translation:
        """t, in the units of the points."""
        return cast(Translation, self.factors[1])

    @classmethod
    def y0(cls, n: int, d: int) -> RigidVectors:
        """Return the axes of space and the origin; n and d are ignored."""
        return RigidVectors(*super().y0(n, cls.dimension))

    def __matmul__(self, other: Self) -> Self:
        """Return the motion x -> (x R2^T + t2) R1^T + t1."""
        return type(self)(self.rotation @ other.rotation, Translation(self._move(other.translation.vector)))

    def inverse(self) -> Self:
        """Return the motion x -> (x - t) R."""
        back = self.rotation.inverse()
        return type(self)(back, Translation(-back.act(self.translation.vector[..., None, :])[..., 0, :]))

    def act(self, x: Tensor) -> Tensor:
        """Move points: x R^T + t.

        Args:
            x: (..., n, d), in the units of the translation.
        """
        return self.translation.act(self.rotation.act(x))

    def act_equivariant(self, y: RigidVectors) -> RigidVectors:
        """Turn the vectors, move the translation; y as in `from_equivariant`."""
        vectors, translation = self._of(y)
        return RigidVectors(self.rotation.act_equivariant(vectors), self._move(translation))

    def _move(self, point: Tensor) -> Tensor:
        """Return the motion of one point (..., d) for each element."""
        return self.act(point[..., None, :])[..., 0, :]


@dataclass(frozen=True, eq=False, init=False)
class SE2(Euclidean):
    """Rigid motions of the plane; y = (vector (..., 2), translation (..., 2))."""

    dimension = 2
    factor_types = (SO2, Translation)


@dataclass(frozen=True, eq=False, init=False)
class SE3(Euclidean):
    """Rigid motions of space; y = (vectors (..., 2, 3), translation (..., 3))."""

    dimension = 3
    factor_types = (SO3, Translation)
