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
    dims=(8, 4),
    width=8,
    train_molecules=10,
    test_molecules=6,
    steps=3,
    batch_size=4,
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
    assert [(row["dim"], row["test"]) for row in figures["table"]] == [(8, 6), (4, 6)]
    for row in figures["table"]:
        assert row["rmsd_mean"] > 0
        assert row["embedding_change_max"] < 1e-5
        assert row["principal_components"]["rmsd_mean"] > 0
        assert Embedder(str(tmp_path / f"dim-{row['dim']}" / "model.safetensors")).dimension == row["dim"]
    assert findings.bars[0].value == figures["table"][0]["rmsd_mean"]
    assert (tmp_path / findings.pictures[0]).read_bytes().startswith(b"\x89PNG")
