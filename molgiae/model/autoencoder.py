"""The group-invariant autoencoder (Winter et al., NeurIPS 2022, Section 2) for any group, and for conformers.

eta: X -> Z and mu: X -> Y are the two outputs of the encoder, xi: Y -> G belongs to the group, delta: Z -> X is the
decoder, and rho is the action of the group on X. rho(psi(x)) delta(eta(x)) reconstructs x (Eq. 3).

In the paper psi = xi . mu. What mu leaves open, as it must for a symmetric x, is completed here before xi takes it:
psi = xi . complete . mu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from molgiae.canonical.completion import Diagnosis, complete, well_conditioned
from molgiae.config import ModelConfig
from molgiae.data.conformer import offset_of
from molgiae.errors import ShapeError
from molgiae.groups import Group, RigidVectors, SE3xSn, soft_sort
from molgiae.model.cloud import Cloud, as_numpy
from molgiae.nn.slots import SlotPrediction
from molgiae.tensors import Embedding, Points, Scores, Vectors

X = TypeVar("X")
Y = TypeVar("Y")
G = TypeVar("G")


@dataclass(frozen=True, eq=False)
class Encoding(Generic[X, G]):
    """All that an encoder says of x.

    Attributes:
        embedding: (B, D) eta(x), invariant.
        action: the group element psi(x), equivariant.
        canonical: rho(psi(x))^-1 x, the representative of the orbit of x; invariant without any training.
        diagnosis: how far x defines psi(x), from `GroupInvariantAutoencoder.complete`; None where that says nothing.
    """

    embedding: Embedding
    action: G
    canonical: X
    diagnosis: Any


class GroupInvariantAutoencoder(nn.Module, Generic[X, Y, G]):
    """An autoencoder whose embedding is invariant under a group; keeps no state between calls.

    Tensors on which the group acts directly need nothing more. For other data a subclass says what the action is
    (`act`), and it may settle what mu leaves open (`complete`).

    Args:
        encoder: a module with two methods. ``equivariant(x)`` returns mu(x), with mu(rho(g) x) = rho_Y(g) mu(x), and
            whatever eta can share of the work. ``invariant(shared, canonical)`` returns eta(x) from that, from the
            canonical element, or from both.
        decoder: delta, a module; embeddings (B, D) to canonical elements.
        group: the group, which brings xi as `Group.from_equivariant`.
    """

    encoder: Any
    decoder: Any

    def __init__(self, encoder: nn.Module, decoder: nn.Module, group: type[Group[Any]]) -> None:
        super().__init__()
        self.encoder, self.decoder, self.group = encoder, decoder, group

    def complete(self, x: X, y: Y) -> tuple[Any, Any]:
        """Return y with what it left open settled, as xi takes it, and a diagnosis of x; here y as it is and None."""
        return y, None

    def act(self, g: G, x: X) -> X:
        """Return rho(g) x."""
        return cast(Any, g).act(x)

    def undo(self, g: G, x: X) -> X:
        """Return rho(g)^-1 x."""
        return self.act(cast(Any, g).inverse(), x)

    def group_function(self, x: X) -> G:
        """Return psi(x) = xi(complete(x, mu(x)))."""
        y, _ = self.encoder.equivariant(x)
        return self.xi(self.complete(x, y)[0])

    def xi(self, y: Any) -> G:
        """Return the g with y = rho_Y(g) y0, as the group finds it."""
        return cast(G, self.group.from_equivariant(y))

    def encode(self, x: X, **wanted: Any) -> Encoding[X, G]:
        """Return eta(x), psi(x) and the canonical element.

        Args:
            x: B elements.
            **wanted: what else ``invariant`` of the encoder takes.
        """
        y, shared = self.encoder.equivariant(x)
        completed, diagnosis = self.complete(x, y)
        action = self.xi(completed)
        canonical = self.undo(action, x)
        return Encoding(self.encoder.invariant(shared, canonical, **wanted), action, canonical, diagnosis)

    def canonical(self, x: X) -> X:
        """Return rho(psi(x))^-1 x."""
        return self.undo(self.group_function(x), x)

    def decode(self, embedding: Embedding) -> X:
        """Return delta of an embedding: the canonical element as decoded."""
        return self.decoder(embedding)

    def reconstruct(self, x: X) -> X:
        """Return rho(psi(x)) delta(eta(x)) (Eq. 3)."""
        encoding = self.encode(x)
        return self.act(encoding.action, self.decode(encoding.embedding))


class Equivariant(NamedTuple):
    """What mu says of B conformers; it may leave frame and ties of scores open.

    Attributes:
        vectors: (B, 2, 3) angstrom; turn with the conformer, unmoved by translations. They span the frame where
            they can; None to leave it to sums of positions over classes of atoms.
        translation: (B, 3) angstrom; moves with the conformer.
        scores: (B, n) invariant under motions, permuted with the atoms; +inf where padded. None to leave the order to
            the bond graph.
    """

    vectors: Vectors | None
    translation: Points
    scores: Scores | None


class ConformerAutoencoder(GroupInvariantAutoencoder[Cloud, Equivariant, SE3xSn]):
    """The autoencoder of conformers under SE(3) x S_n.

    Group arithmetic, mu's vectors and canonical forms are float64; eta and delta run in the type of their
    weights.

    Args:
        config: what it was built from.
        encoder: as of `GroupInvariantAutoencoder`; mu returns `Equivariant`.
        decoder: embeddings (B, D) to `SlotPrediction`. If its attribute `learns_order` is true it also takes
            an assignment (B, n, n) of atoms to slots, zero for padding, and predicts in the order of the
            input.
    """

    def __init__(self, config: ModelConfig, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(encoder, decoder, SE3xSn)
        self.config = config
        self.register_buffer("element", torch.tensor([0, *config.elements]), persistent=False)

    element: Tensor

    def complete(self, x: Cloud, y: Equivariant) -> tuple[tuple[RigidVectors, Scores], Diagnosis]:
        """Return vectors that span a frame, the translation, and scores without ties; and how far x defines them.

        Gradients pass through vectors of mu that define a frame and through translations. Other frames are
        constants: the shorter the vectors, the larger their gradients.
        """
        mask, vectors = as_numpy(x.mask), None if y.vectors is None else as_numpy(y.vectors.double())
        found = complete(
            as_numpy(x.z)[mask],
            as_numpy((x.pos.detach() - y.translation.detach()[:, None]).double())[mask],
            offset_of(mask.sum(axis=1)),
            isotope=None if x.isotope is None else as_numpy(x.isotope)[mask],
            scores=None if y.scores is None else as_numpy(y.scores.double())[mask],
            vectors=vectors,
        )
        place = np.full(mask.shape, np.inf)
        place[mask] = found.place
        frame, scores = (torch.from_numpy(of).to(x.pos.device) for of in (found.vectors, place))
        if y.vectors is not None and vectors is not None:
            given = torch.from_numpy(well_conditioned(vectors)).to(x.pos.device)
            frame = torch.where(given[:, None, None], y.vectors.double(), frame)
        return (RigidVectors(frame, y.translation.double()), scores), found.diagnosis

    def act(self, g: SE3xSn, x: Cloud) -> Cloud:
        """Return rho(g) x."""
        return x.moved(g)

    def encode(self, x: Cloud, **wanted: Any) -> Encoding[Cloud, SE3xSn]:
        """Return eta(x), psi(x) and the canonical form.

        Args:
            x: B conformers.
            **wanted: what else ``invariant`` of the encoder takes.

        Raises:
            ShapeError: if a conformer has more atoms than the model has slots.
        """
        if x.z.shape[1] > self.config.max_atoms:
            raise ShapeError(
                f"conformers of {x.z.shape[1]} atoms, the model takes up to {self.config.max_atoms}"
            )
        return super().encode(x, **wanted)

    @property
    def least(self) -> int:
        """Fewest numbers of an embedding, counted from its first, that decode: D, fewer of a nested code."""
        return int(getattr(self.decoder, "least", self.config.embedding_dim))

    @property
    def dtype(self) -> torch.dtype:
        """What its networks compute in."""
        return next((weights.dtype for weights in self.parameters()), torch.float32)

    @property
    def nested(self) -> bool:
        """Whether prefixes of an embedding decode."""
        return self.least < self.config.embedding_dim

    def decode(self, embedding: Embedding) -> Cloud:
        """Return delta of embeddings (B, `least` to D): decoded canonical forms; z is 0 where a slot is empty.

        Raises:
            ShapeError: if they have other numbers than these.
        """
        most = self.config.embedding_dim
        if embedding.ndim != 2 or not self.least <= embedding.shape[1] <= most:
            asked = f"{self.least} to {most}" if self.nested else f"{most}"
            raise ShapeError(f"embeddings of shape {tuple(embedding.shape)}: expected (B, {asked} numbers)")
        prediction: SlotPrediction = self.decoder(embedding.to(self.dtype))
        return Cloud(self.element[prediction.logits.argmax(dim=-1)], prediction.pos)

    def reconstruct(self, x: Cloud) -> Cloud:
        """Return rho(psi(x)) delta(eta(x)): the group action gives pose, order and number of atoms.

        z is 0 where the decoder took an atom for an empty slot.
        """
        encoding = self.encode(x)
        return self.place(self.decode(encoding.embedding), encoding.action, x)

    def place(self, decoded: Cloud, action: SE3xSn, x: Cloud) -> Cloud:
        """Return rho(psi(x)) of decoded canonical forms, whose slots beyond the atoms of x are left out."""
        n = x.z.shape[1]
        z = action.permutation.act(decoded.z[:, :n], dim=-1) * x.mask
        return Cloud(z, action.act(decoded.pos[:, :n]) * x.mask[..., None])

    def prediction_and_target(self, x: Cloud, tau: float) -> tuple[SlotPrediction, Cloud, Vectors | None]:
        """Return what the loss compares, both in the canonical pose: Eq. 3 is invariant, so no pose is preferred.

        Architectures that learn the order compare in the order of the input. The decoder sees the hard
        permutation, as in use, and gradients are those of SoftSort: a soft one would tell the decoder the
        scores beside the embedding, and what it learns to do with them is lost when the order is hard.

        Args:
            x: B conformers.
            tau: temperature of SoftSort, in the units of the scores.

        Returns:
            prediction, target in the same order, and the pooled vectors for the `conditioning_loss` of training.
        """
        y, shared = self.encoder.equivariant(x)
        action = self.xi(self.complete(x, y)[0])
        canonical = self.undo(action, x).to(dtype=torch.float32)
        embedding = self.encoder.invariant(shared, canonical)
        if not getattr(self.decoder, "learns_order", False):
            return self.decoder(embedding), canonical, y.vectors
        target = Cloud(x.z, (action.motion.inverse().act(x.pos) * x.mask[..., None]).float())
        soft = soft_sort(y.scores, tau).mT
        assignment = (action.permutation.matrix.to(soft.dtype) + soft - soft.detach()) * x.mask[..., None]
        return self.decoder(embedding, assignment), target, y.vectors
