"""molgiae rmsd and rmsd_matrix: one matrix from whatever holds the conformers, in every format, nothing lost unsaid."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.distance import squareform

import molgiae
from molgiae.commands.rmsd import write_rmsd_matrix
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError, ConformerError
from tests.cli.invoke import assert_one_line, molgiae_
from tests.data.test_bad_records import SDF_CASES


@pytest.fixture(scope="module")
def molecule() -> Chem.Mol:
    molecule = Chem.AddHs(Chem.MolFromSmiles("OCC(C)CO"))
    molecule.SetProp("_Name", "=diol")
    AllChem.EmbedMultipleConfs(molecule, 4, randomSeed=1)
    return molecule


@pytest.fixture(scope="module")
def ensemble(molecule, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "ensemble.sdf"
    text = "".join(Chem.MolToMolBlock(molecule, confId=k) + "$$$$\n" for k in range(4))
    path.write_text(text)
    return path


def test_whatever_holds_the_conformers_the_matrix_is_the_same(molecule, ensemble):
    conformers = [molgiae.from_rdkit(molecule, k) for k in range(4)]
    expected = molgiae.rmsd_matrix(conformers)
    assert expected.rmsd[0, 1] > 0.05 and expected.proven.all() and expected.rows.title == ["=diol"] * 4
    one_each = [Chem.Mol(molecule, confId=k) for k in range(4)]
    for given in (ensemble, str(ensemble), [ensemble], molecule, one_each, iter(conformers)):
        np.testing.assert_allclose(molgiae.rmsd_matrix(given).rmsd, expected.rmsd, atol=1e-3)
    block = ConformerBlock.of(conformers)
    np.testing.assert_array_equal(molgiae.rmsd_matrix(block).rmsd, expected.rmsd)
    atoms = [Atoms(c.atomic_number, c.position) for c in conformers]
    np.testing.assert_allclose(molgiae.rmsd_matrix(atoms, match="bonds").rmsd, expected.rmsd, atol=1e-7)
    row = molgiae.rmsd_matrix(conformers[1], reference=molecule)
    np.testing.assert_allclose(row.rmsd, expected.rmsd[1:2], atol=1e-7)
    heavy = molgiae.rmsd_matrix(molecule, heavy=True)
    assert (heavy.rmsd <= expected.rmsd * (len(conformers[0]) / 6) ** 0.5 + 1e-9).all()


def test_what_holds_none_is_refused(molecule):
    for wrong in (3, [molecule, "file.sdf"]):
        with pytest.raises(ConfigError, match="give files, conformers, RDKit molecules"):
            molgiae.rmsd_matrix(wrong)
    with pytest.raises(ConformerError, match="record 1: is None, as RDKit has"):
        molgiae.rmsd_matrix([None])
    with pytest.raises(ConformerError, match="embed it first"):
        molgiae.rmsd_matrix(Chem.MolFromSmiles("CC"))
    c = molgiae.from_rdkit(molecule)
    with pytest.raises(ConformerError):
        molgiae.rmsd_matrix([c, replace(c, position=c.position * np.nan)])
    assert molgiae.rmsd_matrix([]).rmsd.shape == (0, 0)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    with h5py.File(path) as file:
        assert file.attrs["unit"] == "angstrom"
        text = {name: file[name].asstr()[:] for name in file if file[name].dtype.kind == "O"}
        return {name: file[name][:] for name in file} | text


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_files_of_arrays_hold_the_matrix_and_its_names(ensemble, tmp_path, suffix):
    expected = molgiae.rmsd_matrix(ensemble)
    outputs = [tmp_path / f"{name}{suffix}" for name in ("square", "condensed", "rectangle")]
    for output, words in zip(outputs, ([], ["--condensed"], [ensemble]), strict=True):
        result = molgiae_("rmsd", ensemble, *words, "-o", output)
        assert result.exit_code == 0, result.output
    square, condensed, rectangle = map(arrays_of, outputs)
    np.testing.assert_array_equal(square["rmsd"], expected.rmsd)
    np.testing.assert_array_equal(squareform(condensed["rmsd"]), expected.rmsd)
    np.testing.assert_allclose(rectangle["rmsd"], expected.rmsd, atol=2e-7)
    assert square["proven"].all() and condensed["proven"].shape == (6,)
    for names in (square, {name: rectangle[f"reference_{name}"] for name in ("title", "record")}):
        assert names["title"].tolist() == ["=diol"] * 4 and names["record"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_a_table_has_rows_and_columns_by_record_and_title(ensemble, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    summary = write_rmsd_matrix(ensemble, output=output)
    assert summary.proven_table == str(tmp_path / f"out.proven{suffix}")
    opened = gzip.open if suffix.endswith(".gz") else open
    tables = []
    for path in (output, summary.proven_table):
        with opened(path, "rt", newline="") as file:
            tables.append(list(csv.reader(file, delimiter="\t" if ".tsv" in suffix else ",")))
    (head, *rows), (also, *proven) = tables
    assert head == also == ["source", "record", "title", *(f"{k} =diol" for k in (1, 2, 3, 4))]
    assert rows[2][:3] == proven[2][:3] == [str(ensemble), "3", "'=diol"]  # no spreadsheet evaluates it
    values = np.array([row[3:] for row in rows], float)
    np.testing.assert_allclose(values, molgiae.rmsd_matrix(ensemble).rmsd, atol=1e-6)
    assert {cell for row in proven for cell in row[3:]} == {"1"}


def test_the_command_counts_lists_and_refuses(ensemble, tmp_path):
    path, output = tmp_path / "a.sdf", tmp_path / "out.csv"
    path.write_text(ensemble.read_text() + SDF_CASES["NaN"][0])
    result = molgiae_("rmsd", path, "-o", output, "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    assert (found["read"], found["conformers"], found["rejected"], found["molecules"]) == (5, 4, 1, 1)
    assert (found["pairs"], found["proven"]) == (6, 6)
    assert found["rmsd_min"] <= found["rmsd_median"] <= found["rmsd_max"]
    assert "6 pairs of 4 conformers of 1 molecule in " in result.stderr
    assert "6 of 6 proven to be the least" in result.stderr
    assert len(Path(found["rejected_in"]).read_text().splitlines()) == 2
    assert_one_line(molgiae_("rmsd", path, "-o", output), "exists already")
    assert_one_line(molgiae_("rmsd", path, "-o", output, "--overwrite", "--on-error", "stop"), "record 5")
    assert_one_line(molgiae_("rmsd", path, "-o", tmp_path / "b.csv", "--condensed"), "condensed")
    assert_one_line(molgiae_("rmsd", path, path, "-o", tmp_path / "b.npz", "--condensed"), "condensed")
    assert_one_line(molgiae_("rmsd", "-", "-", "-o", tmp_path / "b.npz"), "standard input")
    assert_one_line(molgiae_("rmsd", path, "-o", tmp_path / "b.txt"), ".npz or .h5 or .csv")
    assert not list(tmp_path.glob("b.*")) and not list(tmp_path.glob(".*"))


def test_other_molecules_have_no_rmsd(ensemble, tmp_path):
    other = Chem.AddHs(Chem.MolFromSmiles("CO"))
    AllChem.EmbedMolecule(other, randomSeed=1)
    path = tmp_path / "methanol.sdf"
    path.write_text(Chem.MolToMolBlock(other) + "$$$$\n")
    summary = write_rmsd_matrix(ensemble, reference=path, output=tmp_path / "out.csv")
    assert (summary.pairs, summary.rmsd_min, summary.conformers, summary.references) == (0, None, 4, 1)
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[1].endswith("'=diol,") and len(rows) == 5


@pytest.mark.parametrize("words", [["rmsd"], ["cluster", "--by", "rmsd"]])
def test_a_matrix_that_memory_does_not_hold_is_refused_in_words(words, ensemble, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("molgiae.commands.rmsd.physical_memory", lambda: 4 * 4 * 17 - 1)
    assert_one_line(molgiae_(*words, ensemble), "RMSDs of 4 x 4 conformers", "GB of memory", "molgiae dedup")
    monkeypatch.setattr("molgiae.commands.rmsd.physical_memory", lambda: 4 * 4 * 17)
    assert molgiae_(*words, ensemble).exit_code == 0
