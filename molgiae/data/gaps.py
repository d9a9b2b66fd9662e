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


def at_least(values: NDArray[np.float64], cut: float, step: float = SAME_LENGTH) -> NDArray[np.bool_]:
    """Tell which values reach a cut, or follow downwards, in small steps, one that does.

    Args:
        values: (n,) finite, angstrom.
        cut: angstrom.
        step: the largest that is small, angstrom.
    """
    reaches = values >= cut
    if reaches.all() or not reaches.any():
        return reaches
    below = np.sort(values[~reaches])[::-1]
    steps = -np.diff(below, prepend=values[reaches].min())
    follow = int((np.append(steps, np.inf) > step).argmax())
    return reaches | (values >= below[follow - 1]) if follow else reaches
