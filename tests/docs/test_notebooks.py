"""Notebooks run as they stand, and hold what they print today."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
if not (HOME / "docs").is_dir():
    pytest.skip("the pages are not there", allow_module_level=True)
sys.path[:0] = [str(HOME / "docs"), str(HOME / "examples")]

from blocks import missing  # noqa: E402
from run_notebooks import run_cell, run_notebook, texts_of  # noqa: E402

mpl = pytest.importorskip("matplotlib")
NOTEBOOKS = sorted((HOME / "examples").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def pictures():
    mpl.use("Agg")


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 2 and all(path.stat().st_size < 200_000 for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_prints(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    before = files_of(path.parent)
    notebook, outputs = run_notebook(path)
    kept = [texts_of(cell["outputs"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    now = [texts_of(cell) for cell in outputs]
    assert [len(cell) for cell in kept] == [len(cell) for cell in now]
    texts = zip(chain(*kept), chain(*now), strict=True)
    assert [(old, new) for old, new in texts if missing(old, new)] == []
    assert files_of(path.parent) == before


def test_cells_give_text_value_and_picture(tmp_path):
    space = {}
    assert texts_of(run_cell("print(1)\nx = 2\nx + 1", space)) == ["1\n", "3"]
    assert run_cell("y = x", space) == [] and space["y"] == 2
    (picture,) = run_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])", space)
    assert picture["data"]["image/png"]
    with pytest.raises(ZeroDivisionError):
        run_cell("1 / 0", space)
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": ["a = 1\n", "a"]}]}))
    assert texts_of(run_notebook(path)[1][0]) == ["1"]
