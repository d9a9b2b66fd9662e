"""Models of properties as files: those of before predict what they did, those of today come back whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file

from molgiae.config import AtomConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import CheckpointError
from molgiae.model.header import Kind, read_header
from molgiae.properties.predictor import Predictor, PropertyModel, Scale, save
from molgiae.properties.references import References
from molgiae.properties.targets import find
from tests.conformers import random_conformer
from tests.conftest import TINY_DOMAIN

BLOCK = ConformerBlock.of([random_conformer(5 + k, k, (1, 6)) for k in range(4)])
REFERENCES = References(("atoms",), (1, 6), np.zeros((2, 1)), np.zeros(1), (1, 6))
SCALE = Scale((find("H"),), REFERENCES, np.ones(1), np.array([[1.0], [2.0]]))


def waves(rounds: int, members: int = 1) -> PropertyModel:
    """A model whose weights are known by formula."""
    model = PropertyModel(AtomConfig(8, 2, rounds, members), SCALE).eval().requires_grad_(False)
    for k, weights in enumerate(model.parameters()):
        place = torch.arange(weights.numel(), dtype=torch.float64)
        weights.copy_((0.3 * torch.sin(place * (1 + 0.1 * k) + k)).view(weights.shape))
    return model


def test_models_of_format_6_say_what_to_do(tmp_path):
    save(tmp_path / "new.safetensors", waves(1), TINY_DOMAIN, {"data": "none"})
    header = read_header(tmp_path / "new.safetensors", Kind.PROPERTY)
    header["format_version"] = 6
    path = tmp_path / "old.safetensors"
    save_file(load_file(tmp_path / "new.safetensors"), path, metadata={"molgiae": json.dumps(header)})
    with pytest.raises(CheckpointError, match="no longer read; run molgiae finetune again"):
        Predictor(path, device="cpu")


@pytest.mark.parametrize(("rounds", "members"), [(0, 1), (2, 1), (1, 3)])
def test_models_come_back_whole(rounds, members, tmp_path):
    model = waves(rounds, members)
    save(tmp_path / "m.safetensors", model, TINY_DOMAIN, {"data": "none"})
    config = read_header(tmp_path / "m.safetensors", Kind.PROPERTY)["config"]
    assert config == AtomConfig(8, 2, rounds, members).to_dict()
    found = Predictor(tmp_path / "m.safetensors", device="cpu").predict(BLOCK)
    expected = model.predict(BLOCK)
    assert_allclose(found.value, expected.value, atol=1e-6)
    assert_allclose(found.std, expected.std, atol=1e-6)
    assert_allclose(found.wide, 2 * found.std, atol=1e-6)
