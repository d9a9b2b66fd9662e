"""Pictures that rotate: random rotations, distances over all of them, and how an autoencoder follows them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.experiments.autoencoders import ActingAutoencoder, relative_change
from molgiae.experiments.steerable2d import DiscHarmonics, best_turn, turned
from molgiae.groups import SO2


def random_angles(number: int, generator: torch.Generator) -> Tensor:
    """Draw angles (number,), radians."""
    return 2 * math.pi * torch.rand(number, generator=generator)


def rotated(picture: Tensor, angle: Tensor) -> Tensor:
    """Rotate pictures (B, n, n) by angles (B,), radians, counter-clockwise; bicubic, black from outside."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # rows point down
    back = torch.stack([torch.stack([cos, -sin, zero], dim=1), torch.stack([sin, cos, zero], dim=1)], dim=1)
    grid = nn.functional.affine_grid(back, [len(picture), 1, *picture.shape[1:]], align_corners=False)
    found = nn.functional.grid_sample(picture[:, None], grid, mode="bicubic", align_corners=False)
    return found[:, 0].clamp(0, 1)


def distance_of_digits(disc: DiscHarmonics, first: Tensor, second: Tensor) -> Tensor:
    """Return min over rotations g of |x - g x'|, (B,), of pictures (B, n, n), by steps of one degree."""
    products, other = disc.products(first), disc(second)
    nearest = disc.picture(turned(other, best_turn(products, other, 360)))
    return (first - nearest).flatten(1).norm(dim=1)


@torch.no_grad()
def symmetry(
    model: ActingAutoencoder[SO2], disc: DiscHarmonics, picture: Tensor, angle: Tensor, device: str
) -> dict[str, float]:
    """Measure how embedding and group action follow rotations by a quarter, which the grid stands, and by any angle."""
    before = model.encode(disc(picture.to(device)))

    def compared(moved: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
        after = model.encode(disc(moved.to(device)))
        expected = SO2.from_angle(by.to(device)) @ before.action
        change = relative_change(after.embedding, before.embedding)
        return change, torch.rad2deg(after.action.distance(expected))

    quarter = compared(torch.rot90(picture, 1, (1, 2)), torch.full_like(angle, math.pi / 2))
    any_angle = compared(rotated(picture, angle), angle)
    return {
        "embedding_change_quarter_max": quarter[0].max().item(),
        "action_error_quarter_max_degrees": quarter[1].max().item(),
        "embedding_change_any_median": any_angle[0].median().item(),
        "action_error_any_median_degrees": any_angle[1].median().item(),
        "action_error_any_p90_degrees": any_angle[1].quantile(0.9).item(),
    }
