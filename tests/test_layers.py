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
ROOT = {"config", "errors", "parts", "plain", "plots", "tensors"}
ROOMS = (
    # from the ground up; a room may import from rooms before it, and from itself
    ("groups", "parallel"),
    ("data", "nn"),
    ("canonical", "matching"),
    ("model",),
    ("output",),
    ("training",),
    ("properties",),
    ("evaluation",),
    ("commands", "sklearn"),
    ("shards",),
    ("experiments",),
    ("cli",),
    ("__main__",),
)
TOOLKITS = {
    "rdkit": "data",
    "ase": "data",
    "h5py": "data",
    "tblite": "data",
    "typer": "cli",
    "torch_geometric": "nn",
}

Imports = dict[str, list[tuple[str, str]]]
"""Module to what it imports, and when: "at once", for "typing" alone, or "late", inside a function."""


def imports_of(text: str) -> list[tuple[str, str]]:
    """Full names of imported modules; relative ones do not leave their package and are left out."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, when: str) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, when) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            own = node.module in ("molgiae", "molgiae.cli")
            found.extend((f"{node.module}.{a.name}" if own else node.module, when) for a in node.names)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            when = "late"
        elif typing_only and when == "at once":
            when = "typing"
        for child in ast.iter_child_nodes(node):
            visit(child, when)

    visit(ast.parse(text), "at once")
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
    if name in ROOT or name in ("", "__version__"):
        return 0
    return next(i for i, rooms in enumerate(ROOMS, start=1) if name in rooms)


def faults(modules: Imports) -> list[str]:
    """Every import that breaks a rule."""
    return [
        f"{module} imports {name}: {rule}"
        for module, imports in modules.items()
        for name, when in imports
        for rule in broken(module, name, when)
    ]


def broken(module: str, name: str, when: str) -> list[str]:
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
        and there not in (here, "errors", "tensors"),
        "experiments are a sealed wing": ours
        and there == "experiments"
        and here not in ("cli", "experiments"),
        f"only {TOOLKITS.get(top)} may": top in TOOLKITS and here != TOOLKITS[top],
        "typer does not install click": top == "click",
        "the command starts light": here == "cli" and when == "at once" and not light,
    }
    return [rule for rule, is_broken in rules.items() if is_broken]


def test_every_module_is_in_a_room():
    rooms = {name for level in ROOMS for name in level}
    # where molgiae is installed, its weights lie beside the rooms
    assert {room(module) for module in ALL} - {"pretrained"} == rooms | ROOT | {""}


def test_dependencies_point_down_only():
    assert len(ALL) > 40
    assert faults(ALL) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("molgiae.model.embedder", "from molgiae.experiments import digits"),
        ("molgiae.nn.slots", "from molgiae.data.conformer import Conformer"),
        ("molgiae.data.sdf.reader", "def f():\n    from molgiae.nn import slots"),
        ("molgiae.nn.slots", "from molgiae.groups import SO3"),
        ("molgiae.groups.rotation", "from molgiae.model.cloud import Cloud"),
        ("molgiae.groups.rotation", "from molgiae import config"),
        ("molgiae.training.losses", "import molgiae.commands"),
        ("molgiae.data.sdf.reader", "from molgiae.commands.run import run"),
        ("molgiae.commands.run", "from molgiae.cli import app"),
        ("molgiae.commands.run", "import rdkit.Chem"),
        ("molgiae.commands.run", "def f():\n    import h5py"),
        ("molgiae.commands.label", "from tblite.interface import Calculator"),
        ("molgiae.cli.options", "import click"),
        ("molgiae.cli.options", "import torch"),
        ("molgiae.cli.options", "from molgiae.commands.run import Options"),
        ("molgiae.cli.options", "from molgiae.commands import run"),
        ("molgiae.model.embedder", "import typer"),
    ],
)
def test_every_rule_bites(module, text):
    assert faults({module: imports_of(text)})


def test_what_is_allowed_is_allowed():
    late = "def f():\n    import torch\n    from molgiae.commands import run"
    typing = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from molgiae.commands.run import Options"
    )
    plain = "import json\nimport typer\nfrom molgiae.errors import MolgiaeError\nfrom .options import Model"
    assert faults({"molgiae.cli.models": imports_of("\n".join([late, typing, plain]))}) == []


def test_modules_do_not_import_each_other_in_circles():
    left = {
        module: {name for name, when in imports if when != "late" and name in ALL and name != module}
        for module, imports in ALL.items()
    }
    while left:
        free = {module for module, needs in left.items() if not needs & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {module: needs for module, needs in left.items() if module not in free}


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
