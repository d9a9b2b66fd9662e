"""Grids of voxels: rotations of a cube and any others, and coefficients."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.ball import Ball
from molgiae.experiments.grids import (
    DECAY,
    MARGIN,
    RADIUS,
    SIZE,
    Projection,
    eighths,
    nearness,
    quarter_turns,
    random_turns,
    rotated,
    turned,
    voxel_orders,
)
from molgiae.groups import SO3


class TestRotations:
    @pytest.fixture
    def grid(self):
        return torch.rand(24, 8, 8, 8, generator=torch.Generator().manual_seed(0))

    def test_there_are_24_and_they_are_closed(self):
        turns = quarter_turns().matrix
        products = (turns[:, None] @ turns[None]).flatten(0, 1)
        assert len(torch.unique(turns, dim=0)) == 24
        assert len(torch.unique(torch.cat([turns, products]), dim=0)) == 24
        assert_close(torch.det(turns), torch.ones(24, dtype=torch.float64))

    @pytest.mark.parametrize("size", [7, 8])
    def test_quarter_turns_are_exact(self, size):
        """Of the voxels, and of interpolation up to round-off."""
        grid = torch.rand(24, size, size, size, generator=torch.Generator().manual_seed(0))
        turns = quarter_turns()
        orders = voxel_orders(turns, size)
        assert_close(turned(grid, orders), rotated(turns, grid), atol=1e-5, rtol=0)
        about_z = next(
            k for k, m in enumerate(turns.matrix) if m.tolist() == [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
        )
        # x goes to y: what was at (i, j) is at (-j, i)
        assert torch.equal(turned(grid, orders)[about_z], torch.rot90(grid[about_z], k=1, dims=(0, 1)))

    def test_they_are_drawn_from_all(self):
        generator = torch.Generator().manual_seed(0)
        few, many = (random_turns(500, quarters, generator).matrix for quarters in (True, False))
        assert len(torch.unique(few, dim=0)) == 24
        assert len(torch.unique(many, dim=0)) == 500


class TestProjection:
    @pytest.fixture
    def grid(self):
        grid = torch.zeros(1, SIZE, SIZE, SIZE, dtype=torch.uint8)
        grid[:, 6:14, 8:24, 9:16] = 1
        grid[:, 14:20, 8:12, 9:22] = 1
        return grid

    def test_eighths(self, grid):
        assert eighths(grid).sum() == grid.sum()
        assert eighths(grid).view(1, 15, 15, 15)[0, 3, 4, 5] == 8

    def test_nearness_by_brute_force(self):
        grid = (torch.rand(3, 7, 7, 7, generator=torch.Generator().manual_seed(0)) > 0.95).to(torch.uint8)
        place = torch.cartesian_prod(*[torch.arange(7.0)] * 3)
        for shape, near in zip(grid, nearness(grid), strict=True):
            away = torch.cdist(place, place[shape.flatten().bool()]).amin(dim=1)
            assert_close(near.flatten(), (-away / DECAY).exp())

    def test_turned_voxels_have_the_coefficients_turned(self, grid):
        """Those of a cube to round-off, any others nearly."""
        project = Projection(Ball(RADIUS, 8.0), grid)
        x, turns = project(grid), quarter_turns()
        assert x.square().mean().item() == pytest.approx(1)
        quarters = project(turned(grid.expand(24, -1, -1, -1), voxel_orders(turns)))
        assert_close(quarters, project.ball.turned(turns, x.expand(24, -1)), atol=1e-5, rtol=0)
        g = SO3.random(3, generator=torch.Generator().manual_seed(1))
        expected = project.ball.turned(g, x.expand(3, -1))
        found = project.rotated(g, grid.expand(3, -1, -1, -1))
        assert ((found - expected).norm(dim=1) < 0.03 * x.norm()).all()
        assert ((expected - x).norm(dim=1) > 0.2 * x.norm()).all()

    def test_nearness_goes_on_outside_the_grid(self):
        """However shapes that reach its edge are turned, what is near belongs to them, in all of the ball."""
        grid = torch.zeros(1, SIZE, SIZE, SIZE, dtype=torch.uint8)
        grid[:, :, 10:14, 12:20] = 1
        field = Projection.field(grid)[0]
        edge = SIZE + 2 * MARGIN
        assert edge / 2 > RADIUS
        place = torch.cartesian_prod(*[torch.arange(float(edge))] * 3)
        away = torch.cdist(place, grid[0].nonzero() + float(MARGIN)).amin(dim=1)
        assert_close(field.flatten(), (-away / DECAY).exp(), atol=1e-5, rtol=0)

    def test_the_grid_of_coefficients_is_the_shape_blurred(self, grid):
        project = Projection(Ball(RADIUS, 12.0), grid)
        back = project.grid(project(grid))
        assert torch.corrcoef(torch.stack([back.flatten(), project.field(grid).flatten()]))[0, 1] > 0.95
