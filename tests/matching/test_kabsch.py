"""Rotations against scipy; overlaps and falls against singular values, where Newton's steps are at their worst, too."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from molgiae.matching.kabsch import MIN_FALL, best_rotation, kabsch, rmsd

COUNT = 3000


def best_rotations(c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlaps (N,), rotations (9, N) and falls (N,) of covariances (9, N)."""
    rotation = np.empty((c.shape[1], 9))
    found = [best_rotation(np.ascontiguousarray(row), turn) for row, turn in zip(c.T, rotation, strict=True)]
    return np.array([a for a, _ in found]), rotation.T, np.array([b for _, b in found])


def _near(rng: np.random.Generator) -> np.ndarray:
    """(COUNT,) numbers that differ from 1 by a tenth down to nothing."""
    return 1 + 10 ** rng.uniform(-17, -1, COUNT) * rng.choice([-1, 0, 1], COUNT)


SPECTRA = {
    "any": lambda a, b, near, sign: (a, b, a * b * sign),
    "planar": lambda a, b, near, sign: (a, b, 0 * a),
    "nearly planar": lambda a, b, near, sign: (a, b, (near() - 1) * sign),
    "linear": lambda a, b, near, sign: (a, 0 * a, 0 * a),
    "nearly linear": lambda a, b, near, sign: (a, near() - 1, (near() - 1) * sign),
    "two alike": lambda a, b, near, sign: (a, a * near(), b * sign),
    "last two alike": lambda a, b, near, sign: (a, b, b * near() * sign),
    "all alike": lambda a, b, near, sign: (a, a * near(), a * near() * sign),
    "nothing": lambda a, b, near, sign: (0 * a, 0 * a, 0 * a),
}
"""Singular values, the third with the sign of the determinant: -1 where one is nearer to a mirror image."""


def signed(c: np.ndarray) -> np.ndarray:
    """(N, 3) singular values of (9, N), the least with the sign of the determinant."""
    m = c.T.reshape(-1, 3, 3)
    u, value, v = np.linalg.svd(m)
    value[:, 2] *= np.sign(np.linalg.det(u @ v))
    return value


def covariances(kind: str, sign: float, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.2, 3, (2, COUNT))
    value = np.stack(SPECTRA[kind](a, b, lambda: _near(rng), sign), axis=1)
    u, v = (Rotation.random(COUNT, random_state=seed).as_matrix() for seed in (1, 2))
    return scale * ((u * value[:, None]) @ v).reshape(COUNT, 9).T


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("kind", SPECTRA)
def test_overlaps_rotations_and_falls_are_those_of_singular_values(kind, sign, scale):
    c = covariances(kind, sign, scale)
    value = signed(c)
    expected, size = value.sum(axis=1), np.linalg.norm(value, axis=1) + 1e-300
    overlap, rotation, fall = best_rotations(c)
    assert np.abs((overlap - expected) / size).max() < 1e-12
    attained = np.einsum("kn,kn->n", rotation, c)
    assert np.abs((attained - expected) / size).max() < 1e-10
    matrices = rotation.T.reshape(-1, 3, 3)
    assert_allclose(np.linalg.det(matrices), 1.0, atol=1e-8)
    assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), (COUNT, 3, 3)), atol=1e-8
    )
    exact = 2 * (value[:, 1] + value[:, 2])
    assert (fall <= exact + 1e-11 * size).all(), (
        "a fall that is too steep excludes rotations that may be the best"
    )
    assert (fall[exact > 10 * MIN_FALL * size] > 0).all()
    if kind == "planar":
        assert_allclose(fall / exact, 1.0, atol=0.2)  # close enough to be of use


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("kind", SPECTRA)
def test_turning_away_from_the_best_rotation_costs_at_least_the_fall(kind, sign):
    """The law that the bounds of the search rest on, for turns by any angle about any axis, the worst among them."""
    c = covariances(kind, sign)
    overlap, rotation, fall = best_rotations(c)
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, np.pi, COUNT)
    own = np.linalg.svd(c.T.reshape(-1, 3, 3))[0]
    any_axis = rng.normal(size=(COUNT, 3))
    any_axis /= np.linalg.norm(any_axis, axis=1, keepdims=True)
    for axis in (any_axis, *np.moveaxis(own, 2, 0)):
        turned = Rotation.from_rotvec(angle[:, None] * axis).as_matrix() @ rotation.T.reshape(-1, 3, 3)
        reached = np.einsum("nij,nij->n", turned, c.T.reshape(-1, 3, 3))
        assert (reached <= overlap - fall * np.sin(angle / 2) ** 2 + 1e-9).all()


@pytest.mark.parametrize("flat", [(1, 1, 1), (1, 1, 0), (1, 0, 0), (1, 1, 1e-9)])
@pytest.mark.parametrize("mirror", [1, -1])
def test_kabsch_agrees_with_overlaps_whatever_the_shape(flat, mirror):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 200, 5, 3)) * np.array(flat)
    y[100:] = mirror * x[100:]
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    overlap = best_rotations(np.einsum("nki,nkj->ijn", x, y).reshape(9, -1))[0]
    square = (np.square(x) + np.square(y)).sum(axis=(1, 2)) - 2 * overlap
    assert_allclose(kabsch(x, y)[2] ** 2, np.maximum(square, 0) / 5, atol=1e-12)


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3)) * 2


@pytest.mark.parametrize("seed", range(5))
def test_kabsch_agrees_with_scipy(seed):
    reference, probe = points(9, seed), points(9, seed + 100) + 5
    rotation, translation, distance = kabsch(reference, probe)
    centered = reference - reference.mean(axis=0), probe - probe.mean(axis=0)
    expected, root = Rotation.align_vectors(*centered)
    assert_allclose(rotation, expected.as_matrix(), atol=1e-9)
    assert_allclose(distance, root / 3)
    assert_allclose(distance, rmsd(reference, probe @ rotation.T + translation))


@pytest.mark.parametrize(
    "reference",
    [
        points(6, 0),
        points(6, 0) * [1, 1, 0],
        points(6, 0) * [1, 0, 0],
        points(2, 0),
        points(1, 0),
        np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
    ],
    ids=["any", "plane", "line", "two", "one", "tetrahedron"],
)
def test_rotations_are_proper_for_mirror_images(reference):
    for probe in (reference, reference * [1, 1, -1], -reference):
        rotation, _, distance = kabsch(reference, probe)
        assert_allclose(np.linalg.det(rotation), 1.0)
        assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.isfinite(distance)


def test_a_mirror_image_is_not_superposed():
    reference = points(6, 0)
    assert kabsch(reference, reference * [1, 1, -1])[2] > 0.5
    assert kabsch(reference, reference @ Rotation.random(random_state=0).as_matrix())[2] < 1e-9
