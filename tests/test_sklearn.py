"""The transformer is one to scikit-learn, and its rows are the embeddings that everything else makes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import AllChem
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import molgiae
from molgiae.data.blocks import rebatch
from molgiae.errors import CheckpointError, ConfigError, ConformerError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.shipped import shipped_names
from molgiae.sklearn import ConformerEmbedder
from tests.conftest import TINY, TINY_DOMAIN

SMILES = ["CCO", "CCN", "CC=O", "OCO", "C#N", "CCC", "COC", "NCC", "C=C", "CO", "CN", "C"]


@pytest.fixture(scope="module")
def mols() -> list[Chem.Mol]:
    found = [Chem.AddHs(Chem.MolFromSmiles(smiles)) for smiles in SMILES]
    for k, mol in enumerate(found):
        AllChem.EmbedMultipleConfs(mol, 1 + k % 3, randomSeed=k)
    return found


@pytest.fixture
def step(model_path) -> ConformerEmbedder:
    return ConformerEmbedder(model_path, device="cpu")


def test_a_row_is_the_mean_of_the_conformers_or_the_first(step, mols, model_path):
    embedder = molgiae.Embedder(model_path, device="cpu", parts="features")
    alone = [embedder.embed(mol)["embedding"] for mol in mols]
    assert_allclose(step.fit_transform(mols), [rows.mean(axis=0) for rows in alone], rtol=1e-5)
    first = clone(step).set_params(pooling="first").fit_transform(mols)
    assert_allclose(first, [rows[0] for rows in alone], rtol=1e-5)
    assert first.dtype == np.float32 and not np.array_equal(first, step.transform(mols))


def test_whatever_holds_the_molecules_the_rows_are_the_same(step, mols, tmp_path):
    step = step.set_params(pooling="first").fit(mols)
    expected = step.transform(mols)
    conformers = [molgiae.from_rdkit(mol) for mol in mols]
    atoms = [Atoms(c.atomic_number, c.position) for c in conformers]
    molgiae.canonicalize(conformers, output=tmp_path / "all.h5")
    paths = [tmp_path / f"{k}.h5" for k in range(len(mols))]
    for mol, path in zip(mols, paths, strict=True):
        molgiae.canonicalize(mol, output=path)
    block = molgiae.conformers_of(conformers)
    ways = [conformers, atoms, tuple(atoms), block, list(rebatch([block], 1)), tmp_path / "all.h5", paths]
    for given in (
        *ways,
        (c for c in conformers),
        np.array(mols, object),
        molgiae.embed(block, model=step.model),
    ):
        assert_allclose(step.transform(given), expected, rtol=1e-4, atol=1e-5)
    assert step.transform(mols[0]).shape == (1, 2)


def test_copies_and_pickles_give_the_same(step, mols, tmp_path):
    fitted = step.fit(mols)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.transform(mols), fitted.transform(mols))
    assert len(pickle.dumps(fitted)) < 10_000
    assert_array_equal(clone(fitted).fit_transform(mols), fitted.transform(mols))
    assert clone(fitted).get_params() == fitted.get_params()
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, build(TINY), TINY_DOMAIN, {"data": "none"})
    stale = pickle.dumps(ConformerEmbedder(str(path)).fit(mols))
    checkpoint.save(path, build(TINY), TINY_DOMAIN, {"data": "others"})
    with pytest.raises(CheckpointError, match="is not the model that was here at the time of fit"):
        pickle.loads(stale).transform(mols)


def test_it_is_a_step_of_pipelines(step, mols, model_path):
    y = np.arange(len(mols)) / 10
    pipeline = make_pipeline(step, StandardScaler(), Ridge())
    assert len(cross_val_score(pipeline, mols, y, cv=3)) == 3
    searched = GridSearchCV(pipeline, {"conformerembedder__parts": ["features", "shape", None]}, cv=2)
    assert searched.fit(mols, y).predict(mols).shape == y.shape
    target = TransformedTargetRegressor(pipeline, transformer=StandardScaler())
    assert np.isfinite(target.fit(mols, y).predict(mols[:2])).all()


def test_columns_have_names(step, mols):
    with pytest.raises(ValueError, match="not fitted"):
        step.get_feature_names_out()
    every = step.set_params(parts=None).fit(mols)
    assert every.get_feature_names_out().tolist()[1:3] == ["features_1", "overlay_0"]
    assert len(every.get_feature_names_out()) == every.transform(mols).shape[1] == TINY.embedding_dim
    pytest.importorskip("pandas", reason="an extra")
    frame = step.set_params(parts="shape, features").set_output(transform="pandas").fit_transform(mols)
    assert list(frame) == ["features_0", "features_1", "shape_0", "shape_1", "shape_2"]
    step.set_output(transform="default")
    assert_array_equal(frame, step.transform(mols))


def test_the_default_model_is_named_after_fit(mols):
    step = ConformerEmbedder(device="cpu").fit(mols)
    assert step.model_ in shipped_names() and clone(step).model == "auto"
    assert step.transform(mols).shape[1] == molgiae.Embedder("auto", device="cpu").part("features").size


def test_a_table_of_one_column_holds_an_item_in_each_row(step, mols):
    pandas = pytest.importorskip("pandas", reason="an extra")
    frame = pandas.DataFrame({"mol": mols, "y": range(len(mols))})
    wanted = step.fit_transform(mols)
    column = np.empty((len(mols), 1), object)
    column[:, 0] = mols
    for table in (frame[["mol"]], frame["mol"], column):
        assert_array_equal(step.fit_transform(table), wanted)
    with pytest.raises(ConfigError, match="2 columns: give the one"):
        step.fit_transform(frame)


def test_files_that_are_not_there_and_missing_values_are_skipped_as_bad_ones_are(step, mols, sdf):
    skipping = clone(step).set_params(on_error="skip", pooling="first").fit(mols)
    found = skipping.transform([mols[0], None, float("nan")])
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True]
    assert np.isnan(skipping.transform(["gone.sdf", mols[0]])).all(axis=1).tolist() == [True, False]
    with pytest.raises(ConfigError, match=r"item 1: gone\.sdf: no such file"):
        step.fit_transform(["gone.sdf"])


def test_what_cannot_be_embedded_is_named_by_its_item_or_skipped(step, mols, sdf):
    without, unknown = Chem.MolFromSmiles("CC"), Atoms("I2", [[0, 0, 0], [0, 0, 2.67]])
    for bad, says in (
        (without, "item 2: .*the molecule has no conformer; embed it first"),
        (unknown, "item 2.*: element I is unknown to the model"),
        (None, "item 2: .*is None, as RDKit has for a record"),
        (sdf, "item 2 holds several molecules, .* and .*: make each an item"),
    ):
        with pytest.raises((ConformerError, ConfigError), match=says):
            step.fit_transform([mols[0], bad])
    skipping = clone(step).set_params(on_error="skip").fit(mols)
    found = skipping.transform([without, mols[0], unknown, None])
    assert np.isnan(found[[0, 2, 3]]).all()
    assert_array_equal(found[1:2], step.fit_transform(mols[:1]))
    assert len(step.transform(sdf)) == 20  # a path alone makes a row for each of its conformers
    with pytest.raises(ConfigError, match="pooling 'max' is unknown; use mean or first"):
        clone(step).set_params(pooling="max").fit(mols)
