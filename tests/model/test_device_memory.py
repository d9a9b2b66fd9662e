"""Batches that memory does not hold are halved, once and for all, and results stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from molgiae.data.conformer import ConformerBlock
from molgiae.model.device_memory import DeviceMemory
from molgiae.model.embedder import Embedder
from tests.training.made_up import some_conformers


@pytest.mark.parametrize("room", [1, 49, 400, 10**9])
def test_every_conformer_once_and_memory_is_asked_for_too_much_but_a_few_times(room: int):
    sizes = np.random.default_rng(0).integers(1, 9, 500)
    done, refused, memory = [], 0, DeviceMemory()

    def work(chosen: np.ndarray) -> None:
        nonlocal refused
        if len(chosen) > 1 and len(chosen) * sizes[chosen].max() ** 2 > room:
            refused += 1
            raise torch.OutOfMemoryError
        done.extend(chosen.tolist())

    memory.each(sizes, 64, work)
    assert sorted(done) == list(range(500))
    first = refused
    memory.each(sizes, 64, work)
    assert refused == first <= 13
    assert sorted(done) == sorted([*range(500)] * 2)


def test_one_conformer_that_has_no_room_is_an_error():
    def work(chosen: np.ndarray) -> None:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        DeviceMemory().each(np.array([3, 4, 5]), 2, work)


def test_an_embedder_goes_on_with_smaller_batches(model_path: str, monkeypatch: pytest.MonkeyPatch):
    block = ConformerBlock.of(some_conformers(40))
    expected = Embedder(model_path, device="cpu", batch_size=32).embed(block, reconstruct=True)
    embedder = Embedder(model_path, device="cpu", batch_size=32)
    places, asked = embedder.model.encoder.atoms.places, []

    def crowded(z: torch.Tensor, pos: torch.Tensor) -> torch.Tensor:
        asked.append(len(z))
        if len(z) > 5:
            raise torch.OutOfMemoryError
        return places(z, pos)

    monkeypatch.setattr(embedder.model.encoder.atoms, "places", crowded)
    found = embedder.embed(block, reconstruct=True)
    for name in ("embedding", "rmsd", "canonical_position"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    assert_array_equal(found["permutation"], expected["permutation"])
    assert max(asked) > 5
    asked.clear()
    embedder.embed(block)
    assert max(asked) <= 5
