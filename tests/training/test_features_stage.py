"""What the features part keeps of what it pools: discriminants."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose

from molgiae.model.architectures import build
from molgiae.model.cloud import pack
from molgiae.nn.features import FeaturesEncoder
from molgiae.training import Run, pretrainer
from molgiae.training.components import fit_features
from tests.training.test_loop import CONFIG, DATA, PLAIN


def made_up(conformers: int, width: int) -> tuple[FeaturesEncoder, torch.Tensor]:
    torch.manual_seed(0)
    features = FeaturesEncoder(width, 5)
    size = features.compress.in_features
    mixed = torch.randn(conformers, 3) @ torch.randn(3, size) + 0.1 * torch.randn(conformers, size)
    return features, 7 * mixed * torch.logspace(-2, 2, size) + 100


def fit(features: FeaturesEncoder, pooled: torch.Tensor, **known: torch.Tensor) -> None:
    fit_features(
        features,
        pooled,
        known.get("moved", pooled),
        known.get("molecule", torch.arange(len(pooled))),
    )


def test_discriminants_are_centered_uncorrelated_and_largest_first():
    features, pooled = made_up(300, 4)
    fit(features, pooled)
    found = features.compress(pooled).detach().double()
    assert_allclose(found.mean(dim=0), 0, atol=1e-4)
    covariance = np.cov(found.numpy().T)
    assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    variance = np.diag(covariance)
    assert (np.diff(variance) <= 0).all() and variance[2] > 10 * variance[3], "three directions rule"
    assert 0.9 < variance.sum() <= 1.01, "about one in all"


def test_units_of_what_is_pooled_do_not_matter():
    features, pooled = made_up(300, 4)
    fit(features, pooled)
    found = features.compress(pooled).detach().abs()
    scaled = pooled * torch.logspace(1, -1, pooled.shape[1])
    fit(features, scaled)
    assert_allclose(features.compress(scaled).detach().abs(), found, atol=2e-3)


def test_what_displacements_change_and_what_differs_within_a_molecule_is_left_out():
    torch.manual_seed(1)
    features = FeaturesEncoder(4, 5)
    size = features.compress.in_features
    molecule = torch.arange(200).repeat_interleave(2)
    pooled = torch.randn(200, size)[molecule]
    pooled[:, :5] = torch.randn(400, 5)  # of the conformer
    moved = pooled.clone()
    moved[:, 5:10] += torch.randn(400, 5)
    fit(features, pooled, moved=moved, molecule=molecule)
    a, b = features.compress(pooled), features.compress(moved)
    typical = torch.cdist(a, a).median()
    assert (a[::2] - a[1::2]).norm(dim=1).max() < 0.1 * typical
    assert (a - b).norm(dim=1).max() < 0.1 * typical
    fit(features, pooled)
    assert (features.compress(pooled) - features.compress(moved)).norm(dim=1).median() > 0.1 * typical


def test_constants_count_for_nothing_and_few_conformers_leave_zeros():
    features, pooled = made_up(300, 4)
    pooled[:, :4] = 3.0
    fit(features, pooled)
    assert not features.compress.weight[:, :4].any()
    for count in (1, 3):
        fit(features, pooled[:count])
        assert features.compress(pooled[:count]).isfinite().all()


def test_the_stage_sees_training_conformers_as_embeddings_do(tmp_path):
    torch.manual_seed(0)
    trainer = pretrainer(build(PLAIN), DATA, CONFIG, Run(tmp_path))
    trainer.stages = trainer.stages[:3]
    trainer.fit()
    block = DATA.train
    x = pack(block.atomic_number, block.position, block.offset).to(dtype=torch.float32)
    with torch.no_grad():
        features = trainer.model.encoder.smooth(x.z, x.pos)[0].double()
    assert features.shape == (24, 2)
    assert_allclose(features.mean(dim=0), 0, atol=1e-4)
    assert abs(np.corrcoef(features.numpy().T)[0, 1]) < 1e-3
