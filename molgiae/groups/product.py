"""Direct products of groups whose actions commute, such as SE(3) x S_n on the atoms of a conformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

from torch import Tensor

from molgiae.groups.base import Group
from molgiae.groups.composite import Composite
from molgiae.groups.euclidean import SE3
from molgiae.groups.rotation import Rotation
from molgiae.groups.symmetric import Permutation
from molgiae.groups.translation import Translation


@dataclass(frozen=True, eq=False, init=False)
class Product(Composite[tuple[Any, ...]]):
    """A direct product; everything is taken factor by factor.

    A product of given groups is a subclass that names them in `factor_types`, or
    ``Product.of(SO3, Permutation)``. The actions of the factors must commute, as those on the coordinates
    and on the order of points do.
    """

    @classmethod
    def of(cls, *factor_types: type[Group[Any]]) -> type[Product]:
        """Return the class of the products of these groups; write a subclass instead where it must be pickled."""
        name = "x".join(t.__name__ for t in factor_types)
        return cast(type[Product], type(name, (cls,), {"factor_types": factor_types}))

    def __matmul__(self, other: Self) -> Self:
        """Return the products of the factors."""
        return type(self)(*(g @ h for g, h in zip(self.factors, other.factors, strict=True)))

    def inverse(self) -> Self:
        """Return the inverses of the factors."""
        return self._map(lambda factor: factor.inverse())

    def act(self, x: Tensor) -> Tensor:
        """Act by one factor after another; x (..., n, d) as they take it."""
        for factor in self.factors:
            x = factor.act(x)
        return x

    def act_equivariant(self, y: tuple[Any, ...]) -> tuple[Any, ...]:
        """Act by every factor on its own y."""
        return tuple(g.act_equivariant(part) for g, part in zip(self.factors, self._of(y), strict=True))


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
