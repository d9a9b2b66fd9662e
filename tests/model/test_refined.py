"""Refining: what is decoded wrongly comes back, by the embedding; nothing depends on the batch, and some refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from molgiae.config import ModelConfig
from molgiae.errors import ConfigError
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud, squared_deviation
from molgiae.model.local_lengths import bonds_of, kinds_of, typical
from molgiae.model.refined import SOUND, refined, strangeness
from tests.model.test_embedder import BENZENE, METHANE, WATER

CONFIG = ModelConfig(embedding_dim=24, width=16, features_dim=0, shape_dim=0, atom_width=0, property_width=0)


def cloud(*conformers) -> Cloud:
    """The conformers as if they were canonical forms, in as many slots as the model has."""
    z, pos = torch.zeros(len(conformers), 29, dtype=torch.long), torch.zeros(len(conformers), 29, 3)
    for m, one in enumerate(conformers):
        order = np.argsort(-one.atomic_number.astype(int), kind="stable")
        z[m, : len(order)] = torch.from_numpy(one.atomic_number[order].astype(int))
        pos[m, : len(order)] = torch.from_numpy(one.position[order]).float()
    return Cloud(z, pos).centered()


@pytest.fixture(scope="module")
def model() -> ConformerAutoencoder:
    torch.manual_seed(0)
    return build(CONFIG).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def truth() -> Cloud:
    return cloud(BENZENE, METHANE, WATER)


def embedded(model: ConformerAutoencoder, x: Cloud) -> torch.Tensor:
    return model.encoder.slots(x.z, x.pos)


def shaken(x: Cloud, by: float) -> Cloud:
    noise = torch.randn(x.pos.shape, generator=torch.Generator().manual_seed(1))
    return Cloud(x.z, x.pos + by * noise * x.mask[..., None])


def off(x: Cloud, y: Cloud) -> torch.Tensor:
    return squared_deviation(x.pos, y).sqrt()


def test_what_was_embedded_comes_back(model, truth):
    wrong = shaken(truth, 0.1)
    found = refined(model, wrong, embedded(model, truth))
    assert (off(wrong, truth) > 0.1).all()
    assert (off(found, truth) < 0.02).all()
    assert_close(found.z, truth.z)


def test_another_embedding_leads_elsewhere(model, truth):
    """The search goes by the embedding: it does not just tidy bonds."""
    other = Cloud(truth.z, truth.pos @ torch.tensor([[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]))
    found = refined(model, shaken(truth, 0.05), embedded(model, other))
    assert off(found, truth)[0] > 5 * off(found, other)[0]


def test_a_wrong_element_is_not_made_to_fit(model, truth):
    wrong = Cloud(truth.z.clone(), shaken(truth, 0.05).pos)
    wrong.z[2, 0] = 6  # as if water had come back with carbon
    assert_close(refined(model, wrong, embedded(model, truth)).pos[2], wrong.pos[2])


def test_each_by_itself(model, truth):
    wrong, code = shaken(truth, 0.1), embedded(model, truth)
    together = refined(model, wrong, code).pos
    alone = torch.cat([refined(model, wrong[k : k + 1], code[k : k + 1]).pos for k in range(3)])
    assert_close(alone, together, atol=1e-4, rtol=0)


def test_strangeness_tells_right_from_wrong(model, truth):
    encoder, code = model.encoder.slots, embedded(model, truth)
    right = strangeness(encoder, truth.z, truth.pos, code)
    assert (right[0] < SOUND) and (
        strangeness(encoder, truth.z, shaken(truth, 0.05).pos, code) > 5 * right
    ).all()


def test_nonsense_stays_as_decoded(model, truth, monkeypatch):
    """Embeddings that no conformer has are not worth a search; nothing ends in numbers that are none."""
    monkeypatch.setattr("molgiae.model.refined.ATTEMPTS", 2)
    found = refined(model, truth, torch.full((3, 24), torch.nan))
    assert_close(found.pos, truth.pos)


def test_kinds_do_not_depend_on_the_order(truth):
    turn = torch.randperm(29, generator=torch.Generator().manual_seed(2))
    kinds = kinds_of(truth.z, bonds_of(truth.z, truth.pos))
    z, pos = truth.z[:, turn], truth.pos[:, turn]
    assert_close(kinds_of(z, bonds_of(z, pos)), kinds[:, turn][:, :, turn])


def test_benzene_is_known(truth):
    bonds = bonds_of(truth.z, truth.pos)
    assert bonds.sum(dim=(1, 2)).tolist() == [24, 8, 4]
    length, stiff, near = typical(truth.z, truth.pos)
    assert (stiff[0][near[0]] > 0).all()
    distance = torch.cdist(truth.pos, truth.pos)
    assert ((distance - length).abs()[near & (stiff > 0)] < 0.1).all()


@pytest.mark.parametrize("architecture", ["nested", "learned"])
def test_others_refuse(architecture, truth):
    model = build(replace(CONFIG, architecture=architecture, embedding_dim=64))
    with pytest.raises(ConfigError, match="leave out --refine"):
        refined(model, truth, torch.zeros(3, 64))
