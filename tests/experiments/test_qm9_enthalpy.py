"""Few labels on the paper's own encoder: two networks that differ in the weights they start from, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from molgiae.config import Domain, ModelConfig
from molgiae.experiments import Setting, qm9_enthalpy
from molgiae.experiments.qm9_enthalpy import Case, Config, Regressor, cases
from molgiae.groups import SE3xSn
from molgiae.model.architectures import build
from molgiae.model.checkpoint import save
from molgiae.model.cloud import pack
from tests.conformers import random_conformer

CONFIG = ModelConfig("learned", embedding_dim=8, width=16, layers=1)
NETWORK = "model.encoder.network."
TINY = Config(shares=(0.5,), epochs=(2,), seeds=1, batch_size=4, test_molecules=3)


@pytest.fixture
def network() -> Regressor:
    torch.manual_seed(0)
    return Regressor(build(CONFIG))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "model.safetensors"
    save(path, build(CONFIG), Domain((1, 6, 7, 8), (1, 29), 20.0, (0.5, 3.0)), {})
    return path


def conformers(sizes):
    found = [random_conformer(n, seed) for seed, n in enumerate(sizes)]
    z, position = (
        np.concatenate([getattr(c, name) for c in found]) for name in ("atomic_number", "position")
    )
    return pack(z, position, np.concatenate([[0], np.cumsum(sizes)]))


def test_the_number_is_invariant_and_all_but_the_group_action_learns(network):
    x = conformers([6, 6, 6])
    g = SE3xSn.random(3, n=6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x.moved(g)), network(x), atol=1e-4, rtol=1e-4)
    learned = {id(weight) for weight in network.learned()}
    network(x).sum().backward()
    without = {name for name, w in network.named_parameters() if id(w) in learned and w.grad is None}
    pose = ("weight", "rotation", "shift", "score", "atoms.layers.0.gate")  # vectors and scores, nothing else
    assert without and all(name.startswith(tuple(NETWORK + part for part in pose)) for name in without)
    assert not any(id(weight) in learned for weight in network.model.decoder.parameters())


def test_padding_changes_nothing(network):
    x = conformers([5, 8])
    together = network(x)
    torch.testing.assert_close(together[:1], network(x[:1].columns(5)), atol=1e-5, rtol=1e-5)


def test_both_see_the_same_molecules_and_smaller_shares_are_parts_of_larger():
    split = np.array([0] * 40 + [1] * 12 + [2] * 8, dtype=np.int8)
    small, large = (Case("scratch", share, 1, 3).rows(split, None) for share in (0.1, 0.5))
    other = Case("pretrained", 0.1, 1, 3).rows(split, None)
    assert all(np.array_equal(a, b) for a, b in zip(small, other, strict=True))
    assert [len(rows) for rows in large] == [20, 5, 8]
    assert set(small[0]) < set(large[0])
    assert (split[large[1]] == 1).all() and (split[large[2]] == 2).all()


def test_cases_come_in_pairs_small_shares_first():
    found = cases(replace(qm9_enthalpy.CONFIG, seeds=2))
    assert [case.kind for case in found[:2]] == ["pretrained", "scratch"]
    assert [case.share for case in found] == sorted(case.share for case in found)
    assert cases(replace(TINY, epochs=())) == []


def test_fits_are_kept_and_started_as_they_say(checkpoint, qm9_file, tmp_path, monkeypatch):
    setting = Setting(tmp_path, data=qm9_file)
    started = []
    fitted = qm9_enthalpy.fitted

    def watched(network, *rest):
        started.append(network.model.encoder.network.slots.net.linear.weight.detach().clone())
        return fitted(network, *rest)

    monkeypatch.setattr(qm9_enthalpy, "fitted", watched)
    monkeypatch.setattr(qm9_enthalpy, "draw", lambda path, fits: path.name)
    findings = qm9_enthalpy.study(checkpoint, TINY, setting)
    json.dumps(findings.figures)
    assert [(row["kind"], row["train"], row["test"]) for row in findings.figures["table"]] == [
        ("pretrained", 8, 3),
        ("scratch", 8, 3),
    ]
    origin = qm9_enthalpy.load(str(checkpoint)).model.encoder.network.slots.net.linear.weight
    assert [torch.equal(query, origin) for query in started] == [True, False]
    again = qm9_enthalpy.study(checkpoint, TINY, setting)
    assert again.figures == findings.figures and len(started) == 2
    qm9_enthalpy.study(checkpoint, replace(TINY, learning_rate=2e-3), setting)
    assert len(started) == 4
