"""The exact distances that parts of an embedding stand for, which move as well when atoms move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.data.overlay import overlay, shape_of
from molgiae.matching import kabsch

Floats = NDArray[np.float64]
ExactDistance = Callable[[ConformerBlock, ConformerBlock], Floats]
"""Distances (M,) of M conformers from other conformers of the same molecules, atoms in the same order."""


def superposed_rmsd(first: ConformerBlock, second: ConformerBlock) -> Floats:
    """Return (M,) RMSDs, angstrom, atom by atom: of small motions, those over all matchings of equivalent atoms."""
    pairs = zip(first, second, strict=True)
    return np.array([float(kabsch(a.position, b.position)[2]) for a, b in pairs])


def overlay_distance(first: ConformerBlock, second: ConformerBlock) -> Floats:
    """Return (M,) distances of Gaussian densities at their best overlay, V_aa + V_bb - 2 V_ab, angstrom^1.5."""
    square = []
    for conformers in zip(first, second, strict=True):
        a, b = (shape_of(conformer, color=False) for conformer in conformers)
        square.append(a.volume + b.volume - 2 * overlay(a, b, "shape").overlap)
    return np.sqrt(np.maximum(square, 0.0))


EXACT_DISTANCES: dict[str, ExactDistance] = {"overlay": overlay_distance, "shape": superposed_rmsd}
"""By the name of the part."""
