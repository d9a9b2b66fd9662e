"""Direct products of groups whose actions commute, such as SE(3) x S_n on the atoms of a conformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor

from molgiae.errors import ShapeError
from molgiae.groups.base import Device, Group
from molgiae.groups.euclidean import SE3
from molgiae.groups.rotation import Rotation
from molgiae.groups.symmetric import Permutation
from molgiae.groups.translation import Translation


@dataclass(frozen=True, eq=False, init=False)
class Product(Group[tuple[Any, ...]]):
    """A direct product; y, products, inverses and distances are taken factor by factor.

    A product of given groups is a subclass that names them in `factor_types`, or
    ``Product.of(SO3, Permutation)``. The actions of the factors must commute, as those on the coordinates
    and on the order of points do.

    Attributes:
        factors: one batch of elements per factor, all of the same batch shape.
    """

    factors: tuple[Group[Any], ...]

    factor_types: ClassVar[tuple[type[Group[Any]], ...]] = ()

    def __init__(self, *factors: Group[Any]) -> None:
        expected = ", ".join(t.__name__ for t in self.factor_types)
        if tuple(type(factor) for factor in factors) != self.factor_types:
            found = ", ".join(type(factor).__name__ for factor in factors)
            raise ShapeError(f"{type(self).__name__} takes the factors ({expected}), got ({found})")
        if len(batches := {tuple(factor.batch_shape) for factor in factors}) > 1:
            raise ShapeError(f"{type(self).__name__} needs factors of one batch shape, got {sorted(batches)}")
        object.__setattr__(self, "factors", factors)

    @classmethod
    def of(cls, *factor_types: type[Group[Any]]) -> type[Product]:
        """The class of the products of these groups; write a subclass instead where it must be pickled."""
        name = "x".join(t.__name__ for t in factor_types)
        return cast(type[Product], type(name, (cls,), {"factor_types": factor_types}))

    @property
    def parts(self) -> tuple[Any, ...]:
        """The factors."""
        return self.factors

    @classmethod
    def identity(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> Self:
        """The identity of every factor; all are given the same n and d.

        Raises:
            ShapeError: if a factor permutes points and n is not given.
        """
        return cls(
            *(t.identity(*batch_shape, n=n, d=d, dtype=dtype, device=device) for t in cls.factor_types)
        )

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
        """Independent random elements of every factor; all are given the same n and d.

        Raises:
            ShapeError: if a factor permutes points and n is not given.
        """
        return cls(
            *(
                t.random(*batch_shape, n=n, d=d, dtype=dtype, device=device, generator=generator)
                for t in cls.factor_types
            )
        )

    @classmethod
    def reference(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> tuple[Any, ...]:
        """The y0 of every factor; all are given the same n and d.

        Raises:
            ShapeError: if a factor permutes points and n is not given.
        """
        return tuple(
            t.reference(*batch_shape, n=n, d=d, dtype=dtype, device=device) for t in cls.factor_types
        )

    @classmethod
    def from_equivariant(cls, y: tuple[Any, ...]) -> Self:
        """Xi of every factor.

        Args:
            y: one y for each factor, in the order of `factor_types`.

        Raises:
            ShapeError: if their number, axes or batches do not fit.
        """
        cls._check_count(y)
        return cls(*(t.from_equivariant(part) for t, part in zip(cls.factor_types, y, strict=True)))

    def __matmul__(self, other: Self) -> Self:
        """The products of the factors."""
        return type(self)(*(g @ h for g, h in zip(self.factors, other.factors, strict=True)))

    def inverse(self) -> Self:
        """The inverses of the factors."""
        return type(self)(*(factor.inverse() for factor in self.factors))

    def act(self, x: Tensor) -> Tensor:
        """The actions of the factors, one after another; x (..., n, d) as they take it.

        Raises:
            ShapeError: if a factor cannot act on x.
        """
        for factor in self.factors:
            x = factor.act(x)
        return x

    def act_equivariant(self, y: tuple[Any, ...]) -> tuple[Any, ...]:
        """The actions of the factors on their own y.

        Raises:
            ShapeError: if their number or axes do not fit.
        """
        self._check_count(y)
        return tuple(factor.act_equivariant(part) for factor, part in zip(self.factors, y, strict=True))

    def distance(self, other: Self) -> Tensor:
        """Root of the sum of the squared distances of the factors, (...,)."""
        terms = [g.distance(h) for g, h in zip(self.factors, other.factors, strict=True)]
        return torch.linalg.vector_norm(torch.stack(terms, dim=-1), dim=-1)

    @classmethod
    def _check_count(cls, y: tuple[Any, ...]) -> None:
        if len(y) != len(cls.factor_types):
            raise ShapeError(
                f"y has {len(y)} parts, expected one for each of {len(cls.factor_types)} factors"
            )


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
