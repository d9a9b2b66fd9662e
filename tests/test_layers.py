"""Who may import whom: dependencies point down only, toolkits stay in their rooms, the command starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import molgiae
import molgiae.cli

PACKAGE = Path(molgiae.__file__).parent
CLI = Path(molgiae.cli.__file__).parent
FOUNDATION = {"shapes", "errors", "config", "targets"}
LAYERS = {
    # name of a module or package in molgiae: its layer; others are applications
    "groups": 1, "gaps": 1, "data": 2, "nn": 2, "clouds": 2, "ordering": 2, "matching": 2, "plots": 2, "projections": 2,
    "walk": 2, "symmetry": 2, "frames": 2, "canonicalization": 3, "domain": 3, "metrics": 3, "autoencoder": 4,
    "losses": 4, "models": 5, "checkpoint": 6,
}  # fmt: skip
APPLICATION, COMMAND_LINE = 7, 8
TOOLKITS = {"rdkit": "data", "ase": "data", "h5py": "data", "typer": "cli", "torch_geometric": "nn"}

Imports = dict[str, list[tuple[str, bool]]]
"""Module to what it imports, and whether that happens when it is imported itself."""


def imports_of(text: str) -> list[tuple[str, bool]]:
    """Full names of imported modules; relative ones do not leave their package and are left out."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, early: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, early) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            own = node.module in ("molgiae", "molgiae.cli")
            found.extend((f"{node.module}.{a.name}" if own else node.module, early) for a in node.names)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only
        for child in ast.iter_child_nodes(node):
            visit(child, early and not inner)

    visit(ast.parse(text), True)
    return found


def read(root: Path, package: str) -> Imports:
    return {
        ".".join([package, *path.relative_to(root).with_suffix("").parts]).removesuffix(
            ".__init__"
        ): imports_of(path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.py"))
    }


ALL = {**read(PACKAGE, "molgiae"), **read(CLI, "molgiae.cli")}


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def layer(module: str) -> int:
    name = room(module)
    if name in FOUNDATION or name in ("", "__version__"):
        return 0
    return COMMAND_LINE if name == "cli" else LAYERS.get(name, APPLICATION)


def faults(modules: Imports) -> list[str]:
    """Every import that breaks a rule."""
    return [
        f"{module} imports {name}: {rule}"
        for module, imports in modules.items()
        for name, early in imports
        for rule in broken(module, name, early)
    ]


def broken(module: str, name: str, early: bool) -> list[str]:
    """The rules that one import breaks."""
    top, here, there = name.split(".", maxsplit=1)[0], room(module), room(name)
    ours, inside = top == "molgiae", top == "molgiae" and here == there
    light = top in (*sys.stdlib_module_names, "typer") or (ours and layer(name) == 0) or inside
    rules = {
        "it lies above": ours and layer(name) > layer(module),
        "networks and data do not know each other": ours and {here, there} == {"nn", "data"},
        "networks emit vectors and do not know groups": ours and (here, there) == ("nn", "groups"),
        "groups know errors and shapes only": ours
        and here == "groups"
        and there not in (here, "errors", "shapes"),
        f"only {TOOLKITS.get(top)} may": top in TOOLKITS and here != TOOLKITS[top],
        "typer does not install click": top == "click",
        "the command starts light": here == "cli" and early and not light,
    }
    return [rule for rule, is_broken in rules.items() if is_broken]


def test_dependencies_point_down_only():
    assert len(ALL) > 40
    assert faults(ALL) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("molgiae.nn.slots", "from molgiae.data.conformer import Conformer"),
        ("molgiae.data.sdf", "def f():\n    from molgiae.nn import slots"),
        ("molgiae.nn.slots", "from molgiae.groups import SO3"),
        ("molgiae.groups.so3", "from molgiae.clouds import Cloud"),
        ("molgiae.groups.so3", "from molgiae import config"),
        ("molgiae.losses", "import molgiae.training"),
        ("molgiae.data.sdf", "from molgiae.pipeline import run"),
        ("molgiae.pipeline", "from molgiae.cli import app"),
        ("molgiae.pipeline", "import rdkit.Chem"),
        ("molgiae.pipeline", "def f():\n    import h5py"),
        ("molgiae.cli.options", "import click"),
        ("molgiae.cli.options", "import torch"),
        ("molgiae.cli.options", "from molgiae.pipeline import Options"),
        ("molgiae.cli.options", "from molgiae import pipeline"),
        ("molgiae.inference", "import typer"),
    ],
)
def test_every_rule_bites(module, text):
    assert faults({module: imports_of(text)})


def test_what_is_allowed_is_allowed():
    late = "def f():\n    import torch\n    from molgiae import pipeline"
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from molgiae.pipeline import Options"
    plain = "import json\nimport typer\nfrom molgiae.errors import MolgiaeError\nfrom .options import Model"
    assert faults({"molgiae.cli.models": imports_of("\n".join([late, typing, plain]))}) == []


def test_modules_do_not_import_each_other_in_circles():
    early = {
        module: {name for name, at_once in imports if at_once and name in ALL and name != module}
        for module, imports in ALL.items()
    }
    while early:
        free = {module for module, needs in early.items() if not needs & early.keys()}
        assert free, f"a circle among {sorted(early)}"
        early = {module: needs for module, needs in early.items() if module not in free}


@pytest.mark.parametrize("module", ["molgiae", "molgiae.cli"])
def test_importing_it_does_not_import_anything_heavy(module):
    heavy = ("torch", "numpy", "scipy", "rdkit", "ase", "h5py", "matplotlib", "tqdm")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in molgiae.__all__:
        assert getattr(molgiae, name) is not None
    assert set(molgiae.__all__) == set(dir(molgiae))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        molgiae.nothing  # noqa: B018 (the access is what is tested)
