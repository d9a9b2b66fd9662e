"""The contract of a group: elements batched in tensors, their composition, their actions, and xi."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor

Y = TypeVar("Y")
"""What xi takes: a point of the homogeneous space Y of the group, as a tensor or a tuple of tensors."""

Device = torch.device | str | None


def promoted(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in the wider of their two dtypes."""
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(dtype)


class Group(ABC, Generic[Y]):
    """A batch of elements of one group; immutable, any batch shape ``(...,)``.

    A concrete group is a frozen dataclass whose fields are tensors ``(..., element axes)`` or other
    groups. Batch shapes broadcast, in ``g @ h`` and between g and what it acts on: for channels of
    vectors (B, n, V, 3) take ``g[:, None]``. Elements are float64 unless asked otherwise: xi always
    computes in float64 and an action returns the wider of the two dtypes.

    To add a group: one file with a subclass, one row in ``tests/groups/laws.py``.
    """

    element_ndim: int = 0
    """How many trailing axes of the fields belong to one element; 0 where the fields are groups."""

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
        """The elements at an index into the batch: whatever indexes a tensor of shape `batch_shape`."""
        items = index if isinstance(index, tuple) else (index,)
        if not any(item is Ellipsis for item in items):
            items = (*items, Ellipsis)
        whole_element = (slice(None),) * self.element_ndim
        return self._map(
            lambda part: part[index] if isinstance(part, Group) else part[(*items, *whole_element)]
        )

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """The same elements on another device or in another floating-point type; integers keep theirs.

        Only for float32 elements do autocast and reduced-precision matrix products reach the actions.
        """

        def move(part: Any) -> Any:
            if isinstance(part, Group):
                return part.to(device, dtype)
            return part.to(device=device, dtype=dtype if part.is_floating_point() else None)

        return self._map(move)

    def _map(self, function: Callable[[Any], Any]) -> Self:
        return type(self)(*(function(part) for part in self.parts))

    @classmethod
    @abstractmethod
    def identity(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> Self:
        """The identity, repeated.

        Args:
            *batch_shape: shape of the batch; nothing for a single element.
            n: number of points permuted; ignored by groups that permute nothing.
            d: dimension of the space translated; ignored by groups that fix it.
            dtype: floating-point type of the elements.
            device: where they live.

        Raises:
            ShapeError: if the group permutes points and n is not given.
        """

    @classmethod
    @abstractmethod
    def random(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Independent random elements: uniform for compact groups, standard normal for translations.

        Args:
            *batch_shape: as in `identity`.
            n: as in `identity`.
            d: as in `identity`.
            dtype: as in `identity`.
            device: as in `identity`.
            generator: source of randomness, on the same device.

        Raises:
            ShapeError: as in `identity`.
        """

    @classmethod
    @abstractmethod
    def reference(
        cls,
        *batch_shape: int,
        n: int = 0,
        d: int = 3,
        dtype: torch.dtype = torch.float64,
        device: Device = None,
    ) -> Y:
        """The point y0 of Y with xi(y0) = e; arguments and errors as in `identity`."""

    @classmethod
    @abstractmethod
    def from_equivariant(cls, y: Y) -> Self:
        """Xi: the element g with rho_Y(g) y0 = y, in float64 (Property 2.6 of the paper).

        Equivariant, xi(rho_Y(h) y) = h xi(y), wherever the stabilizer of y is trivial; elsewhere completed
        deterministically, as the group says.

        Args:
            y: output of an equivariant network, (..., axes of Y), any floating-point type.

        Raises:
            ShapeError: if y has other axes.
        """

    @abstractmethod
    def __matmul__(self, other: Self) -> Self:
        """The product: ``(g @ h).act(x) == g.act(h.act(x))``; h acts first."""

    @abstractmethod
    def inverse(self) -> Self:
        """The element that undoes this one."""

    @abstractmethod
    def act(self, x: Tensor) -> Tensor:
        """The action rho on a set of points or their features, (..., n, d), in the wider of the two dtypes.

        Raises:
            ShapeError: if x does not have the axes this group acts on.
        """

    @abstractmethod
    def act_equivariant(self, y: Y) -> Y:
        """The action rho_Y on Y; y as in `from_equivariant`.

        Raises:
            ShapeError: if y has other axes.
        """

    @abstractmethod
    def distance(self, other: Self) -> Tensor:
        """Left-invariant metric, (...,): d(k g, k h) = d(g, h), 0 for equal elements only."""
