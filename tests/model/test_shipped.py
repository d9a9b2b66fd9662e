"""The shipped models and their cards: every figure has one home, and a card is about the weights beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.commands.info import shipped_models
from molgiae.evaluation.cards import read_card
from molgiae.evaluation.report import ROWS, Report
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from tests.conftest import TINY, TINY_DOMAIN


def report(name: str, sha256: str, data: str, rmsd: float) -> Report:
    """Every figure of the table, each another number."""
    sections: dict = {}
    for k, row in enumerate(ROWS):
        figures = sections.setdefault(row.section, {name: {}, "dummy": {"rmsd_mean": 9.0}})[name]
        for key in row.path[:-1]:
            figures = figures.setdefault(key, {})
        figures[row.path[-1]] = k / 100
    sections["reconstruction"][name]["rmsd_mean"] = rmsd
    del sections["isomers"]
    about = {
        "model": name, "model_sha256": sha256, "dimension": 8, "data": data,
        "conformers": 10, "refused": 2, "out_of_domain": 3,
    }  # fmt: skip
    return Report(about, sections)


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Path:
    """One model, to which cards are written."""
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "one.safetensors", build(TINY), TINY_DOMAIN, {"data": "mine.sdf"})
    monkeypatch.setattr(checkpoint, "pretrained", lambda: tmp_path)
    return tmp_path


def write_card(folder: Path, *reports: Report) -> None:
    (folder / "one.md").write_text("# one\n\n" + "\n\n".join(r.table() for r in reports) + "\n\n## Notes\n")


def test_a_card_gives_back_what_the_report_said():
    measured = report("one", "abc123abc123ff", "qm9.npz, split test", 0.0123)
    [table] = read_card("# one\n\n" + measured.table() + "\n")
    assert (table.sha256, table.data) == ("abc123abc123", "qm9.npz, split test")
    assert (table.conformers, table.refused, table.out_of_domain) == (10, 2, 3)
    expected = {
        "/".join((row.section, *row.path)): row.format(k / 100)
        for k, row in enumerate(ROWS)
        if row.section != "isomers"
    }
    assert table.figures == expected | {"reconstruction/rmsd_mean": "0.0123"}
    assert read_card("# one\n\nno table\n") == []


def test_the_command_lists_them(shipped):
    digest = checkpoint.sha256_of(shipped / "one.safetensors")
    write_card(shipped, report("one", digest, "a.npz", 0.0123), report("one", digest, "b.npz", 0.4567))
    shutil.copy(shipped / "one.safetensors", shipped / "two.safetensors")
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0, result.output
    head, *rows = result.stdout.splitlines()
    assert head.split()[:4] == ["model", "auto", "dimensions", "elements"]
    assert len(rows) == 3
    assert rows[0].startswith("one") and "8 (3)" in rows[0] and "H C N O" in rows[0] and "2 to 14" in rows[0]
    assert digest[:12] in rows[0] and "a.npz" in rows[0] and "0.0123" in rows[0]
    assert rows[1].split()[:2] == ["b.npz", "0.4567"]
    assert "no two.md" in rows[2]
    found = json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)
    assert [(model["name"], model["auto"]) for model in found] == [("one", False), ("two", True)]
    assert found[0]["sha256"] == digest and found[0]["data"] == "mine.sdf"
    assert found[0]["measured"][1]["figures"]["reconstruction/rmsd_mean"] == "0.4567"


def test_a_card_about_other_weights_is_not_believed(shipped):
    write_card(shipped, report("one", 64 * "0", "a.npz", 0.0123))
    [model] = shipped_models()
    assert model["measured"] == [] and model["card"] == "one.md is about other weights"
    (shipped / "one.md").write_text("# one\n")
    assert shipped_models()[0]["card"] == "no figures in one.md"


@pytest.mark.parametrize("name", checkpoint.shipped())
def test_shipped_cards_are_about_the_weights_beside_them(name):
    [model] = [model for model in shipped_models() if model["name"] == name]
    assert model["card"] == f"{name}.md" and model["measured"]
    for table in model["measured"]:
        assert float(table["figures"]["reconstruction/rmsd_mean"]) > 0
        assert "%" in table["figures"]["reconstruction/formula_accuracy"]


def test_shipped_models_are_small():
    assert sum(model["bytes"] for model in shipped_models()) <= 15e6
