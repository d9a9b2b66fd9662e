"""The picture of the rooms: arrows point down, detours are left out, circles are errors."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

from rooms import Drawing, Room, layers_of, read_house, without_detours  # noqa: E402

ARROWS = {
    "cli": {"run", "nn", "root"},
    "run": {"nn", "data"},
    "nn": {"root"},
    "data": {"root"},
    "root": set(),
}


def test_layers_and_detours():
    layers = layers_of(ARROWS)
    assert layers == {"cli": 3, "run": 2, "nn": 1, "data": 1, "root": 0}
    drawn = without_detours(ARROWS, layers)
    assert drawn == {"cli": {"run"}, "run": {"nn", "data"}, "nn": {"root"}, "data": {"root"}, "root": set()}


def test_a_circle_is_an_error():
    with pytest.raises(SystemExit, match="a circle among cli, nn, run"):
        layers_of({"cli": {"run"}, "run": {"nn"}, "nn": {"run"}})


def test_the_house_is_drawn_the_same_every_time_with_a_box_for_each_room():
    rooms, arrows = read_house()
    assert {"cli", "commands", "model", "data"} <= rooms.keys()
    layers = layers_of(arrows)
    assert all(layers[room] > layers[target] for room, targets in arrows.items() for target in targets)
    first, second = (Drawing.of(without_detours(arrows, layers), layers).svg(rooms) for _ in range(2))
    assert first == second
    texts = [
        element.text for element in ElementTree.fromstring(first).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert texts[::2] == sorted(rooms)


def test_long_arrows_bend_in_every_layer_between():
    arrows = {"top": {"middle", "side"}, "middle": {"low"}, "side": set(), "low": set()}
    layers = {"top": 2, "middle": 1, "side": 0, "low": 0}
    drawing = Drawing.of(arrows, layers)
    assert ["top", "top>side>1", "side"] in drawing.paths
    assert "top>side>1" in drawing.rows[1]
    assert ElementTree.fromstring(drawing.svg({name: Room(1, 2) for name in arrows})) is not None
