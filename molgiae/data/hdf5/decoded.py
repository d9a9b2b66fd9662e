"""What columns say of the decoder: how far a conformer that it gives back from the embedding alone is off."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.config import DECODED

DECODED_RMSD, DECODED_FORMULA = "decoded_rmsd", "decoded_formula"
DECODED_COLUMNS = (DECODED_RMSD, DECODED_FORMULA)
"""Columns of files whose embeddings were checked."""
RECONSTRUCTED_RMSD = "rmsd"
"""The same RMSD in files of `reconstruct`, so that no number stands there twice: motions and orders change none."""


def decoded_rmsd_in(names: Container[str]) -> str | None:
    """Return the column that holds the RMSD of what is decoded; None where embeddings were not checked."""
    if DECODED_FORMULA not in names:
        return None
    return next((name for name in (DECODED_RMSD, RECONSTRUCTED_RMSD) if name in names), None)


def comes_back(rmsd: NDArray[Any], formula: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (M,) whether conformers come back, of their columns; RMSDs count as the float32 that they are in files."""
    return np.asarray((formula == 1) & (rmsd.astype(np.float32) <= np.float32(DECODED)))


def not_decoded(columns: Mapping[str, NDArray[Any]]) -> int | None:
    """Return how many conformers do not come back, in whatever range they are; None where that was not checked."""
    name = decoded_rmsd_in(columns)
    return None if name is None else int((~comes_back(columns[name], columns[DECODED_FORMULA])).sum())
