"""How well conformers are reconstructed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.conformer import ConformerBlock
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import batches
from molgiae.training.batches import EVALUATE_BATCH, by_size
from molgiae.training.losses import squared_deviation

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


def reconstruct(model: ConformerAutoencoder, block: ConformerBlock) -> Reconstruction:
    """Reconstruct all conformers of a block as predicted, with hard permutations, and compare; smallest first."""
    return reconstructions(model, block, [model.config.embedding_dim])[0]


@torch.no_grad()
def reconstructions(
    model: ConformerAutoencoder, block: ConformerBlock, lengths: Sequence[int]
) -> list[Reconstruction]:
    """Return the same of the first numbers of embeddings alone, for each length from `model.least` on."""
    found: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in lengths]
    block = by_size(block)
    for x in batches(block.atomic_number, block.position, block.offset, EVALUATE_BATCH):
        encoding = model.encode(x)
        canonical = model.undo(encoding.action, x)
        for rows, length in zip(found, lengths, strict=True):
            decoded = model.decode(encoding.embedding[:, :length])
            z = torch.nn.functional.pad(canonical.z, (0, decoded.z.shape[1] - canonical.z.shape[1]))
            right = decoded.z == z
            rmsd = squared_deviation(decoded.pos, canonical).sqrt().double()
            rows.append((rmsd, (right & (z > 0)).sum(dim=1), right.all(dim=1)))
    columns = [[torch.cat(column).numpy() for column in zip(*rows, strict=True)] for rows in found]
    return [Reconstruction(rmsd, types, formula, block.n_atoms) for rmsd, types, formula in columns]
