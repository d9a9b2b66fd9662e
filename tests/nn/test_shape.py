"""The shape part: invariant, smooth, sees mirror images where equivalent atoms hide them, named in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from molgiae.commands.embed import embed
from molgiae.commands.nearest import Measure, measure_of
from molgiae.config import parts_of
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.model.cloud import Cloud
from molgiae.nn.shape import ShapeEncoder
from tests.geometries import mirrored, random_action, random_cloud, together


@pytest.fixture(scope="module")
def shape() -> ShapeEncoder:
    torch.manual_seed(0)
    return ShapeEncoder(12).double().requires_grad_(False)


def of(shape: ShapeEncoder, x: Cloud) -> Tensor:
    return shape(x.z, x.pos, torch.from_numpy(x.graph.classes))


def peroxide(torsion: float) -> Cloud:
    """HOOH; every sum of positions over equivalent atoms lies on its twofold axis."""
    half = np.radians(torsion / 2)
    hydrogen = np.array([0.9 * np.cos(half), 0.9 * np.sin(half), 1.0])
    pos = np.array([[0, 0, 0.7], [0, 0, -0.7], hydrogen, hydrogen * [1, -1, -1]])
    return Cloud(torch.tensor([[8, 8, 1, 1]]), torch.from_numpy(pos)[None]).centered()


def test_pose_order_and_padding_do_not_matter(shape):
    x = random_cloud([6, 9, 12], seed=3)
    assert_allclose(of(shape, x.moved(random_action(x, seed=1))), of(shape, x), atol=1e-9)
    assert_allclose(of(shape, together(*(x[m : m + 1] for m in range(3)), slots=20)), of(shape, x), atol=1e-9)


def test_mirror_images_differ_where_equivalent_atoms_hide_them_from_sums(shape):
    for torsion in (60.0, 111.0, 150.0):
        x = peroxide(torsion)
        assert float((of(shape, x) - of(shape, mirrored(x))).norm()) > 1e-3
    flat = peroxide(180.0)
    assert_allclose(of(shape, flat), of(shape, mirrored(flat)), atol=1e-9)


def test_small_displacements_move_it_little(shape):
    """By no more than in proportion: halving the displacement halves the change, up to a tenth."""
    x = random_cloud([9, 12], seed=5)
    step = (
        torch.randn(x.pos.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        * x.mask[..., None]
    )
    classes = torch.from_numpy(x.graph.classes)
    change = [shape(x.z, x.pos + s * step, classes) - shape(x.z, x.pos, classes) for s in (1e-4, 5e-5)]
    ratio = change[0].norm(dim=1) / change[1].norm(dim=1)
    assert ((ratio - 2).abs() < 0.1).all()


def test_gradients_are_finite_for_lonely_and_coinciding_atoms():
    encoder = ShapeEncoder(4)
    pos = torch.zeros(2, 3, 3, requires_grad=True)
    z = torch.tensor([[6, 0, 0], [6, 1, 1]])
    encoder(z, pos, torch.tensor([[0, 1, 1], [0, 1, 1]])).square().sum().backward()
    assert torch.isfinite(pos.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)


def test_files_say_how_many_columns_are_shape(tmp_path, xyz, embedder, model_path):
    output = tmp_path / "a.h5"
    embed(xyz, output=output, model=model_path)
    with EmbeddingFile(output) as stored:
        assert stored.parts == embedder.parts == parts_of({"shape": 3, "detail": 5})
        assert measure_of(stored, None, ["shape", "detail"]) == Measure((slice(0, 3),), (1.0,))
