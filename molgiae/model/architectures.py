"""The architectures by name, and what makes encoders of their networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from molgiae.config import ModelConfig
from molgiae.errors import ConfigError
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud
from molgiae.nn.atoms import AtomNetwork
from molgiae.nn.shape import ShapeEncoder
from molgiae.nn.slots import DETAIL, SlotDecoder, SlotEncoder
from molgiae.tensors import Embedding

if TYPE_CHECKING:
    from molgiae.nn.appendix_d import MessageEncoder


class CanonicalEncoder(nn.Module):
    """Mu from the bond graph, which leaves the frame open; eta of the canonical form, in two parts.

    The shape part is smooth, its distances are symmetry-corrected RMSDs in angstrom. The detail part holds what else is
    needed to decode, and jumps where frame or order do; it is scaled down so that distances of embeddings are
    those of shapes to a few percent.

    Args:
        shape: the first part of eta, or None.
        slots: the other part.
        atoms: what properties are learned from; takes no part in embedding. None for none.
    """

    fixes_action = True
    """No weight takes part in the group action: canonical forms of the data are made once."""

    def __init__(self, shape: ShapeEncoder | None, slots: SlotEncoder, atoms: AtomNetwork | None) -> None:
        super().__init__()
        self.shape, self.slots, self.atoms = shape, slots, atoms

    def equivariant(self, x: Cloud) -> tuple[Equivariant, Tensor]:
        """Return mu, and the classes of the atoms in canonical order, which is that of the classes."""
        graph = x.graph
        classes = torch.from_numpy(graph.classes).to(x.z.device)
        scores = torch.where(x.mask, classes, torch.inf)
        return Equivariant(None, x.centroid, scores, graph), classes.sort(dim=-1).values

    def latent(self, x: Cloud) -> Tensor:
        """Return the equivariant latent of the shape part, (B, V, 3) angstrom, in the type of the positions.

        Raises:
            ConfigError: if the model has no shape part: its embedding is made of the canonical form alone.
        """
        if self.shape is None:
            raise ConfigError(
                "the model has no equivariant latent, as it was trained without a shape part; "
                "use a model with one (shape_dim above 0)"
            )
        return self.shape.latent(x.z, x.centered().pos, torch.from_numpy(x.graph.classes).to(x.z.device))

    def invariant(self, shared: Tensor, canonical: Cloud) -> Embedding:
        """Return eta, from the classes of the atoms and the canonical form."""
        pos = canonical.pos.to(self.slots.net.linear.weight.dtype)
        detail = self.slots(canonical.z, pos)
        if self.shape is None:
            return detail
        return torch.cat([self.shape(canonical.z, pos, shared), detail], dim=-1)


class PooledEncoder(nn.Module):
    """Eta and mu from one equivariant network; its averages over atoms make eta smooth in the coordinates.

    Positions are centered in the type they come in, float64 where there is a choice, before the network rounds
    them to the type of its weights.

    Args:
        network: with its own vectors, translation and scores.
    """

    def __init__(self, network: MessageEncoder) -> None:
        super().__init__()
        self.network = network

    def equivariant(self, x: Cloud) -> tuple[Equivariant, Tensor]:
        """Return mu, and the pooled scalars for `invariant`."""
        pos = x.centered().pos.to(self.network.embedding.weight.dtype)
        pooled, vectors, shift, scores = self.network(x.z, pos)
        return Equivariant(vectors, x.centroid + shift, scores), pooled

    def latent(self, x: Cloud) -> Tensor:
        """Return the mean vectors of the network, (B, V, 3) angstrom."""
        return self.network.latent(x.z, x.centered().pos.to(self.network.embedding.weight.dtype))

    def invariant(self, shared: Tensor, canonical: Cloud) -> Embedding:
        """Return eta."""
        return self.network.embed(shared, canonical.mask.sum(dim=1))


def _slots(config: ModelConfig) -> ConformerAutoencoder:
    sizes = (config.elements, config.max_atoms, config.width, config.layers)
    shape = ShapeEncoder(config.shape_dim) if config.shape_dim else None
    detail = DETAIL if config.shape_dim else 1.0
    slots = SlotEncoder(*sizes, config.embedding_dim - config.shape_dim, detail)
    decoder = SlotDecoder(*sizes, config.embedding_dim, config.shape_dim)
    atoms = AtomNetwork(config.atom_width, config.atom_layers) if config.atom_width else None
    return ConformerAutoencoder(config, CanonicalEncoder(shape, slots, atoms), decoder)


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
    """Return an untrained model.

    Raises:
        ConfigError: if the architecture is unknown.
    """
    if config.architecture not in ARCHITECTURES:
        raise ConfigError(
            f"architecture {config.architecture!r} is unknown; known are {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[config.architecture](config)
