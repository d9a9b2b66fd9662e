"""Parts of the autoencoders of the experiments: any action on the data, the classical one, training, measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from molgiae.groups import Group
from molgiae.model.autoencoder import GroupInvariantAutoencoder
from molgiae.parallel.progress import progress_bar
from molgiae.tensors import Embedding

G = TypeVar("G", bound=Group[Any])

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""


class ActingAutoencoder(GroupInvariantAutoencoder[Tensor, Tensor, G]):
    """An autoencoder of tensors on which the group acts by `rho`, g and x (B, ...) to rho(g) x."""

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, group: type[G], rho: Callable[[G, Tensor], Tensor]
    ) -> None:
        super().__init__(encoder, decoder, group)
        self.rho = rho

    def act(self, action: G, x: Tensor) -> Tensor:
        """Return rho(g) x."""
        return self.rho(action, x)


class SeparateEncoder(nn.Module):
    """Mu and eta as two networks that share nothing: `frame` of the input, `network` of its canonical form."""

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

    Mu of x (B, n, ...) is the constant y0 of the group, so psi is the identity and eta, the network, sees the input as
    it is: nothing is invariant.
    """

    def y0(x: Tensor) -> Any:
        return group.reference(len(x), n=x.shape[1], dtype=x.dtype, device=x.device)

    return SeparateEncoder(y0, network)


def parameters(model: nn.Module) -> int:
    """Count the numbers that are trained."""
    return sum(weight.numel() for weight in model.parameters())


def fit(
    model: nn.Module, loss: Callable[[], Tensor], steps: int, learning_rate: float, name: str, progress: bool
) -> None:
    """Train by Adam under one cycle of the learning rate (Smith and Topin 2019); leave the model in evaluation mode.

    The loss is that of the next batch, the learning rate its peak; the name stands beside a bar on stderr.
    """
    weights = list(model.parameters())
    optimizer = torch.optim.Adam(weights, learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=WARM_UP
    )
    model.train()
    for _ in progress_bar(range(steps), desc=name, show=progress, leave=False):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    model.eval()


def different_pairs(number: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw at most `size` pairs of two different ones of a number of things, (2, P) int64."""
    pair = torch.randint(number, (2, size), generator=generator)
    return pair[:, pair[0] != pair[1]]


def distances(s: Tensor, pair: Tensor) -> Tensor:
    """Return the Euclidean distances (P,) of pairs (2, P) of embeddings (M, D)."""
    return (s[pair[0]] - s[pair[1]]).norm(dim=1)


def relative_change(after: Tensor, before: Tensor) -> Tensor:
    """Return the length of the change of embeddings (B, D) over their length, (B,)."""
    return (after - before).norm(dim=1) / before.norm(dim=1)
