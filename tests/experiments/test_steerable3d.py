"""Steerable networks of functions in a ball: couplings, layers and encoders under rotations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.ball import Ball, Wigner, harmonics
from molgiae.experiments.steerable3d import (
    Layer,
    Mix,
    Product,
    Spread,
    SteerableEncoder,
    coupling,
    squares,
)
from molgiae.groups import SO3
from tests.experiments.test_ball import random_rotation, sphere

HIGHEST = 3
ORDERS = range(HIGHEST + 1)
TRIPLES = [(a, b, c) for a in ORDERS for b in ORDERS for c in ORDERS if abs(a - b) <= c <= a + b]
CHANNELS = 3


def turn_of(rotation: torch.Tensor) -> torch.Tensor:
    """How the components of a channel turn."""
    return torch.block_diag(*Wigner(HIGHEST)(rotation))


class TestCouplings:
    @pytest.mark.parametrize("orders", TRIPLES)
    def test_no_rotation_changes_them(self, orders):
        c = coupling(*orders)
        matrices = Wigner(HIGHEST)(random_rotation(5))
        moved = torch.einsum("abc,ia,jb,kc->ijk", c, *(matrices[order] for order in orders))
        assert_close(moved, c)
        assert c.square().sum() == pytest.approx(2 * orders[2] + 1)

    def test_those_of_vectors_are_dot_and_cross_product(self):
        u, v = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        yzx = [1, 2, 0]
        dot = torch.einsum("abc,a,b->c", coupling(1, 1, 0), u[yzx], v[yzx]) * 3**0.5
        assert dot.abs().item() == pytest.approx(abs((u @ v).item()))
        cross = torch.einsum("abc,a,b->c", coupling(1, 1, 1), u[yzx], v[yzx]) * 2**0.5
        expected = torch.linalg.cross(u, v)[yzx]
        assert_close(cross * (cross @ expected).sign(), expected)

    @pytest.mark.parametrize("orders", TRIPLES)
    def test_e3nn_has_the_same(self, orders):
        """Up to the sign of each tensor, and to its choice of axes, which is found from its harmonics."""
        o3 = pytest.importorskip("e3nn.o3")
        points, weight = sphere()
        theirs = torch.as_tensor(o3.wigner_3j(*orders), dtype=torch.float64)
        bases = []
        for order in orders:
            y = o3.spherical_harmonics(order, points, normalize=True, normalization="component")
            bases.append(harmonics(order, points)[:, order**2 :].mT @ (weight[:, None] * y))
            assert_close(bases[-1] @ bases[-1].mT, torch.eye(2 * order + 1, dtype=torch.float64))
        ours = coupling(*orders) / (2 * orders[2] + 1) ** 0.5
        expected = torch.einsum("abc,ia,jb,kc->ijk", theirs, *bases)
        sign = (ours * expected).sum().sign()
        assert_close(sign * ours, expected, atol=1e-6, rtol=0)


class TestFields:
    def fields(self, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(5, CHANNELS, (HIGHEST + 1) ** 2, dtype=torch.float64, generator=generator)

    @pytest.mark.parametrize("network", [Mix(HIGHEST, 3, 4), Spread(HIGHEST, 3), Layer(HIGHEST, 3, 4)])
    @pytest.mark.parametrize("training", [True, False])
    def test_networks_commute_with_rotations(self, network, training):
        network = copy.deepcopy(network).double().train(training)
        fields, d = self.fields(0), turn_of(random_rotation(7))
        assert_close(copy.deepcopy(network)(fields @ d.mT), network(fields) @ d.mT, atol=1e-6, rtol=1e-6)

    def test_products_commute_with_rotations(self):
        torch.manual_seed(0)
        product, d = Product(HIGHEST, 3).double(), turn_of(random_rotation(8))
        first, second = self.fields(1), self.fields(2)
        assert_close(
            product(first @ d.mT, second @ d.mT), product(first, second) @ d.mT, atol=1e-5, rtol=1e-6
        )
        assert len(product.weight) == len(TRIPLES)

    def test_squares_are_invariant(self):
        fields, d = self.fields(3), turn_of(random_rotation(9))
        assert_close(squares(fields @ d.mT, HIGHEST), squares(fields, HIGHEST))
        assert squares(fields, HIGHEST).sum(dim=-1).shape == (5, CHANNELS)

    def test_spread_in_use_is_that_of_training(self):
        spread, fields = Spread(HIGHEST, 3).double(), 5 * self.fields(4)
        for _ in range(200):
            trained = spread(fields)
        assert squares(trained, HIGHEST).mean(dim=0).sub(1).abs().max() < 1e-6
        assert_close(spread.eval()(fields), trained, atol=1e-6, rtol=1e-6)


class TestEncoder:
    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return SteerableEncoder(Ball(6.0, 9.0), HIGHEST, 4, 2, 8, 16).eval()

    @pytest.fixture
    def x(self, encoder):
        return torch.randn(1, encoder.ball.numbers, generator=torch.Generator().manual_seed(1))

    @staticmethod
    def faults(encoder: SteerableEncoder, x: torch.Tensor) -> tuple[float, float]:
        """Largest departures of vectors and invariants under random rotations."""
        g = SO3.random(20, generator=torch.Generator().manual_seed(2))
        y, shared = encoder.equivariant(torch.cat([x, encoder.ball.turned(g, x.expand(20, -1))]))
        invariants = torch.cat(shared, dim=1)
        expected = g.act_equivariant(y[:1].expand(20, -1, -1).double()).float()
        return (y[1:] - expected).abs().max().item(), (invariants[1:] - invariants[:1]).abs().max().item()

    def test_exact_under_any_rotation(self, encoder, x):
        assert max(self.faults(encoder, x)) < 1e-3

    def test_other_networks_are_found_out(self, encoder, x):
        encoder.layers[0].product.couplings += 0.1 * torch.randn_like(encoder.layers[0].product.couplings)
        assert min(self.faults(encoder, x)) > 0.01

    def test_mirror_images_differ(self, encoder, x):
        """Components of odd order change their signs in the middle of an inversion."""
        parts = encoder.ball.parts(x)
        mirrored = torch.cat([(-1) ** k * part.flatten(1) for k, part in enumerate(parts)], dim=1)
        _, (one, _) = encoder.equivariant(x)
        _, (other, _) = encoder.equivariant(mirrored)
        assert (one - other).norm() > 1e-2 * one.norm()

    def test_canonical_forms_of_what_has_an_axis_do_not_count(self, encoder, x):
        """All vectors of it lie on the axis."""
        lathed = torch.zeros_like(x)
        for before, after in zip(encoder.ball.parts(x), encoder.ball.parts(lathed), strict=True):
            after[..., after.shape[-1] // 2] = before[..., after.shape[-1] // 2]
        _, (_, trust) = encoder.equivariant(torch.cat([x, lathed]))
        assert trust[1] < 1e-6
        assert trust[0] > 1e-2
