"""The shipped models, their cards and figures: these say the same, and are about the weights beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.commands.info import shipped_models
from molgiae.config import DECODED
from molgiae.evaluation.report import ROWS, Report
from molgiae.model import checkpoint
from molgiae.model import shipped as shipping
from molgiae.model.architectures import build
from molgiae.model.header import sha256_of
from tests.conftest import TINY, TINY_DOMAIN


def report(name: str, sha256: str, data: str, rmsd: float) -> Report:
    """Every figure of the table, each another number."""
    sections: dict = {}
    for k, path in enumerate(ROWS):
        section, *keys, last = path.split("/")
        figures = sections.setdefault(section, {name: {}, "dummy": {"rmsd_mean": 9.0}})[name]
        for key in keys:
            figures = figures.setdefault(key, {})
        figures[last] = k / 100
    sections["reconstruction"][name]["rmsd_mean"] = rmsd
    del sections["isomers"]
    about = {
        "model": name, "model_sha256": sha256, "dimension": 8, "data": data,
        "conformers": 10, "refused": 2, "out_of_domain": 3,
    }  # fmt: skip
    return Report(about, sections)


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """One model, to which figures are written."""
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "one.safetensors", build(TINY), TINY_DOMAIN, {"data": "mine.sdf"})
    monkeypatch.setattr(shipping, "pretrained", lambda: tmp_path)
    return tmp_path


def write_figures(folder: Path, *reports: Report) -> None:
    (folder / "one.json").write_text(json.dumps([r.measured() for r in reports]))


def test_what_was_measured_is_every_figure_of_the_model_as_text():
    table = report("one", "abc123abc123ff", "qm9.npz, split test", 0.0123).measured()
    assert (table["sha256"], table["data"]) == ("abc123abc123", "qm9.npz, split test")
    assert (table["conformers"], table["refused"], table["out_of_domain"]) == (10, 2, 3)
    expected = {
        path: form(k / 100)
        for k, (path, (_, form)) in enumerate(ROWS.items())
        if not path.startswith("isomers/")
    }
    assert table["figures"] == expected | {"reconstruction/rmsd_mean": "0.0123"}


def test_the_command_lists_them(shipped):
    digest = sha256_of(shipped / "one.safetensors")
    write_figures(shipped, report("one", digest, "a.npz", 0.0123), report("one", digest, "b.npz", 0.4567))
    shutil.copy(shipped / "one.safetensors", shipped / "two.safetensors")
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    figures, parts = result.stdout.split("\n\n")
    head, *rows = figures.splitlines()
    assert head.split()[:4] == ["model", "auto", "dimensions", "elements"]
    assert len(rows) == 3
    assert (
        rows[0].startswith("one")
        and "12" in rows[0].split()
        and "H C N O" in rows[0]
        and "2 to 14" in rows[0]
    )
    assert digest[:12] in rows[0] and "a.npz" in rows[0] and "0.0123" in rows[0]
    assert rows[1].split()[:3] == ["b.npz", "10", "0.4567"]
    assert "no two.json" in rows[2]
    head, *rows = parts.splitlines()
    assert head.split() == ["model", "part", "columns", "unit", "meaning"]
    each = len(TINY.parts)
    assert [row.split()[:4] for row in rows[::each]] == [[n, "features", "0:2", "1"] for n in ("one", "two")]
    assert rows[each - 1].split()[:3] == ["detail", "10:12", "1"]
    found = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert [(model["name"], model["auto"]) for model in found] == [("one", False), ("two", True)]
    assert found[0]["sha256"] == digest and found[0]["data"] == "mine.sdf"
    assert [part["stop"] for part in found[0]["parts"]] == [2, 5, 7, 10, 12]
    assert found[0]["measured"][1]["figures"]["reconstruction/rmsd_mean"] == "0.4567"


def test_figures_of_other_weights_are_not_believed(shipped):
    write_figures(shipped, report("one", 64 * "0", "a.npz", 0.0123))
    [model] = shipped_models()
    assert model["measured"] == [] and model["card"] == "one.json is about other weights"


def test_listing_them_does_not_import_torch():
    code = "import sys; from molgiae.commands.info import shipped_models as f; f(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", shipping.shipped_names())
def test_shipped_cards_and_figures_are_about_the_weights_beside_them(name):
    [model] = [model for model in shipped_models() if model["name"] == name]
    assert model["card"] == f"{name}.md" and model["measured"]
    card = (shipping.pretrained() / model["card"]).read_text(encoding="utf-8")
    for table in model["measured"]:
        assert f"(sha256 {table['sha256']}, {model['dimension']} dimensions) on {table['data']}: " in card
        mean = table["figures"]["reconstruction/rmsd_mean"]
        assert f"| RMSD as predicted, mean (Å) | {mean} |" in card
        assert float(mean) <= DECODED
        assert "%" in table["figures"]["reconstruction/formula_accuracy"]


def test_shipped_models_are_small():
    assert sum(model["bytes"] for model in shipped_models()) <= 30e6
