"""Grids of voxels: shapes of ModelNet10 as 30^3 of them, how rotations turn these, and their coefficients in a ball.

Coefficients are those of how near the next full voxel is: thin walls a voxel apart are alike then, as they are not as
functions of zero and one, and little of a wall is lost with high wave numbers.
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from molgiae.experiments.ball import Ball
from molgiae.groups import SO3

SIZE, MARGIN = 30, 7
"""Voxels along an edge of the grid, and added on every side, so that the ball is inside."""

REACH, RADIUS = 20.0, 21.5
"""Of shapes, and of the ball, in voxels from the middle."""

DECAY = 2.0
"""Voxels from the next full one after which `nearness` has fallen to 1 / e."""

POWER = 0.3
"""To which lengths of coefficients are raised: else large shapes are far from all others and small ones near to all."""

BATCH = 256


def eighths(grid: Tensor) -> Tensor:
    """Count the full voxels of each cube of eight, (M, SIZE, SIZE, SIZE) to (M, (SIZE / 2)^3) uint8."""
    half = SIZE // 2
    return grid.view(-1, half, 2, half, 2, half, 2).sum(dim=(2, 4, 6), dtype=torch.uint8).flatten(1)


def quarter_turns() -> SO3:
    """Return the 24 rotations of a cube."""
    signed = [
        torch.diag(torch.tensor(signs))[list(order)]
        for order in permutations(range(3))
        for signs in product((1.0, -1.0), repeat=3)
    ]
    return SO3(torch.stack([matrix for matrix in signed if torch.det(matrix) > 0]).double())


def voxel_orders(turns: SO3, size: int = SIZE) -> Tensor:
    """Return where each voxel of a turned grid comes from, (24, size^3) int64."""
    place = torch.arange(size) - (size - 1) / 2
    point = torch.cartesian_prod(place, place, place).double()
    x, y, z = (turns.inverse().act(point) + (size - 1) / 2).round().long().unbind(dim=-1)
    return (x * size + y) * size + z


def turned(grid: Tensor, orders: Tensor) -> Tensor:
    """Turn shapes (B, n, n, n), each by its own row of `orders` (B, n^3)."""
    return grid.flatten(1).gather(1, orders).view_as(grid)


def rotated(action: SO3, grid: Tensor) -> Tensor:
    """Turn shapes (B, n, n, n): the value at p is that of x at R^-1 p, linearly interpolated, 0 outside."""
    n = grid.shape[-1]
    matrix = action.matrix.to(grid.dtype)
    place = torch.linspace(-1, 1, n, dtype=grid.dtype)
    point = torch.cartesian_prod(place, place, place)
    # the first coordinate that grid_sample takes is that of the last axis
    source = (point @ matrix).flip(-1).view(len(grid), n, n, n, 3)
    return nn.functional.grid_sample(grid[:, None], source, align_corners=True)[:, 0]


def nearness(grid: Tensor) -> Tensor:
    """Map shapes (M, n, n, n) of full and empty voxels to exp(-d / `DECAY`), d voxels from the next full one."""
    away = [ndimage.distance_transform_edt(shape == 0) for shape in grid.numpy()]
    return torch.from_numpy(np.exp(-np.stack(away) / DECAY)).float()


def random_turns(number: int, quarters: bool, generator: torch.Generator) -> SO3:
    """Draw rotations, any or those of a cube."""
    if not quarters:
        return SO3.random(number, generator=generator)
    return SO3(quarter_turns().matrix[torch.randint(24, (number,), generator=generator)])


class Projection:
    """From voxels to coefficients of `nearness`, of the order of one, whose lengths are raised to `POWER`, and back."""

    def __init__(self, ball: Ball, grid: Tensor) -> None:
        self.ball, self.unit = ball, 1.0
        # in float32 sums over all voxels would depend on their order
        self.kernels = ball.kernels(SIZE + 2 * MARGIN).double()
        self.unit = self(grid[:BATCH]).square().mean().sqrt().item()

    def __call__(self, grid: Tensor) -> Tensor:
        """Map (M, SIZE, SIZE, SIZE) of zero and one to (M, N)."""
        return torch.cat([self._coefficients(self.field(part)) for part in grid.split(BATCH)])

    def rotated(self, action: SO3, grid: Tensor) -> Tensor:
        """Return the coefficients (M, N) of the same voxels if their field is turned by interpolation."""
        parts = [
            self._coefficients(rotated(SO3(matrix), self.field(part)))
            for matrix, part in zip(action.matrix.split(BATCH), grid.split(BATCH), strict=True)
        ]
        return torch.cat(parts)

    @staticmethod
    def field(grid: Tensor) -> Tensor:
        """Return the nearness (M, n, n, n) of voxels (M, SIZE, SIZE, SIZE) in all of the ball, n = SIZE + 2 MARGIN."""
        return nearness(nn.functional.pad(grid, (MARGIN,) * 6))

    def _coefficients(self, field: Tensor) -> Tensor:
        return _stretched((field.flatten(1).double() @ self.kernels).float(), POWER) / self.unit

    def plain(self, coefficients: Tensor) -> Tensor:
        """Return coefficients (M, N) as those of nearness itself, on the CPU."""
        return _stretched(coefficients.cpu() * self.unit, 1 / POWER)

    def grid(self, coefficients: Tensor) -> Tensor:
        """Map (M, N) to nearness (M, n, n, n), as `field` does."""
        return (self.plain(coefficients) @ self.kernels.mT.float()).unflatten(1, (SIZE + 2 * MARGIN,) * 3)


def _stretched(vector: Tensor, power: float) -> Tensor:
    """Return vectors (M, N) whose lengths are raised to a power."""
    return vector * vector.norm(dim=1, keepdim=True).clamp(min=1e-12) ** (power - 1)
