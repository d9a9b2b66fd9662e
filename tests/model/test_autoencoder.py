"""The framework of Section 2 for groups other than SE(3) x S_n, with tiny networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from molgiae.groups import SE2, SO2, Group, Permutation, Product, Translation
from molgiae.model.autoencoder import GroupInvariantAutoencoder
from tests.geometries import seeded

B, N, D = 5, 6, 7


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), nn.SiLU(), nn.Linear(16, outputs))


class Planar(nn.Module):
    """Weighted mean of points of the plane, weights from their distances to the centroid; eta from the norms."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.pool = mlp(1, 1), mlp(1, D)

    def direction(self, x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x - x.mean(dim=-2, keepdim=True)
        radius = centred.norm(dim=-1, keepdim=True)
        return (self.weight(radius) * centred).sum(dim=-2), radius


class Turned(Planar):
    """For SO(2): eta from invariant features."""

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.direction(x)

    def invariant(self, shared: Tensor, canonical: Tensor) -> Tensor:
        return self.pool(shared).mean(dim=-2)


class Moved(Planar):
    """For SE(2): eta from the canonical form, which keeps the order of the points."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = mlp(2 * N, D)

    def equivariant(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], None]:
        return (self.direction(x)[0], x.mean(dim=-2)), None

    def invariant(self, shared: None, canonical: Tensor) -> Tensor:
        return self.flat(canonical.flatten(-2))


class Scored(nn.Module):
    """For S_n on sets of vectors: one score per vector; eta from the sorted set."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.flat = mlp(2, 1), mlp(2 * N, D)

    def equivariant(self, x: Tensor) -> tuple[Tensor, None]:
        return self.score(x)[..., 0], None

    def invariant(self, shared: None, canonical: Tensor) -> Tensor:
        return self.flat(canonical.flatten(-2))


class TurnedAndScored(Planar):
    """For SO(2) x S_n."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = mlp(2 * N, D)

    def equivariant(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], None]:
        y, radius = self.direction(x)
        return (y, radius[..., 0]), None

    def invariant(self, shared: None, canonical: Tensor) -> Tensor:
        return self.flat(canonical.flatten(-2))


class ToPoints(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(D, 2 * N)

    def forward(self, embedding: Tensor) -> Tensor:
        return self.net(embedding).unflatten(-1, (N, 2))


@dataclass(frozen=True)
class Case:
    group: type[Group[Any]]
    encoder: type[nn.Module]

    def __str__(self) -> str:
        return self.group.__name__

    def model(self) -> GroupInvariantAutoencoder[Tensor, Any, Any]:
        torch.manual_seed(0)
        return GroupInvariantAutoencoder(self.encoder(), ToPoints(), self.group).double()

    def element(self, seed: int) -> Any:
        return self.group.random(B, n=N, d=2, generator=seeded(seed))


CASES = (
    Case(SO2, Turned),
    Case(SE2, Moved),
    Case(Permutation, Scored),
    Case(Product.of(SO2, Permutation), TurnedAndScored),
)


def points(seed: int = 1) -> Tensor:
    return torch.randn(B, N, 2, generator=seeded(seed), dtype=torch.float64)


def agree(found: Tensor, expected: Tensor) -> None:
    assert_close(found, expected, rtol=0, atol=1e-9)


def assert_invariant(case: Case, model: GroupInvariantAutoencoder[Tensor, Any, Any]) -> None:
    x, g = points(), case.element(2)
    agree(model.encode(g.act(x)).embedding, model.encode(x).embedding)
    agree(model.canonical(g.act(x)), model.canonical(x))


def assert_equivariant(case: Case, model: GroupInvariantAutoencoder[Tensor, Any, Any]) -> None:
    x, g = points(), case.element(3)
    agree((g @ model.group_function(x)).distance(model.group_function(g.act(x))), torch.zeros(B).double())
    agree(model.reconstruct(g.act(x)), g.act(model.reconstruct(x)))


@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_embedding_and_canonical_form_are_invariant(case):
    assert_invariant(case, case.model())


@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_group_function_and_reconstruction_are_equivariant(case):
    assert_equivariant(case, case.model())


@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_group_action_gives_x_back_from_its_canonical_form(case):
    model, x = case.model(), points()
    agree(model.act(model.group_function(x), model.canonical(x)), x)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_training_reconstructs_in_every_pose(case):
    """Trained on one pose, equally good in all: the loss of Eq. 3 is invariant."""
    model, x = case.model(), points()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        losses.append((model.reconstruct(x) - x).square().mean())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        g = case.element(4)
        moved = (model.reconstruct(g.act(x)) - g.act(x)).square().mean()
        agree(moved, (model.reconstruct(x) - x).square().mean())


class IndexFeatures(Scored):
    """Scores and embedding from the place in the input: what the authors' released code does."""

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.score(x)[..., 0] + torch.arange(N), x

    def invariant(self, shared: Tensor, canonical: Tensor) -> Tensor:
        return self.flat(shared.flatten(-2))


class Absolute(Turned):
    """Features that turn."""

    def invariant(self, shared: Tensor, canonical: Tensor) -> Tensor:
        return self.pool(canonical[..., :1]).mean(dim=-2) + 0 * shared.sum()

    def equivariant(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean(dim=-2) + 1.0, x


class ForgetsTheOrigin(Moved):
    """A translation that does not move with the points."""

    def equivariant(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], None]:
        y, _ = super().equivariant(x)
        return (y[0], torch.zeros_like(y[1])), None


@pytest.mark.parametrize(
    "case", [Case(Permutation, IndexFeatures), Case(SO2, Absolute), Case(SE2, ForgetsTheOrigin)], ids=str
)
@torch.no_grad()
def test_the_checks_fail_for_broken_encoders(case):
    with pytest.raises(AssertionError):
        assert_invariant(case, case.model())
    with pytest.raises(AssertionError):
        assert_equivariant(case, case.model())


@torch.no_grad()
def test_translations_alone():
    """T(2), with eta of the canonical form."""

    class Shifted(Moved):
        def equivariant(self, x: Tensor) -> tuple[Tensor, None]:
            return x.mean(dim=-2), None

    case = Case(Translation, Shifted)
    assert_invariant(case, case.model())
    assert_equivariant(case, case.model())
