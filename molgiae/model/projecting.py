"""Invariant projections of the equivariant latents of a model, beside its learned invariant embedding.

The latent is (B, V, 3), V vectors that turn with a conformer and heed neither its place nor the order of its atoms: of
slots models the weighted sums of positions from which the shape part is made, of appendix-d the mean vectors of the
network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.canonical.cloud import Cloud, pack
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.schema import PROJECTION, Column
from molgiae.errors import ConfigError
from molgiae.groups import SO3
from molgiae.model.embedder import Embedder, Result, batches_by_size
from molgiae.model.projections import PROJECTIONS, project

UNITS = {
    "norms": "angstrom",
    "angles": "radian",
    "norms-angles": "angstrom, then radian",
    "gram": "square angstrom, then cubic angstrom",
    "max-filter": "angstrom",
    "voronoi": "angstrom",
}


class ProjectingEmbedder:
    """Embeds, and adds a projection of the latents as the column ``projection``.

    Args:
        embedder: the model in use.
        name: of a projection in `molgiae.model.projections.PROJECTIONS` for SO(3).

    Raises:
        ConfigError: if there is no such projection, or the model has no equivariant latent.
    """

    def __init__(self, embedder: Embedder, name: str) -> None:
        self.embedder, self.name = embedder, name
        hydrogen = torch.tensor([[1]], device=embedder.device)
        try:
            latent = self._latent(Cloud(hydrogen, torch.zeros(1, 1, 3, device=embedder.device).double()))
        except ConfigError as error:
            raise ConfigError(f"{embedder.checkpoint.name}: {error}") from None
        self.vectors = latent.shape[1]
        self.size = project(name, latent, SO3).shape[1]

    @property
    def column(self) -> Column:
        """Of the HDF5 file."""
        complete = PROJECTIONS[self.name].complete
        about = f"invariant projection {self.name} of {self.vectors} equivariant vectors; {complete}"
        return replace(PROJECTION, shape=(self.size,), unit=UNITS[self.name], description=about)

    def embed(self, block: ConformerBlock) -> Result:
        """As `Embedder.embed`, with one column more."""
        result = self.embedder.embed(block)
        return Result(result.block, result.columns | {"projection": self.projections(result.block)})

    def projections(self, block: ConformerBlock) -> NDArray[np.float32]:
        """(M, P) of conformers that the model takes."""
        found = np.empty((len(block), self.size), dtype=np.float32)
        for chosen in batches_by_size(block.n_atoms, self.embedder.batch_size):
            found[chosen] = project(self.name, self.latents(block.take(chosen)), SO3).cpu().numpy()
        return found

    def latents(self, block: ConformerBlock) -> torch.Tensor:
        """(M, V, 3) angstrom, of conformers that the model takes."""
        return self._latent(pack(block.atomic_number, block.position, block.offset).to(self.embedder.device))

    @torch.no_grad()
    def _latent(self, x: Cloud) -> torch.Tensor:
        return self.embedder.model.encoder.latent(x)
