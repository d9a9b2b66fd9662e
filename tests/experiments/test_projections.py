"""The study of projections on molecules drawn here."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import MolgiaeError
from molgiae.experiments import Setting, projections
from molgiae.experiments.projections import ALL, COMPLETE, LEARNED, RAW
from tests.conformers import random_conformer

TINY = replace(projections.FAST, molecules=60, known=40, pairs=50, isomers=20)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """As the file of QM9: some molecules of every split."""
    path = tmp_path_factory.mktemp("qm9") / "drawn.npz"
    block = ConformerBlock.of([random_conformer(5 + k % 6, k) for k in range(72)])
    units = np.rint(block.position * 1e4).astype(np.int32)
    extent = np.array([np.square(c.position - c.position.mean(axis=0)).sum() for c in block])
    arrays = dict.fromkeys(("mu", "alpha", "gap", "r2"), extent)
    np.savez(
        path,
        gdb_index=np.arange(72),
        n_atoms=block.n_atoms,
        atomic_number=block.atomic_number,
        position_high=(units >> 8).astype(np.int16),
        position_low=(units & 255).astype(np.uint8),
        split=np.where(np.arange(72) < 12, 0, 2),
        **arrays,
    )
    return path


@pytest.mark.slow
def test_run(data, tmp_path):
    findings = projections.run(TINY, Setting(tmp_path, data=data))
    assert findings.figures["molecules"] == 60
    rows = {row["embedding"]: row for row in findings.figures["rows"]}
    assert list(rows) == [RAW, *ALL, LEARNED]
    assert all(bar.met for bar in findings.bars), findings.bars
    assert all(rows[name]["mirror_images_told_apart"] == 1 for name in COMPLETE)
    assert rows["norms"]["mirror_images_told_apart"] == 0
    assert rows[RAW]["change_by_rotation_max"] > 0.1
    assert rows[RAW]["spearman_with_orbits"] < rows["max-filter"]["spearman_with_orbits"]
    assert (tmp_path / findings.pictures[0]).read_bytes().startswith(b"\x89PNG")
    json.dumps(findings.figures)


def test_with_too_few_molecules(data, tmp_path):
    with pytest.raises(MolgiaeError, match="60 test molecules with properties, more than 60 are needed"):
        projections.run(replace(TINY, known=60), Setting(tmp_path, data=data))
