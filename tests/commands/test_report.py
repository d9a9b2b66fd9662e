"""Reports: what is on the page is what is in the records and in their embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import molgiae
from molgiae.commands.described import described
from molgiae.commands.maps import AXES, maps_of, principal
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.readers import read_conformers
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.model.header import sha256_of
from molgiae.parts import Part
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import N_MOLECULES, TINY
from tests.data.molfiles import molecule, sdf_record, xyz_frame
from tests.output.test_page import EVIL, Parsed, array, requests


@pytest.fixture
def stored(sdf, tmp_path, model_path):
    molgiae.reconstruct(sdf, output=tmp_path / "stored.h5", model=model_path)
    return tmp_path / "stored.h5"


def parsed(path) -> Parsed:
    return Parsed(path.read_text(encoding="utf-8"))


def column(numbers: dict, name: str) -> np.ndarray:
    (found,) = (c for c in numbers["columns"] if c["name"] == name)
    return array(found["values"])


def test_structures_and_their_embeddings_have_the_same_page(sdf, stored, tmp_path, model_path):
    one = molgiae.report(sdf, output=tmp_path / "a.html", model=model_path)
    other = molgiae.report(stored, output=tmp_path / "b.html")
    first, second = parsed(tmp_path / "a.html"), parsed(tmp_path / "b.html")
    assert first.numbers() == second.numbers() and requests(first) == []
    assert (one.read, one.written, one.shown, one.rejected) == (N_MOLECULES,) * 3 + (0,)
    assert (other.model_sha256, other.clusters) == (one.model_sha256, one.clusters)
    for text, name in ((first.text(), sdf), (second.text(), stored)):
        assert (
            sha256_of(name) in text and one.model_sha256 in text and f"molgiae{molgiae.__version__}" in text
        )


def test_the_page_has_the_values_of_the_file(stored, tmp_path):
    molgiae.report(stored, output=tmp_path / "a.html", k=3, colour="k")
    page = parsed(tmp_path / "a.html")
    numbers = page.numbers()
    with EmbeddingFile(stored) as file:
        rmsd, block = file.column("rmsd"), file.block(0, len(file))
        features = file.column("embedding")[:, file.part("features").columns].astype(float)
    assert_allclose(column(numbers, "RMSD of the reconstruction (Å)"), rmsd)
    assert_allclose(column(numbers, "atoms"), block.n_atoms)
    assert_allclose(column(numbers, "k"), np.arange(N_MOLECULES))
    assert numbers["title"] == [f"m{k}" for k in range(N_MOLECULES)]
    assert [m["name"] for m in numbers["maps"]] == [
        f"{name}, PCA" for name in ("features", "overlay", "color", "shape")
    ]
    place = array(numbers["maps"][0]["place"]).reshape(-1, 2)  # of two features nothing is lost
    assert_allclose(
        np.linalg.norm(place[:, None] - place, axis=2),
        np.linalg.norm(features[:, None] - features, axis=2),
        atol=1e-5,
    )
    (chosen,) = (int(a["value"]) for name, a in page.elements if name == "option" and a.get("selected"))
    assert numbers["columns"][chosen]["name"] == "k"
    cards = [a for name, a in page.elements if name == "button"]
    worst = [int(a["data-row"]) for a in cards if "data-decoded" in a]
    assert worst == np.argsort(-rmsd, kind="stable")[: len(worst)].tolist()
    (clusters,) = (c for c in numbers["columns"] if c["name"] == "cluster")
    label = array(clusters["values"])
    assert len(clusters["classes"]) == 3 and sorted(set(label.tolist())) == [0, 1, 2]
    medoids = [int(a["data-row"]) for a in cards if "data-decoded" not in a]
    assert sorted(label[medoids].tolist()) == [0, 1, 2]
    for row in medoids:
        rows = np.flatnonzero(label == label[row])
        total = np.linalg.norm(features[rows][:, None] - features[rows], axis=2).sum(axis=1)
        assert total[rows.tolist().index(row)] <= total.min() + 1e-6


def test_rejected_records_are_listed_and_told(tmp_path, model_path):
    silicon = [("Si", *rest) for _, *rest in molecule(0)]
    text = sdf_record(molecule(0), "good") + sdf_record(silicon, EVIL) + sdf_record(molecule(1), EVIL)
    (tmp_path / "a.sdf").write_text(text)
    result = molgiae_("report", tmp_path / "a.sdf", "-m", model_path, "-o", tmp_path / "a.html")
    assert result.exit_code == 3 and "1 rejected" in result.stderr
    page = parsed(tmp_path / "a.html")
    assert requests(page) == [] and page.numbers()["title"] == ["good", EVIL]
    assert "element Si is unknown" in page.text() and EVIL in page.text()


def test_embeddings_without_reconstructions_say_so(sdf, tmp_path, model_path):
    molgiae.embed(sdf, output=tmp_path / "a.h5", model=model_path, parts="shape,detail")
    result = molgiae.report(tmp_path / "a.h5", output=tmp_path / "a.html", tsne=True)
    page = parsed(tmp_path / "a.html")
    assert "no reconstructions" in page.text() and any("no reconstructions" in note for note in result.notes)
    assert not [a for _, a in page.elements if "data-decoded" in a]
    assert [m["name"] for m in page.numbers()["maps"]] == ["shape, PCA"]  # it has 3 numbers
    assert TINY.shape_dim == 3


def test_a_sample_has_the_worst_in_it(stored, tmp_path):
    result = molgiae.report(stored, output=tmp_path / "a.html", sample=5)
    numbers = parsed(tmp_path / "a.html").numbers()
    assert 12 <= result.shown == len(numbers["title"]) < N_MOLECULES == result.written
    with EmbeddingFile(stored) as file:
        rows = [int(title[1:]) for title in numbers["title"]]
        assert_allclose(column(numbers, "RMSD of the reconstruction (Å)"), file.column("rmsd")[rows])
        assert set(np.argsort(-file.column("rmsd"))[:12].tolist()) <= set(rows)
    molgiae.report(stored, output=tmp_path / "b.html", sample=5)
    assert parsed(tmp_path / "b.html").numbers() == numbers


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_few_conformers_have_a_page(size, tmp_path, model_path):
    (tmp_path / "a.sdf").write_text(sdf_record(molecule(0), "a") * size)
    molgiae.report(tmp_path / "a.sdf", output=tmp_path / "a.html", model=model_path, tsne=True)
    assert len(parsed(tmp_path / "a.html").numbers()["title"]) == size


def test_principal_components_keep_what_they_can():
    rng = np.random.default_rng(0)
    few, many = rng.normal(size=(30, 3)), rng.normal(size=(30, 40)) * np.linspace(3, 0.1, 40)
    place, shares = principal(few)
    assert_allclose(np.linalg.norm(place, axis=1), np.linalg.norm(few - few.mean(axis=0), axis=1))
    assert_allclose(shares.sum(), 1)
    place, shares = principal(many)
    assert place.shape == (30, AXES) and shares.sum() < 1 and (np.diff(shares) <= 0).all()
    assert_allclose(place.var(axis=0).sum() / many.var(axis=0).sum(), shares.sum())
    order = rng.permutation(30)
    assert_allclose(principal(many[order])[0], place[order], atol=1e-9)
    turned = many @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    assert_allclose(principal(turned)[0], place, atol=1e-9)
    same, shares = principal(np.ones((4, 2)))
    assert not same.any() and not shares.any()
    assert [m.name for m in maps_of(Part("shape", 0, 2), place, shares, tsne=True, seed=0)] == [
        "shape, PCA",
        "shape, t-SNE",
    ]


def test_properties_are_numbers_classes_or_texts(tmp_path):
    frames = [
        ("m0", "-1.5 Ha", "yes", "0.1"),
        ("m0", "-1.0 Ha", "no", "nan"),
        ("m1", "-2.0 Ha", "yes", "x"),
        ("m1", "", "yes", "0.2"),
    ]
    data = [
        [("total energy", e), ("wet", w), ("odd", o), ("id", f"{k}")] for k, (_, e, w, o) in enumerate(frames)
    ]
    text = "".join(sdf_record(molecule(0), t, data=d) for (t, *_), d in zip(frames, data, strict=True))
    (tmp_path / "a.sdf").write_text(text)
    block = ConformerBlock.of(read_conformers(tmp_path / "a.sdf"))
    columns, texts, notes = described(block, {})
    by_name = {c.name: c for c in columns}
    assert_allclose(by_name["total energy (Ha)"].values, [-1.5, -1, -2, np.nan])
    above = by_name["total energy (Ha), above the lowest of its title"].values
    assert_allclose(above, [0, 0.5, 0, np.nan])
    assert by_name["wet"].classes == ("yes", "no") and by_name["wet"].values.tolist() == [0, 1, 0, 0]
    assert by_name["odd"].classes and not texts and not notes  # two of three are numbers
    assert by_name["id"].values.tolist() == [0, 1, 2, 3]


def test_comment_lines_of_xyz_tell_energies_also_from_hdf5(tmp_path, model_path):
    (tmp_path / "a.xyz").write_text("".join(xyz_frame(molecule(0), f"-{k}.5") for k in range(3)))
    molgiae.embed(tmp_path / "a.xyz", output=tmp_path / "a.h5", model=model_path)
    for name in ("a.xyz", "a.h5"):
        molgiae.report(tmp_path / name, output=tmp_path / "a.html", model=model_path, overwrite=True)
        numbers = parsed(tmp_path / "a.html").numbers()
        assert_allclose(column(numbers, "comment line"), [-0.5, -1.5, -2.5])


def test_what_cannot_be_is_said_in_one_line(stored, tmp_path, model_path):
    out = tmp_path / "a.html"
    assert_one_line(molgiae_("report", stored, "-o", out, "-k", 2, "--min-size", 3), "give one of them")
    assert_one_line(molgiae_("report", stored, "-o", out, "--colour", "mass"), "'mass'", "atoms")
    assert_one_line(molgiae_("report", stored, "-o", out, "--part", "soap"), "soap", "features")
    assert_one_line(molgiae_("report", stored, "-o", tmp_path / "a.pdf"), ".html")
    assert not out.exists()
    out.write_text("mine")
    assert_one_line(molgiae_("report", stored, "-o", out), "--overwrite")
    assert out.read_text() == "mine"
    with pytest.raises(ConfigError, match="at least 1"):
        molgiae.report(stored, output=out, sample=0, overwrite=True)
    with pytest.raises(MolgiaeError, match="no such file"):
        molgiae.report(tmp_path / "none.h5", output=out, overwrite=True)
