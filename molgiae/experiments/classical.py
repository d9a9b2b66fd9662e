"""The classical autoencoder: the framework with a mu that does not look at its input."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from molgiae.groups import Group
from molgiae.tensors import Embedding


class ClassicalEncoder(nn.Module):
    """Mu is the constant y0, so psi is the identity and eta sees the input as it is: nothing is invariant.

    Args:
        network: eta, of x (B, n, F).
        group: whose y0 is taken.
    """

    def __init__(self, network: nn.Module, group: type[Group[Any]]) -> None:
        super().__init__()
        self.network, self.group = network, group

    def equivariant(self, x: Tensor) -> tuple[Any, Tensor]:
        """Y0 for each of the B inputs, and the inputs."""
        return self.group.reference(len(x), n=x.shape[1], dtype=x.dtype, device=x.device), x

    def invariant(self, shared: Tensor, canonical: Tensor) -> Embedding:
        """Eta."""
        return self.network(shared)


def parameters(model: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(weight.numel() for weight in model.parameters())
