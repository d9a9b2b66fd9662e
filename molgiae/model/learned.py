"""The autoencoder whose group action is learned together with eta and delta, by reconstruction alone (Eq. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molgiae.groups import soft_sort
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud
from molgiae.nn.learned import SCORE_SCALE, LearnedNetwork
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import Embedding, Vectors


class LearnedEncoder(nn.Module):
    """Eta of canonical forms, and mu, from networks without bonds.

    Positions are centered in the type they come in, before the network rounds them to the type of its weights.
    """

    def __init__(self, network: LearnedNetwork) -> None:
        super().__init__()
        self.network = network

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return self.network.slots.dtype

    def equivariant(self, x: Cloud) -> tuple[Equivariant, Tensor]:
        """Return mu, and averages over the atoms, which are part of eta."""
        with torch.autocast(x.pos.device.type, enabled=False):  # bfloat16 would round the pose
            (vectors, shift, scores), averages = self.network(x.z, x.centered().pos.to(self.dtype))
        return Equivariant(vectors, x.centroid + shift, scores), averages

    def latent(self, x: Cloud) -> Tensor:
        """Return the mean vectors of the network, (B, V, 3) angstrom."""
        return self.network.latent(x.z, x.centered().pos.to(self.dtype))

    def invariant(self, shared: Tensor, canonical: Cloud) -> Embedding:
        """Return eta, the averages and what stands in the slots."""
        return torch.cat([shared, self.network.slots(canonical.z, canonical.pos.to(self.dtype))], dim=1)


class LearnedAutoencoder(ConformerAutoencoder):
    """Its order is learned through canonical positions: sorted by the scores, with the gradients of SoftSort."""

    def prediction_and_target(self, x: Cloud, tau: float) -> tuple[SlotPrediction, Cloud, Vectors | None]:
        """Return what the loss compares; frame and translation of the target have gradients, and so have the scores.

        Args:
            x: B conformers.
            tau: temperature of SoftSort, in units of a tenth of `SCORE_SCALE`.
        """
        y, shared = self.encoder.equivariant(x)
        action = self.xi(self.complete(x, y)[0])
        canonical = self.undo(action, x).to(dtype=torch.float32)
        soft = soft_sort(y.scores.float(), tau * SCORE_SCALE / 10)
        still = (action.motion.inverse().act(x.pos) * x.mask[..., None]).float()
        sorted_softly = ((soft - soft.detach()) @ still.detach()) * canonical.mask[..., None]
        target = Cloud(canonical.z, canonical.pos + sorted_softly)
        return self.decoder(self.encoder.invariant(shared, target)), target, y.vectors
