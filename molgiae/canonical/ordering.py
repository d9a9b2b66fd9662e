"""Sorting that does not depend on round-off: values closer than a tolerance are equal, the next key decides."""

from __future__ import annotations

import torch
from torch import Tensor


def tolerant_lexsort(keys: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Sort rows of keys lexicographically, first key first, with ties up to a tolerance.

    Within a group of rows that are equal so far, rows whose sorted values follow each other by no more than
    the tolerance stay one group (single linkage). So the result depends on gaps between values, never on a
    grid that round-off could cross.

    Args:
        keys: (..., n, K) finite or infinite; infinities of one sign are equal to each other.
        tolerance: largest gap inside a group, in the units of the keys.

    Returns:
        order (..., n) int64, ``order[k]`` is the row that comes k-th (stable), and group (..., n) int64,
        the number of the group of the k-th row, counted from 0 in sorted order.
    """
    order = torch.arange(keys.shape[-2], device=keys.device).expand(keys.shape[:-1]).contiguous()
    group = torch.zeros_like(order)
    for key in keys.unbind(dim=-1):
        value = key.gather(-1, order)
        by_value = value.argsort(dim=-1, stable=True)
        place = by_value.gather(-1, group.gather(-1, by_value).argsort(dim=-1, stable=True))
        order, value, group = (t.gather(-1, place) for t in (order, value, group))
        # infinity minus infinity is nan, which is not greater: padding stays one group
        starts = (value.diff(dim=-1) > tolerance) | (group.diff(dim=-1) > 0)
        group = torch.nn.functional.pad(starts.long().cumsum(dim=-1), (1, 0))
    return order, group
