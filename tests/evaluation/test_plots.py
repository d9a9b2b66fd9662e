"""Pictures show all of what they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molgiae.evaluation.drawing import draw_molecule, shortest_last
from molgiae.evaluation.plots import plots
from molgiae.evaluation.report import Report
from molgiae.plots import FigureFormat, blank


@pytest.mark.parametrize("dimension", [0, 1, 2, 3])
def test_all_atoms_are_in_view_of_points_lines_planes_and_others(dimension):
    rng = np.random.default_rng(dimension)
    x = np.zeros((5, 3))
    x[:, :dimension] = 3 * rng.normal(size=(5, dimension))
    flat = (x - x.mean(axis=0)) @ shortest_last(x)[:, :2]
    panel = blank().subplots()
    shown = draw_molecule(panel, np.array([1, 6, 6, 8, 79]), flat, np.array([[0, 1]]))
    assert set(shown) == {"H", "C", "O", "Au"}
    for (low, high), places in zip((panel.get_xlim(), panel.get_ylim()), flat.T, strict=True):
        assert low + 0.5 < places.min() and places.max() < high - 0.5


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_no_descriptor_hides_another(tmp_path: Path, kind: FigureFormat):
    """Each has a bar for every strength of noise, also where the shares are equal, and where one was not measured."""
    smoothness = {name: {"0.01": {"jumps": 0.0}, "0.05": {"jumps": 0.5}} for name in ("a", "b", "c")}
    del smoothness["b"]["0.05"]
    report = Report({"model": "a"}, {"smoothness": smoothness})
    (path,) = plots(report, tmp_path, kind)
    assert path.name == f"jumps.{kind}" and path.stat().st_size > 1000
    if kind == "svg":
        assert path.read_text(encoding="utf-8").count("<!-- 50.0 -->") == 2
