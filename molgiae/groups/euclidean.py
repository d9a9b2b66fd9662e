"""T(d), SE(2) and SE(3), the translations and rigid motions, and SE(3) x S_n, which acts on conformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self, cast

import torch
from torch import Tensor

from molgiae.errors import check_shape
from molgiae.groups.base import Group, promoted
from molgiae.groups.permutation import Permutation
from molgiae.groups.product import Composite, Product
from molgiae.groups.rotation import SO2, SO3, Rotation


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


@dataclass(frozen=True, eq=False, init=False)
class SE3xSn(Product):
    """Rigid motions of space and permutations of points: x -> P (x R^T + t).

    y = ((vectors (..., 2, 3), translation (..., 3)), scores (..., n)).
    For one conformer x = g.act(c): ``x[g.permutation.index] == c @ R.T + t``.
    """

    factor_types = (SE3, Permutation)

    @property
    def motion(self) -> SE3:
        """The rigid motion."""
        return cast(SE3, self.factors[0])

    @property
    def rotation(self) -> Rotation:
        """R, applied first."""
        return self.motion.rotation

    @property
    def translation(self) -> Translation:
        """t, in the units of the points."""
        return self.motion.translation

    @property
    def permutation(self) -> Permutation:
        """P, from canonical order to the order of the input."""
        return cast(Permutation, self.factors[1])
