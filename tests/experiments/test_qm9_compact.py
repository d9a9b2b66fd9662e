"""Searches from samples: a network that knows the answer leads to it, each conformer by itself; training resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from molgiae.commands.pretrain import pretrain, read_data
from molgiae.config import TrainConfig
from molgiae.errors import CheckpointError
from molgiae.experiments import Setting, qm9_compact
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from molgiae.nn.denoiser import SPREAD
from tests.model.test_embedder import BENZENE, METHANE, WATER
from tests.model.test_refined import CONFIG as MODEL
from tests.model.test_refined import cloud, embedded, off, shaken

CONFIG = replace(qm9_compact.FAST, steps=4, batch_size=4)
RECIPE = TrainConfig(steps=2, batch_size=4, warmup_steps=1)


class Knowing(nn.Module):
    """Says where the atoms are, whatever the noise."""

    def __init__(self, x: Cloud) -> None:
        super().__init__()
        self.x = x

    def forward(self, z, noisy, decoded, code, noise):
        assert (noisy - decoded).abs().max() < 10 * SPREAD
        same = (z[:, None] == self.x.z[None, :, : z.shape[1]]).all(dim=2).double().argmax(dim=1)
        return self.x.pos[same, : z.shape[1]]


@pytest.fixture(scope="module")
def model() -> ConformerAutoencoder:
    torch.manual_seed(0)
    return build(MODEL).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def truth() -> Cloud:
    return cloud(BENZENE, METHANE, WATER)


def far(x: Cloud) -> Cloud:
    return shaken(x, 1.0)


def test_samples_are_what_the_network_says(model, truth):
    drawn = qm9_compact.sample(model, Knowing(truth), far(truth), embedded(model, truth), 5)
    assert_close(drawn * truth.mask[..., None], truth.pos, atol=1e-4, rtol=0)


def test_samples_are_drawn_to_the_embedding(model, truth):
    """Where the network does not know better, the encoder corrects it."""
    code = embedded(model, truth)
    wrong = Knowing(Cloud(truth.z, truth.pos + 0.1 * (far(truth).pos - truth.pos)))
    drawn = Cloud(truth.z, qm9_compact.sample(model, wrong, far(truth), code, 5))
    missed, before = (
        (model.encoder.slots(x.z, x.pos) - code).norm(dim=1) for x in (drawn, Cloud(truth.z, wrong.x.pos))
    )
    assert (missed < 0.7 * before).all()


def test_each_by_itself(model, truth):
    torch.manual_seed(1)
    network = qm9_compact.Denoiser(MODEL.elements, MODEL.max_atoms, MODEL.embedding_dim, 16, 1)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.1)
    wrong, code = far(truth), embedded(model, truth)
    with torch.no_grad():
        together = qm9_compact.sample(model, network, wrong, code, 2)
        alone = [qm9_compact.sample(model, network, wrong[k : k + 1], code[k : k + 1], 2) for k in range(3)]
    assert_close(torch.cat(alone), together, atol=1e-3, rtol=0)


def test_searches_begin_at_samples(model, truth, monkeypatch):
    """What a search from what was decoded does not find is found from samples."""
    monkeypatch.setattr("molgiae.model.refined.ATTEMPTS", 3)
    monkeypatch.setattr(model, "decode", lambda code: far(truth))
    code = embedded(model, truth)
    found = qm9_compact.searched(model, Knowing(truth), code)
    assert (off(found, truth) < 0.02).all()
    lost = qm9_compact.searched(model, Knowing(far(truth)), code)
    assert off(lost, truth)[0] > 0.1


def test_training_and_errors(qm9_file, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("molgiae.model.refined.ATTEMPTS", 2)
    data = read_data([qm9_file], 0)
    pretrain([qm9_file], tmp_path / "run", replace(MODEL, embedding_dim=6), RECIPE, evaluate_every=2)
    checkpoint = tmp_path / "run" / "model.safetensors"
    setting = Setting(tmp_path, data=qm9_file)
    network = qm9_compact.denoiser(checkpoint, data, RECIPE, CONFIG, setting)
    again = qm9_compact.denoiser(checkpoint, data, RECIPE, CONFIG, setting)
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert_close(a, b)
    assert qm9_compact.errors(checkpoint, network, data.validation).shape == (len(data.validation),)
    pretrain([qm9_file], tmp_path / "other", replace(MODEL, embedding_dim=6, width=8), RECIPE)
    checkpoint.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="other data or settings"):
        qm9_compact.denoiser(checkpoint, data, RECIPE, CONFIG, setting)
