"""Conformers in shards are those of one run, molecule by molecule."""

from __future__ import annotations

import pytest

from molgiae.commands.conformers import generate_conformers
from molgiae.data.readers import read_blocks
from molgiae.shards.drive import in_shards
from tests.shards.test_drive import files, inline  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("inline")
MOLECULES = "CCO ethanol\nnonsense bad\n# a comment\nC1CC1 cyclopropane\nCC(=O)O acetic\nO water\nCN amine\n"
HOW = {"number": 2, "prune": 0.0}


@pytest.fixture
def smi(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text(MOLECULES)
    return path


def text_of(directory):
    return "".join(path.read_text() for path in sorted(directory.glob("part-*.sdf")))


def test_shards_make_what_one_run_makes_and_are_left_alone_afterwards(smi, tmp_path):
    summary = in_shards("conformers", smi, tmp_path / "out", shards=3, jobs=1, **HOW)
    whole = generate_conformers(smi, tmp_path / "whole.sdf", jobs=1, **HOW)
    assert (summary.written, summary.rejected) == (whole.conformers, 1)
    assert text_of(tmp_path / "out") == (tmp_path / "whole.sdf").read_text()
    [table] = (tmp_path / "out").glob("*.rejected.csv")
    assert "nonsense" in table.read_text() or "bad" in table.read_text()
    before = files(tmp_path / "out")
    assert in_shards("conformers", smi, tmp_path / "out", shards=3, jobs=1, **HOW).kept == 3
    assert files(tmp_path / "out") == before
    assert len(list(read_blocks([str(tmp_path / "out")]))) > 0  # a directory of SDF is an input


@pytest.mark.slow
def test_what_is_of_something_else_is_made_again(smi, tmp_path):
    in_shards("conformers", smi, tmp_path / "out", shards=2, jobs=1, **HOW)
    smi.write_text(MOLECULES.replace("CCO ethanol", "CCC propane"))
    assert in_shards("conformers", smi, tmp_path / "out", shards=2, jobs=1, **HOW).made == 2
    assert "propane" in text_of(tmp_path / "out")
    assert in_shards("conformers", smi, tmp_path / "out", shards=3, jobs=1, overwrite=True, **HOW).made == 3
    assert len(list((tmp_path / "out").glob("part-*.sdf"))) == 3
