"""How well conformers are reconstructed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import batches, squared_deviation
from molgiae.training.batches import EVALUATE_BATCH, by_size

RMSD_LIMITS = (0.05, 0.1, 0.25)
PERCENTILES = (50, 95, 99, 100)


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
        """Return those of some of the conformers."""
        return Reconstruction(*(values[keep] for values in vars(self).values()))

    def summary(self) -> dict[str, float]:
        """Return mean, percentiles and shares; every conformer counts."""
        percentiles = np.percentile(self.rmsd, PERCENTILES)
        return {
            "rmsd_mean": float(self.rmsd.mean()),
            **{f"rmsd_p{p}": float(v) for p, v in zip(PERCENTILES, percentiles, strict=True)},
            **{f"rmsd_below_{limit}": float((self.rmsd < limit).mean()) for limit in RMSD_LIMITS},
            "type_accuracy": float(self.types_right.sum() / self.n_atoms.sum()),
            "formula_accuracy": float(self.formula_right.mean()),
        }


@torch.no_grad()
def reconstruct(model: ConformerAutoencoder, block: ConformerBlock) -> Reconstruction:
    """Reconstruct all conformers of a block as predicted, with hard permutations, and compare; smallest first."""
    rmsd, types, formula = [], [], []
    block = by_size(block)
    for x in batches(block.atomic_number, block.position, block.offset, EVALUATE_BATCH):
        encoding = model.encode(x)
        canonical, decoded = model.undo(encoding.action, x), model.decode(encoding.embedding)
        z = torch.nn.functional.pad(canonical.z, (0, decoded.z.shape[1] - canonical.z.shape[1]))
        rmsd.append(squared_deviation(decoded.pos, canonical).sqrt())
        types.append(((decoded.z == z) & (z > 0)).sum(dim=1))
        formula.append((decoded.z == z).all(dim=1))
    return Reconstruction(
        torch.cat(rmsd).double().numpy(), torch.cat(types).numpy(), torch.cat(formula).numpy(), block.n_atoms
    )
