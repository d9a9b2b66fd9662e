"""The qm9 experiment: it is the molecule pipeline, on few molecules made here."""

from __future__ import annotations

import json
from dataclasses import replace

from molgiae.experiments import Setting, qm9, qm9_compact, qm9_enthalpy, qm9_scans
from molgiae.model.embedder import Embedder

TINY = replace(
    qm9.FAST,
    dims=(256, 4),
    width=8,
    compact_width=8,
    compact_steps=3,
    compact=replace(qm9_compact.FAST, steps=2, batch_size=4),
    train_molecules=10,
    test_molecules=6,
    steps=3,
    batch_size=4,
    learned_steps=2,
    learned_batch=4,
    invariance_conformers=3,
    enthalpy=replace(qm9_enthalpy.FAST, epochs=(1,), test_molecules=3),
    scans=replace(qm9_scans.FAST, molecules=1),
)


def test_run(qm9_file, tmp_path, monkeypatch):
    monkeypatch.setattr("molgiae.model.refined.ATTEMPTS", 2)
    findings = qm9.run(TINY, Setting(tmp_path, data=qm9_file))
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
        assert ("refined_rmsd_mean" in row) == ("searched_rmsd_mean" in row) == (row["dim"] < 256)
    assert [bar.value for bar in findings.bars[:4:2]] == [figures["table"][k]["rmsd_mean"] for k in (0, 2)]
    assert set(figures) > {"enthalpy", "scans"}
    assert findings.pictures == ("rmsd.png", "enthalpy.png", "scans.png")
    for name in findings.pictures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
