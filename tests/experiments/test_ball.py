"""Functions in a ball: harmonics, matrices that turn them, radial functions, coefficients of voxels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.ball import MESH, Ball, Wigner, harmonics, radial, spans
from molgiae.groups import SO3

HIGHEST = 5


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


class TestHarmonics:
    def test_they_are_orthonormal(self):
        points, weight = sphere()
        y = harmonics(HIGHEST, points)
        assert weight.sum() == pytest.approx(1)
        assert_close(y.mT @ (weight[:, None] * y), torch.eye(y.shape[1], dtype=torch.float64))

    def test_high_orders_have_mean_square_one_at_every_point(self):
        """Up to orders whose factorials are no machine integers."""
        y = harmonics(30, sphere()[0])
        for span in spans(30):
            assert_close(y[:, span].square().mean(dim=1), torch.ones(len(y), dtype=torch.float64))

    def test_they_turn_by_wigner_matrices(self):
        points, _ = sphere()
        rotation = random_rotation(3)
        before, after = harmonics(HIGHEST, points), harmonics(HIGHEST, points @ rotation.mT)
        for d, span in zip(Wigner(HIGHEST)(rotation), spans(HIGHEST), strict=True):
            assert_close(after[:, span], before[:, span] @ d.mT)
            assert_close(d @ d.mT, torch.eye(len(d), dtype=torch.float64))

    def test_wigner_matrices_multiply_as_rotations_do(self):
        g, h = random_rotation(1), random_rotation(2)
        wigner = Wigner(HIGHEST)
        for product, one, two in zip(wigner(g @ h), wigner(g), wigner(h), strict=True):
            assert_close(product, one @ two)

    def test_order_one_are_vectors(self):
        rotation = random_rotation(4)
        assert_close(Wigner(1)(rotation)[1], rotation[[1, 2, 0]][:, [1, 2, 0]])


class TestRadial:
    @pytest.mark.parametrize("order", [0, 1, 4])
    def test_they_are_orthonormal_and_vanish_on_the_surface(self, order):
        functions, waves = radial(order, 20.0)
        r = torch.linspace(0, 1, MESH + 1, dtype=torch.float64)
        gram = functions.mT @ (r[:, None] ** 2 * functions) / MESH
        assert_close(gram, torch.eye(len(waves), dtype=torch.float64))
        assert functions[-1].abs().max() == 0
        assert waves.max() < 20

    def test_they_are_spherical_bessel_functions(self):
        """Zeros of j0 are multiples of pi, the first of j1 is 4.4934."""
        assert_close(radial(0, 20.0)[1], torch.arange(1, 7) * torch.pi, atol=1e-3, rtol=0, check_dtype=False)
        assert radial(1, 5.0)[1].item() == pytest.approx(4.4934, abs=1e-3)


class TestBall:
    @pytest.fixture
    def ball(self):
        return Ball(8.0, 9.0)

    @pytest.fixture
    def x(self, ball):
        return torch.randn(4, ball.numbers, generator=torch.Generator().manual_seed(0))

    def test_functions_are_orthonormal_on_voxels(self, ball):
        kernels = ball.kernels(18)
        assert kernels.shape == (18**3, ball.numbers)
        assert_close(kernels.mT @ kernels, torch.eye(ball.numbers), atol=0.05, rtol=0)

    def test_a_blob_elsewhere_has_the_coefficients_turned(self, ball):
        kernels = ball.kernels(18)
        place = torch.arange(18, dtype=torch.float64) - 8.5
        point = torch.cartesian_prod(place, place, place)
        middle = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

        def blobs(at: torch.Tensor) -> torch.Tensor:
            return torch.exp(-torch.cdist(point, at).square() / 4).sum(dim=1).float()[None] @ kernels

        g = SO3.random(1, generator=torch.Generator().manual_seed(6))
        before, after = blobs(middle), blobs(g.act(middle)[0])
        assert_close(ball.turned(g, before), after, atol=0.01 * before.norm().item(), rtol=0)
        assert (after - before).norm() > 0.1 * before.norm()

    def test_rotations_act_one_after_the_other(self, ball, x):
        g, h = (SO3.random(4, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
        assert_close(ball.turned(g, ball.turned(h, x)), ball.turned(g @ h, x), atol=1e-5, rtol=1e-4)
        assert_close(ball.turned(g.inverse(), ball.turned(g, x)), x, atol=1e-5, rtol=1e-4)

    def test_gradients_are_those_of_differences(self, ball, x):
        towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
        angles = torch.zeros(3, requires_grad=True)
        cross = torch.linalg.cross(torch.eye(3)[:, None], torch.eye(3)[None]).mT
        start = random_rotation(8).float()

        def loss(angles: torch.Tensor) -> torch.Tensor:
            little = torch.matrix_exp(torch.einsum("k,kij->ij", angles, cross))
            return (ball.turned(SO3((little @ start).expand(4, 3, 3)), x) * towards).sum()

        loss(angles).backward()
        for k, step in enumerate(1e-2 * torch.eye(3)):
            found = (loss(step) - loss(-step)).item() / 2e-2
            assert angles.grad[k].item() == pytest.approx(found, rel=0.02, abs=0.05)
