"""Inputs of which nothing is left: every command lists what it refused, or says in one line why it cannot go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.config import AtomConfig
from molgiae.properties.predictor import PropertyModel, Scale, save
from molgiae.properties.references import References
from molgiae.properties.targets import find
from tests.conftest import TINY_DOMAIN
from tests.data.molfiles import molecule, sdf_record, xyz_frame

SILICON = [("Si" if symbol == "C" else symbol, x, y, z) for symbol, x, y, z in molecule(0)]

INPUTS = {
    "garbage.xyz": "garbage\n",
    "no_atoms.xyz": "0\nnone\n",
    "nan.xyz": "1\na\nH nan 0 0\n" * 2,
    "garbage.sdf": "some text\nthat is no molecule\nnor ever was\nat all\n$$$$\n",
    "unknown_to_the_model.sdf": sdf_record(SILICON) * 2,
    "untitled.xyz": xyz_frame(molecule(0), "Properties=species:S:1:pos:R:3 energy=-1.5") * 2,
}
"""Text of files: the records of all are refused, by the readers, by the model or for want of a title."""

ONE_STEP = ["--steps", "1", "--shape-steps", "1", "--atom-steps", "1", "--property-steps", "1"]
PREDICT = ["predict", "PROPERTIES", "INPUT", "-o"]
COMMANDS = [
    ["embed", "INPUT", "-m", "MODEL", "-o", "out.h5"],
    ["embed", "INPUT", "-m", "MODEL", "-o", "out.npz"],
    ["embed", "INPUT", "-m", "MODEL", "-o", "out.npz", "--drop-rejected"],
    ["embed", "INPUT", "-m", "MODEL", "-o", "out.h5", "--projection", "gram"],
    ["embed", "INPUT", "-o", "out.h5"],
    ["canonicalize", "INPUT", "-o", "out.h5"],
    ["canonicalize", "INPUT", "-o", "out.sdf"],
    ["reconstruct", "INPUT", "-m", "MODEL", "-o", "out.h5"],
    ["reconstruct", "INPUT", "-m", "MODEL", "-o", "out.xyz"],
    ["align", "INPUT", "-o", "out.h5"],
    ["align", "INPUT", "-o", "out.csv", "--to", "title"],
    ["align", "GOOD", "-o", "out.sdf", "-r", "INPUT", "--to", "title"],
    ["dedup", "INPUT", "-o", "out.sdf"],
    ["dedup", "INPUT", "-o", "out.h5", "--energy", "energy"],
    ["rmsd", "INPUT", "-o", "out.npz"],
    ["rmsd", "GOOD", "INPUT", "-o", "out.csv"],
    ["compare", "INPUT", "GOOD"],
    ["compare", "GOOD", "INPUT", "-o", "out.json"],
    ["search", "INPUT", "STORED", "-m", "MODEL", "-o", "out.csv"],
    ["search", "INPUT", "EMPTY", "-m", "MODEL", "-o", "out.json"],
    ["select", "INPUT", "-m", "MODEL", "-o", "out.csv"],
    ["select", "INPUT", "-m", "MODEL", "-o", "out.h5"],
    ["select", "GOOD", "-m", "MODEL", "-o", "out.sdf", "--seed-with", "INPUT"],
    ["cluster", "INPUT", "-o", "out.sdf"],
    ["cluster", "INPUT", "-o", "out.h5", "--energy", "energy", "--representatives", "few.csv"],
    ["cluster", "INPUT", "-m", "MODEL", "-o", "out.csv", "--by", "features"],
    ["cluster", "INPUT", "-m", "MODEL", "-o", "out.h5", "--by", "shape", "-k", "1"],
    ["report", "INPUT", "-m", "MODEL", "-o", "out.html"],
    [*PREDICT, "out.csv"],
    [*PREDICT, "out.h5"],
    [*PREDICT, "out.sdf"],
    [*PREDICT, "out.csv", "--average", "mean"],
    [*PREDICT, "out.json", "--average", "boltzmann"],
    [*PREDICT, "out.h5", "--average", "boltzmann", "--energy", "energy"],
    ["pretrain", "INPUT", "-o", "run", *ONE_STEP],
    ["finetune", "INPUT", "-m", "MODEL", "-o", "tuned", "--target-column", "energy", "--epochs", "1"],
    ["evaluate", "INPUT", "-m", "MODEL"],
    ["evaluate", "GOOD", "-m", "MODEL", "--conformers", "INPUT"],
    ["info", "INPUT"],
    ["conformers", "INPUT", "-o", "out.sdf", "--format", "sdf"],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory, model_path) -> dict[str, str]:
    """What the words of the commands stand for."""
    home = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    (target,), elements = (find("H"),), (1, 6, 7, 8, 17)
    references = References(("atoms",), elements, np.zeros((5, 1)), np.zeros(1), elements)
    scale = Scale((target,), references, np.ones(1), np.ones((2, 1)))
    save(home / "p.safetensors", PropertyModel(AtomConfig(8, 1, 1), scale), TINY_DOMAIN, {})
    (home / "good.sdf").write_text("".join(sdf_record(molecule(k), f"m{k}") for k in range(3)))
    (home / "nan.xyz").write_text(INPUTS["nan.xyz"])
    for source, output in (("good.sdf", "stored.h5"), ("nan.xyz", "empty.h5")):
        CliRunner().invoke(app, ["embed", str(home / source), "-m", model_path, "-o", str(home / output)])
    found = {"PROPERTIES": "p.safetensors", "GOOD": "good.sdf", "STORED": "stored.h5", "EMPTY": "empty.h5"}
    return {"MODEL": model_path, **{word: str(home / name) for word, name in found.items()}}


def pairs():
    """Every command and every input; by default every other pair, as on a chessboard."""
    for k, command in enumerate(COMMANDS):
        for m, name in enumerate([*INPUTS, "empty.h5"]):
            marks = pytest.mark.slow if (k + m) % 2 else ()
            yield pytest.param(command, name, marks=marks, id=f"{' '.join(command)}-{name}")


@pytest.mark.parametrize(("command", "name"), list(pairs()))
def test_nothing_to_work_on_is_said_and_listed(command, name, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name in INPUTS:
        Path(name).write_text(INPUTS[name])
    words = {**files, "INPUT": name if name in INPUTS else files["EMPTY"]}
    result = CliRunner().invoke(app, [words.get(word, word) for word in command])
    assert result.exit_code in (0, 1, 3), result.output
    assert "fault in molgiae" not in result.stderr and "Traceback" not in result.stderr
    if result.exit_code == 1:
        (line,) = (line for line in result.stderr.splitlines() if line.startswith("molgiae: error: "))
        assert line == result.stderr.splitlines()[-1]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["garbage.xyz", "no_atoms.xyz", "untitled.xyz"])
@pytest.mark.parametrize("average", ["none", "mean", "boltzmann"])
def test_predictions_of_nothing_list_every_record(name, average, files, tmp_path):
    (tmp_path / name).write_text(INPUTS[name])
    output = tmp_path / "out.csv"
    words = ["predict", files["PROPERTIES"], str(tmp_path / name), "-o", str(output), "--average", average]
    result = CliRunner().invoke(app, words)
    if name == "untitled.xyz" and average == "none":
        assert (result.exit_code, len(output.read_text().splitlines())) == (0, 3)
        return
    records = 2 if name == "untitled.xyz" else 1
    assert result.exit_code == 3, result.output
    assert len(output.read_text().splitlines()) == 1  # the heading
    listed = Path(f"{output}.rejected.csv").read_text()
    assert len(listed.splitlines()) == 1 + records
    reason = {"untitled.xyz": "no title", "garbage.xyz": "number of atoms", "no_atoms.xyz": "no atoms"}
    assert listed.count(reason[name]) == records
