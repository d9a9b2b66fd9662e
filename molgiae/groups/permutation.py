"""S_n, the permutations of n points, and SoftSort, the continuous relaxation used in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from molgiae.errors import ConfigError, ShapeError, check_shape
from molgiae.groups.base import Group


@dataclass(frozen=True, eq=False)
class Permutation(Group[Tensor]):
    """Permutations of n points: point k goes to place ``index[k]``.

    So ``g.act(x)[g.index[k]] == x[k]``, and for one element ``g.act(c)[g.index] == c``: reading a set in the
    order `index` undoes the permutation. Y is the space of n distinct scores and xi sorts them (Section 3,
    "Symmetric group"; Eq. 18).

    Attributes:
        index: (..., n) int64, each row a permutation of 0 ... n - 1.
    """

    index: Tensor

    element_ndim = 1

    def __post_init__(self) -> None:
        check_shape("Permutation index", self.index.shape, ("...", "n"))

    @classmethod
    def y0(cls, n: int, d: int) -> Tensor:
        """Return the scores 0 ... n - 1 in ascending order, (n,); d is ignored.

        Raises:
            ShapeError: if n is not given.
        """
        if n < 1:
            raise ShapeError(f"a permutation needs the number of points it permutes, got n={n}: pass n=...")
        return torch.arange(n, dtype=torch.float64)

    @classmethod
    def from_equivariant(cls, y: Tensor) -> Self:
        """Return xi(y), the stable argsort; ``index[k]`` is the place of the k-th smallest score (Eq. 18).

        Args:
            y: (..., n) one score per point. Equal scores keep the order of the points, which is deterministic
                but not equivariant. Padding points carry +inf: they sort last and keep their order, so
                padding at the end of a row stays where it is.
        """
        check_shape("y", y.shape, ("...", "n"))
        return cls(torch.argsort(y.detach(), dim=-1, stable=True))

    @property
    def matrix(self) -> Tensor:
        """(..., n, n) float64 P with ``act(x) == P @ x``: P[index[k], k] = 1 (Eq. 15)."""
        return torch.nn.functional.one_hot(self.index, num_classes=self.index.shape[-1]).mT.double()

    def __matmul__(self, other: Self) -> Self:
        """Return the permutation by which point k goes to ``self.index[other.index[k]]``."""
        check_shape("Permutation index", other.index.shape, ("...", self.index.shape[-1]))
        mine, theirs = torch.broadcast_tensors(self.index, other.index)
        return type(self)(mine.gather(-1, theirs))

    def inverse(self) -> Self:
        """Return the permutation with places and points exchanged."""
        return type(self)(torch.argsort(self.index, dim=-1))

    def act(self, x: Tensor, dim: int = -2) -> Tensor:
        """Put point k in place ``index[k]``.

        Args:
            x: features of n points, any dtype: (..., n, F), or with other trailing axes.
            dim: axis of the points, counted from the end: -2 for (..., n, F), -1 for scores and labels
                (..., n), -3 for (..., n, V, 3). The axes before it are the batch.
        """
        n = self.index.shape[-1]
        if not -x.ndim <= dim <= -1 or x.shape[dim] != n:
            raise ShapeError(f"x has shape {tuple(x.shape)}, expected {n} points on axis {dim} from the end")
        origin = self.inverse().index[(..., *(None,) * (-dim - 1))]
        ndim = max(x.ndim, origin.ndim)
        return torch.take_along_dim(
            x[(None,) * (ndim - x.ndim)], origin[(None,) * (ndim - origin.ndim)], dim=dim
        )

    def act_equivariant(self, y: Tensor) -> Tensor:
        """Permute scores y (..., n)."""
        return self.act(y, dim=-1)

    def distance(self, other: Self) -> Tensor:
        """Return the fraction of points that go to different places (normalized Hamming distance), (...,)."""
        check_shape("Permutation index", other.index.shape, ("...", self.index.shape[-1]))
        return (self.index != other.index).double().mean(dim=-1)


def soft_sort(scores: Tensor, tau: float) -> Tensor:
    """Return SoftSort's differentiable sorting matrix (Prillo and Eisenschlos 2020; Eq. 19 of the paper).

    S[k, i] = softmax over i of -|sort(s)_k - s_i| / tau. Row k looks for the k-th smallest score among
    the points i: ``soft_sort(s, tau) @ x`` is x in sorted order. For distinct scores the matrix tends, as
    tau -> 0, to ``Permutation.from_equivariant(s).inverse().matrix``, the transpose of the permutation
    matrix. So sorted (canonical) features c go back into the order of the input by
    ``soft_sort(s, tau).mT @ c``.

    Args:
        scores: (..., n) one score per point; +inf marks padding, which mixes with padding only.
        tau: temperature, in the units of the scores, > 0.

    Returns:
        (..., n, n) rows sum to one, in the dtype of the scores.

    Raises:
        ShapeError: if scores has no axis.
        ConfigError: if tau is not positive.
    """
    if not tau > 0:
        raise ConfigError(f"tau={tau}: the temperature of SoftSort must be positive")
    check_shape("scores", scores.shape, ("...", "n"))
    ordered = scores.sort(dim=-1, stable=True).values
    padding_row, padding_column = torch.isposinf(ordered)[..., :, None], torch.isposinf(scores)[..., None, :]
    # infinity minus infinity has no gradient: take the padding out before subtracting
    row = ordered[..., :, None].masked_fill(padding_row, 0.0)
    column = scores[..., None, :].masked_fill(padding_column, 0.0)
    logits = -(row - column).abs() / tau
    return logits.masked_fill(padding_row != padding_column, -torch.inf).softmax(dim=-1)
