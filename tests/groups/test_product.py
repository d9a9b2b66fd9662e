"""Batches of elements, and SE(3) x S_n with the convention of the output files."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch
from torch.testing import assert_close

from molgiae.errors import ShapeError
from molgiae.groups import GROUPS, SE3, Permutation, Product, RigidVectors, SE3xSn


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_convention_of_the_output_files() -> None:
    canonical = torch.randn(9, 3, dtype=torch.float64, generator=rng())
    g = SE3xSn.random(n=9, generator=rng())
    position = g.act(canonical)
    expected = canonical @ g.rotation.matrix.T + g.translation.vector
    assert_close(position[g.permutation.index], expected)


def test_named_parts() -> None:
    g = SE3xSn.random(4, n=3, generator=rng())
    assert g.motion is g.factors[0]
    assert (g.rotation.matrix.shape, g.translation.vector.shape) == ((4, 3, 3), (4, 3))
    assert g.permutation.index.shape == (4, 3)


def test_xi_takes_one_y_for_each_factor() -> None:
    y = (RigidVectors(torch.randn(2, 2, 3), torch.randn(2, 3)), torch.randn(2, 5))
    g = SE3xSn.from_equivariant(y)
    assert_close(g.rotation.matrix, SE3.from_equivariant(y[0]).rotation.matrix)
    assert_close(g.permutation.index, y[1].argsort(dim=-1))
    with pytest.raises(ShapeError, match="y has 1 parts, expected one for each of 2 factors"):
        SE3xSn.from_equivariant(y[:1])


def test_factors_must_fit() -> None:
    with pytest.raises(ShapeError, match=r"takes the factors \(SE3, Permutation\), got \(SE3\)"):
        SE3xSn(SE3.identity())
    with pytest.raises(ShapeError, match="one batch shape"):
        SE3xSn(SE3.identity(2), Permutation.identity(n=4))
    made = Product.of(SE3, Permutation)
    assert made.__name__ == "SE3xPermutation"
    assert made.identity(2, n=4).batch_shape == (2,)


@pytest.mark.parametrize("name", GROUPS)
def test_batches_are_indexed_like_tensors(name: str) -> None:
    g = GROUPS[name].random(2, 3, n=4, d=3, generator=rng())
    shapes = torch.empty(2, 3)
    for index in (0, (1, 2), slice(1), (..., 0), None, (slice(None), None), shapes > 0, torch.tensor([1, 0])):
        assert g[index].batch_shape == shapes[index].shape
    with pytest.raises(IndexError):
        g[0, 0, 0]
    assert len(list(g)) == 2


@pytest.mark.parametrize("name", GROUPS)
def test_elements_are_immutable_and_picklable(name: str) -> None:
    g = GROUPS[name].random(n=4, generator=rng())
    assert pickle.loads(pickle.dumps(g)).distance(g).item() == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.matrix = torch.eye(3)


def test_to_moves_every_tensor_and_keeps_integers() -> None:
    g = SE3xSn.random(2, n=4, generator=rng()).to("cpu", torch.float32)
    assert g.rotation.matrix.dtype == g.translation.vector.dtype == torch.float32
    assert g.permutation.index.dtype == torch.int64
    assert g.act(torch.zeros(2, 4, 3)).dtype == torch.float32


@pytest.mark.parametrize("name", GROUPS)
def test_nothing_is_left_on_another_device(name: str) -> None:
    """The meta device refuses to mix with tensors of the processor, as an accelerator does."""
    group, size = GROUPS[name], {"n": 4, "d": 2 if name.endswith("2") else 3}
    g = group.random(2, **size, device="meta")
    y = g.act_equivariant(group.reference(2, **size, device="meta"))
    h = group.from_equivariant(y).inverse() @ group.identity(2, **size, device="meta")
    assert h.distance(g).device.type == "meta"
    assert h.act(torch.zeros(2, size["n"], size["d"], device="meta")).device.type == "meta"
    assert group.identity(**size).to("meta").distance(g).device.type == "meta"
