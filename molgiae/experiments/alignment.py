"""Rotations of shapes that agree with those which lay alike ones onto one another; nothing else is asked of them.

Shapes are coefficients of functions in a ball (`ball`). For each the nearest others are looked for, over all rotations;
`synchronization` makes one rotation for each shape of those between pairs. A shape with a symmetry is near in several
rotations, of which one is found by chance: pairs that disagree count little in the end.
"""

from __future__ import annotations

from copy import deepcopy
from math import cos, pi

import torch
from torch import Tensor

from molgiae.experiments.ball import Ball
from molgiae.experiments.grids import quarter_turns
from molgiae.experiments.synchronization import settled, synchronize
from molgiae.groups import SO3

CANDIDATES, NEAREST = 100, 7
"""Shapes that are compared with each, alike in what rotations leave alone, and how many of them are kept."""

ORDERS = 6
"""Highest order of the harmonics that are looked at to find rotations."""

SMALL = 0.01
"""Inner product up to which `signatures` are no roots."""

COARSE = 2400
"""Rotations that are tried between two shapes, some 20 degrees apart; a multiple of 24."""

FINE, FARTHEST = 3, 0.25
"""Steps along an axis of a grid of finer ones about the best of them, and the largest angle, radians."""

PAIRS, SHAPES = 1024, 128
"""That are compared, and rotated, at once."""

WAYS, BESIDE = 4, 0.7
"""In which a shape is laid onto another, and the angle, radians, that is between them at least."""

SPREAD = 0.15
"""Twice the variance of the kernel about each training shape, over the squared typical distance."""

STAGES, APART = ((24, 10), (8, 60)), 0.3
"""Rotations that climb to modes of the density, the likeliest, and steps of each, in float32 and then in float64; angle
between them at first."""

DAMPING = 1e-3
"""Of the matrix of Gauss and Newton, about axes of which rotations change little."""


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

    def all(self, first: list[Tensor], second: list[Tensor]) -> Tensor:
        """Return the overlaps with the second ones rotated by each of the rotations, (B, K)."""
        products = [(a.mT @ b).flatten(1) for a, b in zip(first, second, strict=True)]
        return torch.cat(products, dim=1) @ self.table

    def rotated(self, parts: list[Tensor], chosen: Tensor) -> list[Tensor]:
        """Return the coefficients of each order rotated, each shape by its own of the rotations."""
        return [part @ matrix[chosen].mT for part, matrix in zip(parts, self.wigner, strict=True)]


def signatures(ball: Ball, x: Tensor) -> Tensor:
    """Return numbers that rotations leave alone, (M, F): roots of the inner products of radial functions.

    Where these are small they are no roots, which would blow up round-off, and with it which shapes are most alike.
    """
    products = torch.cat([(part @ part.mT).flatten(1) for part in ball.parts(x.double())], dim=1)
    return products / (products.square() + SMALL**2) ** 0.25


class Comparison:
    """Shapes that others are compared with, (M, N): which come nearest, and how they are rotated then.

    The rotations that are tried are a group's, of a cube, times a few: shapes turned by one of these are found rotated
    by the same one, and others as nearly as the finest grid is.
    """

    def __init__(self, ball: Ball, shapes: Tensor) -> None:
        self.ball, self.low, self.shapes = ball, ball.up_to(ORDERS), shapes
        self.signatures = signatures(ball, shapes)
        cube = (quarter_turns().matrix[:, None] @ spread_rotations(COARSE // 24)).flatten(0, 1)
        self.coarse, self.fine = (Overlaps(ball, turns, ORDERS) for turns in (cube, fine_rotations()))
        self.beside = cube.flatten(1) @ cube.flatten(1).mT > 1 + 2 * cos(BESIDE)

    def alike(self, x: Tensor) -> Tensor:
        """Return the places of the shapes most like x (B, N) in what rotations leave alone, (B, K) int64."""
        number = min(CANDIDATES, len(self.shapes))
        return torch.cdist(signatures(self.ball, x), self.signatures).topk(number, largest=False).indices

    def laid(self, x: Tensor, place: Tensor, ways: int = 1) -> tuple[Tensor, Tensor]:
        """Lay x (P, N) onto shapes rotated by Q.

        Returns:
            * (P, K, 3, 3) float64, Q as they are nearest in each of several ways;
            * (P, K), `distances` then.
        """
        parts = [(a, b) for a, b in zip(x.split(PAIRS), place.split(PAIRS), strict=True)]
        turns, found = zip(*(self._laid(a, self.shapes[b], ways) for a, b in parts), strict=True)
        return torch.cat(turns), torch.cat(found)

    def _laid(self, x: Tensor, y: Tensor, ways: int) -> tuple[Tensor, Tensor]:
        a, b = (each[:, : self.low.numbers] for each in (x, y))
        first, second = self.low.parts(a), self.low.parts(b)
        overlaps = self.coarse.all(first[1:], second[1:])
        turns, found = [], []
        for _ in range(ways):
            chosen = overlaps.argmax(dim=1)
            overlaps = overlaps.masked_fill(self.beside[chosen], -torch.inf)
            best, closer = self.fine.all(first[1:], self.coarse.rotated(second[1:], chosen)).max(dim=1)
            turns.append(self.fine.rotations[closer] @ self.coarse.rotations[chosen])
            found.append(best + (first[0] * second[0]).sum(dim=(1, 2)))
        overlap = torch.stack(found, dim=1)
        a, b = (each.square().sum(dim=1, keepdim=True) for each in (a, b))
        return torch.stack(turns, dim=1), ((a + b - 2 * overlap).clamp(min=0) / (a * b).sqrt()).sqrt()


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
    turn, distance = (found[:, 0] for found in comparison.laid(x[pair[0]], pair[1]))
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
    """Mu, which is not trained: a shape is rotated as it is likeliest to lie, as do the training shapes that are alike.

    Of these, which agree, there is a density, a kernel about each. Its highest mode over all rotations is taken: modes
    are climbed to, from all ways of laying the shape onto one of them, before they are compared. So a shape that was
    rotated before comes to lie the same, and one with a symmetry too, whichever of its rotations it is.

    Args:
        ball: whose coefficients they are.
        x: (M, N) training shapes, turned anyhow.
    """

    def __init__(self, ball: Ball, x: Tensor) -> None:
        # a ball of its own, which stays on the CPU
        ball = deepcopy(ball).cpu()
        rotations, self.typical = agreed(ball, x.cpu())
        self.forms = ball.turned(SO3(rotations.mT), x.cpu())
        self.comparison = Comparison(ball, self.forms)
        self.exact = self.comparison.low.exact()
        self.found: dict[bytes, Tensor] = {}

    @torch.no_grad()
    def __call__(self, given: Tensor) -> Tensor:
        """Map (B, N) to mu, the first two axes as they are rotated, (B, 2, 3) float64; what was found is remembered."""
        shapes = given.cpu()
        keys = [shape.numpy().tobytes() for shape in shapes]
        new = {key: shape for key, shape in zip(keys, shapes, strict=True) if key not in self.found}
        if new:
            parts = torch.stack(list(new.values())).split(SHAPES)
            rotations = torch.cat([self.likeliest(part) for part in parts])
            self.found.update(zip(new, rotations.mT[:, :2], strict=True))
        return torch.stack([self.found[key] for key in keys]).to(given.device)

    def likeliest(self, x: Tensor) -> Tensor:
        """Return the rotations (B, 3, 3) float64 by which shapes (B, N) are likeliest."""
        near, low = self.comparison.alike(x), self.comparison.low
        turn, _ = self.comparison.laid(x.repeat_interleave(near.shape[1], dim=0), near.flatten(), WAYS)
        x, known = x[:, : low.numbers], self.forms[near, : low.numbers]
        (some, few), (steps, more) = zip(*STAGES, strict=True)
        density = Density(low, x, known, self.typical)
        turn = turn.unflatten(0, near.shape).flatten(1, 2)
        turn = density.climbed(_distinct(turn, density(turn)[1], some), steps)
        # which of two modes that are nearly as high is higher must not be for round-off to say
        density = Density(self.exact, x.double(), known.double(), self.typical)
        turn = density.climbed(density.likeliest(turn, few), more)
        return density.likeliest(turn, 1)[:, 0]


class Density:
    """Of rotations of shapes (B, n): a kernel about each of the known forms (B, J, n), in their dtype.

    Args:
        ball: whose coefficients they are, in the same dtype.
        x: the shapes.
        known: forms they are compared with.
        typical: distance, relative to lengths, as that of `agreed`.
    """

    def __init__(self, ball: Ball, x: Tensor, known: Tensor, typical: Tensor) -> None:
        self.ball, self.x, self.known = ball, x, known
        self.width = SPREAD * typical**2 * x.norm(dim=1)[:, None] * known.norm(dim=2)

    def __call__(self, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look at the shapes rotated by inverses of (B, K, 3, 3).

        Returns:
            * (B, K, J), shares of the known forms in the density;
            * (B, K), its logarithm, but for a constant;
            * (B, K, n), the shapes as they lie then.
        """
        x = self.x[:, None].expand(-1, turn.shape[1], -1)
        lying = self.ball.turned(SO3(turn.flatten(0, 1).mT), x.flatten(0, 1)).view_as(x)
        logarithm = -torch.cdist(lying, self.known).square() / self.width[:, None]
        return logarithm.softmax(dim=2), logarithm.logsumexp(dim=2), lying

    def likeliest(self, turn: Tensor, number: int) -> Tensor:
        """Return the likeliest rotations, (B, number, 3, 3) of (B, K, 3, 3), the highest first."""
        return _rows(turn, self(turn)[1].topk(number).indices)

    def climbed(self, turn: Tensor, steps: int) -> Tensor:
        """Return rotations (B, K, 3, 3) higher up: at each step shapes come nearer to the mean of forms by shares."""
        for _ in range(steps):
            share, _, lying = self(turn)
            wanted = (share @ self.known - lying).flatten(0, 1)
            growth = self.ball.growth(lying.flatten(0, 1))
            square = growth @ growth.mT
            damping = DAMPING * square.diagonal(dim1=1, dim2=2).mean(dim=1)
            damped = square + damping[:, None, None] * torch.eye(3)
            angles = torch.linalg.solve(damped, growth @ wanted[:, :, None])[..., 0].double()
            shorter = FARTHEST / angles.norm(dim=1, keepdim=True).clamp(min=FARTHEST)
            turn = turn @ torch.matrix_exp(-_cross(angles * shorter)).view_as(turn)
        return turn


def _rows(turn: Tensor, chosen: Tensor) -> Tensor:
    """Return the chosen (B, n) of rotations, (B, n, 3, 3) of (B, K, 3, 3)."""
    return turn[torch.arange(len(turn))[:, None], chosen]


def _distinct(turn: Tensor, density: Tensor, number: int) -> Tensor:
    """Return the likeliest rotations (B, number, 3, 3) of (B, K, 3, 3) that are apart from one another."""
    row, picked = torch.arange(len(turn)), []
    for _ in range(number):
        picked.append(turn[row, density.argmax(dim=1)])
        trace = torch.einsum("bkij,bij->bk", turn, picked[-1])
        density = density.masked_fill(trace > 1 + 2 * cos(APART), -torch.inf)
    return torch.stack(picked, dim=1)
