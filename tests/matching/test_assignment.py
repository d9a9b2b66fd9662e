"""Superposition against scipy and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from molgiae.matching import assign, kabsch, principal_starts, rmsd, superpose
from tests.conformers import mirrored, moved, random_conformer


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


@pytest.mark.parametrize("seed", range(10))
def test_assignment_is_the_best_of_all_within_elements(seed):
    rng = np.random.default_rng(seed)
    z, reference, probe = rng.choice([1, 6], 6), points(6, seed), points(6, seed + 100)
    order = rng.permutation(6)
    z_probe = z[order]
    found = assign(z, reference, z_probe, probe)
    assert_array_equal(z_probe[found], z)
    allowed = [np.array(p) for p in itertools.permutations(range(6)) if (z_probe[list(p)] == z).all()]
    assert_allclose(rmsd(reference, probe[found]), min(rmsd(reference, probe[p]) for p in allowed))


def test_assignment_never_crosses_elements():
    """The nearest atom is one of another element."""
    reference = np.array([[0.0, 0, 0], [5.0, 0, 0]])
    assert assign(np.array([1, 8]), reference, np.array([8, 1]), reference).tolist() == [1, 0]


@pytest.mark.parametrize("seed", range(10))
def test_principal_starts_are_proper_and_bring_axes_onto_axes(seed):
    reference, probe = points(8, seed), points(8, seed + 100) + 3
    starts = principal_starts(reference, probe)
    assert len({np.round(r, 6).tobytes() for r, _ in starts}) == 4
    target = np.cov(reference.T, bias=True)
    for rotation, translation in starts:
        assert_allclose(np.linalg.det(rotation), 1.0)
        turned = probe @ rotation.T + translation
        assert_allclose(turned.mean(axis=0), reference.mean(axis=0), atol=1e-9)
        axes = np.linalg.eigh(target)[1]
        diagonal = axes.T @ np.cov(turned.T, bias=True) @ axes
        assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 12])
@pytest.mark.parametrize("seed", range(5))
def test_copies_are_found_from_principal_axes(n, seed):
    c = random_conformer(n, seed)
    copy = moved(c, seed + 1)
    found = superpose(
        c.atomic_number,
        c.position,
        copy.atomic_number,
        copy.position,
        principal_starts(c.position, copy.position),
    )
    assert found.rmsd < 1e-7
    assert_allclose(np.linalg.det(found.rotation), 1.0)
    assert_array_equal(copy.atomic_number[found.order], c.atomic_number)
    assert_allclose(copy.position[found.order] @ found.rotation.T + found.translation, c.position, atol=1e-6)


def test_superposition_refines_a_poor_start_and_keeps_the_best():
    c = random_conformer(8, 0)
    turned = Rotation.from_rotvec([0.25, -0.1, 0.2]).apply(c.position)
    poor = (np.eye(3), np.zeros(3))
    worst = (Rotation.from_rotvec([0, 3.0, 0]).as_matrix(), np.zeros(3))
    z = c.atomic_number
    assert rmsd(c.position, turned) > 0.1
    assert superpose(z, c.position, z, turned, [poor]).rmsd < 1e-9
    assert superpose(z, c.position, z, turned, [worst, poor, worst]).rmsd < 1e-9


def test_rounds_go_on_until_nothing_changes():
    """The order is the best one for the motion, and the motion the best one for the order."""
    changed = 0
    for seed in range(20):
        z, reference, probe = np.ones(10, dtype=np.int64), points(10, seed), points(10, seed + 100)
        found = superpose(z, reference, z, probe, [(np.eye(3), np.zeros(3))])
        turned = probe @ found.rotation.T + found.translation
        assert_array_equal(assign(z, reference, z, turned), found.order)
        assert_allclose(kabsch(reference, probe[found.order])[2], found.rmsd)
        changed += not np.array_equal(assign(z, reference, z, probe), found.order)
    assert changed > 5


def test_mirror_images_of_chiral_conformers_stay_apart():
    c = random_conformer(10, 4)
    image = mirrored(c)
    z = c.atomic_number
    found = superpose(z, c.position, z, image.position, principal_starts(c.position, image.position))
    assert found.rmsd > 0.1
    assert_allclose(np.linalg.det(found.rotation), 1.0)
