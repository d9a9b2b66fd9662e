"""molgiae compare: coverage and matching of brute force by RDKit, whatever the order of atoms, molecules and titles."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rdkit import Chem
from rdkit.Chem import AllChem

import molgiae
from molgiae.commands.compare import Comparison, compare
from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import ConfigError
from molgiae.matching.kabsch import kabsch
from tests.cli.invoke import assert_one_line, molgiae_
from tests.data.test_bad_records import SDF_CASES
from tests.matching.test_matrix import by_rdkit, scrambled

DRUGS = {
    "phenacetin": "CCOc1ccc(NC(C)=O)cc1",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "dopamine": "NCCc1ccc(O)c(O)c1",
    "benzocaine": "CCOC(=O)c1ccc(N)cc1",
}


def with_conformers(smiles: str, number: int, seed: int) -> Chem.Mol:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMultipleConfs(molecule, number, randomSeed=seed)
    return molecule


@pytest.fixture(scope="module")
def molecules() -> tuple[dict[str, Chem.Mol], dict[str, Chem.Mol]]:
    """A, and B with other conformers and some of A: noisy, equivalent atoms exchanged; one molecule in each alone."""
    rng = np.random.default_rng(0)
    a = {name: with_conformers(smiles, 4, 1) for name, smiles in DRUGS.items()}
    b = {name: with_conformers(smiles, 3, 2) for name, smiles in DRUGS.items()}
    for name, molecule in b.items():
        exchanges = molecule.GetSubstructMatches(molecule, uniquify=False, maxMatches=1000)
        for conformer in list(a[name].GetConformers())[:2]:
            copy = Chem.Conformer(molecule.GetNumAtoms())
            order = list(exchanges[rng.integers(1, len(exchanges))])
            noise = rng.normal(0, 0.03, (len(order), 3))
            copy.SetPositions(np.ascontiguousarray(conformer.GetPositions()[order] + noise))
            molecule.AddConformer(copy, assignId=True)
    a["ethanol"], b["dimethyl ether"] = with_conformers("CCO", 2, 1), with_conformers("COC", 1, 1)
    return a, b


def mixed(molecules: dict[str, Chem.Mol], title: str, seed: int) -> list[Conformer]:
    """All conformers in disorder, atoms, too, under titles that say nothing."""
    every = [from_rdkit(m, c.GetId()) for m in molecules.values() for c in m.GetConformers()]
    order = np.random.default_rng(seed).permutation(len(every))
    return [replace(scrambled(every[k], 100 * seed + k), title=f"{title} {k}") for k in order]


Row = tuple[float | None, float | None, float | None, float | None]


def row_of(rmsd: np.ndarray, threshold: float) -> Row:
    """COV-R, MAT-R, COV-P and MAT-P from all RMSDs of generated (rows) and references (columns)."""
    recall, precision = rmsd.min(axis=0), rmsd.min(axis=1)
    covered = (recall <= threshold).mean(), (precision <= threshold).mean()
    return covered[0], recall.mean(), covered[1], precision.mean()


def brute_force(
    molecules: tuple[dict[str, Chem.Mol], dict[str, Chem.Mol]], threshold: float, heavy: bool
) -> dict[str, Row]:
    bare = Chem.RemoveHs if heavy else (lambda molecule: molecule)
    a, b = molecules
    return {name: row_of(by_rdkit(bare(a[name]), bare(b[name])), threshold) for name in DRUGS}


def as_numbered(
    molecules: tuple[dict[str, Chem.Mol], dict[str, Chem.Mol]], threshold: float
) -> dict[str, Row]:
    """What a program finds that takes every atom for itself."""
    a, b = ({n: [c.GetPositions() for c in m[n].GetConformers()] for n in DRUGS} for m in molecules)
    return {
        name: row_of(np.array([[kabsch(x, y)[2] for y in b[name]] for x in a[name]]), threshold)
        for name in DRUGS
    }


def rows_found(found: Comparison, names: dict[str, str]) -> dict[str, Row]:
    by_formula = {m.formula: m.coverage for m in found.molecules}
    rows = {name: by_formula[formula] for name, formula in names.items()}
    return {name: (c.cov_r, c.mat_r, c.cov_p, c.mat_p) for name, c in rows.items()}


FORMULAS = {
    "phenacetin": "C10H13NO2",
    "paracetamol": "C8H9NO2",
    "dopamine": "C8H11NO2",
    "benzocaine": "C9H11NO2",
}


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("threshold", [0.125, 0.3])
def test_coverage_is_that_of_brute_force(molecules, threshold, heavy):
    a, b = mixed(molecules[0], "a", 1), mixed(molecules[1], "b", 2)
    found = compare(a, b, threshold=threshold, heavy=heavy)
    expected = brute_force(molecules, threshold, heavy)
    rows = rows_found(found, FORMULAS)
    for name in DRUGS:
        assert_allclose(rows[name], expected[name], atol=1e-5)
    assert any(0 < expected[name][k] < 1 for name in DRUGS for k in (0, 2))
    assert found.total.proven
    if not heavy:
        wrong = as_numbered(molecules, threshold)
        assert any(abs(wrong[name][0] - expected[name][0]) > 0.1 for name in DRUGS)


def test_molecules_of_one_ensemble_alone_are_missed_not_forgotten(molecules):
    found = compare(mixed(molecules[0], "a", 1), mixed(molecules[1], "b", 2))
    alone = [m.coverage for m in found.molecules if m.formula == "C2H6O"]
    assert [(c.generated, c.references) for c in alone] in ([(2, 0), (0, 1)], [(0, 1), (2, 0)])
    ethanol, ether = sorted(alone, key=lambda c: c.references)
    assert (ethanol.cov_p, ethanol.cov_r, ethanol.mat_p) == (0.0, None, None)
    assert (ether.cov_r, ether.cov_p, ether.mat_r) == (0.0, None, None)
    rows = rows_found(found, FORMULAS)
    total = found.total
    assert total.cov_r == pytest.approx(np.mean([0.0, *(row[0] for row in rows.values())]))
    assert total.mat_p == pytest.approx(np.mean([row[3] for row in rows.values()]))
    assert (total.generated, total.references) == (18, 21)
    assert len(found.only[0]) == 18 - total.covered_generated and total.covered_references >= 8
    by_atoms = compare(mixed(molecules[0], "a", 1), mixed(molecules[1], "b", 2), match="atoms", heavy=True)
    assert len(by_atoms.molecules) == 5  # isomers are one


def test_the_parts_exchanged_give_recall_for_precision(molecules):
    a, b = molecules
    forth, back = (compare([*x.values()], [*y.values()], threshold=0.5) for x, y in ((a, b), (b, a)))
    assert forth.total.cov_r == pytest.approx(back.total.cov_p)
    assert forth.total.mat_p == pytest.approx(back.total.mat_r)
    itself = compare([*a.values()], [*a.values()]).total
    assert (itself.cov_r, itself.cov_p, itself.mat_r) == (1.0, 1.0, pytest.approx(0.0, abs=1e-6))
    assert molgiae.compare is compare


def test_nothing_beside_something(molecules):
    found = compare([], molecules[0]["phenacetin"])
    assert (found.total.cov_r, found.total.cov_p, found.total.generated) == (0.0, None, 0)
    assert not compare([], []).molecules
    with pytest.raises(ConfigError, match="threshold"):
        compare([], [], threshold=-1)


# From file to file


def xyz(conformers: Sequence[Conformer], energies: Sequence[float]) -> str:
    """Frames as CREST writes them: the energy in front of the comment line, no bonds."""
    frames = []
    for c, energy in zip(conformers, energies, strict=True):
        frames += [f"{len(c)}", f" {energy:.8f}"]
        table = Chem.GetPeriodicTable()
        frames += [
            f"{table.GetElementSymbol(int(z))} {x:.6f} {y:.6f} {w:.6f}"
            for z, (x, y, w) in zip(c.atomic_number, c.position, strict=True)
        ]
    return "\n".join(frames) + "\n"


@pytest.fixture
def files(molecules, tmp_path) -> tuple[Path, Path]:
    """Paracetamol: A in SDF with energies in its data, B in XYZ with energies in front, in another order."""
    a, b = (m["paracetamol"] for m in molecules)
    records = []
    for k, conformer in enumerate(a.GetConformers()):
        block = Chem.MolToMolBlock(a, confId=conformer.GetId())
        records.append(f"{block}>  <energy>\n{10.0 + k} kcal/mol\n\n$$$$\n")
    (tmp_path / "a.sdf").write_text("".join(records))
    frames = mixed({"paracetamol": b}, "b", 5)
    (tmp_path / "b.xyz").write_text(xyz(frames, [-514.0 + 0.001 * k for k in range(len(frames))]))
    return tmp_path / "a.sdf", tmp_path / "b.xyz"


def rows_in(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_of_two_programs(files, molecules, tmp_path):
    output = tmp_path / "out.csv"
    result = molgiae_("compare", *files, "-o", output, "--json")
    assert result.exit_code == 0, result.output
    assert "1 molecules in both" not in result.stderr and "1 molecule in both" in result.stderr
    expected = brute_force(molecules, 0.125, False)["paracetamol"]
    molecule, total = rows_in(output)
    assert total["title"] == "total" and molecule["formula"] == "C8H9NO2"
    for row in (molecule, total):
        found = [float(row[name]) for name in ("cov_r", "mat_r", "cov_p", "mat_p")]
        assert_allclose(found, expected, atol=2e-3)  # as coordinates are rounded
    rows = rows_in(tmp_path / "out_conformers.csv")
    assert [row["ensemble"] for row in rows] == ["A"] * 4 + ["B"] * 5
    assert [row["in_other"] for row in rows].count("0") == int(total["only_a"]) + int(total["only_b"])
    near = next(row for row in rows if row["ensemble"] == "A" and row["in_other"] == "1")
    assert near["energy_unit"] == "kcal/mol" and near["nearest_energy_unit"] == "Ha"
    frame = int(near["nearest_record"]) - 1
    assert float(near["nearest_energy"]) == pytest.approx(-514.0 + 0.001 * frame)
    assert float(near["nearest_relative_energy"]) == pytest.approx(0.001 * frame)
    assert float(near["relative_energy"]) == pytest.approx(int(near["record"]) - 1)
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["shared"], summary["rejected"]) == (9, 1, 0)
    assert summary["total"]["cov_r"] == pytest.approx(expected[0])
    assert len(summary["conformers"]) == 9 and summary["table"].endswith("out_conformers.csv")


def test_without_an_output_the_table_is_on_the_screen(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = molgiae_("compare", *files, "--threshold", "0.1")
    assert result.exit_code == 0
    head, molecule, total = result.stdout.splitlines()
    assert head.split()[:4] == ["title", "formula", "a", "b"] and total.startswith("total")
    assert molecule.split()[0] == "C8H9NO2"  # an energy is no title
    assert "not in B, records of A: " in result.stderr
    assert {*tmp_path.iterdir()} == {*files}


def test_the_command_lists_and_refuses(files, tmp_path):
    a, b = files
    bad = tmp_path / "bad.sdf"
    bad.write_text(a.read_text() + SDF_CASES["NaN"][0])
    result = molgiae_("compare", bad, b, "-o", tmp_path / "out.json")
    assert result.exit_code == 3 and "1 rejected, listed in" in result.stderr
    assert [row["a"] for row in json.loads((tmp_path / "out.json").read_text())["rows"]] == [4, 4]
    assert (tmp_path / "out.json.rejected.csv").exists()
    assert_one_line(molgiae_("compare", a, b, "--energy", "none"), "no record has a property 'none'")
    assert_one_line(molgiae_("compare", a, b, "-o", tmp_path / "out.json"), "exists already")
    assert_one_line(molgiae_("compare", a, b, "-o", a.with_suffix(".txt")), "end the name of the table")
    assert_one_line(molgiae_("compare", "-", "-"), "standard input")
    assert_one_line(molgiae_("compare", bad, b, "--on-error", "stop"), "record 5")
    charged = tmp_path / "charged.xyz"
    lines = b.read_text().splitlines()
    charged.write_text(
        "\n".join(f"charge=1 {line}" if line.startswith(" ") else line for line in lines) + "\n"
    )
    apart = molgiae_("compare", a, charged)
    assert "0 molecules in both, 1 in A alone, 1 in B alone" in apart.stderr and "--ignore" in apart.stderr
    joined = molgiae_("compare", a, charged, "--ignore", "charge,multiplicity")
    assert "1 molecule in both" in joined.stderr
