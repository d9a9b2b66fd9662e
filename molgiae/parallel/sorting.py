"""A stable sort for kernels, which compiles in a fraction of the time of numpy's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.parallel.kernels import kernel

_RUN = 16
"""Values that are sorted by insertion."""


@kernel
def argsort(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the places (n,) of values (n,) in ascending order, equal ones in the order of their places."""
    n = len(values)
    order, other = np.arange(n), np.empty(n, np.int64)
    for start in range(0, n, _RUN):
        for k in range(start + 1, min(start + _RUN, n)):
            moved, j = order[k], k
            while j > start and values[order[j - 1]] > values[moved]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = moved
    width = _RUN
    while width < n:
        for start in range(0, n, 2 * width):
            a, b = start, min(start + width, n)
            middle, stop = b, min(start + 2 * width, n)
            for k in range(start, stop):
                if a < middle and (b == stop or values[order[a]] <= values[order[b]]):
                    other[k] = order[a]
                    a += 1
                else:
                    other[k] = order[b]
                    b += 1
        order, other = other, order
        width *= 2
    return order
