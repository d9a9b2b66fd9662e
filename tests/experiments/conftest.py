"""Data that several experiments read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conformers import random_conformer


@pytest.fixture
def qm9_file(tmp_path: Path) -> Path:
    """A file as that of QM9, of few molecules, which have an enthalpy."""
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
        H=np.random.default_rng(0).normal(size=30),
        split=np.array([0] * 16 + [1] * 4 + [2] * 10, dtype=np.uint8),
    )
    return path
