"""The architectures by name, and what makes encoders of their networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from molgiae.autoencoder import ConformerAutoencoder
from molgiae.canonicalization import Equivariant
from molgiae.clouds import Cloud
from molgiae.config import ModelConfig
from molgiae.errors import ConfigError
from molgiae.nn.atom_scores import AtomScores
from molgiae.nn.pooled_vectors import PooledVectors
from molgiae.nn.slots import SlotDecoder, SlotEncoder
from molgiae.shapes import Embedding

if TYPE_CHECKING:
    from molgiae.nn.appendix_d import MessageEncoder


class CanonicalEncoder(nn.Module):
    """Mu from pooled vectors, centroid and elements; eta any network of the canonical form.

    Heavy elements come first in the canonical order; atoms of one element are ordered by scores in the canonical
    frame, or by their coordinates there if there are no scores.

    Args:
        frame: mu of SO(3).
        order: mu of S_n among atoms of one element, or None.
        slots: eta, of the canonical form.
    """

    fixes_action = True
    """Frame and order are trained first, for stability, and stay: canonical forms of the data are made once."""

    def __init__(self, frame: PooledVectors, order: AtomScores | None, slots: SlotEncoder) -> None:
        super().__init__()
        self.frame, self.order, self.slots = frame, order, slots

    def equivariant(self, x: Cloud) -> tuple[Equivariant, None]:
        """Mu; in the floating-point type of the positions."""
        vectors = self.frame(x.z, x.centered().pos)
        scores = torch.where(x.mask, -x.z, torch.inf)
        return Equivariant(vectors, x.centroid, scores, self.order), None

    def invariant(self, shared: None, canonical: Cloud) -> Embedding:
        """Eta."""
        return self.slots(canonical.z, canonical.pos.to(self.slots.net.linear.weight.dtype))


class PooledEncoder(nn.Module):
    """Eta and mu from one equivariant network; its averages over atoms make eta smooth in the coordinates.

    Positions are centred in the type they come in, float64 where there is a choice, before the network rounds
    them to the type of its weights.

    Args:
        network: with its own vectors, translation and scores.
    """

    def __init__(self, network: MessageEncoder) -> None:
        super().__init__()
        self.network = network

    def equivariant(self, x: Cloud) -> tuple[Equivariant, Tensor]:
        """Mu, and the pooled scalars for `invariant`."""
        pos = x.centered().pos.to(self.network.embedding.weight.dtype)
        pooled, vectors, shift, scores = self.network(x.z, pos)
        return Equivariant(vectors, x.centroid + shift, scores), pooled

    def invariant(self, shared: Tensor, canonical: Cloud) -> Embedding:
        """Eta."""
        return self.network.embed(shared, canonical.mask.sum(dim=1))


def _slots(config: ModelConfig) -> ConformerAutoencoder:
    sizes = (config.elements, config.max_atoms, config.embedding_dim, config.width, config.layers)
    order = AtomScores(config.order_width) if config.order_width else None
    encoder = CanonicalEncoder(PooledVectors(config.frame_width), order, SlotEncoder(*sizes))
    return ConformerAutoencoder(config, encoder, SlotDecoder(*sizes))


def _appendix_d(config: ModelConfig) -> ConformerAutoencoder:
    # torch_geometric takes seconds to import: only who wants this network waits for it
    from molgiae.nn.appendix_d import MessageDecoder, MessageEncoder  # noqa: PLC0415

    if config.width % 4:
        raise ConfigError(f"width={config.width}: appendix-d needs a multiple of 4")
    sizes = (config.max_atoms, config.embedding_dim, config.width, config.width // 4, config.layers)
    encoder = PooledEncoder(MessageEncoder(*sizes))
    return ConformerAutoencoder(config, encoder, MessageDecoder(len(config.elements), *sizes))


ARCHITECTURES: dict[str, Callable[[ModelConfig], ConformerAutoencoder]] = {
    "slots": _slots,
    "appendix-d": _appendix_d,
}
"""Name to builder. To add one: a network in `molgiae.nn` and a row here; the symmetry tests pick it up."""


def build(config: ModelConfig) -> ConformerAutoencoder:
    """An untrained model.

    Raises:
        ConfigError: if the architecture is unknown.
    """
    if config.architecture not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {config.architecture!r} is unknown; known are {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[config.architecture](config)
