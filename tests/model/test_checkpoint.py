"""Checkpoints: what is saved comes back, what is damaged, newer or of another kind is named."""

from __future__ import annotations

import json
import stat
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from molgiae.config import Domain, ModelConfig
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import header as headers
from molgiae.model.architectures import build
from molgiae.model.checkpoint import load, save
from molgiae.model.header import read_header, sha256_of
from molgiae.model.shipped import locate, shipped_names
from tests.conftest import TINY, TINY_DOMAIN
from tests.geometries import random_cloud

FILES = Path(__file__).parents[1] / "files"
PROVENANCE = {"data": "qm9", "steps": 3, "units": {"length": "angstrom"}}


@pytest.fixture
def model():
    torch.manual_seed(1)
    return build(TINY)


@pytest.fixture
def path(tmp_path, model) -> Path:
    path = tmp_path / "model.safetensors"
    save(path, model, TINY_DOMAIN, PROVENANCE)
    return path


def with_header(source: Path, target: Path, **changes: object) -> Path:
    """A copy with another header; None removes a key."""
    header = {**read_header(source), **changes}
    header = {key: value for key, value in header.items() if value is not None}
    save_file(load_file(source), target, metadata={"molgiae": json.dumps(header)})
    return target


def test_what_is_saved_comes_back(path, model):
    found = load(str(path))
    assert (found.model.config, found.domain, found.provenance) == (TINY, TINY_DOMAIN, PROVENANCE)
    assert (found.name, found.sha256) == (str(path), sha256_of(path))
    for name, weights in model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], weights), name
    assert not found.model.training
    assert not any(p.requires_grad for p in found.model.parameters())


def test_other_people_can_read_the_file(path):
    other = path.with_name("plain")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.safetensors", "plain"]


def test_half_precision_halves_the_file_and_is_computed_in_single(tmp_path, path, model):
    half = tmp_path / "half.safetensors"
    save(half, model, TINY_DOMAIN, PROVENANCE, dtype=torch.float16)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    for name, weights in load(str(half)).model.state_dict().items():
        assert weights.dtype == torch.float32
        assert torch.equal(weights, model.state_dict()[name].half().float()), name


def test_some_weights_may_stay_in_single_precision(tmp_path, model):
    save(tmp_path / "m.safetensors", model, TINY_DOMAIN, PROVENANCE, torch.float16, [".net.linear."])
    for name, weights in load(str(tmp_path / "m.safetensors")).model.state_dict().items():
        kept = model.state_dict()[name]
        assert torch.equal(weights, kept if ".net.linear." in name else kept.half().float()), name
    assert any(".net.linear." in name for name in model.state_dict())


def test_a_directory_of_a_run_is_taken_for_its_model(path):
    assert locate(str(path.parent)) == path
    assert load(str(path.parent)).sha256 == sha256_of(path)


@pytest.mark.parametrize("name", ["no-such-model", "", "/no/such/model.safetensors"])
def test_unknown_models_are_named_with_what_there_is(name):
    with pytest.raises(CheckpointError, match=r"no such model; give one of .* or the path") as error:
        load(name)
    assert all(known in str(error.value) for known in shipped_names())


def test_a_newer_format_is_refused_by_number(tmp_path, path):
    newer = with_header(path, tmp_path / "newer.safetensors", format_version=99)
    with pytest.raises(CheckpointError, match=r"newer\.safetensors: checkpoint format 99.*upgrade molgiae"):
        load(str(newer))


@pytest.mark.parametrize("size", [0, 5, 100, 5000])
def test_a_truncated_file_is_named(tmp_path, path, size):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"cut\.safetensors: not a checkpoint, or a damaged one"):
        load(str(cut))


def test_other_files_are_named(tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_text("one\n\n\n  0  0\n")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(str(other))
    save_file({"weight": torch.ones(2)}, other)
    with pytest.raises(CheckpointError, match="but not one written by molgiae"):
        load(str(other))


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": None},
        {"format_version": "one"},
        {"format_version": 0},
        {"config": None},
        {"config": {"architecture": "gone"}},
        {"config": {"architecture": "slots", "colour": 1}},
        {"config": {"architecture": "slots", "width": "wide"}},
        {"config": TINY.to_dict() | {"width": 32}},
        {"config": []},
        {"domain": None},
        {"domain": {"elements": [1]}},
        {"provenance": None},
    ],
    ids=str,
)
def test_headers_that_make_no_sense_are_errors_in_one_line(tmp_path, path, changes):
    broken = with_header(path, tmp_path / "broken.safetensors", **changes)
    with pytest.raises(CheckpointError, match=r"broken\.safetensors: ") as error:
        load(str(broken))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", "3"])
def test_headers_that_are_no_json_objects_are_errors(tmp_path, path, text):
    broken = tmp_path / "broken.safetensors"
    save_file(load_file(path), broken, metadata={"molgiae": text})
    with pytest.raises(CheckpointError, match="header is damaged"):
        load(str(broken))


def test_missing_and_surplus_weights_are_errors(tmp_path, path):
    header = {"molgiae": json.dumps(read_header(path))}
    weights = load_file(path)
    first = next(iter(weights))
    for changed in ({k: v for k, v in weights.items() if k != first}, weights | {"extra": torch.ones(1)}):
        save_file(changed, tmp_path / "odd.safetensors", metadata=header)
        with pytest.raises(CheckpointError, match="weights and configuration do not fit"):
            load(str(tmp_path / "odd.safetensors"))


def test_old_headers_are_upgraded_step_by_step(tmp_path, path, monkeypatch):
    """A file of today read in a world where the format is two versions on and a part was renamed twice."""
    steps = []

    def rename(before: str, after: str):
        def upgrade(header):
            steps.append(after)
            return {key: value for key, value in header.items() if key != before} | {after: header[before]}

        return upgrade

    noted = with_header(path, tmp_path / "noted.safetensors", note=PROVENANCE)
    today = headers.FORMAT_VERSION
    monkeypatch.setattr(headers, "FORMAT_VERSION", today + 2)
    renames = {today: rename("note", "origin"), today + 1: rename("origin", "history")}
    monkeypatch.setattr(headers, "UPGRADES", renames)
    assert read_header(noted)["history"] == PROVENANCE
    assert steps == ["origin", "history"]


def test_every_format_version_is_read_or_refused():
    for version in range(1, headers.FORMAT_VERSION + 1):
        path = FILES / f"format-{version}.safetensors"
        assert path.stat().st_size < 50_000
        if version in headers.UPGRADES or version == headers.FORMAT_VERSION:
            load(str(path))
        else:
            with pytest.raises(
                CheckpointError, match=f"format {version} is no longer read; train the model again"
            ):
                load(str(path))


def test_networks_of_properties_of_format_7_are_refused_and_others_read(tmp_path):
    for width in (0, 8):
        path = tmp_path / f"{width}.safetensors"
        save(path, build(replace(TINY, property_width=width)), TINY_DOMAIN, PROVENANCE)
        with_header(path, path.with_suffix(".old.safetensors"), format_version=7)
    load(str(tmp_path / "0.old.safetensors"))
    with pytest.raises(
        CheckpointError, match="network of properties is no longer read; train the model again"
    ):
        load(str(tmp_path / "8.old.safetensors"))


OLD = replace(
    TINY,
    features_dim=0,
    overlay_dim=0,
    color_dim=0,
    shape_dim=0,
    atom_rounds=0,
    property_width=0,
    property_layers=3,
)
"""A model as there were before format 6: a network of atoms and no smooth parts."""


def header_of_old(config: ModelConfig) -> dict[str, object]:
    """The configuration as formats 4 and 5 had it."""
    later = (
        "features_dim", "overlay_dim", "color_dim", "atom_rounds", "property_width", "property_layers",
    )  # fmt: skip
    return {name: value for name, value in config.to_dict().items() if name not in later}


@pytest.fixture
def old(tmp_path) -> Path:
    torch.manual_seed(1)
    save(tmp_path / "old.safetensors", build(OLD), TINY_DOMAIN, PROVENANCE)
    return tmp_path / "old.safetensors"


def test_a_learned_frame_of_format_4_is_refused_by_name(old, tmp_path):
    config = header_of_old(OLD) | {"frame_width": 8}
    framed = with_header(old, tmp_path / "framed.safetensors", format_version=4, config=config)
    with pytest.raises(
        CheckpointError, match="learned frame, which is no longer read; train the model again"
    ):
        load(str(framed))
    none = with_header(
        old, tmp_path / "none.safetensors", format_version=4, config=config | {"frame_width": 0}
    )
    assert load(str(none)).model.config == OLD


def test_models_of_format_5_without_a_shape_part_are_read(old, tmp_path):
    five = with_header(old, tmp_path / "five.safetensors", format_version=5, config=header_of_old(OLD))
    found, expected = load(str(five)).model, load(str(old)).model
    assert found.config == OLD and [part.name for part in found.config.parts] == ["detail"]
    for name, weights in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], weights), name


def test_shape_parts_of_format_5_are_refused_by_name(old, tmp_path):
    config = header_of_old(OLD) | {"shape_dim": 3}
    five = with_header(old, tmp_path / "five.safetensors", format_version=5, config=config)
    with pytest.raises(
        CheckpointError,
        match=r"five\.safetensors: its shape part hangs on perceived bonds and is no longer read; train",
    ) as error:
        load(str(five))
    assert "\n" not in str(error.value)


def test_architectures_without_parts_are_read_whatever_format_5_says_of_them(tmp_path):
    """Their headers had a shape_dim as all others, of which they make nothing."""
    config = ModelConfig("appendix-d", max_atoms=6, embedding_dim=4, width=4, layers=1)
    save(tmp_path / "six.safetensors", build(config), TINY_DOMAIN, PROVENANCE)
    header = header_of_old(config) | {"shape_dim": 32}
    five = with_header(
        tmp_path / "six.safetensors", tmp_path / "five.safetensors", format_version=5, config=header
    )
    found = load(str(five)).model
    assert found.config.parts == config.parts and found.config.shape_dim == 32


def test_every_part_comes_back(path, model):
    """The scales of the decoder and the radii of the atoms are no weights: they are made anew."""
    x = random_cloud([5, 9], seed=0)
    found = load(str(path)).model
    assert torch.equal(found.encode(x).embedding, model.encode(x).embedding)
    assert torch.equal(found.reconstruct(x).pos, model.reconstruct(x).pos)
    assert len(found.decoder.scale) == TINY.embedding_dim and len(set(found.decoder.scale.tolist())) == 4


def test_format_3_is_read_for_ever():
    """A file of molgiae 0.1.0; never write it anew."""
    found = load(str(FILES / "format-3.safetensors"))
    assert found.sha256 == "98712523a622d98bf54cef54ac9250b9872fbc74238ba52d276453d3be4a26d9"
    assert found.model.config == ModelConfig(
        "slots",
        (1, 6, 8),
        max_atoms=6,
        embedding_dim=4,
        width=4,
        layers=1,
        shape_dim=0,
        features_dim=0,
        atom_width=0,
        atom_rounds=0,
        property_width=0,
    )
    assert found.domain == Domain((1, 6, 8), (1, 6), 3.0, (0.9, 1.6), (-1, 1))
    assert found.provenance["data"] == "none"
    decoded = found.model.decode(torch.linspace(-4, 4, 4)[None])
    assert decoded.z.tolist() == [[6, 6, 0, 8, 6, 0]]
    assert torch.allclose(
        decoded.pos[0, :2],
        torch.tensor([[0.3989, -4.0961, 2.0192], [-0.8341, 1.6336, -3.4143]]),
        atol=1e-3,
    )


def test_configurations_that_cannot_be_are_refused():
    with pytest.raises(
        ConfigError, match="embedding_dim=12: must be above the 12 numbers of its smooth parts"
    ):
        replace(TINY, features_dim=4)
    with pytest.raises(ConfigError, match="color_dim: a color part goes with an overlay part"):
        replace(TINY, overlay_dim=0)
    for missing in ("atom_width", "atom_rounds"):
        with pytest.raises(ConfigError, match="atom_width and atom_rounds must be above 0"):
            replace(TINY, **{missing: 0})
    with pytest.raises(ConfigError, match="features_dim=-1: must be at least 0"):
        replace(TINY, features_dim=-1)
    with pytest.raises(ConfigError, match="atom_rounds=1001: must be at most 1000"):
        replace(TINY, atom_rounds=1001)
    with pytest.raises(ConfigError, match="width=0: must be at least 1"):
        ModelConfig(width=0)
    with pytest.raises(ConfigError, match="ascending order"):
        ModelConfig(elements=(6, 1))
    with pytest.raises(ConfigError, match="ModelConfig has no colour; known are architecture"):
        ModelConfig.from_dict({"colour": 1})
    with pytest.raises(ConfigError, match="architecture 'gone' is unknown; known are slots"):
        build(ModelConfig(architecture="gone"))


def test_weights_that_two_models_share_are_stored_once(path, model, tmp_path):
    torch.manual_seed(5)
    other = deepcopy(model)
    for weights in other.decoder.parameters():
        weights.data += 1
    save(tmp_path / "first.safetensors", model, TINY_DOMAIN, PROVENANCE)
    save(
        tmp_path / "second.safetensors", other, TINY_DOMAIN, PROVENANCE, shares=tmp_path / "first.safetensors"
    )
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("first", "second")]
    assert sizes[1] < 0.6 * sizes[0]
    found = load(str(tmp_path / "second.safetensors")).model.state_dict()
    assert all(torch.equal(weights, found[name]) for name, weights in other.state_dict().items())
    # the other one is missing, and then another
    message = r"second\.safetensors: shares weights with first\.safetensors, which is not beside it as it was"
    (tmp_path / "first.safetensors").rename(tmp_path / "gone.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load(str(tmp_path / "second.safetensors"))
    save(tmp_path / "first.safetensors", other, TINY_DOMAIN, PROVENANCE)
    with pytest.raises(CheckpointError, match=message):
        load(str(tmp_path / "second.safetensors"))
    for shares in ({"file": "../gone.safetensors", "sha256": "0"}, {"file": 3}, "gone", {}):
        odd = with_header(tmp_path / "second.safetensors", tmp_path / "odd.safetensors", shares=shares)
        with pytest.raises(CheckpointError) as error:
            load(str(odd))
        assert "\n" not in str(error.value)
