"""Every tensor of inference and training is made where the model is, and few come back: shown without a GPU."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from molgiae.data.conformer import ConformerBlock
from molgiae.model.architectures import ARCHITECTURES, build
from molgiae.model.embedder import Embedder
from molgiae.training import Run
from molgiae.training.pretraining import stages_of
from molgiae.training.task import Task
from tests.devices import ELSEWHERE, MixedDevicesError, elsewhere
from tests.training.made_up import some_conformers
from tests.training.test_loop import CONFIG, DATA, small

COME_BACK = {"as_numpy"}
"""What brings results of inference to the CPU."""


@pytest.fixture(autouse=True)
def _autocast_knows_the_device(monkeypatch: pytest.MonkeyPatch):
    real = torch.autocast
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda device, *a, **b: nullcontext() if device == ELSEWHERE else real(device, *a, **b),
    )


def test_the_device_computes_and_refuses_to_meet_the_cpu():
    with elsewhere() as left:
        here = torch.arange(6.0).view(2, 3)
        there = here.to(ELSEWHERE).requires_grad_(True)
        made = there @ torch.eye(3, device=there.device) + torch.tensor([1.0, 2, 3], device=ELSEWHERE)
        assert made.device.type == ELSEWHERE
        made.square().sum().backward()
        assert there.grad.device.type == ELSEWHERE
        np.testing.assert_allclose(there.grad.cpu().numpy(), 2 * (here + torch.tensor([1.0, 2, 3])).numpy())
        with pytest.raises(MixedDevicesError):
            made + torch.ones(3)
        with pytest.raises(MixedDevicesError):
            made @ torch.eye(3)
    assert sum(left.values()) == 1


def test_inference_stays_on_the_device(model_path: str):
    block = ConformerBlock.of(some_conformers(12))
    embedder = Embedder(model_path, device="cpu")
    expected = embedder.embed(block, reconstruct=True)
    with elsewhere() as left:
        embedder.model, embedder.device = embedder.model.to(ELSEWHERE), ELSEWHERE
        found = embedder.embed(block, reconstruct=True)
    for name in ("embedding", "rmsd", "rotation", "canonical_position", "reconstructed_position"):
        assert found[name].dtype == expected[name].dtype
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    assert set(left) == COME_BACK


def test_what_comes_back_in_the_middle_is_found(model_path: str, monkeypatch: pytest.MonkeyPatch):
    embedder = Embedder(model_path, device="cpu")
    places = embedder.model.encoder.atoms.places

    def strays(z: torch.Tensor, pos: torch.Tensor) -> torch.Tensor:
        return places(z, pos.cpu().to(pos.device))

    monkeypatch.setattr(embedder.model.encoder.atoms, "places", strays)
    with elsewhere() as left:
        embedder.model, embedder.device = embedder.model.to(ELSEWHERE), ELSEWHERE
        embedder.embed(ConformerBlock.of(some_conformers(3)))
    assert set(left) > COME_BACK


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_stays_on_the_device(architecture: str, tmp_path, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": generator())
    torch.manual_seed(0)
    model = build(small(architecture))
    with elsewhere():
        model = model.to(ELSEWHERE)
        task = Task(model, DATA, CONFIG, Run(tmp_path, ELSEWHERE))
        for make in stages_of(model):
            stage = make(task)
            stage.begin()
            loss = stage.loss(0)
            assert loss.device.type == ELSEWHERE
            if stage.steps:
                loss.backward()
                grads = [p.grad for group, _ in stage.groups for p in group if p.grad is not None]
                assert grads
                assert {grad.device.type for grad in grads} == {ELSEWHERE}
                assert {grad.dtype for grad in grads} == {torch.float32}
