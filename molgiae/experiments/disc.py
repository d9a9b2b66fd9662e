"""Autoencoders of functions on the disc under SO(2), as coefficients of circular harmonics."""

from __future__ import annotations

from torch import Tensor, nn

from molgiae.experiments.steerable2d import DiscHarmonics, best_turn, turned
from molgiae.groups import SO2
from molgiae.model.autoencoder import Encoding, GroupInvariantAutoencoder
from molgiae.tensors import Embedding


class DiscAutoencoder(GroupInvariantAutoencoder[Tensor, Tensor, SO2]):
    """SO(2) acting on coefficients of functions on the disc, (B, M + 1, R, 2)."""

    def act(self, action: SO2, x: Tensor) -> Tensor:
        """Rho(g) x."""
        return turned(x, action.angle)

    def undo(self, action: SO2, x: Tensor) -> Tensor:
        """Rho(g)^-1 x."""
        return turned(x, -action.angle)


class DiscEncoder(nn.Module):
    """Mu steerable, eta a network on the canonical form.

    Args:
        frame: coefficients (B, M + 1, R, 2) to one vector, (B, 1, 2).
        network: coefficients to embeddings.
    """

    def __init__(self, frame: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.frame, self.network = frame, network

    def equivariant(self, x: Tensor) -> tuple[Tensor, None]:
        """Mu, (B, 2); nothing is shared."""
        return self.frame(x)[:, 0], None

    def invariant(self, shared: None, canonical: Tensor) -> Embedding:
        """Eta."""
        return self.network(canonical)


def reconstructed(
    model: DiscAutoencoder, disc: DiscHarmonics, picture: Tensor, rotations: int
) -> tuple[Encoding[SO2], Tensor]:
    """Embeddings and group actions, and reconstructions (B, n, n), of pictures.

    Args:
        model: of coefficients.
        disc: their harmonics.
        picture: (B, n, n).
        rotations: of the output, of which the nearest to the picture is taken; 1 for the output as it is.
    """
    encoding = model.encode(disc(picture))
    output = model.act(encoding.action, model.decode(encoding.embedding))
    if rotations > 1:
        output = turned(output, best_turn(disc.products(picture), output.detach(), rotations))
    return encoding, disc.picture(output)
