"""How well conformers are reconstructed, as predicted and as solved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RMSD_LIMITS = (0.05, 0.1, 0.25)


@dataclass(frozen=True)
class Reconstruction:
    """Reconstructions of M conformers.

    Attributes:
        rmsd: (M,) all-atom RMSD as predicted, angstrom.
        types_right: (M,) atoms whose element was predicted.
        formula_right: (M,) whether the embedding alone gives the formula: every slot right, empty ones too.
        n_atoms: (M,).
    """

    rmsd: NDArray[np.float64]
    types_right: NDArray[np.int64]
    formula_right: NDArray[np.bool_]
    n_atoms: NDArray[np.int64]

    def take(self, keep: NDArray[np.bool_]) -> Reconstruction:
        """Some of the conformers."""
        return Reconstruction(
            self.rmsd[keep], self.types_right[keep], self.formula_right[keep], self.n_atoms[keep]
        )

    def summary(self) -> dict[str, float]:
        """Mean, percentiles and shares; every conformer counts."""
        percentiles = np.percentile(self.rmsd, [50, 95, 99, 100])
        return {
            "rmsd_mean": float(self.rmsd.mean()),
            **{f"rmsd_p{p}": float(v) for p, v in zip((50, 95, 99, 100), percentiles, strict=True)},
            **{f"rmsd_below_{limit}": float((self.rmsd < limit).mean()) for limit in RMSD_LIMITS},
            "type_accuracy": float(self.types_right.sum() / self.n_atoms.sum()),
            "formula_accuracy": float(self.formula_right.mean()),
        }
