"""The group-invariant autoencoder (Winter et al., NeurIPS 2022, Section 2) for any group, and for conformers.

eta: X -> Z and mu: X -> Y are the two outputs of the encoder, xi: Y -> G belongs to the group, psi = xi . mu is
the group function, delta: Z -> X is the decoder. rho(psi(x)) delta(eta(x)) reconstructs x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from molgiae.canonical.cloud import Cloud
from molgiae.canonical.group_action import Equivariant, GroupAction, group_action
from molgiae.config import ModelConfig
from molgiae.errors import ShapeError
from molgiae.groups import Group, SE3xSn, soft_sort
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import Embedding, Vectors

X = TypeVar("X")
Y = TypeVar("Y")
XIn_contra = TypeVar("XIn_contra", contravariant=True)
YOut_co = TypeVar("YOut_co", covariant=True)
G = TypeVar("G")


class Encoder(Protocol[XIn_contra, YOut_co]):
    """Eta and mu: one trunk, two outputs. A network with these methods."""

    def equivariant(self, x: XIn_contra) -> tuple[YOut_co, Any]:
        """Mu, y with mu(rho(g) x) = rho_Y(g) mu(x), and whatever the trunk can share with `invariant`."""

    def invariant(self, shared: Any, canonical: XIn_contra) -> Embedding:
        """Eta, from what `equivariant` shared or from the canonical form rho(psi(x))^-1 x, or both."""


@dataclass(frozen=True, eq=False)
class Encoding(Generic[G]):
    """What `encode` returns.

    Attributes:
        embedding: (B, D) eta(x), invariant.
        action: psi(x), equivariant.
    """

    embedding: Embedding
    action: G


class GroupInvariantAutoencoder(nn.Module, Generic[X, Y, G]):
    """An autoencoder whose embedding is invariant under a group; keeps no state between calls.

    For data that are tensors the group acts on nothing has to be added; otherwise a subclass says what the
    action on its data is (`act`, `undo`), and may solve for g where y alone leaves it open (`xi`).

    Args:
        encoder: a module with the methods of `Encoder`.
        decoder: delta, a module; embeddings (B, D) to canonical elements.
        group: the group, which brings xi.
    """

    encoder: Any
    decoder: Any

    def __init__(self, encoder: nn.Module, decoder: nn.Module, group: type[Group[Any]]) -> None:
        super().__init__()
        self.encoder, self.decoder, self.group = encoder, decoder, group

    def xi(self, x: X, y: Y) -> G:
        """Xi(y) = psi(x), up to the stabilizer of x."""
        return cast(G, self.group.from_equivariant(y))

    def act(self, action: G, x: X) -> X:
        """Rho(g) x."""
        return cast(Any, action).act(x)

    def undo(self, action: G, x: X) -> X:
        """Rho(g)^-1 x."""
        return cast(Any, action).inverse().act(x)

    def group_function(self, x: X) -> G:
        """Psi(x) = xi(mu(x))."""
        return self.xi(x, self.encoder.equivariant(x)[0])

    def encode(self, x: X) -> Encoding[G]:
        """Eta(x) and psi(x)."""
        y, shared = self.encoder.equivariant(x)
        action = self.xi(x, y)
        return Encoding(self.encoder.invariant(shared, self.undo(action, x)), action)

    def canonical(self, x: X) -> X:
        """Rho(psi(x))^-1 x, the representative of the orbit of x; invariant without any training."""
        return self.undo(self.group_function(x), x)

    def decode(self, embedding: Embedding) -> X:
        """Delta, the canonical element as decoded."""
        return self.decoder(embedding)

    def reconstruct(self, x: X) -> X:
        """Rho(psi(x)) delta(eta(x)) (Eq. 3)."""
        encoding = self.encode(x)
        return self.act(encoding.action, self.decode(encoding.embedding))


class ConformerAutoencoder(GroupInvariantAutoencoder[Cloud, Equivariant, GroupAction]):
    """The same for conformers and SE(3) x S_n, with xi completed for symmetric ones (`canonicalization`).

    Group arithmetic, mu's vectors and canonical forms are float64; eta and delta run in the type of their
    weights.

    Args:
        config: what it was built from.
        encoder: a module with the methods of `Encoder`; y is `canonicalization.Equivariant`.
        decoder: embeddings (B, D) to `SlotPrediction`. If its attribute `learns_order` is true it also takes
            an assignment (B, n, n) of atoms to slots, zero for padding, and predicts in the order of the
            input.
    """

    def __init__(self, config: ModelConfig, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(encoder, decoder, SE3xSn)
        self.config = config
        self.register_buffer("element", torch.tensor([0, *config.elements]), persistent=False)

    element: Tensor

    def xi(self, x: Cloud, y: Equivariant) -> GroupAction:
        """Psi(x), solved for where symmetry leaves y degenerate."""
        return group_action(x, y)

    def act(self, action: GroupAction, x: Cloud) -> Cloud:
        """Rho(g) x."""
        return x.moved(action.g)

    def undo(self, action: GroupAction, x: Cloud) -> Cloud:
        """Rho(g)^-1 x."""
        return x.moved(action.g.inverse())

    def encode(self, x: Cloud) -> Encoding[GroupAction]:
        """Eta(x) and psi(x).

        Raises:
            ShapeError: if a conformer has more atoms than the model has slots.
        """
        if x.z.shape[1] > self.config.max_atoms:
            raise ShapeError(
                f"conformers of {x.z.shape[1]} atoms, the model takes up to {self.config.max_atoms}"
            )
        return super().encode(x)

    def decode(self, embedding: Embedding) -> Cloud:
        """Delta: the decoded canonical element; z is 0 where a slot is empty."""
        prediction: SlotPrediction = self.decoder(embedding)
        return Cloud(self.element[prediction.logits.argmax(dim=-1)], prediction.pos)

    def reconstruct(self, x: Cloud) -> Cloud:
        """Rho(psi(x)) delta(eta(x)), as predicted: the group action gives pose, order and number of atoms.

        z is 0 where the decoder took an atom for an empty slot.
        """
        encoding = self.encode(x)
        return self.place(self.decode(encoding.embedding), encoding.action, x)

    def place(self, decoded: Cloud, action: GroupAction, x: Cloud) -> Cloud:
        """Rho(psi(x)) of decoded canonical elements with their slots beyond the atoms of x left out."""
        n = x.z.shape[1]
        z = action.g.permutation.act(decoded.z[:, :n], dim=-1) * x.mask
        return Cloud(z, action.g.act(decoded.pos[:, :n]) * x.mask[..., None])

    def prediction_and_target(self, x: Cloud, tau: float) -> tuple[SlotPrediction, Cloud, Vectors | None]:
        """What the loss compares, both in the canonical pose: Eq. 3 is invariant, so no pose is preferred.

        Architectures that learn the order compare in the order of the input. The decoder sees the hard
        permutation, as in use, and gradients are those of SoftSort: a soft one would tell the decoder the
        scores beside the embedding, and what it learns to do with them is lost when the order is hard.

        Args:
            x: B conformers.
            tau: temperature of SoftSort, in the units of the scores.

        Returns:
            prediction, target in the same order, and the pooled vectors for `losses.conditioning_loss`.
        """
        y, shared = self.encoder.equivariant(x)
        action = self.xi(x, y)
        if not getattr(self.decoder, "learns_order", False):
            canonical = self.undo(action, x).to(dtype=torch.float32)
            return self.decoder(self.encoder.invariant(shared, canonical)), canonical, y.vectors
        target = Cloud(x.z, (action.g.motion.inverse().act(x.pos) * x.mask[..., None]).float())
        soft = soft_sort(y.scores, tau).mT
        assignment = (action.g.permutation.matrix.to(soft.dtype) + soft - soft.detach()) * x.mask[..., None]
        return self.decoder(self.encoder.invariant(shared, target), assignment), target, y.vectors
