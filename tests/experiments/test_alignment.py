"""Shapes laid onto one another: rotations between them, rotations that agree, and a shape that is new."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from molgiae.experiments.alignment import (
    FARTHEST,
    NEAREST,
    Aligner,
    Comparison,
    fine_rotations,
    neighbours,
    signatures,
    spread_rotations,
)
from molgiae.experiments.ball import Ball
from molgiae.experiments.grids import RADIUS, SIZE, Projection, quarter_turns, turned, voxel_orders
from molgiae.groups import SO3

KINDS, COPIES = 5, NEAREST + 1


@pytest.fixture(scope="module")
def ball():
    return Ball(RADIUS, 8.0)


@pytest.fixture(scope="module")
def shapes(ball):
    """(M, N) nearly the same ones turned, their kinds (M,), and how they are turned."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(KINDS).repeat_interleave(COPIES)
    x = torch.randn(KINDS, ball.numbers, generator=generator)[kind]
    x = x + 0.1 * torch.randn(x.shape, generator=generator)
    g = SO3.random(len(x), generator=generator)
    return ball.turned(g, x), kind, g


@pytest.fixture(scope="module")
def aligner(ball, shapes):
    return Aligner(ball, shapes[0])


def test_rotations_are_spread():
    made = spread_rotations(500)
    asked = SO3.random(50, generator=torch.Generator().manual_seed(0))
    assert_close(made @ made.mT, torch.eye(3).double().expand_as(made))
    assert_close(torch.linalg.det(made), torch.ones(500).double())
    traces = torch.einsum("kab,nab->nk", made, asked.matrix.double()).amax(dim=1)
    assert ((traces - 1) / 2).arccos().max() < 0.6
    traces = fine_rotations().diagonal(dim1=1, dim2=2).sum(dim=1)
    assert ((traces - 1) / 2).clamp(max=1).arccos().max() == pytest.approx(FARTHEST, rel=0.01)


def test_signatures_are_invariant(ball, shapes):
    x, _, g = shapes
    assert_close(signatures(ball, ball.turned(g, x)), signatures(ball, x), atol=2e-2, rtol=1e-3)
    assert (signatures(ball, x[::COPIES]) - signatures(ball, x[:1])).norm(dim=1)[1:].min() > 1


def test_a_turned_shape_is_laid_onto_itself(ball, shapes):
    x, _, g = shapes
    comparison = Comparison(ball, x)
    turn, distance = (found[:, 0] for found in comparison.laid(ball.turned(g, x), torch.arange(len(x))))
    assert SO3(turn).distance(SO3(g.matrix.double())).max() < 0.3
    assert distance.max() < 0.3
    assert comparison.laid(-x, torch.arange(len(x)))[1].min() > 0.4


def test_ways_of_laying_are_apart(ball, shapes):
    x = shapes[0]
    turn, distance = Comparison(ball, x).laid(x, torch.arange(len(x)).roll(1), ways=3)
    assert (distance[:, 1:] >= distance[:, :1] - 0.1).all()
    for k in range(2):
        assert SO3(turn[:, k]).distance(SO3(turn[:, 2])).min() > 0.19


def test_neighbours_are_of_a_kind(ball, shapes):
    x, kind, g = shapes
    (i, j), turn, distance = neighbours(ball, x)
    alike, matrix = kind[i] == kind[j], g.matrix.double()
    assert (i < j).all()
    assert alike.all()
    assert len(i) == KINDS * COPIES * (COPIES - 1) / 2
    assert distance.max() < Comparison(ball, x).laid(x[kind == 0], torch.arange(len(x))[kind == 1])[1].min()
    assert SO3(turn).distance(SO3(matrix[i] @ matrix[j].mT)).max() < 0.2


class TestAligner:
    @staticmethod
    def forms(aligner, ball, x):
        return ball.turned(SO3.from_equivariant(aligner(x)).inverse(), x)

    def test_what_is_alike_lies_alike(self, aligner, shapes):
        x, kind, _ = shapes
        known = aligner.forms.unflatten(0, (KINDS, COPIES))
        apart = (known - known.mean(dim=1, keepdim=True)).norm(dim=2)
        assert apart.max() < 0.3 * x.norm(dim=1).min()
        assert (x[kind == 0] - x[0]).norm(dim=1)[1:].min() > x.norm(dim=1).min()

    def test_any_rotation_of_a_new_shape(self, aligner, ball, shapes):
        generator = torch.Generator().manual_seed(3)
        new = shapes[0][::COPIES] + 0.1 * torch.randn(KINDS, ball.numbers, generator=generator)
        g = SO3.random(6 * KINDS, generator=generator)
        forms = self.forms(aligner, ball, ball.turned(g, new.repeat(6, 1))).view(6, KINDS, -1)
        assert (forms - forms[:1]).norm(dim=2).max() < 1e-4 * new.norm(dim=1).min()
        assert (forms[0] - aligner.forms[::COPIES]).norm(dim=1).max() < 0.3 * new.norm(dim=1).min()

    def test_any_rotation_of_a_shape_like_none(self, aligner, ball):
        """Which rotation is best is hardly better than others; that is the same whichever way it is turned before."""
        generator = torch.Generator().manual_seed(4)
        new = torch.randn(20, ball.numbers, generator=generator)
        g = SO3.random(100, generator=generator)
        forms = self.forms(aligner, ball, ball.turned(g, new.repeat(5, 1))).view(5, 20, -1)
        change = (forms - forms[:1]).norm(dim=2)[1:].flatten() / new.norm(dim=1).mean()
        assert change.median() < 1e-4
        assert (change < 0.01).float().mean() >= 0.95

    def test_rotations_of_a_cube_by_round_off_and_symmetry(self, aligner, ball):
        """A brick is the same after half turns, so which of its rotations is taken is for round-off to say."""
        brick = torch.zeros(1, SIZE, SIZE, SIZE)
        brick[:, 6:24, 10:20, 12:18] = 1
        x = Projection(ball, brick)(turned(brick.expand(24, -1, -1, -1), voxel_orders(quarter_turns())))
        forms = self.forms(aligner, ball, x)
        assert (forms - forms[:1]).norm(dim=1).max() < 1e-3 * x[0].norm()
        assert (x - x[:1]).norm(dim=1).max() > 0.1 * x[0].norm()

    def test_which_of_two_nearly_equal_modes_is_not_for_round_off_to_say(self, ball):
        """Bricks among bricks, all a little rough, lie in four ways nearly as well; one of them is always best."""
        generator = torch.Generator().manual_seed(1)
        bricks = torch.zeros(40, SIZE, SIZE, SIZE)
        for brick, half in zip(
            bricks, torch.randint(2, 11, (40, 3), generator=generator).tolist(), strict=True
        ):
            brick[tuple(slice(SIZE // 2 - side, SIZE // 2 + side) for side in half)] = 1
        x = Projection(ball, bricks)(bricks)
        noise = torch.nn.functional.normalize(torch.randn(x.shape, generator=generator))
        x = x + 3e-4 * noise * x.norm(dim=1, keepdim=True)
        new, known = x.split([10, 30])
        aligner = Aligner(ball, ball.turned(SO3.random(30, generator=generator), known))
        turns = SO3(quarter_turns().matrix.repeat_interleave(10, dim=0))
        forms = self.forms(aligner, ball, ball.turned(turns, new.repeat(24, 1))).view(24, 10, -1)
        change = (forms - forms[:1]).norm(dim=2).amax(dim=0) / new.norm(dim=1)
        assert (change < 1e-6).sum() >= 9
