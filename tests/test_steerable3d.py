"""Steerable networks of grids: harmonics, couplings, kernels and encoders under rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.voxels import quarter_turns, turned, voxel_orders
from molgiae.groups import SO3
from molgiae.nn.steerable3d import (
    HIGHEST,
    SteerableConv,
    SteerableEncoder,
    components,
    coupling,
    harmonics,
    wigner,
)

ORDERS = range(HIGHEST + 1)
TRIPLES = [(a, b, c) for a in ORDERS for b in ORDERS for c in ORDERS if abs(a - b) <= c <= a + b]
CHANNELS = (4, 3, 2)
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


def turn_of(channels: tuple[int, ...], rotation: torch.Tensor) -> torch.Tensor:
    """How the components of a field at a point turn."""
    return torch.block_diag(*(wigner(order, rotation) for order, n in enumerate(channels) for _ in range(n)))


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


class TestConvolutions:
    @pytest.mark.parametrize("size", [3, 4, 5])
    def test_kernels_are_steerable(self, size):
        """K(R d) = D_out(R) K(d) D_in(R)^T for every rotation that maps the kernel's grid to itself."""
        torch.manual_seed(0)
        conv = SteerableConv(CHANNELS, (3, 2, 2), size).double()
        kernel = conv.kernel()
        place = torch.arange(size) - (size - 1) / 2
        offset = torch.cartesian_prod(place, place, place).double()
        for rotation in quarter_turns().matrix:
            x, y, z = (offset @ rotation.mT + (size - 1) / 2).round().long().unbind(dim=1)
            turned_kernel = kernel[:, :, x, y, z]
            left, right = turn_of((3, 2, 2), rotation), turn_of(CHANNELS, rotation)
            expected = torch.einsum("oi,ijn,kj->okn", left, kernel.flatten(2), right)
            assert_close(turned_kernel, expected, atol=1e-6, rtol=0)

    def test_every_path_is_there(self):
        conv = SteerableConv((1, 1, 1), (1, 1, 1), 3)
        assert set(conv.weights) == {f"{a} to {b}" for a in ORDERS for b in ORDERS}
        assert components(CHANNELS) == [4, 9, 10]


class TestEncoder:
    @pytest.fixture
    def encoder(self):
        torch.manual_seed(0)
        return SteerableEncoder(SIZE, CHANNELS, 8, 16).double().eval()

    @pytest.fixture
    def grid(self):
        return torch.rand(1, SIZE, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    @staticmethod
    def faults(encoder: SteerableEncoder, grid: torch.Tensor) -> tuple[float, float]:
        """Largest departures of vectors and embeddings under the 24 rotations of a cube."""
        turns = quarter_turns()
        y, shared = encoder.equivariant(torch.cat([grid, turned(grid.expand(24, -1, -1, -1), voxel_orders(turns))]))
        z = encoder.invariant(shared, grid)
        expected = turns.act_equivariant(y[:1].expand(24, -1, -1))
        return (y[1:] - expected).abs().max().item(), (z[1:] - z[:1]).abs().max().item()

    def test_exact_under_all_rotations_of_a_cube(self, encoder, grid):
        assert max(self.faults(encoder, grid)) < 1e-5

    def test_an_ordinary_kernel_is_found_out(self, encoder, grid, monkeypatch):
        first = encoder.layers[0].conv
        kernel = first.kernel() + 0.1 * torch.randn(first.shape, dtype=torch.float64)
        monkeypatch.setattr(first, "kernel", lambda: kernel)
        assert min(self.faults(encoder, grid)) > 1e-3

    def test_mirror_images_differ(self, encoder, grid):
        y, shared = encoder.equivariant(torch.cat([grid, grid.flip(1)]))
        z = encoder.invariant(shared, grid)
        assert (z[0] - z[1]).norm() > 1e-3 * z[0].norm()
