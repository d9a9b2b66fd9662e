"""The shape part: sees mirror images where equivalent atoms hide them, is named in files; see test_smooth_parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm
from torch import Tensor

from molgiae.commands.embed import embed
from molgiae.commands.nearest import Measure, measure_of
from molgiae.config import ModelConfig
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.model.architectures import CanonicalEncoder, build
from molgiae.model.cloud import Cloud
from molgiae.nn.shape import FLAT, _inverse_root
from molgiae.parts import parts_of
from tests.geometries import mirrored, random_action, random_cloud

CONFIG = ModelConfig(
    embedding_dim=14,
    width=8,
    layers=1,
    shape_dim=12,
    features_dim=0,
    atom_width=12,
    atom_rounds=2,
    property_width=8,
    property_layers=1,
)


@pytest.fixture(scope="module")
def shape() -> CanonicalEncoder:
    torch.manual_seed(0)
    return build(CONFIG).double().requires_grad_(False).encoder


def of(shape: CanonicalEncoder, x: Cloud) -> Tensor:
    (found,) = shape.smooth(x.z, x.pos)
    return found


def peroxide(torsion: float) -> Cloud:
    """HOOH; every sum of positions over equivalent atoms lies on its twofold axis."""
    half = np.radians(torsion / 2)
    hydrogen = np.array([0.9 * np.cos(half), 0.9 * np.sin(half), 1.0])
    pos = np.array([[0, 0, 0.7], [0, 0, -0.7], hydrogen, hydrogen * [1, -1, -1]])
    return Cloud(torch.tensor([[8, 8, 1, 1]]), torch.from_numpy(pos)[None]).centered()


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
    change = [of(shape, Cloud(x.z, x.pos + s * step)) - of(shape, x) for s in (1e-4, 5e-5)]
    ratio = change[0].norm(dim=1) / change[1].norm(dim=1)
    assert ((ratio - 2).abs() < 0.1).all()


def test_the_latent_is_what_moments_are_made_of(shape):
    """It turns with the conformer; neither place nor order of the atoms changes it."""
    x = random_cloud([9, 12], seed=6)
    action = random_action(x, seed=3, reach=5.0)
    turned = shape.latent(x) @ action.motion.rotation.matrix.mT
    assert_allclose(shape.latent(x.moved(action)), turned, atol=1e-9)
    assert float(turned.abs().max()) > 1e-2


def test_files_say_which_columns_are_shape(tmp_path, xyz, embedder, model_path):
    output = tmp_path / "a.h5"
    embed(xyz, output=output, model=model_path)
    with EmbeddingFile(output) as stored:
        sizes = {"features": 2, "overlay": 3, "color": 2, "shape": 3, "detail": 2}
        assert stored.parts == embedder.parts == parts_of(sizes)
        assert measure_of(stored, None, ["shape", "detail"]) == Measure((slice(7, 10),), (1.0,))


def test_inverse_roots_of_matrices_with_equal_or_vanishing_eigenvalues_have_gradients():
    values = torch.tensor([[4.0, 1.0, 0.2], [2.0, 2.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
    basis = torch.linalg.qr(torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0)).double()).Q
    square = (basis * values[:, None]) @ basis.mT
    root = _inverse_root(square)
    flat = FLAT * torch.eye(3).double()
    assert_allclose(root @ root @ (square + flat), torch.eye(3).double().expand(4, 3, 3), atol=1e-9)
    symmetric = square.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda m: _inverse_root((m + m.mT) / 2), (symmetric,))


def test_roots_of_gram_matrices_are_apart_as_conformers_are():
    """By at least the least deviation over rotations and reflections, and at most the root of two of it."""
    random = np.random.default_rng(0)
    for _ in range(50):
        first = random.normal(size=(7, 3)) * [3, 2, 1]
        second = first + random.choice([0.1, 2.0]) * random.normal(size=(7, 3))
        roots = [x @ np.linalg.inv(sqrtm(x.T @ x).real) @ x.T for x in (first, second)]
        _, orthogonal = np.linalg.svd(first.T @ second)[:2]
        least = np.sqrt((first**2).sum() + (second**2).sum() - 2 * orthogonal.sum())
        assert 0.999 * least < np.linalg.norm(roots[0] - roots[1]) < 2**0.5 * least
