"""Molecules in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.elements import SYMBOLS

COLOURS = {
    1: "white", 5: "salmon", 6: "dimgrey", 7: "royalblue", 8: "red", 9: "limegreen", 14: "tan", 15: "orange",
    16: "gold", 17: "green", 35: "brown", 53: "purple",
}  # fmt: skip
"""Atomic number to the colour that an element is drawn in; of others it is orchid."""
MARGIN = 0.6
"""Of a picture around the centers of the atoms, angstrom."""
LEAST = 2.0
"""Width and height of a picture, angstrom, that flat and small molecules have."""

Floats = NDArray[np.float64]


def shortest_last(position: Floats) -> Floats:
    """Return (3, 3) the principal axes of positions (n, 3) as columns, that of the least extent last."""
    axes: Floats = np.linalg.svd(position - position.mean(axis=0), full_matrices=True)[2].T
    return axes


def draw_molecule(
    panel: Any, z: NDArray[np.integer], flat: Floats, bonds: NDArray[np.integer], scale: float = 1
) -> dict[str, Any]:
    """Draw atoms (n,) at (n, 2) and bonds (M, 2) into axes, with all of it in view; return what a legend needs."""
    for a, b in bonds.tolist():
        panel.plot(*flat[[a, b]].T, color="grey", linewidth=1.5, zorder=1)
    shown = {}
    for element in np.unique(z).tolist():
        of_it = z == element
        shown[SYMBOLS[element]] = panel.scatter(
            *flat[of_it].T, s=scale * (20 if element == 1 else 60), color=COLOURS.get(element, "orchid"),
            edgecolor="black", linewidth=0.5, zorder=3,
        )  # fmt: skip
    low, high = flat.min(axis=0) - MARGIN, flat.max(axis=0) + MARGIN
    middle, half = (low + high) / 2, np.maximum(high - low, LEAST) / 2
    panel.set(
        aspect="equal",
        xlim=middle[0] + half[0] * np.array([-1, 1]),
        ylim=middle[1] + half[1] * np.array([-1, 1]),
    )
    return shown
