"""SO(2), SO(3), SE(3) against scipy, on degenerate input, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation as ScipyRotation
from torch.testing import assert_close

from molgiae.errors import ShapeError
from molgiae.groups import SE2, SE3, SO2, SO3, RigidVectors, Translation

finite = st.floats(allow_nan=False, allow_infinity=False)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def from_scipy(rotation: ScipyRotation) -> SO3:
    return SO3(torch.tensor(rotation.as_matrix(), dtype=torch.float64))


def assert_proper(matrix: torch.Tensor) -> None:
    assert_close(matrix.mT @ matrix, torch.eye(3).expand_as(matrix).double(), rtol=0, atol=1e-12)
    assert_close(torch.linalg.det(matrix), torch.ones(matrix.shape[:-2]).double(), rtol=0, atol=1e-12)


def test_so3_agrees_with_scipy() -> None:
    ours = SO3.random(20, generator=rng())
    theirs = ScipyRotation.from_matrix(ours.matrix.numpy())
    points = torch.randn(20, 3, dtype=torch.float64, generator=rng())
    assert_close(ours.act(points[:, None])[:, 0], torch.tensor(theirs.apply(points.numpy())))
    assert_close((ours @ ours[3]).matrix, from_scipy(theirs * theirs[3]).matrix)
    assert_close(ours.inverse().matrix, from_scipy(theirs.inv()).matrix)
    angles = torch.tensor((theirs.inv() * theirs[7]).magnitude())
    assert_close(ours.distance(ours[7]), angles, rtol=0, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, math.pi - 1e-9, math.pi])
def test_distance_is_the_angle_at_its_ends_too(angle: float) -> None:
    turned = from_scipy(ScipyRotation.from_rotvec(np.array([2.0, -1.0, 2.0]) / 3 * angle))
    assert_close(turned.distance(SO3.identity()).item(), angle, rtol=0, atol=1e-14)
    plane = SO2.from_angle(torch.tensor(angle))
    assert_close(plane.distance(SO2.identity()).item(), angle, rtol=0, atol=1e-7)


def test_so2_angle() -> None:
    angle = torch.linspace(-3.1, 3.1, 9, dtype=torch.float64)
    assert_close(SO2.from_angle(angle).angle, angle)
    quarter = SO2.from_angle(torch.tensor(math.pi / 2))
    assert_close(quarter.act(torch.tensor([[1.0, 0.0]])), torch.tensor([[0.0, 1.0]]).double())
    assert_close(SO2.from_equivariant(torch.tensor([0.0, 7.0])).angle.item(), math.pi / 2)


def test_random_rotations_are_uniform() -> None:
    angle = SO3.random(20_000, generator=rng()).distance(SO3.identity())
    assert abs(angle.mean().item() - (math.pi / 2 + 2 / math.pi)) < 0.02  # density (1 - cos) / pi


DEGENERATE = {
    "zeros": [[0, 0, 0], [0, 0, 0]],
    "first zero": [[0, 0, 0], [1, 2, 3]],
    "second zero": [[1, 2, 3], [0, 0, 0]],
    "equal": [[1, 2, 3], [1, 2, 3]],
    "opposite": [[1, 2, 3], [-2, -4, -6]],
    "nearly collinear": [[1, 2, 3], [2, 4, 6 + 1e-9]],
    "below round-off": [[1, 2, 3], [2, 4, 6 + 1e-14]],
    "along an axis": [[0, 0, 1], [0, 0, 5]],
    "tiny": [[1e-19, 0, 0], [1e-19, 1e-19, 0]],
    "subnormal": [[5e-324, 0, 0], [0, 5e-324, 0]],
    "huge": [[1e308, 1e308, 1e308], [1e308, -1e308, 0]],
    "tiny and huge": [[1e-19, 0, 0], [1e308, 1e308, 0]],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_vectors_give_proper_rotations_and_finite_gradients(name: str, dtype: torch.dtype) -> None:
    y = torch.tensor(DEGENERATE[name], dtype=torch.float64).clamp(-1e38, 1e38).to(dtype).requires_grad_()
    matrix = SO3.from_equivariant(y).matrix
    assert_proper(matrix)
    (matrix * torch.randn(3, 3, generator=rng())).sum().backward()
    assert y.grad is not None
    assert bool(y.grad.isfinite().all())


@given(numbers=st.lists(finite, min_size=6, max_size=6))
@settings(max_examples=100, deadline=None, database=None)
def test_any_finite_vectors_give_a_proper_rotation(numbers: list[float]) -> None:
    y = torch.tensor(numbers, dtype=torch.float64).view(2, 3).requires_grad_()
    matrix = SO3.from_equivariant(y).matrix
    assert_proper(matrix)
    matrix.sum().backward()
    assert y.grad is not None
    assert bool(y.grad.isfinite().all())
    plane = SO2.from_equivariant(y[:, :2]).matrix
    assert_close(torch.linalg.det(plane), torch.ones(2).double())


def test_one_direction_stays_equivariant() -> None:
    """A completed frame still turns its first axis with the molecule, whichever vector is there."""
    v = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    h = SO3.random(generator=rng())
    for y in (torch.stack([v, 2 * v]), torch.stack([v, 0 * v]), torch.stack([0 * v, v])):
        before, after = SO3.from_equivariant(y), SO3.from_equivariant(h.act_equivariant(y))
        assert_close(after.matrix[:, 0], (h @ before).matrix[:, 0])


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1.0, 1e300])
def test_xi_is_equivariant_at_every_scale(scale: float) -> None:
    y = scale * torch.randn(50, 2, 3, dtype=torch.float64, generator=rng())
    h = SO3.random(50, generator=rng())
    assert_close(SO3.from_equivariant(h.act_equivariant(y)).matrix, (h @ SO3.from_equivariant(y)).matrix)


def test_gradients_flow_through_xi_and_action() -> None:
    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    generator = rng()
    check = torch.autograd.gradcheck
    assert check(lambda y, x: SO2.from_equivariant(y).act(x), (random(3, 2), random(3, 4, 2)))
    assert check(lambda y, x: SO3.from_equivariant(y).act(x), (random(3, 2, 3), random(3, 4, 3)))
    assert check(lambda y, x: Translation.from_equivariant(y).act(x), (random(3, 3), random(3, 4, 3)))
    assert check(
        lambda v, t, x: SE3.from_equivariant(RigidVectors(v, t)).inverse().act(x),
        (random(3, 2, 3), random(3, 3), random(3, 4, 3)),
    )
    assert check(
        lambda v, t, x: SE2.from_equivariant(RigidVectors(v, t)).act(x),
        (random(3, 2), random(3, 2), random(3, 4, 2)),
    )


def test_distance_of_equal_elements_has_a_finite_gradient() -> None:
    vectors = SO3.reference().clone().requires_grad_()
    translation = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    SE3.from_equivariant(RigidVectors(vectors, translation)).distance(SE3.identity()).backward()
    assert vectors.grad is not None
    assert translation.grad is not None
    assert bool(vectors.grad.isfinite().all() and translation.grad.isfinite().all())


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"SO3 matrix has shape \(2, 2\), expected"):
        SO3(torch.eye(2))
    with pytest.raises(ShapeError, match=r"y has shape \(3, 3\), expected \(\.\.\., 2, 3\)"):
        SO3.from_equivariant(torch.eye(3))
    with pytest.raises(ShapeError, match=r"x has shape \(4, 2\)"):
        SO3.identity().act(torch.zeros(4, 2))
    with pytest.raises(ShapeError, match=r"x has shape \(3,\)"):
        SO3.identity().act(torch.zeros(3))
    with pytest.raises(ShapeError, match="SE3 needs factors of one batch shape"):
        SE3(SO3.identity(5), Translation.identity())
    with pytest.raises(
        ShapeError, match=r"SE3 takes the factors \(SO3, Translation\), got \(SO2, Translation\)"
    ):
        SE3(SO2.identity(), Translation.identity())
    with pytest.raises(ShapeError, match=r"translation has shape \(2,\)"):
        SE3(SO3.identity(), Translation.identity(d=2))
    with pytest.raises(ShapeError, match=r"Translation vector has shape \(2,\)"):
        Translation.identity(d=3) @ Translation.identity(d=2)
