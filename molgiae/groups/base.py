"""The contract of a group: elements batched in tensors, their composition, their actions, and xi."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor

Y = TypeVar("Y")
"""What xi takes: a point of the homogeneous space Y of the group, as a tensor or a tuple of such."""

Device = torch.device | str | None


class Size(TypedDict, total=False):
    """What a group is told of the points it acts on, see `Group.reference`."""

    n: int
    d: int
    device: Device


class Group(ABC, Generic[Y]):
    """A batch of elements of one group; immutable, any batch shape ``(...,)``.

    To add a group: one file with a frozen dataclass whose field is a tensor ``(..., element axes)``, or a subclass of
    `molgiae.groups.product.Composite` for one that is made of other groups; seven methods, the abstract ones below;
    a row in ``groups.GROUPS`` and one in ``tests/groups/laws.py``. `identity`, `random` and `reference` then follow.

    Batch shapes broadcast, in ``g @ h`` and between g and what it acts on: for channels of vectors (B, n, V, 3) take
    ``g[:, None]``. Elements are float64 unless asked otherwise: xi always computes in float64 and an action returns
    the wider of the two dtypes. All methods raise `ShapeError` where an argument has other axes than they take.
    """

    element_ndim: int = 0
    """How many trailing axes of the field belong to one element; 0 for composite groups."""

    @classmethod
    @abstractmethod
    def y0(cls, n: int, d: int) -> Y:
        """Return the point y0 of Y with xi(y0) = e, float64, without axes of a batch.

        Args:
            n: number of points permuted; ignored by groups that permute nothing.
            d: dimension of the space translated; ignored by groups that fix it.

        Raises:
            ShapeError: if the group permutes points and n is not positive.
        """

    @classmethod
    @abstractmethod
    def from_equivariant(cls, y: Y) -> Self:
        """Return xi(y), the element g with rho_Y(g) y0 = y, in float64 (Property 2.6 of the paper).

        Equivariant, xi(rho_Y(h) y) = h xi(y), wherever the stabilizer of y is trivial; elsewhere completed
        deterministically, as the group says.

        Args:
            y: output of an equivariant network, (..., axes of Y), any floating-point type.
        """

    @abstractmethod
    def __matmul__(self, other: Self) -> Self:
        """Return the product: ``(g @ h).act(x) == g.act(h.act(x))``; h acts first."""

    @abstractmethod
    def inverse(self) -> Self:
        """Return the element that undoes this one."""

    @abstractmethod
    def act(self, x: Tensor) -> Tensor:
        """Act by rho on a set of points or their features, (..., n, d), in the wider of the two dtypes."""

    @abstractmethod
    def act_equivariant(self, y: Y) -> Y:
        """Act by rho_Y on Y; y as in `from_equivariant`."""

    @abstractmethod
    def distance(self, other: Self) -> Tensor:
        """Return a left-invariant metric, (...,): d(k g, k h) = d(g, h), 0 for equal elements only."""

    @classmethod
    def reference(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> Y:
        """Return y0, repeated.

        Args:
            *batch_shape: shape of the batch; nothing for a single element.
            n: as in `y0`.
            d: as in `y0`.
            dtype: floating-point type of the result.
            device: where it lives.

        Raises:
            ShapeError: as in `y0`.
        """
        return mapped(lambda part: part.to(device, dtype).expand(*batch_shape, *part.shape), cls.y0(n, d))

    @classmethod
    def identity(cls, *batch_shape: int, dtype: torch.dtype = torch.float64, **size: Unpack[Size]) -> Self:
        """Return the identity e = xi(y0), repeated; arguments and errors as in `reference`."""
        return cls.from_equivariant(cls.reference(*batch_shape, **size)).to(dtype=dtype)

    @classmethod
    def random(
        cls,
        *batch_shape: int,
        dtype: torch.dtype = torch.float64,
        generator: torch.Generator | None = None,
        **size: Unpack[Size],
    ) -> Self:
        """Return independent random elements: uniform (Haar) for compact groups, standard normal for translations.

        They are xi of normally distributed y. Arguments and errors as in `reference`; the generator, the source of
        randomness, lives on the same device.
        """

        def normal(part: Tensor) -> Tensor:
            return torch.randn(part.shape, dtype=part.dtype, device=part.device, generator=generator)

        return cls.from_equivariant(mapped(normal, cls.reference(*batch_shape, **size))).to(dtype=dtype)

    @property
    def parts(self) -> tuple[Any, ...]:
        """The tensors or groups that hold the elements, in the order in which the constructor takes them."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of elements."""
        first = self.parts[0]
        return (
            first.batch_shape if isinstance(first, Group) else first.shape[: first.ndim - self.element_ndim]
        )

    def __getitem__(self, index: Any) -> Self:
        """Return the elements at an index into the batch: whatever indexes a tensor of shape `batch_shape`."""
        items = index if isinstance(index, tuple) else (index,)
        if not any(item is Ellipsis for item in items):
            items = (*items, Ellipsis)
        whole_element = (slice(None),) * self.element_ndim
        return self._map(
            lambda part: part[index] if isinstance(part, Group) else part[(*items, *whole_element)]
        )

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the same elements on another device or in another floating-point type; integers keep theirs.

        Only for float32 elements do autocast and reduced-precision matrix products reach the actions.
        """

        def move(part: Any) -> Any:
            if isinstance(part, Group):
                return part.to(device, dtype)
            return part.to(device=device, dtype=dtype if part.is_floating_point() else None)

        return self._map(move)

    def _map(self, function: Callable[[Any], Any]) -> Self:
        return type(self)(*(function(part) for part in self.parts))


def mapped(function: Callable[[Tensor], Tensor], y: Any) -> Any:
    """Return y, a tensor or a tuple of such, with a function applied to every tensor, first to last."""
    if isinstance(y, Tensor):
        return function(y)
    parts = [mapped(function, part) for part in y]
    return type(y)(*parts) if hasattr(y, "_fields") else tuple(parts)


def promoted(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return both tensors in the wider of their two dtypes."""
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(dtype)
