"""Cuts that fall in gaps between values, so that values which a symmetry makes equal stay together.

Equivalent atoms share distances, heights and bond lengths up to round-off and to the decimals of a file. A cut
decided value by value would part them where it meets such a value. Two habits prevent this: no cut stands at a
round number, which made-up structures meet, and values that follow each other in small steps fall on one side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME_LENGTH = 0.0037
"""Lengths that follow each other by no more stay together, angstrom.

Coordinates of three decimals, as in many files, move a distance by up to 0.0009 angstrom and part two equal ones
by up to twice that.
"""


def at_least(
    values: NDArray[np.float64],
    cut: float,
    step: float = SAME_LENGTH,
    group: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Tell which values reach a cut, or follow downwards, in small steps, one that does.

    Args:
        values: (n,) finite, angstrom.
        cut: angstrom.
        step: the largest that is small, angstrom.
        group: (n,) which values belong together; others do not follow each other. None if all do.
    """
    reaches = values >= cut
    near = ~reaches & (values >= cut - 2 * step)
    if not near.any():
        return reaches
    group = np.zeros(len(values), np.int64) if group is None else group
    rows = np.flatnonzero(np.isin(group, group[near]))
    rows = rows[np.lexsort((-values[rows], group[rows]))]
    downwards = values[rows]
    starts = np.append(True, (np.diff(group[rows]) != 0) | (-np.diff(downwards) > step))
    highest = downwards[starts][np.cumsum(starts) - 1]
    reaches[rows] = highest >= cut
    return reaches
