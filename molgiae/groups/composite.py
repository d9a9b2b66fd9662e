"""Groups whose elements are tuples of elements of other groups."""

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
