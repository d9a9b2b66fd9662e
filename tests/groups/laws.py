"""The laws of a group and of xi: functions of a case, a batch shape and a seed that fail where one is broken.

A new group is one more row in CASES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._pytree import tree_map

from molgiae.groups import SE2, SE3, SO2, SO3, Group, Permutation, Product, SE3xSn, Translation
from molgiae.groups.rotation import Rotation

TOLERANCE = 1e-9
Batch = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A group and the size of the point sets it acts on."""

    group: type[Group[Any]]
    d: int = 3
    n: int = 5

    def __str__(self) -> str:
        return self.group.__name__

    def element(self, batch: Batch, rng: torch.Generator) -> Group[Any]:
        return self.group.random(*batch, n=self.n, d=self.d, generator=rng)

    def identity(self, batch: Batch) -> Group[Any]:
        return self.group.identity(*batch, n=self.n, d=self.d)

    def reference(self, batch: Batch) -> Any:
        return self.group.reference(*batch, n=self.n, d=self.d)

    def points(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return torch.randn(*batch, self.n, self.d, dtype=torch.float64, generator=rng)

    def y(self, batch: Batch, rng: torch.Generator) -> Any:
        """A generic point of Y: normally distributed, in the shape of the reference."""
        return tree_map(
            lambda y0: torch.randn(y0.shape, dtype=torch.float64, generator=rng), self.reference(batch)
        )


CASES = (
    Case(SO2, d=2),
    Case(SO3),
    Case(Translation),
    Case(Translation, d=1),
    Case(SE2, d=2),
    Case(SE3),
    Case(Permutation, d=4),
    Case(Permutation, n=1),
    Case(SE3xSn),
    Case(Product.of(SO2, Permutation), d=2, n=3),
    Case(Product.of(Permutation, Translation), d=2),
    Case(Product.of(SO3, Product.of(Permutation))),
)

Law = Callable[[Case, Batch, int], None]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_equal(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    """Tensors, elements or tuples of them agree, batch shapes included."""
    if isinstance(expected, Group):
        assert type(found) is type(expected), f"found a {type(found)}"
        assert found.batch_shape == expected.batch_shape, f"batch shape {found.batch_shape}"
        found, expected = found.parts, expected.parts
    if isinstance(expected, tuple):
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other, tolerance)
    else:
        assert_close(found, expected, rtol=tolerance, atol=tolerance)


def identity_is_neutral(case: Case, batch: Batch, seed: int) -> None:
    g, e = case.element(batch, seeded(seed)), case.identity(batch)
    assert_equal(e @ g, g)
    assert_equal(g @ e, g)


def inverse_undoes_on_both_sides(case: Case, batch: Batch, seed: int) -> None:
    g, e = case.element(batch, seeded(seed)), case.identity(batch)
    assert_equal(g @ g.inverse(), e)
    assert_equal(g.inverse() @ g, e)


def product_is_associative(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, k = (case.element(batch, rng) for _ in range(3))
    assert_equal((g @ h) @ k, g @ (h @ k))


def identity_acts_trivially(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    x, y, e = case.points(batch, rng), case.y(batch, rng), case.identity(batch)
    assert_equal(e.act(x), x)
    assert_equal(e.act_equivariant(y), y)


def product_acts_as_composition(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, x = case.element(batch, rng), case.element(batch, rng), case.points(batch, rng)
    assert_equal((g @ h).act(x), g.act(h.act(x)))


def product_acts_on_y_as_composition(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, y = case.element(batch, rng), case.element(batch, rng), case.y(batch, rng)
    assert_equal((g @ h).act_equivariant(y), g.act_equivariant(h.act_equivariant(y)))


def xi_finds_the_element_that_moved_the_reference(case: Case, batch: Batch, seed: int) -> None:
    g, y0 = case.element(batch, seeded(seed)), case.reference(batch)
    assert_equal(case.group.from_equivariant(y0), case.identity(batch))
    assert_equal(case.group.from_equivariant(g.act_equivariant(y0)), g)


def xi_is_equivariant(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    h, y = case.element(batch, rng), case.y(batch, rng)
    xi = case.group.from_equivariant
    assert_equal(xi(h.act_equivariant(y)), h @ xi(y), tolerance=1e-8)  # nearly collinear y amplify round-off


def elements_are_valid(case: Case, batch: Batch, seed: int) -> None:
    """Rotations are orthogonal with determinant +1, permutations are bijections."""

    def check(part: Any) -> None:
        if isinstance(part, Rotation):
            matrix = part.matrix
            assert_equal(matrix @ matrix.mT, type(part).identity(*part.batch_shape).matrix)
            assert_equal(torch.linalg.det(matrix), torch.ones(part.batch_shape, dtype=torch.float64))
        elif isinstance(part, Permutation):
            assert_equal(part.index.sort(dim=-1).values, part.identity(*part.batch_shape, n=case.n).index)
        elif isinstance(part, Group):
            for inner in part.parts:
                check(inner)

    rng = seeded(seed)
    g, h, y = case.element(batch, rng), case.element(batch, rng), case.y(batch, rng)
    for element in (g, g @ h, g.inverse(), case.group.from_equivariant(y)):
        check(element)


def batch_is_singles(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h = case.element(batch, rng), case.element(batch, rng)
    x, y = case.points(batch, rng), case.y(batch, rng)
    for i in torch.cartesian_prod(*map(torch.arange, batch)).view(-1, len(batch)).tolist() if batch else []:
        one = tuple(i)
        assert_equal((g @ h)[one], g[one] @ h[one])
        assert_equal(g.inverse()[one], g[one].inverse())
        assert_equal(g.act(x)[one], g[one].act(x[one]))
        assert_equal(g.distance(h)[one], g[one].distance(h[one]))
        single_y = tree_map(lambda t, one=one: t[one], y)
        assert_equal(case.group.from_equivariant(y)[one], case.group.from_equivariant(single_y))


def single_broadcasts_over_batch(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, x = case.element((), rng), case.element(batch, rng), case.points(batch, rng)
    many = g[(None,) * len(batch)]
    assert_equal(g @ h, many @ h)
    assert_equal((h @ g).act(x), h.act(many.act(x)))
    assert_equal(g.act(x), many.act(x))
    assert_equal(h.act(case.points((), rng)).shape, (*batch, case.n, case.d))
    assert_equal(g.distance(h), many.distance(h))


def distance_is_a_metric(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, k = (case.element(batch, rng) for _ in range(3))
    x = case.points(batch, rng)
    assert_equal(g.distance(g), torch.zeros(batch, dtype=torch.float64))
    for part in range(len(g.parts)):  # elements that differ in one part alone differ
        other = type(g)(*g.parts[:part], h.parts[part], *g.parts[part + 1 :])
        moved = (g.act(x) - other.act(x)).abs().amax(dim=(-2, -1)) > TOLERANCE
        assert_equal(g.distance(other) > TOLERANCE, moved)
    assert_equal(g.distance(h), h.distance(g))
    for a, b, c in ((g, h, k), (h, k, g), (k, g, h)):
        assert bool((a.distance(c) <= a.distance(b) + b.distance(c) + TOLERANCE).all()), "triangle inequality"


def distance_is_left_invariant(case: Case, batch: Batch, seed: int) -> None:
    rng = seeded(seed)
    g, h, k = (case.element(batch, rng) for _ in range(3))
    assert_equal((k @ g).distance(k @ h), g.distance(h))


def arithmetic_is_float64(case: Case, batch: Batch, seed: int) -> None:
    """Float32 input loses nothing more on the way; float32 elements agree to float32 accuracy."""
    rng = seeded(seed)
    g, x, y = case.element(batch, rng), case.points(batch, rng), case.y(batch, rng)
    rounded = tree_map(Tensor.float, y)
    exact = tree_map(Tensor.double, rounded)
    assert_equal(case.group.from_equivariant(rounded), case.group.from_equivariant(exact))
    assert_equal(g.act(x.float()).double(), g.act(x.float().double()))
    assert_equal(g.to(dtype=torch.float32).act(x).double(), g.act(x), tolerance=1e-4)


LAWS: tuple[Law, ...] = (
    identity_is_neutral,
    inverse_undoes_on_both_sides,
    product_is_associative,
    identity_acts_trivially,
    product_acts_as_composition,
    product_acts_on_y_as_composition,
    xi_finds_the_element_that_moved_the_reference,
    xi_is_equivariant,
    elements_are_valid,
    batch_is_singles,
    single_broadcasts_over_batch,
    distance_is_a_metric,
    distance_is_left_invariant,
    arithmetic_is_float64,
)
