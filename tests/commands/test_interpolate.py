"""interpolate: the ends are reconstructions, every figure is what it says, and what cannot be is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import molgiae
from molgiae.commands.interpolate import Step, decoded_between
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer
from molgiae.data.readers import read_conformers
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.matching import superpose_pairs
from molgiae.model.embedder import Embedder
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conformers import conformer, moved


def butane(angle: float) -> Conformer:
    """Butane with its chain turned by an angle, degrees."""
    from rdkit import Chem  # noqa: PLC0415
    from rdkit.Chem import rdDistGeom, rdMolTransforms  # noqa: PLC0415

    mol = Chem.AddHs(Chem.MolFromSmiles("CCCC"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    rdMolTransforms.SetDihedralDeg(mol.GetConformer(), 0, 1, 2, 3, angle)
    return molgiae.from_rdkit(mol)


@pytest.fixture(scope="module")
def qm9() -> Embedder:
    return Embedder("qm9", device="cpu")


def test_ends_are_reconstructions_and_the_rest_is_as_it_says(qm9):
    a, b = butane(180), moved(butane(176), 5)
    steps, conformers = decoded_between(qm9, a, b, 5)
    assert [step.fraction for step in steps] == [0, 0.25, 0.5, 0.75, 1]
    for step, end in ((steps[0], a), (steps[-1], b)):
        assert step.holds
        assert superpose_pairs([end], [conformers[0 if end is a else -1]]).rmsd[0] < 0.05
    assert steps[0].rmsd_a < 0.05 and steps[-1].rmsd_b < 0.05
    assert np.abs(conformers[0].position - a.position).max() < 0.1  # in pose and order of A
    ends = qm9.embed([a, b])["embedding"]
    shape = qm9.part("shape").columns
    for step, c in zip(steps, conformers, strict=True):
        wanted = (1 - step.fraction) * ends[0] + step.fraction * ends[1]
        apart = np.linalg.norm((qm9.embed([c])["embedding"][0] - wanted)[shape])
        assert step.strayed == pytest.approx(apart, abs=1e-3)
        assert step.formula and sorted(c.atomic_number) == sorted(a.atomic_number)
        assert step.bonds == (len(perceived_bonds(c.atomic_number, c.position)) == 13)


@pytest.mark.parametrize(
    "broken", [{"formula": False}, {"bonds": False}, {"strayed": 0.2}, {"strayed": None}]
)
def test_nothing_else_holds(broken):
    step = Step(0.5, True, True, 0.01, 0.1, 0.1)
    assert step.holds and not replace(step, **broken).holds


def test_a_network_that_knows_nothing_does_not_hold(embedder):
    """An untrained model decodes something: no step may be believed."""
    a = butane(180)
    steps, conformers = decoded_between(embedder, a, butane(60), 4)
    assert len(conformers) == 4 and not any(step.holds for step in steps)


def test_the_command_writes_what_it_says(tmp_path):
    for name, angle in (("a", 180), ("b", 170)):
        with StructureWriter(tmp_path / f"{name}.xyz") as writer:
            writer.write(butane(angle))
    words = ("interpolate", tmp_path / "a.xyz", tmp_path / "b.xyz", "-m", "qm9", "-n", 4)
    done = molgiae_(*words, "-o", tmp_path / "path.sdf", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["model"] == "qm9" and len(told["steps"]) == 4
    path = list(read_conformers(tmp_path / "path.sdf"))
    assert [float(c.properties["molgiae_fraction"]) for c in path] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1], abs=1e-4
    )
    assert all(len(c.bonds) == 13 for c in path)
    table = molgiae_(*words)
    assert table.stdout.splitlines()[0].split()[:3] == ["fraction", "formula", "bonds"]
    assert len(table.stdout.splitlines()) == 5
    piped = molgiae_(*words, "-o", "-", "-q")
    assert piped.stdout == (tmp_path / "path.sdf").read_text()
    assert_one_line(
        molgiae_(*words, "-o", tmp_path / "path.csv"), "end the name of the output in .sdf or .xyz"
    )


def test_what_cannot_be_is_said(qm9):
    a, water = butane(180), conformer([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    with pytest.raises(ConfigError, match="A is C4H10 and B is H2O; give two conformers of one formula"):
        molgiae.interpolate(a, water, model="qm9")
    with pytest.raises(ConfigError, match="at least the 2 ends"):
        molgiae.interpolate(a, a, n=1, model="qm9")
    found = molgiae.interpolate(a, [butane(175), a], n=2, model="qm9")
    assert found.output == "" and len(found.conformers) == 2 and "only the first" in found.notes[0]
