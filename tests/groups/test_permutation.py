"""The orientation of permutations, written out, and SoftSort in the same orientation."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from molgiae.errors import ConfigError, ShapeError
from molgiae.groups import Permutation, soft_sort

LETTERS = torch.tensor([10.0, 20.0, 30.0, 40.0])


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_point_k_goes_to_place_index_k() -> None:
    g = Permutation(torch.tensor([2, 0, 3, 1]))  # a 3-cycle and more: not its own inverse
    assert g.act(LETTERS, dim=-1).tolist() == [20.0, 40.0, 10.0, 30.0]
    assert g.act(LETTERS, dim=-1)[g.index].tolist() == LETTERS.tolist()
    assert g.inverse().index.tolist() == [1, 3, 0, 2]


def test_xi_sorts() -> None:
    scores = torch.tensor([0.3, 0.1, 0.4, 0.2])
    g = Permutation.from_equivariant(scores)
    assert scores[g.index].tolist() == sorted(scores.tolist())
    assert_close(g.inverse().act(scores, dim=-1), scores.sort().values)


def test_ties_keep_the_order_of_the_points_and_padding_stays_last() -> None:
    inf = torch.inf
    scores = torch.tensor([[1.0, 0.0, 1.0, 0.0, inf, inf], [5.0, 4.0, 3.0, inf, inf, inf]])
    assert Permutation.from_equivariant(scores).index.tolist() == [[1, 3, 0, 2, 4, 5], [2, 1, 0, 3, 4, 5]]


def test_action_is_multiplication_by_the_matrix() -> None:
    g, x = Permutation.random(3, n=6, generator=rng()), torch.randn(3, 6, 2, generator=rng()).double()
    assert_close(g.matrix @ x, g.act(x))
    assert_close(g.inverse().matrix, g.matrix.mT)
    h = Permutation.random(3, n=6, generator=rng())
    assert_close((g @ h).matrix, g.matrix @ h.matrix)


def test_axis_of_the_points() -> None:
    g = Permutation.random(2, n=5, generator=rng())
    x = torch.randn(2, 5, 4, 3, generator=rng())
    expected = torch.stack([x[b][g[b].inverse().index] for b in range(2)])
    assert_close(g.act(x, dim=-3), expected)
    labels = torch.arange(10).view(2, 5)
    assert g.act(labels, dim=-1).dtype == torch.int64
    assert_close(g.act(x[0, :, 0]), torch.stack([g[0].act(x[0, :, 0]), g[1].act(x[0, :, 0])]))
    for dim in (-5, 0, 1):
        with pytest.raises(ShapeError, match="5 points on axis"):
            g.act(x, dim=dim)


def test_distance_is_the_fraction_of_misplaced_points() -> None:
    swapped = Permutation(torch.tensor([1, 0, 2, 3]))
    assert swapped.distance(Permutation.identity(n=4)).item() == 0.5


def test_errors() -> None:
    with pytest.raises(ShapeError, match="pass n="):
        Permutation.identity(3)
    with pytest.raises(ShapeError, match="x has shape"):
        Permutation.identity(n=3).act(torch.zeros(4, 3))
    with pytest.raises(ShapeError, match="Permutation index"):
        Permutation.identity(n=3) @ Permutation.identity(n=4)
    with pytest.raises(ConfigError, match="must be positive"):
        soft_sort(LETTERS, tau=0.0)


def test_soft_sort_tends_to_the_inverse_permutation_matrix() -> None:
    scores = torch.randn(4, 7, dtype=torch.float64, generator=rng())
    g, soft = Permutation.from_equivariant(scores), soft_sort(scores, tau=1e-6)
    features = torch.randn(4, 7, 3, dtype=torch.float64, generator=rng())
    assert_close(soft, g.inverse().matrix)
    assert_close(soft @ features, g.inverse().act(features))
    assert_close(soft.mT @ features, g.act(features))
    assert not torch.allclose(soft, g.matrix)  # the orientation matters


def test_soft_sort_of_permuted_points() -> None:
    """S(h s) = S(s) P_h^T: what is sorted does not depend on the order of the input."""
    scores = torch.randn(6, dtype=torch.float64, generator=rng())
    h = Permutation.random(n=6, generator=rng())
    assert_close(soft_sort(h.act_equivariant(scores), 0.3), soft_sort(scores, 0.3) @ h.matrix.mT)


def test_soft_sort_is_the_equation() -> None:
    scores, tau = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64), 0.7
    expected = torch.tensor([[-abs(k - s) / tau for s in scores.tolist()] for k in (-1.0, 0.5, 2.0)])
    assert_close(soft_sort(scores, tau), expected.double().softmax(dim=-1))
    assert soft_sort(scores.float(), tau).dtype == torch.float32


def test_soft_sort_has_gradients_also_beside_padding() -> None:
    scores = torch.tensor([0.3, 0.3, -1.0, torch.inf, torch.inf], dtype=torch.float64, requires_grad=True)
    soft = soft_sort(scores, tau=0.5)
    assert_close(soft.sum(dim=-1), torch.ones(5).double())
    assert_close(soft[:3, :3], soft_sort(scores[:3], tau=0.5))
    assert bool((soft[:3, 3:] == 0).all() and (soft[3:, :3] == 0).all())
    (soft @ torch.randn(5, 2, dtype=torch.float64, generator=rng())).sum().backward()
    assert scores.grad is not None
    assert bool(scores.grad.isfinite().all())
    assert bool((scores.grad[:3] != 0).any())
    generic = torch.randn(5, dtype=torch.float64, generator=rng()).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: soft_sort(s, 0.5)[1:4] ** 2, (generic,))
