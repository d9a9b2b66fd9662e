"""Circular harmonics of pictures, and networks that turn with their coefficients."""

from __future__ import annotations

import math

import pytest
import torch

from molgiae.experiments.steerable2d import (
    CircleSiLU,
    DiscHarmonics,
    SteerableDecoder,
    SteerableLinear,
    SteerableTrunk,
    SteerableVectors,
    best_turn,
    turned,
)
from molgiae.groups import SO2

PIXELS = 28


@pytest.fixture(scope="module")
def disc():
    return DiscHarmonics(PIXELS, rings=14, orders=20)


def blobs(angle=0.0, number=6):
    """(number, 28, 28) smooth pictures, each of five Gaussians, turned without interpolation."""
    generator = torch.Generator().manual_seed(0)
    place = torch.arange(PIXELS, dtype=torch.float64) - (PIXELS - 1) / 2
    y, x = torch.meshgrid(-place, place, indexing="ij")
    centre = 3.5 * torch.randn(number, 5, 2, dtype=torch.float64, generator=generator).clamp(-2, 2)
    height = torch.rand(number, 5, dtype=torch.float64, generator=generator)
    centre = SO2.from_angle(torch.tensor(angle)).act(centre)[..., None, None]
    square = (x - centre[:, :, 0]).square() + (y - centre[:, :, 1]).square()
    return (height[..., None, None] * torch.exp(-square / (2 * 1.5**2))).sum(dim=1).float()


def coefficients(number=6, orders=8, channels=3):
    c = torch.randn(number, orders + 1, channels, 2, generator=torch.Generator().manual_seed(0))
    c[:, 0, :, 1] = 0
    # as of pictures, high orders are weaker
    return c / (1 + torch.arange(orders + 1.0))[:, None, None] ** 1.5


def vectors_turn(network, c, angle):
    before, after = network(c), network(turned(c, torch.full((len(c),), angle)))
    return (after - SO2.from_angle(torch.tensor(angle)).act(before)).abs().max() / before.abs().max()


def test_pictures_of_coefficients_of_pictures(disc):
    x = blobs()
    assert (disc.picture(disc(x)) - x).abs().max() < 0.05


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 2.0, 5.0])
def test_turned_coefficients_are_those_of_turned_pictures(disc, angle):
    found = disc.picture(turned(disc(blobs()), torch.full((6,), angle)))
    assert (found - blobs(angle)).abs().max() < 0.05
    assert (found - blobs(-angle)).abs().max() > 0.3


def test_a_quarter_turn_is_exact(disc):
    x = blobs()
    exact = disc(torch.rot90(x, 1, (1, 2)))
    torch.testing.assert_close(exact, turned(disc(x), torch.full((6,), math.pi / 2)), atol=2e-4, rtol=1e-4)


def test_turns_are_a_group():
    c, first, second = coefficients(), torch.linspace(0, 3, 6), torch.linspace(2, -2, 6)
    torch.testing.assert_close(turned(turned(c, first), second), turned(c, first + second))


def test_the_best_turn_is_found(disc):
    c, angle = disc(blobs()), torch.arange(6) * (2 * math.pi / 36) * 5
    x = disc.picture(turned(c, angle))
    torch.testing.assert_close(best_turn(disc.products(x), c, 36), angle)


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 4.0])
def test_linear_maps_commute_with_turns(angle):
    torch.manual_seed(0)
    layer, c, by = SteerableLinear(3, 4, 5), coefficients(), torch.full((6,), angle)
    torch.testing.assert_close(layer(turned(c, by)), turned(layer(c), by), atol=1e-5, rtol=1e-5)


def test_a_linear_map_of_cosines_alone_would_not():
    c, by = coefficients(), torch.full((6,), 0.3)
    weight = torch.tensor([1.0, 0.5])
    assert (turned(c, by) * weight - turned(c * weight, by)).abs().max() > 0.05


def test_nonlinearity_commutes_with_turns_by_its_samples_and_nearly_with_others():
    layer, c = CircleSiLU(3, 8, 32), coefficients()
    for angle, most in ((2 * math.pi / 32, 1e-6), (0.1, 1e-3)):
        by = torch.full((6,), angle)
        assert (layer(turned(c, by)) - turned(layer(c), by)).abs().max() < most


def test_too_few_samples_fold_back():
    layer, c, by = CircleSiLU(3, 8, 9), coefficients(), torch.full((6,), 0.1)
    assert (layer(turned(c, by)) - turned(layer(c), by)).abs().max() > 0.02


@pytest.mark.parametrize("angle", [0.1, 1.0, math.pi / 2, 3.0])
def test_vectors_turn_with_coefficients(angle):
    torch.manual_seed(0)
    network = SteerableVectors(3, 16, 3, 8, 4)
    assert vectors_turn(network, coefficients(), angle) < 1e-3


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 2.0])
def test_angles_of_pictures_follow_them(disc, angle):
    torch.manual_seed(0)
    network = SteerableVectors(14, 16, 3, 8, 1)
    before, after = (SO2.from_equivariant(network(disc(x))[:, 0]) for x in (blobs(), blobs(angle)))
    error = torch.rad2deg(after.distance(SO2.from_angle(torch.tensor(angle)) @ before))
    assert error.max() < (0.01 if angle == math.pi / 2 else 2)


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, 2.0])
def test_decoded_functions_turn_with_vectors(angle):
    torch.manual_seed(0)
    decoder = SteerableDecoder((9, 5, 2), 16, 2, 4)
    z = torch.randn(6, 4, 2)
    turned_z = SO2.from_angle(torch.tensor(angle)).to(dtype=torch.float32).act(z)
    expected = turned(decoder(z.flatten(1)), torch.full((6,), angle))
    assert (decoder(turned_z.flatten(1)) - expected).abs().max() / expected.abs().max() < 1e-3


def test_gradients_are_finite_for_black_pictures(disc):
    network = SteerableTrunk(14, 8, 2, 8)
    network(disc(torch.zeros(2, PIXELS, PIXELS))).sum().backward()
    assert all(
        torch.isfinite(weight.grad).all() for weight in network.parameters() if weight.grad is not None
    )
