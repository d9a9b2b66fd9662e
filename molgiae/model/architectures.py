"""The architectures by name, and what makes encoders of their networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from molgiae.config import ModelConfig
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.errors import ConfigError
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud
from molgiae.model.learned import LearnedAutoencoder, LearnedEncoder
from molgiae.nn.atoms import AtomNetwork
from molgiae.nn.features import VECTORS, FeaturesEncoder
from molgiae.nn.labels import LabelHeads
from molgiae.nn.learned import SLOTS, LearnedNetwork
from molgiae.nn.nested import NestedDecoder, NestedEncoder
from molgiae.nn.overlay import OverlayEncoder
from molgiae.nn.shape import ShapeEncoder
from molgiae.nn.slots import DETAIL, PART_SCALE, SlotDecoder, SlotEncoder
from molgiae.nn.taught import TaughtNetwork
from molgiae.nn.tensor_messages import EquivariantNetwork
from molgiae.parts import PARTS
from molgiae.tensors import Embedding

if TYPE_CHECKING:
    from molgiae.nn.appendix_d import MessageEncoder


PAIRS = 240_000
"""Pairs of atoms that are looked at at once: half or twice as many cost 5 % of the speed, on one core and on two."""

OVERLAYS = ("overlay", "color")
"""Parts that one network makes, in its order."""


class CanonicalEncoder(nn.Module):
    """Mu from the bond graph, which leaves the frame open; eta of the canonical form, in named parts.

    All parts but the last are smooth: one network of atoms feeds them, without frame, order or bonds. The detail part
    holds what else is needed to decode, and jumps where frame or order do; see `molgiae.parts.PARTS`.

    Args:
        atoms: features of atoms; None for none, and no smooth parts.
        features: the features part, or None.
        overlay: the overlay and color parts, or None.
        shape: the shape part, or None.
        slots: the detail part.
        labels: what the network of atoms learns labels by; takes no part in eta.
        properties: what fine-tuning starts from; takes no part in eta.
    """

    fixes_action = True
    """No weight takes part in the group action: canonical forms of the data are made once."""

    def __init__(
        self,
        atoms: AtomNetwork | None,
        features: FeaturesEncoder | None,
        overlay: OverlayEncoder | None,
        shape: ShapeEncoder | None,
        slots: SlotEncoder | NestedEncoder,
        labels: LabelHeads | None,
        properties: TaughtNetwork | None = None,
    ) -> None:
        super().__init__()
        self.atoms, self.features, self.overlay, self.shape = atoms, features, overlay, shape
        self.slots, self.labels, self.properties = slots, labels, properties

    def equivariant(self, x: Cloud) -> tuple[Equivariant, None]:
        """Return mu, and nothing that eta could share."""
        return Equivariant(None, x.centroid, None), None

    def latent(self, x: Cloud) -> Tensor:
        """Return the equivariant latent of the shape part, (B, V, 3) angstrom, in the type of the positions.

        Raises:
            ConfigError: if the model has no shape part: its embedding is made of the canonical form alone.
        """
        if self.shape is None or self.atoms is None:
            raise ConfigError(
                "the model has no equivariant latent, as it was trained without a shape part; "
                "use a model with one (shape_dim above 0)"
            )
        x = x.centered()
        places = self.atoms.places(x.z, x.pos.to(self.slots.dtype))
        return self.shape.latent(x.z, x.pos, places)

    def invariant(self, shared: None, canonical: Cloud, parts: Iterable[str] = PARTS) -> Embedding:
        """Return eta of the canonical form, or the columns of some parts of it; others are not computed."""
        wanted = frozenset(parts)
        pos = canonical.pos.to(self.slots.dtype)
        found = self.smooth(canonical.z, pos, wanted)
        if "detail" in wanted:
            found.append(self.slots(canonical.z, pos))
        return torch.cat(found, dim=-1)

    def smooth(self, z: Tensor, pos: Tensor, parts: Iterable[str] = PARTS) -> list[Tensor]:
        """Return the smooth ones among some parts, each (B, size), of atoms (B, n) in any pose and order."""
        wanted = frozenset(parts) - {"detail"}
        if self.atoms is None or not wanted:
            return []
        size = max(1, PAIRS // z.shape[1] ** 2)
        pieces = [self._smooth(*piece, wanted) for piece in zip(z.split(size), pos.split(size), strict=True)]
        return [torch.cat(part) for part in zip(*pieces, strict=True)]

    def _smooth(self, z: Tensor, pos: Tensor, wanted: frozenset[str]) -> list[Tensor]:
        atoms: Any = self.atoms
        parts = []
        places = atoms.places(z, pos)
        if self.features is not None and "features" in wanted:
            parts.append(self.features(places, *atoms.features_and_vectors(z, pos, places), pos, z > 0))
        if self.overlay is not None and not wanted.isdisjoint(OVERLAYS):
            made = zip(OVERLAYS, self.overlay(z, pos, places), strict=False)
            parts += [part for name, part in made if name in wanted]
        if self.shape is not None and "shape" in wanted:
            parts.append(self.shape(z, pos, places, atoms.turns(z, pos, places)))
        return parts


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


def _canonical(
    config: ModelConfig,
    detail: Callable[[int, float], SlotEncoder | NestedEncoder],
    decoder: Callable[..., nn.Module],
) -> ConformerAutoencoder:
    """Return the autoencoder with a `CanonicalEncoder`, of what makes the detail part of size and scale, and delta."""
    dims = {part.name: part.size for part in config.parts}
    width, smooth = config.atom_width, config.embedding_dim - dims["detail"]
    features, shape = dims.get("features", 0), dims.get("shape", 0)
    overlay = tuple(dims[name] for name in OVERLAYS if name in dims)
    pooling = FeaturesEncoder(width, features) if features else None
    encoder = CanonicalEncoder(
        atom_network(width, config.atom_layers, config.atom_rounds) if width else None,
        pooling,
        OverlayEncoder(width, overlay) if overlay else None,
        ShapeEncoder(width, shape) if shape else None,
        detail(dims["detail"], DETAIL if smooth else 1.0),
        None if pooling is None else LabelHeads(width, 6 * width + VECTORS),
        TaughtNetwork(property_network(config.property_width, config.property_layers, config.atom_rounds))
        if config.property_width
        else None,
    )
    scale = [PART_SCALE.get(part.name, 1.0) if smooth else 1.0 for part in config.parts]
    return ConformerAutoencoder(config, encoder, decoder([part.size for part in config.parts], scale))


def _slots(config: ModelConfig) -> ConformerAutoencoder:
    sizes = (config.elements, config.max_atoms, config.width, config.layers)
    return _canonical(config, partial(SlotEncoder, *sizes), partial(SlotDecoder, *sizes))


def _nested(config: ModelConfig) -> ConformerAutoencoder:
    slots = (config.elements, config.max_atoms)
    return _canonical(config, partial(NestedEncoder, *slots), partial(NestedDecoder, *slots))


def atom_network(width: int, layers: int, rounds: int) -> AtomNetwork:
    """Return an untrained network of atoms, see `molgiae.nn.atoms.AtomNetwork`."""
    return AtomNetwork(width, layers, torch.from_numpy(COVALENT_RADIUS), rounds)


def property_network(width: int, layers: int, rounds: int) -> EquivariantNetwork:
    """Return an untrained network for properties, see `molgiae.nn.tensor_messages.EquivariantNetwork`."""
    return EquivariantNetwork(width, layers, rounds, torch.from_numpy(COVALENT_RADIUS))


def _appendix_d(config: ModelConfig) -> ConformerAutoencoder:
    # torch_geometric takes seconds to import: only who wants this network waits for it
    from molgiae.nn.appendix_d import MessageDecoder, MessageEncoder  # noqa: PLC0415

    if config.width % 4:
        raise ConfigError(f"width={config.width}: appendix-d needs a multiple of 4")
    sizes = (config.max_atoms, config.embedding_dim, config.width, config.width // 4, config.layers)
    encoder = PooledEncoder(MessageEncoder(*sizes))
    return ConformerAutoencoder(config, encoder, MessageDecoder(len(config.elements), *sizes))


def _learned(config: ModelConfig) -> ConformerAutoencoder:
    sizes = (config.elements, config.max_atoms, config.width, config.layers)
    network = LearnedNetwork(*sizes, config.embedding_dim, torch.from_numpy(COVALENT_RADIUS))
    decoder = SlotDecoder(*sizes[:2], 2 * config.width, config.layers, network.parts, [1.0, SLOTS])
    return LearnedAutoencoder(config, LearnedEncoder(network), decoder)


ARCHITECTURES: dict[str, Callable[[ModelConfig], ConformerAutoencoder]] = {
    "slots": _slots,
    "nested": _nested,
    "learned": _learned,
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
