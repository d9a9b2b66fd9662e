"""The qm9 experiment: it is the molecule pipeline, on few molecules made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from molgiae.experiments import Setting, qm9
from molgiae.model.embedder import Embedder
from tests.conformers import random_conformer

TINY = replace(
    qm9.FAST,
    dims=(256, 4),
    width=8,
    train_molecules=10,
    test_molecules=6,
    steps=3,
    batch_size=4,
    learned_steps=2,
    learned_batch=4,
    invariance_conformers=3,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    conformers = [random_conformer(5 + seed % 4, seed) for seed in range(30)]
    value = np.round(np.concatenate([c.position for c in conformers]) * 1e4).astype(np.int64)
    path = tmp_path / "qm9.npz"
    np.savez(
        path,
        gdb_index=np.arange(30),
        n_atoms=np.array([len(c.position) for c in conformers]),
        atomic_number=np.concatenate([c.atomic_number for c in conformers]).astype(np.uint8),
        position_high=(value >> 8).astype(np.int16),
        position_low=(value & 255).astype(np.uint8),
        split=np.array([0] * 16 + [1] * 4 + [2] * 10, dtype=np.uint8),
    )
    return path


def test_run(data, tmp_path):
    findings = qm9.run(TINY, Setting(tmp_path, data=data))
    figures = findings.figures
    json.dumps(figures)
    assert figures["train"] == 10
    names = ["256 numbers", "4 numbers", qm9.LEARNED]
    assert [(row["name"], row["test"]) for row in figures["table"]] == [(name, 6) for name in names]
    for row in figures["table"]:
        assert row["rmsd_mean"] > 0
        assert row["embedding_change_max"] < 1e-5
        assert row["principal_components"]["rmsd_mean"] > 0
        folder = tmp_path / row["name"].replace(" ", "-")
        assert Embedder(str(folder / "model.safetensors")).dimension == row["dim"]
    assert [bar.value for bar in findings.bars[::2]] == [figures["table"][k]["rmsd_mean"] for k in (0, 2)]
    assert (tmp_path / findings.pictures[0]).read_bytes().startswith(b"\x89PNG")
