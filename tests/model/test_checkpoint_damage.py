"""Checkpoints that are not what they say: one line that names the file, from headers of any content and any bytes."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.config import AtomConfig, Domain, ModelConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import CheckpointError, ConfigError, MolgiaeError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.embedder import Embedder
from molgiae.model.header import read_header
from molgiae.properties.predictor import Predictor, PropertyModel, Scale, save
from molgiae.properties.references import References
from molgiae.properties.targets import find
from molgiae.training.loop import read_state, write_state
from tests.conformers import random_conformer

DOMAIN = Domain(elements=(1, 6, 7, 8), n_atoms=(2, 14), radius=20.0, nearest=(0.6, 2.5))
BLOCK = ConformerBlock.of([random_conformer(5, seed) for seed in range(2)])
KINDS = {"autoencoder": Embedder, "property": Predictor}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small checkpoint of each kind."""
    home = tmp_path_factory.mktemp("checkpoints")
    found = {kind: home / f"{kind}.safetensors" for kind in KINDS}
    torch.manual_seed(0)
    config = ModelConfig(
        "slots",
        (1, 6, 7, 8),
        max_atoms=6,
        embedding_dim=9,
        width=4,
        layers=1,
        shape_dim=2,
        features_dim=2,
        overlay_dim=2,
        color_dim=2,
        atom_width=4,
        property_width=8,
        property_layers=1,
        atom_rounds=1,
    )
    checkpoint.save(found["autoencoder"], build(config), DOMAIN, {"data": "none"})
    references = References(("atoms",), (1, 6), np.zeros((2, 1)), np.zeros(1), (1, 6))
    scale = Scale((find("H"),), references, np.ones(1), np.ones((2, 1)))
    save(found["property"], PropertyModel(AtomConfig(4, 1, 1), scale), DOMAIN, {"data": "none"})
    return found


def use(kind: str, path: Path) -> None:
    """Load and apply."""
    if kind == "property":
        found = Predictor(str(path), device="cpu").predict(BLOCK)
        assert np.isfinite(found.value).all() and len(found.block) + len(found.block.rejected) == 2
    else:
        result = Embedder(str(path), device="cpu").embed(BLOCK)
        assert np.isfinite(result["embedding"]).all() and len(result) + len(result.block.rejected) == 2


def info(path: Path) -> None:
    """The command ends in a line, too."""
    result = CliRunner().invoke(app, ["info", str(path), "--json"])
    assert result.exit_code in (0, 1) and "fault in molgiae" not in result.stderr, result.stderr


def with_header(source: Path, target: Path, header: Any, weights: dict[str, Any] | None = None) -> Path:
    save_file(weights or load_file(source), target, metadata={"molgiae": json.dumps(header)})
    return target


HEADERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no kind": ("autoencoder", {"kind": None}, "kind None, expected one of autoencoder, property"),
    "kind a list": ("autoencoder", {"kind": ["autoencoder"]}, r"kind \['autoencoder'\], expected one of"),
    "another kind": ("property", {"kind": "oracle"}, "kind 'oracle', expected one of"),
    "no config": ("autoencoder", {"config": None}, "config None, expected a dict"),
    "config a text": ("property", {"config": "4, 1"}, "config '4, 1', expected a dict"),
    "format true": ("autoencoder", {"format_version": True}, "format version True"),
    "an old one without config": (
        "autoencoder",
        {"format_version": 3, "config": None},
        "header of format 3 lacks",
    ),
    "width a text": ("autoencoder", {"config": {"width": "4"}}, "width='4'; expected int"),
    "width a truth": ("autoencoder", {"config": {"width": True}}, "width=True; expected int"),
    "elements of texts": ("autoencoder", {"config": {"elements": ["H"]}}, "elements=.*; expected tuple"),
    "elements that are none": (
        "autoencoder",
        {"config": {"elements": [1, 6, 7, 300]}},
        "1 to 118, in ascending",
    ),
    "huge width": ("autoencoder", {"config": {"width": 10**9}}, "do not fit"),
    "huge slots": ("autoencoder", {"config": {"max_atoms": 10**12}}, "do not fit"),
    "endless layers": (
        "autoencoder",
        {"config": {"layers": 10**12}},
        "layers=1000000000000: must be at most 1000",
    ),
    "endless rounds": (
        "property",
        {"config": {"layers": 10**12}},
        "layers=1000000000000: must be at most 1000",
    ),
    "a domain without size": ("autoencoder", {"domain": {"n_atoms": [3]}}, r"n_atoms=\(3,\); expected tuple"),
    "a domain without end": (
        "autoencoder",
        {"domain": {"radius": float("inf")}},
        "radius=inf; expected float",
    ),
    "a domain of no elements": ("property", {"domain": {"elements": [-1]}}, "1 to 118, in ascending"),
    "a domain that lacks a bound": ("property", {"domain": {"radius": None}}, "radius"),
    "no provenance": ("autoencoder", {"provenance": None}, "provenance"),
    "targets without names": ("property", {"targets": [{"unit": "eV"}]}, "name"),
    "a target with a number for unit": ("property", {"targets": [{"unit": 5}]}, "unit=5: expected a str"),
    "two spreads": ("property", {"spread": [1.0, 1.0]}, r"spread has shape \(2,\), expected \(1\)"),
    "a spread that is none": ("property", {"spread": [float("nan")]}, "spread is not finite everywhere"),
    "references too short": ("property", {"references": {"coefficient": [[1.0]]}}, "cannot reshape"),
    "references of no element": ("property", {"references": {"seen": [400]}}, "atomic number 400"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_are_read_with_suspicion(case: str, files: dict[str, Path], tmp_path: Path) -> None:
    kind, changes, message = HEADERS[case]
    header = {**read_header(files[kind], None)}
    for key, value in changes.items():
        if isinstance(value, dict):
            header[key] = {k: v for k, v in {**header[key], **value}.items() if v is not None}
        else:
            header[key] = value
    broken = with_header(files[kind], tmp_path / "broken.safetensors", header)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=rf"broken\.safetensors: .*{message}") as error:
        use(kind, broken)
    assert "\n" not in str(error.value) and time.monotonic() - began < 5
    info(broken)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("turned", lambda t: t[..., None], "expected floats of shape"),
        ("whole", lambda t: t.long(), "is I64 of shape .*, expected floats"),
        ("holed", lambda t: t * torch.nan, "is not finite everywhere"),
        ("endless", lambda t: t / 0, "is not finite everywhere"),
        ("one exponent", lambda t: t * 1e30, "is above 1e.06 somewhere"),
    ],
)
def test_weights_are_those_of_the_configuration(
    name: str, change: Any, message: str, kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    weights = load_file(files[kind])
    last = sorted(name for name in weights if weights[name].abs().min() > 0)[-1]
    path = with_header(
        files[kind],
        tmp_path / f"{name}.safetensors",
        read_header(files[kind], None),
        {**weights, last: change(weights[last])},
    )
    with pytest.raises(
        CheckpointError, match=rf"{name}\.safetensors: is damaged: .*{message}.*; take another copy"
    ):
        use(kind, path)


def places(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a tree of JSON."""
    yield at
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def check_any_header(data: st.DataObject, files: dict[str, Path], path: Path) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    header = copy.deepcopy(read_header(files[kind], None))
    for _ in range(data.draw(st.integers(1, 2))):
        *way, last = data.draw(st.sampled_from(list(places(header))[1:]))
        there = header
        for key in way:
            there = there[key]
        if data.draw(st.booleans()):
            there[last] = data.draw(JSON)
        else:
            del there[last]
    with_header(files[kind], path, header)
    try:
        use(kind, path)
    except MolgiaeError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    info(path)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_no_header_ends_in_a_traceback(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_any_header(data, files, tmp_path_factory.mktemp("fuzz") / "m.safetensors")


@pytest.mark.slow
@settings(deadline=None, max_examples=3000)
@given(st.data())
def test_no_header_at_all_ends_in_a_traceback(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    check_any_header(data, files, tmp_path_factory.mktemp("fuzz") / "m.safetensors")


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_no_bytes_end_in_a_traceback(
    files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    content = bytearray(files[kind].read_bytes())
    header_end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        end = data.draw(st.sampled_from([8, header_end, len(content)]))
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path_factory.mktemp("fuzz") / "m.safetensors"
    path.write_bytes(content)
    try:
        use(kind, path)
    except MolgiaeError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    info(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_exponent_gives_no_numbers_that_are_none(
    kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    """One byte makes a weight so large that what comes of it overflows."""
    content = files[kind].read_bytes()
    header_end = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for place in range(header_end + 3, len(content), (len(content) - header_end) // 400 * 4):
        damaged = bytearray(content)
        damaged[place] = 0x7E
        path = tmp_path / "damaged.safetensors"
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"damaged\.safetensors: is damaged: .*above 1e\+06"):
            use(kind, path)
        refused += 1
    assert refused > 50


def test_a_damaged_byte_gives_no_predictions_that_are_no_numbers(
    files: dict[str, Path], tmp_path: Path
) -> None:
    content = bytearray(files["property"].read_bytes())
    content[19443] = 100
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged\.safetensors: is damaged: [^\n]*$"):
        use("property", path)


def test_a_header_nested_without_end_is_damaged(files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "deep.safetensors"
    save_file(load_file(files["autoencoder"]), path, metadata={"molgiae": "[" * 100_000})
    with pytest.raises(CheckpointError, match="header is damaged"):
        use("autoencoder", path)


@pytest.mark.parametrize(
    "changes", [{"width": "wide"}, {"steps": 1.5}, {"elements": (1, 2.0)}, {"colour": 1}], ids=str
)
def test_configurations_know_the_types_of_their_fields(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        ModelConfig.from_dict(changes)
    assert ModelConfig.from_dict(ModelConfig().to_dict()) == ModelConfig()


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_states_of_runs_are_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("state") / "last.pt"
    write_state(path, {"training": {"a": 1}, "model": {"w": torch.ones(3)}, "step": 3})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert "training" in read_state(path, "cpu")
    except CheckpointError as error:
        assert "\n" not in str(error)


def test_no_model_takes_memory_before_the_weights_fit_it(files: dict[str, Path]) -> None:
    devices = []

    def make() -> torch.nn.Module:
        devices.append(torch.empty(0).device.type)
        return torch.nn.Linear(2, 2)

    with pytest.raises(CheckpointError, match="do not fit"):
        checkpoint.with_weights(files["autoencoder"], make)
    assert devices == ["meta"]
