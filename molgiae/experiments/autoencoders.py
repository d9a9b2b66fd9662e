"""Parts of the autoencoders of the experiments: any action on the data, and the classical autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from molgiae.groups import Group
from molgiae.model.autoencoder import GroupInvariantAutoencoder
from molgiae.tensors import Embedding

G = TypeVar("G", bound=Group[Any])


class ActingAutoencoder(GroupInvariantAutoencoder[Tensor, Tensor, G]):
    """An autoencoder of tensors on which the group acts otherwise than on sets of points.

    Args:
        encoder: with the methods of `molgiae.model.autoencoder.Encoder`.
        decoder: delta.
        group: which brings xi.
        rho: the action, g and x (B, ...) to rho(g) x.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, group: type[G], rho: Callable[[G, Tensor], Tensor]
    ) -> None:
        super().__init__(encoder, decoder, group)
        self.rho = rho

    def act(self, action: G, x: Tensor) -> Tensor:
        """Return rho(g) x."""
        return self.rho(action, x)

    def undo(self, action: G, x: Tensor) -> Tensor:
        """Return rho(g)^-1 x."""
        return self.rho(action.inverse(), x)


class SeparateEncoder(nn.Module):
    """Mu and eta as two networks that share nothing: one of the input, one of its canonical form.

    Args:
        frame: mu, x (B, ...) to y.
        network: eta, canonical forms (B, ...) to embeddings.
    """

    def __init__(self, frame: Callable[[Tensor], Any], network: nn.Module) -> None:
        super().__init__()
        self.frame, self.network = frame, network

    def equivariant(self, x: Tensor) -> tuple[Any, None]:
        """Return mu(x), and nothing to share."""
        return self.frame(x), None

    def invariant(self, shared: None, canonical: Tensor) -> Embedding:
        """Return eta, (B, D)."""
        return self.network(canonical)


def classical(network: nn.Module, group: type[Group[Any]]) -> SeparateEncoder:
    """Return the encoder of a classical autoencoder: the framework with a mu that does not look at its input.

    Mu is the constant y0, so psi is the identity and eta sees the input as it is: nothing is invariant.

    Args:
        network: eta, of x (B, n, ...).
        group: whose y0 is taken.
    """

    def y0(x: Tensor) -> Any:
        return group.reference(len(x), n=x.shape[1], dtype=x.dtype, device=x.device)

    return SeparateEncoder(y0, network)
