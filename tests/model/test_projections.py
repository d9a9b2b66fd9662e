"""Invariant projections: invariance, what the complete ones separate and the others do not, distances of orbits."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from molgiae.errors import ConfigError, ShapeError
from molgiae.groups import SO2, SO3, Permutation
from molgiae.model.projections import PROJECTIONS, aligned, orbit_distance, project

CASES = [(name, group) for name, row in PROJECTIONS.items() for group in row.groups]
SHAPES = {SO2: (5, 2), SO3: (5, 3), Permutation: (5, 2)}
POINTS_COMPLETE = ("lexicographic", "sorted-products", "max-filter", "voronoi")
ROTATION_COMPLETE = [("gram", SO2), ("gram", SO3), ("max-filter", SO2), ("max-filter", SO3), ("voronoi", SO3)]


def latents(group, number=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, *SHAPES[group], dtype=torch.float64, generator=generator)


def moved(z, group, seed=1):
    return group.random(len(z), n=z.shape[1], generator=torch.Generator().manual_seed(seed)).act(z)


def mirrored(z):
    return z * z.new_tensor([*[1.0] * (z.shape[-1] - 1), -1.0])


def gap(name, first, second, group):
    return (project(name, first, group) - project(name, second, group)).norm(dim=1)


@pytest.mark.parametrize(("name", "group"), CASES)
def test_invariant(name, group):
    z = latents(group)
    assert gap(name, z, moved(z, group), group).max() < 1e-9


@pytest.mark.parametrize(("name", "group"), CASES)
def test_the_test_of_invariance_can_fail(name, group):
    """Other latents lie elsewhere."""
    z = latents(group)
    assert gap(name, z, latents(group, seed=5), group).min() > 1e-3


@pytest.mark.parametrize("group", SHAPES)
def test_distance_of_orbits_is_the_least_of_many(group):
    first, second = latents(group, 6), latents(group, 6, seed=3)
    found = orbit_distance(first, second, group)
    if group is Permutation:
        every = [Permutation(torch.tensor(order)[None]) for order in permutations(range(5))]
        images = torch.stack([g.act(second) for g in every])
        expected = (first - images).flatten(2).norm(dim=2).amin(dim=0)
        torch.testing.assert_close(found, expected)
    else:
        g = group.random(20_000, 1, generator=torch.Generator().manual_seed(4))
        images = (first - g.act(second)).flatten(2).norm(dim=2).amin(dim=0)
        assert (images > found - 1e-12).all()
        assert (images - found).max() < 0.05
    assert orbit_distance(first, moved(first, group), group).max() < 1e-6


@pytest.mark.parametrize("group", SHAPES)
def test_aligned_is_at_the_distance_of_orbits(group):
    first, second = latents(group), latents(group, seed=3)
    apart = (first - aligned(first, second, group)).flatten(1).norm(dim=1)
    torch.testing.assert_close(apart, orbit_distance(first, second, group))


class TestSeparation:
    @pytest.mark.parametrize(("name", "group"), ROTATION_COMPLETE)
    def test_complete_ones_tell_mirror_images_apart(self, name, group):
        z = latents(group)
        assert (gap(name, z, mirrored(z), group) / orbit_distance(z, mirrored(z), group)).min() > 1e-3

    @pytest.mark.parametrize(("name", "group"), ROTATION_COMPLETE)
    def test_even_where_only_the_last_vectors_span_space(self, name, group):
        z = latents(group)
        z[:, : 5 - group.dimension] = 0
        assert (gap(name, z, mirrored(z), group) / orbit_distance(z, mirrored(z), group)).min() > 1e-4

    @pytest.mark.parametrize(("name", "group"), ROTATION_COMPLETE)
    def test_mirror_images_of_flat_ones_are_the_same(self, name, group):
        z = latents(group)
        z[..., -1] = 0
        assert gap(name, z, mirrored(z), group).max() < 1e-9

    def test_scalar_products_alone_would_not(self):
        z = latents(SO3)
        products = project("gram", z, SO3)[:, :15] - project("gram", mirrored(z), SO3)[:, :15]
        assert products.abs().max() < 1e-12

    def test_norms_forget_angles(self):
        z = latents(SO2)
        turned = z.clone()
        turned[:, :1] = moved(z, SO2)[:, :1]
        assert orbit_distance(z, turned, SO2).median() > 0.5
        assert gap("norms", z, turned, SO2).max() < 1e-12
        assert gap("norms-angles", z, turned, SO2).median() > 0.5

    def test_angles_forget_lengths(self):
        z = latents(SO3)
        longer = z * torch.linspace(1, 2, 5)[:, None]
        assert gap("angles", z, longer, SO3).max() < 1e-12
        assert orbit_distance(z, longer, SO3).min() > 0.1

    def test_norms_and_angles_are_complete_in_the_plane_and_not_in_space(self):
        """Turning one vector about the first changes its angles to the others only."""
        z = latents(SO3)
        z[:, 0] = z.new_tensor([0.0, 0.0, 1.0])
        turned = z.clone()
        turned[:, 1] *= z.new_tensor([-1.0, -1.0, 1.0])
        assert gap("norms-angles", z, turned, SO3).max() < 1e-12
        assert gap("gram", z, turned, SO3).median() > 0.5
        flat = latents(SO2)
        assert gap("norms-angles", flat, mirrored(flat), SO2).min() > 0.1

    def test_sorting_is_an_isometry_for_one_feature(self):
        first, second = latents(Permutation)[..., :1], latents(Permutation, seed=3)[..., :1]
        found = gap("sorting", first, second, Permutation)
        torch.testing.assert_close(found, orbit_distance(first, second, Permutation))

    def test_sorting_forgets_which_features_belong_together(self):
        z = latents(Permutation)
        other = torch.stack([z[..., 0], z[..., 1].roll(1, dims=1)], dim=-1)
        assert gap("sorting", z, other, Permutation).max() == 0
        assert orbit_distance(z, other, Permutation).median() > 0.5
        for name in POINTS_COMPLETE:
            assert gap(name, z, other, Permutation).min() > 1e-3
            assert gap(name, z, other, Permutation).median() > 0.1

    def test_moments_forget_a_rotation_among_points(self):
        """One that keeps their sum."""
        z = latents(Permutation)
        basis = torch.linalg.qr(torch.cat([torch.ones(5, 1), torch.eye(5)[:, :4]], dim=1).double()).Q
        turn = torch.eye(5, dtype=torch.float64)
        turn[1:3, 1:3] = turn.new_tensor([[0.6, -0.8], [0.8, 0.6]])
        other = basis @ turn @ basis.mT @ z
        assert gap("moments", z, other, Permutation).max() < 1e-12
        assert orbit_distance(z, other, Permutation).median() > 0.5
        for name in POINTS_COMPLETE:
            assert gap(name, z, other, Permutation).min() > 1e-3

    def test_equal_first_features_are_ordered_by_the_next(self):
        z = latents(Permutation)
        z[..., 0] = z[..., 0].sign()
        assert gap("lexicographic", z, moved(z, Permutation), Permutation).max() == 0

    @pytest.mark.parametrize(
        ("name", "group"),
        [*(("max-filter", group) for group in SHAPES), ("sorted-products", Permutation)],
    )
    def test_overlaps_are_lipschitz(self, name, group):
        """Each by 1, since templates have unit length."""
        first, second = latents(group), latents(group, seed=3)
        change = (project(name, first, group) - project(name, second, group)).abs()
        assert (change.amax(dim=1) <= orbit_distance(first, second, group) + 1e-9).all()

    @pytest.mark.parametrize(
        ("name", "group"), [*(("voronoi", group) for group in SHAPES), ("lexicographic", Permutation)]
    )
    def test_no_cross_section_brings_orbits_nearer(self, name, group):
        first, second = latents(group), latents(group, seed=3)
        assert (gap(name, first, second, group) >= orbit_distance(first, second, group) - 1e-9).all()


def test_the_same_whatever_was_drawn_before():
    z = latents(SO3)
    before = project("max-filter", z, SO3)
    torch.manual_seed(5)
    np.random.seed(5)
    torch.randn(3)
    assert torch.equal(before, project("max-filter", z, SO3))


@pytest.mark.parametrize("name", ["gram", "max-filter", "voronoi", "norms"])
def test_one_vector_and_zero(name):
    assert torch.isfinite(project(name, torch.zeros(2, 1, 3), SO3)).all()
    assert torch.isfinite(project(name, torch.zeros(2, 4, 2), SO2)).all()


def test_mistakes():
    with pytest.raises(ConfigError, match="there are sorting, moments"):
        project("nothing", latents(SO3), SO3)
    with pytest.raises(ConfigError, match="not for SO3; use one of norms, angles"):
        project("sorting", latents(SO3), SO3)
    with pytest.raises(ShapeError, match=r"expected \(B, V, 3\)"):
        project("gram", latents(SO2), SO3)
