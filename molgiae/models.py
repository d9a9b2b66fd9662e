"""The architectures by name, and the encoder of the lean one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from molgiae.autoencoder import ConformerAutoencoder
from molgiae.canonicalization import Equivariant
from molgiae.clouds import Cloud
from molgiae.config import ModelConfig
from molgiae.errors import ConfigError
from molgiae.nn.pooled_vectors import PooledVectors
from molgiae.nn.slots import SlotDecoder, SlotEncoder
from molgiae.shapes import Embedding


class CanonicalEncoder(nn.Module):
    """Mu from pooled vectors, centroid and elements; eta any network of the canonical form.

    Heavy elements come first in the canonical order; atoms of one element are ordered by canonical coordinates.

    Args:
        frame: mu of SO(3).
        slots: eta, of the canonical form.
    """

    fixes_frame = True
    """The frame is trained first, for stability, and stays: canonical forms of training data are made once."""

    def __init__(self, frame: PooledVectors, slots: SlotEncoder) -> None:
        super().__init__()
        self.frame, self.slots = frame, slots

    def equivariant(self, x: Cloud) -> tuple[Equivariant, None]:
        """Mu; in the floating-point type of the positions."""
        vectors = self.frame(x.z, x.centered().pos)
        scores = torch.where(x.mask, -x.z, torch.inf)
        return Equivariant(vectors, x.centroid, scores), None

    def invariant(self, shared: None, canonical: Cloud) -> Embedding:
        """Eta."""
        return self.slots(canonical.z, canonical.pos.to(self.slots.net.linear.weight.dtype))


def _slots(config: ModelConfig) -> ConformerAutoencoder:
    sizes = (config.elements, config.max_atoms, config.embedding_dim, config.width, config.layers)
    encoder = CanonicalEncoder(PooledVectors(config.frame_width), SlotEncoder(*sizes))
    return ConformerAutoencoder(config, encoder, SlotDecoder(*sizes))


ARCHITECTURES: dict[str, Callable[[ModelConfig], ConformerAutoencoder]] = {
    "slots": _slots,
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
