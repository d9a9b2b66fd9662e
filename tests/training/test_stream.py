"""Streamed conformers: each once an epoch, the same bits after a resume, memory that does not grow."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from molgiae.commands import pretrain as command
from molgiae.commands.merge import merge
from molgiae.commands.pretrain import pretrain
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5 import opening
from molgiae.data.hdf5.dataset import part_name
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.errors import ConfigError
from molgiae.training import stream
from molgiae.training.stream import Chunk, Stream, held_back, scanned
from tests.training.made_up import some_conformers
from tests.training.test_loop import CONFIG, PLAIN, assert_equal_states, state_of


def written(path: Path, conformers: list[Conformer]) -> None:
    with Hdf5Writer(path, columns=()) as writer:
        writer.append(ConformerBlock.of(conformers))


def made_of(counts: list[int], seed: int = 3) -> Stream:
    return Stream(tuple(Chunk(Path(), 0, count, count) for count in counts), seed, (1,), 1)


def numbers(counts: list[int]):
    """What is made of chunk k are the numbers of its conformers."""
    starts = np.cumsum([0, *counts])
    return lambda k: (torch.arange(int(starts[k]), int(starts[k + 1])),)


def orders_of(counts: list[int], size: int, epochs: int, seed: int = 3) -> torch.Tensor:
    batch = made_of(counts, seed).batches(size, numbers(counts))
    total = epochs * sum(counts)
    every = torch.cat([batch(step)[0] for step in range(-(-total // size))])
    return every[:total].view(epochs, -1)


@pytest.mark.parametrize("size", [1, 7, 64, 500])
@pytest.mark.parametrize("counts", [[5], [30, 0, 41, 7, 30, 1, 30, 30, 30, 30, 30, 12], [0, 0, 9] * 11])
def test_every_conformer_comes_once_in_every_epoch(counts: list[int], size: int):
    epochs = orders_of(counts, size, 4)
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(sum(counts)))
    for one, two in itertools.combinations(epochs, 2):
        assert not torch.equal(one, two)
    assert torch.equal(epochs, orders_of(counts, 3, 4)), "the size of batches does not change the order"
    assert not torch.equal(epochs, orders_of(counts, size, 4, seed=4))


def test_a_batch_is_a_function_of_its_step():
    counts = [10] * 30
    batch = made_of(counts).batches(8, numbers(counts))
    there = {step: batch(step)[0] for step in range(90)}
    fresh = made_of(counts).batches(8, numbers(counts))
    for step in (89, 3, 40, 39, 88, 0):
        assert torch.equal(fresh(step)[0], there[step])


def test_few_chunks_are_in_memory_and_each_is_made_once_an_epoch():
    counts, asked = [10] * 64, []
    batch = made_of(counts).batches(16, lambda k: (asked.append(k), numbers(counts)(k))[1])
    for step in range(2 * 640 // 16):
        batch(step)
        assert len(asked) <= 16 * step / 10 + 2 * stream.TOGETHER
    assert sorted(asked) == sorted([*range(64)] * 2)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two parts of a dataset, of which little is read at once."""
    for name, value in {"CHUNK": 17, "TOGETHER": 2, "MAX_SAMPLE": 30, "VALIDATION_IN": 5}.items():
        monkeypatch.setattr(stream, name, value)
    monkeypatch.setattr(command, "HELD_ATOMS", 100)
    folder = tmp_path / "parts"
    folder.mkdir()
    for k in range(2):
        conformers = [
            replace(conformer, title=f"molecule {(60 * k + m) // 2}")
            for m, conformer in enumerate(some_conformers(60, 60 * k))
        ]
        written(folder / part_name(k + 1, 2), conformers)
    return folder


def test_molecules_are_on_one_side_and_none_is_lost(parts: Path):
    found = scanned([parts], 0)
    train = [title for k in range(len(found.chunks)) for title in found.train(k).title]
    with opening.open(parts) as file:
        titles = file.column("title").tolist()
    held = held_back(titles, 0, 0)
    assert sorted(train) == sorted(title for title, back in zip(titles, held, strict=True) if not back)
    assert len(train) == len(found)
    assert set(found.validation().title) == set(titles) - set(train)
    assert set(found.sample().title) <= set(train)


def test_too_few_molecules_are_an_error(tmp_path: Path):
    written(tmp_path / "a.h5", some_conformers(1))
    with pytest.raises(ConfigError, match="too few molecules"):
        scanned([tmp_path / "a.h5"], 0)


def test_a_streamed_run_is_resumed_to_the_step(parts: Path, tmp_path: Path):
    model, config = PLAIN, replace(CONFIG, steps=4, batch_size=80)
    config = replace(config, property_steps=1, atom_steps=1, shape_steps=1)
    whole = pretrain([parts], tmp_path / "whole", model, config)
    found = pretrain([parts], tmp_path / "pieces", model, config, stop_after=0.0)
    while not found["complete"]:
        found = pretrain([parts], tmp_path / "pieces", model, config, stop_after=0.0, resume=True)
    assert_equal_states(state_of(tmp_path / "pieces"), state_of(tmp_path / "whole"))
    assert found["rmsd_mean"] == whole["rmsd_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_a_directory_teaches_what_the_merged_file_does(parts: Path, tmp_path: Path, monkeypatch, streamed):
    if not streamed:
        monkeypatch.setattr(command, "HELD_ATOMS", 10**6)
    monkeypatch.setattr(stream, "CHUNK", 15)  # which the parts are multiples of: chunks end with files
    merge(parts, tmp_path / "merged.h5")
    config = replace(CONFIG, steps=2, batch_size=40, property_steps=1, atom_steps=1, shape_steps=1)
    found = [
        pretrain([source], tmp_path / f"from-{source.name}", PLAIN, config)
        for source in (parts, tmp_path / "merged.h5")
    ]
    one, other = (
        load_file(tmp_path / f"from-{name}" / "model.safetensors") for name in ("parts", "merged.h5")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert found[0]["rmsd_mean"] == found[1]["rmsd_mean"]
