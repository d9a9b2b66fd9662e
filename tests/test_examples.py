"""Every public name has an example in its docstring, and shows what comes out today."""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

import molgiae
from molgiae.data.blocks import Result
from molgiae.data.elements import SYMBOLS

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = Path(__file__).parents[1] / "docs" / "pages" / "guides" / "python.md"
NAMES = sorted({id(getattr(molgiae, name)): name for name in molgiae._HOME}.values())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples_of(thing: object, name: str, known: dict[str, object]) -> list[doctest.DocTest]:
    return [
        test for test in doctest.DocTestFinder(recurse=False).find(thing, name, globs=known) if test.examples
    ]


def failures(tests: list[doctest.DocTest]) -> str:
    """What went wrong, in words; empty if nothing did."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for test in tests:
        runner.run(test, out=said.append, clear_globs=False)
    return "".join(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_path) -> Path:
    """What the page of Python says that the reader has: files, and models that were trained on them."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(EXAMPLES / "conformers.sdf", folder)
    shutil.copy(model_path, folder / "mine.safetensors")
    frames = []
    for c in molgiae.read_conformers(folder / "conformers.sdf", limit=40):
        if set(c.atomic_number.tolist()) <= {1, 6, 7, 8} and 2 < len(c) <= 14:
            atoms = [
                f"{SYMBOLS[z]} {x} {y} {w}" for z, (x, y, w) in zip(c.atomic_number, c.position, strict=True)
            ]
            frames.append("\n".join([str(len(c)), f"energy={-40.0 * len(c)}", *atoms, ""]))
    (folder / "measured.xyz").write_text("".join(frames))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert failures(examples_of(molgiae.finetune, "finetune", {"molgiae": molgiae})) == ""
    return folder


@pytest.fixture(scope="module")
def known() -> dict[str, object]:
    """Names that the examples may use."""
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMultipleConfs(mol, 3, randomSeed=7)
    return {"molgiae": molgiae, "mol": mol, "np": np, "Path": Path}


# finetune has made the folder
@pytest.mark.parametrize("name", ["Result", *(name for name in NAMES if name != "finetune")])
def test_the_example_shows_what_comes_out(name, folder, known, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    thing = Result if name == "Result" else getattr(molgiae, name)
    if "pandas" in (thing.__doc__ or ""):
        pytest.importorskip("pandas", reason="an extra")
    tests = examples_of(thing, name, dict(known))
    assert tests, f"the docstring of {name} has no example"
    assert failures(tests) == ""


def test_the_page_of_python_runs(known, folder, tmp_path, monkeypatch):
    pytest.importorskip("pandas", reason="an extra")
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"mols": [known["mol"]] * 10, "y": np.arange(10.0)}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 4 and len(names["unique"]) == 2


def test_a_wrong_example_is_found(known):
    def wrong() -> None:
        """Do nothing.

        >>> 1 + 1
        3
        """

    assert "Expected:\n    3\nGot:\n    2" in failures(examples_of(wrong, "wrong", dict(known)))
    assert not examples_of(len, "len", dict(known))
