"""Commands on objects of Python return what they write of the same conformers in files, and need no files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import AllChem

import molgiae
from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching.copies import THRESHOLD

NUMBER = 12


@pytest.fixture(scope="module")
def mol() -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles("CCOCC"))
    AllChem.EmbedMultipleConfs(mol, NUMBER, randomSeed=3)
    return mol


@pytest.fixture(scope="module")
def file(mol, tmp_path_factory) -> Path:
    """The same conformers, to the last digit."""
    path = tmp_path_factory.mktemp("file") / "a.h5"
    assert molgiae.canonicalize(mol, output=path).written == NUMBER
    return path


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.glob("conformers*"))  # as names are that are made up


COMMANDS = {
    "embed": {"parts": "shape,features"},
    "reconstruct": {},
    "canonicalize": {},
    "align": {},
    "cluster": {"threshold": 0.5},
    "cluster by shape": {"by": "shape", "k": 3},
    "select": {"k": 5, "by": "shape"},
}


@pytest.mark.parametrize("name", COMMANDS)
def test_objects_come_back_as_what_the_file_would_have(mol, file, model_path, tmp_path, name):
    command, options = getattr(molgiae, name.split()[0]), COMMANDS[name] | {"model": model_path}
    found = command(mol, **options)
    assert isinstance(found, Result) and not found.block.rejected
    assert found.block.record.max() <= NUMBER
    command(file, output=tmp_path / "out.h5", **options)
    with EmbeddingFile(tmp_path / "out.h5") as stored:
        for column in found.keys() - {"row"}:
            assert_array_equal(found[column], stored[column], err_msg=column)
        assert_array_equal(found.block.position, stored["position"])
    if "row" in found:
        assert_array_equal(found.block.record - 1, found["row"])


def test_whatever_holds_them_they_have_the_same_vectors(mol, file, model_path):
    """RDKit, ASE, conformers and files; the embeddings do not hang on bonds."""
    expected = molgiae.embed(mol, model=model_path)["embedding"]
    conformers = molgiae.from_rdkit(mol, "all")
    atoms = [Atoms(c.atomic_number, c.position) for c in conformers]
    embedder = molgiae.Embedder(model_path, device="cpu")
    for given in (conformers, atoms, iter(atoms), [mol], molgiae.embed(mol, model=model_path)):
        assert_array_equal(molgiae.embed(given, model=model_path)["embedding"], expected)
        if not hasattr(given, "__next__"):
            assert_array_equal(embedder.embed(given)["embedding"], expected)
    assert_array_equal(embedder.embed(file)["embedding"], expected)
    assert_array_equal(embedder.embed([str(file)])["embedding"], expected)
    many = conformers * 100  # more than a block
    assert_allclose(
        molgiae.embed(many, model=model_path)["embedding"], np.tile(expected, (100, 1)), atol=1e-5
    )


@pytest.mark.parametrize(
    "options", [{}, {"heavy": True, "threshold": 0.3}, {"mirror": "same", "threshold": 1.0}]
)
def test_copies_are_those_of_the_file(mol, file, tmp_path, options):
    conformers = molgiae.from_rdkit(mol, "all")
    turned = [
        replace(c, position=c.position @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])) for c in conformers
    ]
    found = molgiae.deduplicate([*conformers, *turned], **options)
    assert len(found) == 2 * NUMBER and not found["kept"][NUMBER:].any()
    assert (found["rmsd"][~found["kept"]] <= options.get("threshold", THRESHOLD)).all()
    assert_array_equal(found["kept"], found["into"] < 0)
    done = molgiae.deduplicate(file, output=tmp_path / "b.h5", table=tmp_path / "b.csv", **options)
    assert done.kept == found["kept"].sum()
    unique = found.take(found["kept"])
    with EmbeddingFile(tmp_path / "b.h5") as stored:
        assert_allclose(stored["position"], unique.block.position)


def test_all_come_onto_the_reference_that_is_given(mol):
    conformers = molgiae.from_rdkit(mol, "all")
    aligned = molgiae.align(mol, reference=Chem.Mol(mol, confId=3))
    assert aligned["rmsd"][3] < 1e-7
    assert_allclose(aligned["rmsd"], molgiae.rmsd(mol, reference=conformers[3]).rmsd[:, 0], atol=1e-6)
    titled = [replace(c, title=str(k % 2)) for k, c in enumerate(conformers)]
    assert molgiae.align(titled, to="title")["rmsd"][:2].max() < 1e-7
    with pytest.raises(ConformerError, match="no conformer of title '0' in the references"):
        molgiae.align(titled, to="title", reference=titled[1])


def test_clusters_say_who_stands_for_them(mol):
    found = molgiae.cluster(mol, threshold=0.5)
    assert sum(one.size for one in found.clusters) == NUMBER
    for one in found.clusters:
        assert (found["cluster"] == one.cluster).sum() == one.size
        assert found["representative"][one.record - 1] and found["cluster"][one.record - 1] == one.cluster


def test_picks_are_far_from_what_was_chosen(mol, model_path):
    first = molgiae.select(mol, k=4, by="shape", model=model_path)
    rest = molgiae.select(mol, k=NUMBER, by="shape", model=model_path, seed_with=first)
    assert set(rest["row"][:-4]).isdisjoint(first["row"]) and rest["picked_distance"][-4:].max() < 1e-6


def test_bad_objects_are_errors_unless_they_are_skipped(mol, model_path):
    bad = Conformer(np.array([6], np.uint8), np.full((1, 3), np.nan))
    given = [bad, mol, Chem.MolFromSmiles("CC")]
    for command in (molgiae.embed, molgiae.canonicalize, molgiae.align, molgiae.deduplicate, molgiae.cluster):
        with pytest.raises(ConformerError):
            command(given, model=model_path)
        found = command(given, model=model_path, on_error="skip")
        assert len(found) == NUMBER and sorted(b.record for b in found.block.rejected) == [1, NUMBER + 2]
        assert_array_equal(found.block.record, np.arange(2, NUMBER + 2))


def test_what_goes_to_files_needs_a_name(mol, model_path, tmp_path):
    done = molgiae.embed(mol, output=tmp_path / "a.h5", model=model_path)
    assert (done.written, done.output) == (NUMBER, str(tmp_path / "a.h5"))
    assert len(molgiae.embed([], model=model_path)) == 0
    for wrong in (
        lambda: molgiae.cluster(mol, table=tmp_path / "t.csv"),
        lambda: molgiae.deduplicate(mol, table=tmp_path / "t.csv"),
    ):
        with pytest.raises(ConfigError, match="an output; name that, too"):
            wrong()
