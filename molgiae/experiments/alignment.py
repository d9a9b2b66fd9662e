"""Rotations of shapes that agree with those which lay alike ones onto one another; nothing else is asked of them.

Shapes are coefficients of functions in a ball (`ball`). For each the nearest others are looked for, over all rotations;
`synchronization` makes one rotation for each shape of those between pairs. A shape with a symmetry is near in several
rotations, of which one is found by chance: pairs that disagree count little in the end.
"""

from __future__ import annotations

from copy import deepcopy
from math import pi

import torch
from torch import Tensor

from molgiae.experiments.ball import Ball, Wigner
from molgiae.experiments.grids import quarter_turns
from molgiae.experiments.synchronization import settled, synchronize
from molgiae.groups import SO3

CANDIDATES, NEAREST = 30, 20
"""Shapes that are compared with each, alike in what rotations leave alone, and how many of them are kept."""

ORDERS = 6
"""Highest order of the harmonics that are looked at to find rotations."""

COARSE = 2400
"""Rotations that are tried between two shapes, some 20 degrees apart; a multiple of 24."""

FINE, FARTHEST = 3, 0.25
"""Steps along an axis of a grid of finer ones about the best of them, and the largest angle, radians."""

PAIRS = 1024
"""That are compared at once."""

VOTERS = 10
"""Training shapes that say how another one is rotated."""

YIELDING = 0.2
"""By how much farther, of the squared typical distance, a voter counts less by a factor of e."""

STEPS, DAMPING = 3, 1e-3
"""Of Gauss and Newton at the end, and of their matrix, about axes of which rotations change little."""


def spread_rotations(number: int) -> Tensor:
    """Return evenly spread rotations (K, 3, 3) float64: a spiral of quaternions (Alexa, CVPR 2022)."""
    place = torch.arange(number, dtype=torch.float64) + 0.5
    share, turn = place / number, 2 * pi * place
    # the second number solves psi^4 = psi + 4
    first, second = turn / 2**0.5, turn / 1.533751168755204288
    r, s = share.sqrt(), (1 - share).sqrt()
    real, axis = r * first.sin(), torch.stack([r * first.cos(), s * second.sin(), s * second.cos()], dim=1)
    outer, real = 2 * axis[:, :, None] * axis[:, None, :], real[:, None, None]
    return (2 * real**2 - 1) * torch.eye(3, dtype=torch.float64) + outer + 2 * real * _cross(axis)


def fine_rotations() -> Tensor:
    """Return rotations (K, 3, 3) float64 by little angles about any axis."""
    step = torch.linspace(-FARTHEST, FARTHEST, 2 * FINE + 1, dtype=torch.float64)
    angles = torch.cartesian_prod(step, step, step)
    return torch.matrix_exp(_cross(angles[angles.norm(dim=1) < 1.01 * FARTHEST]))


def _cross(vector: Tensor) -> Tensor:
    """Return matrices (K, 3, 3) that multiply by vectors (K, 3) from the left, as cross products."""
    return torch.linalg.cross(vector[:, None], torch.eye(3, dtype=vector.dtype)[None]).mT


class Overlaps:
    """Inner products of shapes, one of each pair rotated by each of a table of rotations, by orders 1 to L."""

    def __init__(self, ball: Ball, rotations: Tensor, highest: int) -> None:
        self.rotations = rotations
        self.wigner = ball.wigner(rotations.float())[1 : highest + 1]
        self.table = torch.cat([matrix.flatten(1) for matrix in self.wigner], dim=1).mT.contiguous()

    def best(self, first: list[Tensor], second: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the largest overlap with the second ones rotated, (B,), and which rotation it takes, (B,)."""
        products = [(a.mT @ b).flatten(1) for a, b in zip(first, second, strict=True)]
        return (torch.cat(products, dim=1) @ self.table).max(dim=1)

    def rotated(self, parts: list[Tensor], chosen: Tensor) -> list[Tensor]:
        """Return the coefficients of each order rotated, each shape by its own of the rotations."""
        return [part @ matrix[chosen].mT for part, matrix in zip(parts, self.wigner, strict=True)]


def signatures(ball: Ball, x: Tensor) -> Tensor:
    """Return numbers that rotations leave alone, (M, F): roots of the inner products of radial functions."""
    products = torch.cat([(part @ part.mT).flatten(1) for part in ball.parts(x)], dim=1)
    return products.sign() * products.abs().sqrt()


class Comparison:
    """Shapes that others are compared with, (M, N): which come nearest, and how they are rotated then.

    The rotations that are tried are a group's, of a cube, times a few: shapes turned by one of these are found rotated
    by the same one, and others as nearly as the finest grid is.
    """

    def __init__(self, ball: Ball, shapes: Tensor) -> None:
        self.ball, self.shapes = ball, shapes
        self.wigner = Wigner(min(ORDERS, ball.highest)).float()
        self.signatures = signatures(ball, shapes)
        cube = quarter_turns().matrix[:, None] @ spread_rotations(COARSE // 24)
        self.coarse, self.fine = (
            Overlaps(ball, turns, ORDERS) for turns in (cube.flatten(0, 1), fine_rotations())
        )

    def alike(self, x: Tensor) -> Tensor:
        """Return the places of the shapes most like x (B, N) in what rotations leave alone, (B, K) int64."""
        number = min(CANDIDATES, len(self.shapes))
        return torch.cdist(signatures(self.ball, x), self.signatures).topk(number, largest=False).indices

    def laid(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Return rotations Q (P, 3, 3) float64 as x (P, N) is nearest to shapes rotated by Q, and `distances` (P,)."""
        parts = [(a, b) for a, b in zip(x.split(PAIRS), place.split(PAIRS), strict=True)]
        turns, found = zip(*(self._laid(a, self.shapes[b]) for a, b in parts), strict=True)
        return torch.cat(turns), torch.cat(found)

    def squares(self, x: Tensor, turn: Tensor, others: Tensor) -> Tensor:
        """Return squared distances (B, K, J) of x (B, N), rotated by inverses of (B, K, 3, 3), to others (B, J, N)."""
        first = self.ball.parts(x)[: ORDERS + 1]
        second = [
            part.unflatten(0, others.shape[:2])
            for part in self.ball.parts(others.flatten(0, 1))[: ORDERS + 1]
        ]
        lying = [a[:, None] @ d for a, d in zip(first, self.wigner(turn.to(x.dtype)), strict=True)]
        a, b = (torch.cat([part.flatten(-2) for part in parts], dim=-1) for parts in (lying, second))
        return torch.cdist(a, b).square() / (a.norm(dim=2)[:, :, None] * b.norm(dim=2)[:, None])

    def _laid(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (self.ball.parts(each)[: ORDERS + 1] for each in (x, y))
        chosen = self.coarse.best(first[1:], second[1:])[1]
        overlap, closer = self.fine.best(first[1:], self.coarse.rotated(second[1:], chosen))
        overlap = overlap + (first[0] * second[0]).sum(dim=(1, 2))
        a, b = (
            torch.cat([part.flatten(1) for part in parts], dim=1).square().sum(1) for parts in (first, second)
        )
        square = (a + b - 2 * overlap).clamp(min=0) / (a * b).sqrt()
        return self.fine.rotations[closer] @ self.coarse.rotations[chosen], square.sqrt()


@torch.no_grad()
def neighbours(ball: Ball, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find shapes (M, N) that come near one another when rotated.

    Returns:
        * (2, E) int64, pairs i and j, each once;
        * (E, 3, 3) float64, Q as x_i is nearest to x_j rotated by Q;
        * (E,) how far they are from one another then, over the root of the product of their lengths.
    """
    number, comparison = len(x), Comparison(ball, x)
    # all are most like themselves
    pair = _pairs(comparison.alike(x))
    turn, distance = comparison.laid(x[pair[0]], pair[1])
    apart = torch.full((number, number), torch.inf)
    apart[pair[0], pair[1]] = apart[pair[1], pair[0]] = distance
    kept = _pairs(apart.topk(min(NEAREST, number - 1), largest=False).indices)
    where = torch.isin(pair[0] * number + pair[1], kept[0] * number + kept[1])
    return pair[:, where], turn[where], distance[where]


def _pairs(near: Tensor) -> Tensor:
    """Return the pairs (2, E), the lower number first, of different things that are near, (M, K), each of M."""
    own = torch.arange(len(near))[:, None].expand_as(near)
    pair = torch.stack([torch.minimum(own, near).flatten(), torch.maximum(own, near).flatten()])
    return torch.unique(pair[:, pair[0] != pair[1]], dim=1)


def weights(distance: Tensor, typical: Tensor) -> Tensor:
    """Return how much pairs count, in (0, 1]."""
    return (-2 * (distance / typical) ** 2).exp()


@torch.no_grad()
def agreed(ball: Ball, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotations R (M, 3, 3) float64 of shapes (M, N): rotated by their inverses they lie alike.

    Returned is also the typical distance of two `neighbours`.
    """
    edge, turn, distance = neighbours(ball, x)
    typical = distance.median()
    weight = weights(distance, typical).double()
    return settled(synchronize(len(x), edge, turn, weight), edge, turn, weight), typical


class Aligner:
    """Mu, which is not trained: a shape is rotated as those training shapes that it comes nearest to, which agree.

    The nearest ones may say different things, where their symmetries are not those of the shape. What is taken is what
    makes the shape lie near most of them, and then the rotation that lays it onto their mean: a shape with a symmetry
    comes to lie the same, whichever of its rotations it is.

    Args:
        ball: whose coefficients they are.
        x: (M, N) training shapes, turned anyhow.
    """

    def __init__(self, ball: Ball, x: Tensor) -> None:
        # a ball of its own, which stays on the CPU
        self.ball = deepcopy(ball).cpu()
        rotations, self.typical = agreed(self.ball, x.cpu())
        self.forms = self.ball.turned(SO3(rotations.mT), x.cpu())
        self.comparison = Comparison(self.ball, self.forms)

    @torch.no_grad()
    def __call__(self, given: Tensor) -> Tensor:
        """Map (B, N) to mu, the first two axes as they are rotated, (B, 2, 3) float64."""
        x, known = given.cpu(), self.forms
        near = self.comparison.alike(x)
        turn, distance = self.comparison.laid(x.repeat_interleave(near.shape[1], dim=0), near.flatten())
        turn, distance = turn.unflatten(0, near.shape), distance.view_as(near)
        distance, kept = distance.topk(min(VOTERS, near.shape[1]), largest=False)
        row = torch.arange(len(x))[:, None]
        turn, voter = turn[row, kept], known[near[row, kept]]
        # how much farther each voter is as the others want the shape to lie
        square = self.comparison.squares(x, turn, voter)
        farther = (square - square.diagonal(dim1=1, dim2=2)[:, None]).clamp(min=0)
        share = weights(distance, self.typical)[:, None] * (-farther / (YIELDING * self.typical**2)).exp()
        best = share.sum(dim=2).argmax(dim=1)
        share, turn = share[row[:, 0], best], turn[row[:, 0], best]
        mean = (share[:, None] @ voter)[:, 0] / share.sum(dim=1, keepdim=True)
        return self.refined(turn, mean, x).mT[:, :2].to(given.device)

    def refined(self, turn: Tensor, form: Tensor, x: Tensor) -> Tensor:
        """Return rotations (B, 3, 3) near those given by which forms (B, N) come nearest to x (B, N)."""
        for _ in range(STEPS):
            moved = self.ball.turned(SO3(turn), form)
            growth = self.ball.growth(moved)
            square = growth @ growth.mT
            damping = DAMPING * square.diagonal(dim1=1, dim2=2).mean(dim=1)
            damped = square + damping[:, None, None] * torch.eye(3)
            angles = torch.linalg.solve(damped, growth @ (x - moved)[:, :, None])[..., 0].double()
            shorter = FARTHEST / angles.norm(dim=1, keepdim=True).clamp(min=FARTHEST)
            turn = torch.matrix_exp(_cross(angles * shorter)) @ turn
        return turn
