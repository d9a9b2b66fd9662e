"""Steerable networks of grids: harmonics, couplings, kernels and encoders under rotations."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.steerable3d import (
    Layer,
    Mix,
    Product,
    Spread,
    SteerableEncoder,
    coupling,
    harmonics,
    squares,
    wigner,
)
from molgiae.experiments.voxels import quarter_turns, turned, voxel_orders
from molgiae.groups import SO3

HIGHEST = 3
ORDERS = range(HIGHEST + 1)
TRIPLES = [(a, b, c) for a in ORDERS for b in ORDERS for c in ORDERS if abs(a - b) <= c <= a + b]
CHANNELS = 3
SIZE = 13


def random_rotation(seed: int) -> torch.Tensor:
    return SO3.random(generator=torch.Generator().manual_seed(seed)).matrix


def sphere() -> tuple[torch.Tensor, torch.Tensor]:
    """Points and weights that integrate polynomials up to degree 15 over the sphere."""
    height, weight = np.polynomial.legendre.leggauss(8)
    angle = 2 * np.pi * np.arange(16) / 16
    ring = np.sqrt(1 - height**2)[:, None]
    points = np.stack(
        [ring * np.cos(angle), ring * np.sin(angle), np.broadcast_to(height[:, None], (8, 16))], axis=-1
    )
    return torch.from_numpy(points.reshape(-1, 3)), torch.from_numpy(np.repeat(weight / 32, 16))


def turn_of(rotation: torch.Tensor) -> torch.Tensor:
    """How the components of a channel turn."""
    return torch.block_diag(*(wigner(order, rotation) for order in ORDERS))


class TestHarmonics:
    def test_they_are_orthonormal(self):
        points, weight = sphere()
        assert weight.sum() == pytest.approx(1)
        y = torch.cat([harmonics(order, points) for order in ORDERS], dim=-1)
        assert_close(y.mT @ (weight[:, None] * y), torch.eye(y.shape[1], dtype=torch.float64))

    def test_they_turn_by_wigner_matrices(self):
        points, _ = sphere()
        rotation = random_rotation(3)
        for order in ORDERS:
            d = wigner(order, rotation)
            assert_close(harmonics(order, points @ rotation.mT), harmonics(order, points) @ d.mT)
            assert_close(d @ d.mT, torch.eye(len(d), dtype=torch.float64))

    def test_wigner_matrices_multiply_as_rotations_do(self):
        g, h = random_rotation(1), random_rotation(2)
        for order in ORDERS:
            assert_close(wigner(order, g @ h), wigner(order, g) @ wigner(order, h))

    def test_order_one_are_vectors(self):
        rotation = random_rotation(4)
        yzx = rotation[[1, 2, 0]][:, [1, 2, 0]]
        assert_close(wigner(1, rotation), yzx)


class TestCouplings:
    @pytest.mark.parametrize("orders", TRIPLES)
    def test_no_rotation_changes_them(self, orders):
        c = coupling(*orders)
        moved = torch.einsum("abc,ia,jb,kc->ijk", c, *(wigner(order, random_rotation(5)) for order in orders))
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
            bases.append(harmonics(order, points).mT @ (weight[:, None] * y))
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
        return SteerableEncoder(SIZE, HIGHEST, 6, 4, 2, 8, 16).double().eval()

    @pytest.fixture
    def grid(self):
        return torch.rand(
            1, SIZE, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )

    @staticmethod
    def faults(encoder: SteerableEncoder, grid: torch.Tensor) -> tuple[float, float]:
        """Largest departures of vectors and embeddings under the 24 rotations of a cube."""
        turns = quarter_turns()
        y, shared = encoder.equivariant(
            torch.cat([grid, turned(grid.expand(24, -1, -1, -1), voxel_orders(turns))])
        )
        z = encoder.invariant(shared, grid)
        expected = turns.act_equivariant(y[:1].expand(24, -1, -1))
        return (y[1:] - expected).abs().max().item(), (z[1:] - z[:1]).abs().max().item()

    def test_exact_under_all_rotations_of_a_cube(self, encoder, grid):
        assert max(self.faults(encoder, grid)) < 1e-5

    def test_other_kernels_are_found_out(self, encoder, grid):
        encoder.kernels += 0.01 * torch.randn_like(encoder.kernels)
        assert min(self.faults(encoder, grid)) > 1e-3

    def test_close_under_any_rotation_of_something_smooth(self, encoder):
        """Sampled anew after the rotation, not interpolated."""
        place = torch.arange(SIZE, dtype=torch.float64) - SIZE // 2
        point = torch.cartesian_prod(place, place, place)
        middle = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 1.5

        def blobs(at: torch.Tensor) -> torch.Tensor:
            return torch.exp(-torch.cdist(point, at).square() / 4).sum(dim=1).view(1, SIZE, SIZE, SIZE)

        rotation = random_rotation(6)
        y, shared = encoder.equivariant(torch.cat([blobs(middle), blobs(middle @ rotation.mT)]))
        assert_close(y[1], y[0] @ rotation.mT, atol=0.03 * y.abs().max().item(), rtol=0)
        assert (shared[1] - shared[0]).norm() < 0.02 * shared[0].norm()

    def test_mirror_images_differ(self, encoder, grid):
        _, shared = encoder.equivariant(torch.cat([grid, grid.flip(1)]))
        z = encoder.invariant(shared, grid)
        assert (z[0] - z[1]).norm() > 1e-3 * z[0].norm()
