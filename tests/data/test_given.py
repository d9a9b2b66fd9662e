"""Whatever holds conformers gives the same ones; what holds none, or holds none any more, is named."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import AllChem

import molgiae
from molgiae.canonical.forms import canonical_forms
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.given import conformers_of
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError, ConformerError


@pytest.fixture(scope="module")
def mol() -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles("OCC[NH3+]"))
    mol.SetProp("_Name", "choline's cousin")
    AllChem.EmbedMultipleConfs(mol, 4, randomSeed=7)
    mol.GetConformer(2).SetDoubleProp("energy", -1.5)
    return mol


@pytest.fixture(scope="module")
def conformers(mol) -> list[Conformer]:
    return [molgiae.from_rdkit(mol, k) for k in range(4)]


@pytest.fixture(scope="module")
def files(mol, tmp_path_factory) -> tuple[Path, Path]:
    """The same conformers in SDF and HDF5."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.sdf").write_text("".join(Chem.MolToMolBlock(mol, confId=k) + "$$$$\n" for k in range(4)))
    molgiae.canonicalize(folder / "a.sdf", output=folder / "a.h5")
    return folder / "a.sdf", folder / "a.h5"


def test_all_conformers_of_a_molecule_are_one_by_one_its_conformers(mol, conformers):
    every = molgiae.from_rdkit(mol, "all")
    for found, one in zip(every, conformers, strict=True):
        assert_array_equal(found.position, one.position)
        assert_array_equal(found.bonds, one.bonds)
        assert (found.title, found.charge, found.properties) == ("choline's cousin", 1, one.properties)
    assert [c.properties.get("energy") for c in every] == [None, None, "-1.5", None]
    for conf_id in ("all", 0):
        with pytest.raises(ConformerError, match="the molecule has no conformer"):
            molgiae.from_rdkit(Chem.MolFromSmiles("CC"), conf_id)


def test_whatever_holds_the_conformers_they_are_the_same(mol, conformers, files):
    expected = conformers_of(conformers)
    with EmbeddingFile(files[1]) as file:
        opened = conformers_of(file)
    atoms = [Atoms(c.atomic_number, c.position) for c in conformers]
    ways = {
        "molecule": mol,
        "one each": [Chem.Mol(mol, confId=k) for k in range(4)],
        "tuple": tuple(conformers),
        "generator": (c for c in conformers),
        "map": map(lambda c: c, conformers),
        "array": np.array([*atoms, None], object)[:4],
        "block": expected,
        "blocks": [expected.take(slice(0, 1)), expected.take(slice(1, None))],
        "result": canonical_forms(conformers),
        "open file": opened,
        "read": molgiae.read_conformers(files[0]),
        **{f"file {k}": given for k, given in enumerate((files[0], str(files[1]), [files[0]]))},
    }
    for name, given in ways.items():
        found = conformers_of(given)
        assert_allclose(found.position, expected.position, atol=1e-3, err_msg=name)
        assert_array_equal(found.atomic_number, expected.atomic_number, err_msg=name)
        assert_array_equal(found.record, [1, 2, 3, 4], err_msg=name)
        if name != "array":  # ASE has no bonds
            assert_array_equal(found.bonds, expected.bonds, err_msg=name)


def test_a_block_stays_itself(conformers):
    block = ConformerBlock.of(conformers)
    assert conformers_of(block) is block
    assert len(conformers_of([])) == len(conformers_of(c for c in conformers if not len(c))) == 0


@pytest.mark.parametrize("make", [lambda items: (c for c in items), iter, lambda items: map(abs, [])])
def test_what_was_read_to_its_end_is_an_error_in_words(conformers, make):
    given = make(conformers)
    list(given)
    with pytest.raises(ConfigError, match="keep what it gives, as in conformers = list"):
        conformers_of(given)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (3, "int: give files, conformers, RDKit molecules"),
        (None, "NoneType: give files"),
        ([molecule("H2O"), "file.sdf"], "item 2 is str, and not all others are files: give files"),
        ("there is none.sdf", "no such file"),
    ],
    ids=str,
)
def test_what_holds_none_is_refused(wrong, says):
    with pytest.raises(ConfigError, match=says) as raised:
        conformers_of(wrong)
    assert "\n" not in str(raised.value)


def test_bad_ones_are_named_by_their_number(mol, conformers):
    broken = replace(conformers[0], position=conformers[0].position * np.nan)
    given = [mol, Chem.MolFromSmiles("CC"), molecule("H2O"), broken, None]
    found = conformers_of(given)
    assert found.record.tolist() == [1, 2, 3, 4, 6]
    assert [(bad.record, bad.reason[:30]) for bad in found.rejected] == [
        (5, "the molecule has no conformer;"),
        (8, "is None, as RDKit has for a re"),
        (7, found.rejected[2].reason[:30]),
    ]
    with pytest.raises(ConformerError, match="conformer, record 5: the molecule has no conformer"):
        conformers_of(given, on_error="stop")


def test_files_are_read_again_and_tell_what_they_reject_once(tmp_path, monkeypatch):
    path = tmp_path / "a.xyz"
    frame = "3\nw\nO 0 0 0.1\nH 0 0.8 -0.5\nH 0 -0.8 -0.5\n"
    path.write_text(frame + "3\nbad\nO 0 0 0\nH x 0 0\nH 0 0 1\n" + frame)
    rejected: list = []
    conformers = molgiae.read_conformers(path, on_error="skip", rejected=rejected)
    first = next(iter(conformers))
    assert [len(list(conformers)) for _ in range(3)] == [2, 2, 2] and first.title == "w"
    assert [bad.record for bad in rejected] == [2]
    with pytest.raises(ConfigError, match="no such file"):
        molgiae.read_conformers(tmp_path / "b.xyz")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(frame.encode())))
    once = molgiae.read_conformers("-")
    assert len(list(once)) == 1
    with pytest.raises(ConfigError, match="standard input can be read only once; keep its conformers"):
        list(once)
