"""Pictures that rotate: random rotations, distances over all of them, shared poses, and how an autoencoder follows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molgiae.experiments.autoencoders import ActingAutoencoder, relative_change
from molgiae.experiments.steerable2d import DiscHarmonics, best_turn, turned
from molgiae.experiments.synchronization import settled, synchronize
from molgiae.groups import SO2
from molgiae.parallel.progress import progress_bar

ROTATIONS = 36
"""That are tried between two pictures, a multiple of 10 degrees each."""

ORDERS = 8
"""Of the harmonics by which pictures of half as many pixels along an edge are compared."""

BLOCK = 16
"""Pictures that are compared with all others at once."""

MIN_WEIGHT = 1e-6
"""Of a match, and least distance to which others are compared: copies are at none."""


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
def matches(
    picture: Tensor, known: int, number: int, progress: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each picture (N, n, n) so many of the first `known` that come nearest when rotated, and how.

    Returns:
        * (N, number) int64, which they are, the nearest first and never the picture itself;
        * (N, number) radians: rotated by so much they are nearest;
        * (N, number) square distances then, without unit.
    """
    small = nn.functional.avg_pool2d(picture, 2)
    disc = DiscHarmonics(small.shape[-1], small.shape[-1] // 2, ORDERS).to(picture.device)
    products, other = disc.products(small), disc(small)
    square = (products * other).sum(dim=(1, 2, 3))
    resolved = disc.synthesis.any(dim=1)
    flat = other[:known].flatten(1)[:, resolved]
    place = torch.arange(len(picture), device=picture.device)
    angle = torch.arange(ROTATIONS, device=picture.device) * (2 * math.pi / ROTATIONS)
    # made before: small ones that stay, among large ones that go, would keep the memory of all of these
    nearest = torch.empty(len(picture), number, dtype=torch.int64, device=picture.device)
    turn, near = (torch.empty_like(nearest, dtype=picture.dtype) for _ in range(2))
    for own in progress_bar(place.split(BLOCK), desc="matches", show=progress, leave=False):
        back = turned(products[own].repeat_interleave(ROTATIONS, dim=0), -angle.repeat(len(own)))
        overlap = back.flatten(1)[:, resolved] @ flat.mT
        best, which = overlap.unflatten(0, (-1, ROTATIONS)).max(dim=1)
        distance = (square[own, None] + square[:known] - 2 * best).clamp(min=0)
        distance[own[:, None] == place[:known]] = math.inf
        near[own], nearest[own] = distance.topk(number, largest=False)
        turn[own] = angle[which.gather(1, nearest[own])]
    return nearest, turn, near


def canonical_angles(picture: Tensor, known: int, number: int, seed: int, progress: bool = False) -> Tensor:
    """Return how far pictures (N, n, n) are rotated from a pose that those which come near one another share.

    They are rotated at random before, so that nothing is learned from how they lie. Edges of `synchronize` are the
    `matches`, trusted by their distance over that of the last match at both ends (Zelnik-Manor and Perona, Self-tuning
    spectral clustering, NeurIPS 2004).

    Returns:
        (N,) float32, radians, on the CPU.
    """
    by = random_angles(len(picture), torch.Generator().manual_seed(seed))
    found = matches(rotated(picture, by.to(picture.device)), known, number, progress)
    nearest, turn, square = (part.cpu() for part in found)
    edge = torch.stack([torch.arange(len(nearest)).repeat_interleave(number), nearest.flatten()])
    last = square[:, -1].sqrt().clamp(min=MIN_WEIGHT)
    weight = torch.exp(-square.flatten() / last[edge].prod(dim=0)).clamp(min=MIN_WEIGHT)
    relative = SO2.from_angle(turn.flatten()).matrix
    begun = synchronize(len(nearest), edge, relative, weight)
    return SO2(settled(begun, edge, relative, weight)).angle.float() - by


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
