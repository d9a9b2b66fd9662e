"""The table of what parts describe: figures in their places, molecules with their bonds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from molgiae.data.fingerprints import morgan_counts
from molgiae.evaluation.report import Report
from tests.evaluation.described import molecule

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import describe  # noqa: E402 - a script's neighbour, not a package

SMILES = ("CC(=O)[O-]", "c1ccccc1O")


def reports() -> dict[str, Report]:
    overlay = {name: {"spearman": value} for name, value in (("m", 0.1), ("m, overlay", 0.9), ("USR", 0.6))}
    smooth = {name: {"0.01": {"jumps": 0.0}} for name in ("m", "m, shape", "m, detail")}
    learned = {"m, features": {"H, 1000 labels": {"mae": 0.1234, "rmse": 0.2, "unit": "eV"}}}
    return {
        "zinc": Report({"model": "m"}, {"overlay": overlay, "smoothness": smooth}),
        "qm9": Report({"model": "m"}, {"features": learned}),
    }


def test_figures_stand_in_their_places():
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in describe.table(reports()).splitlines()
    ]
    head, _, *rows = lines
    found = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    exact = found["ZINC: Spearman with exact shape Tanimoto"]
    assert (exact["its part"], exact["whole"], exact["USR"], exact["SOAP"]) == ("0.900", "0.100", "0.600", "")
    assert found["QM9 H, 1000 labels: MAE (meV)"]["its part"] == "123"
    assert [name for name in found if "jumps" in name] == ["ZINC: jumps of shape, 0.01 Å of noise"]
    assert len(found) == 3


def test_molecules_get_their_bonds(tmp_path):
    conformers = [molecule(smiles) for smiles in SMILES]
    np.savez(
        tmp_path / "a.npz",
        n_atoms=np.array([len(c) for c in conformers]),
        atomic_number=np.concatenate([c.atomic_number for c in conformers]),
        position=np.concatenate([c.position for c in conformers]),
        molecule=np.array([0, 1]),
    )
    (tmp_path / "a.smi").write_text("\n".join(SMILES) + "\n")
    block = describe.with_bonds(tmp_path / "a.npz", tmp_path / "a.smi")
    assert block.charge.tolist() == [-1, 0]
    for found, conformer in zip(block, conformers, strict=True):
        assert np.array_equal(found.bonds, conformer.bonds)
        assert np.array_equal(morgan_counts(found), morgan_counts(conformer))
    (tmp_path / "a.smi").write_text("\n".join(reversed(SMILES)) + "\n")
    with pytest.raises(ValueError, match="are not those of"):
        describe.with_bonds(tmp_path / "a.npz", tmp_path / "a.smi")
