"""Models of properties as files: those of before predict what they did, those of today come back whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file

from molgiae.config import AtomConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.model.header import Kind, read_header
from molgiae.properties.predictor import Predictor, PropertyModel, Scale, save
from molgiae.properties.references import References
from molgiae.properties.targets import find
from tests.conformers import random_conformer
from tests.conftest import TINY_DOMAIN

BLOCK = ConformerBlock.of([random_conformer(5 + k, k, (1, 6)) for k in range(4)])
REFERENCES = References(("atoms",), (1, 6), np.zeros((2, 1)), np.zeros(1), (1, 6))
SCALE = Scale((find("H"),), REFERENCES, np.ones(1), np.ones(1))

OF_FORMAT_5 = np.array([0.9113492369651794, 1.0647022724151611, 1.2056277990341187, 1.4544023275375366])
DOUBT_OF_FORMAT_5 = np.array([0.768085241317749, 0.7636657953262329, 0.7630419135093689, 0.766349196434021])
"""What `waves` of 8 features and 2 layers predicted of `BLOCK` when format 5 was written."""


def waves(rounds: int) -> PropertyModel:
    """A model whose weights are known by formula."""
    model = PropertyModel(8, 2, rounds, SCALE).eval().requires_grad_(False)
    for k, weights in enumerate(model.parameters()):
        place = torch.arange(weights.numel(), dtype=torch.float64)
        weights.copy_((0.3 * torch.sin(place * (1 + 0.1 * k) + k)).view(weights.shape))
    return model


@pytest.fixture
def old(tmp_path) -> Path:
    """As format 5 had it: no word of rounds of messages between bonded atoms."""
    save(tmp_path / "new.safetensors", waves(0), TINY_DOMAIN, {"data": "none"})
    header = read_header(tmp_path / "new.safetensors", Kind.PROPERTY)
    assert header["config"].pop("rounds") == 0
    header["format_version"] = 5
    path = tmp_path / "old.safetensors"
    save_file(load_file(tmp_path / "new.safetensors"), path, metadata={"molgiae": json.dumps(header)})
    return path


def test_models_of_format_5_predict_what_they_did(old):
    predictor = Predictor(old, device="cpu")
    assert predictor.model.atoms.sizes == (8, 2, 0)
    found = predictor.predict(BLOCK)
    assert_allclose(found.value[:, 0], OF_FORMAT_5, atol=1e-5)
    assert_allclose(found.std[:, 0], DOUBT_OF_FORMAT_5, atol=1e-5)


@pytest.mark.parametrize("rounds", [0, 2])
def test_models_come_back_with_their_rounds(rounds, tmp_path):
    model = waves(rounds)
    save(tmp_path / "m.safetensors", model, TINY_DOMAIN, {"data": "none"})
    config = read_header(tmp_path / "m.safetensors", Kind.PROPERTY)["config"]
    assert config == AtomConfig(8, 2, rounds).to_dict()
    found = Predictor(tmp_path / "m.safetensors", device="cpu").predict(BLOCK)
    assert_allclose(found.value, model.predict(BLOCK)[0], atol=1e-6)
    assert rounds == 0 or not np.allclose(found.value[:, 0], OF_FORMAT_5, atol=1e-3)
