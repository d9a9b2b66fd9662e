"""Groups whose elements are tuples of elements of other groups, and direct products among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, cast

import torch
from torch import Tensor

from molgiae.errors import ShapeError
from molgiae.groups.base import Group, Y


@dataclass(frozen=True, eq=False, init=False)
class Composite(Group[Y], Generic[Y]):
    """Tuples of elements of other groups; y0, xi and distances are taken factor by factor, the rest is the subclass's.

    Attributes:
        factors: one batch of elements per factor, all of the same batch shape.
    """

    factors: tuple[Group[Any], ...]

    factor_types: ClassVar[tuple[type[Group[Any]], ...]] = ()
    """The groups of the factors, set by the subclass."""

    def __init__(self, *factors: Group[Any]) -> None:
        expected = ", ".join(t.__name__ for t in self.factor_types)
        if tuple(type(factor) for factor in factors) != self.factor_types:
            found = ", ".join(type(factor).__name__ for factor in factors)
            raise ShapeError(f"{type(self).__name__} takes the factors ({expected}), got ({found})")
        if len(batches := {tuple(factor.batch_shape) for factor in factors}) > 1:
            raise ShapeError(f"{type(self).__name__} needs factors of one batch shape, got {sorted(batches)}")
        object.__setattr__(self, "factors", factors)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The factors."""
        return self.factors

    @classmethod
    def y0(cls, n: int, d: int) -> Y:
        """Return the y0 of every factor; all are given the same n and d."""
        return cast(Y, tuple(t.y0(n, d) for t in cls.factor_types))

    @classmethod
    def from_equivariant(cls, y: Y) -> Self:
        """Return xi of every factor.

        Args:
            y: one y for each factor, in the order of `factor_types`.
        """
        return cls(*(t.from_equivariant(part) for t, part in zip(cls.factor_types, cls._of(y), strict=True)))

    def distance(self, other: Self) -> Tensor:
        """Return the root of the sum of the squared distances of the factors, (...,)."""
        terms = [g.distance(h) for g, h in zip(self.factors, other.factors, strict=True)]
        return torch.linalg.vector_norm(torch.stack(terms, dim=-1), dim=-1)

    @classmethod
    def _of(cls, y: Any) -> tuple[Any, ...]:
        """Return y as one part for each factor, checked."""
        if len(y) != len(cls.factor_types):
            raise ShapeError(
                f"y has {len(y)} parts, expected one for each of {len(cls.factor_types)} factors"
            )
        return tuple(y)


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
