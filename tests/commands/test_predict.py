"""Predictions from file to file: values, units and uncertainties where they belong, averages by hand, every record."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose
from rdkit import Chem
from typer.testing import CliRunner

from molgiae.cli import app
from molgiae.commands.predict import predict
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.given import conformers_of
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.readers import read_conformers
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.properties.averaging import BOLTZMANN, Energies, average_over
from molgiae.properties.targets import KNOWN, Target, find
from tests.data.molfiles import molecule, sdf_record, v3000_record, xyz_frame

HARTREE, KCAL_PER_EV = 27.211386245988, 23.060547830619
H, MU = find("H").to("eV"), find("mu")


@dataclass(frozen=True)
class Checkpoint:
    name: str = "fake"
    sha256: str = "f" * 64
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    block: ConformerBlock
    value: np.ndarray
    std: np.ndarray
    wide: np.ndarray
    domain_reason: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Fake:
    """Predicts what `values` makes of a conformer; refuses silicon, has never seen nitrogen."""

    targets: tuple[Target, ...] = (H,)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    std: float = 0.25
    pooling: str = "none"
    baseline: str = ""

    def predict(self, conformers) -> Prediction:
        block = conformers_of(conformers)
        silicon = np.array([14 in c.atomic_number for c in block], bool)
        refused = [
            Rejected(c.source, c.record, c.title, c.line, "silicon is unknown")
            for c in block
            if 14 in c.atomic_number
        ]
        block = block.take(~silicon, refused)
        value = np.array([self.values(c) for c in block]).reshape(len(block), len(self.targets))
        reasons = np.array([NITROGEN if 7 in c.atomic_number else "" for c in block], object)
        std, score = np.full_like(value, self.std), np.arange(len(block), dtype=float)
        return Prediction(block, value, std, 2 * std, reasons, score)

    def values(self, conformer) -> list[float]:
        size = float(np.linalg.norm(conformer.position - conformer.position.mean(axis=0)))
        return [-100.0 * (t + 1) - size for t in range(len(self.targets))]


FAKE = Fake()
NITROGEN = "element: N was in no training conformer"


def expected(path: Path, t: int = 0) -> list[float]:
    return [FAKE_TWO.values(c)[t] for c in read_conformers(path)]


FAKE_TWO = Fake((H, MU))


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def stretched(k: int) -> list[tuple[str, float, float, float]]:
    """Conformer k of propanol's like: another geometry, one formula."""
    return [(s, x * (1 + 0.02 * k), y, z) for s, x, y, z in molecule(0)]


@pytest.fixture
def ensemble(tmp_path: Path) -> Path:
    """Three conformers of a, mixed with two of b, energies in kcal/mol in their records."""
    path = tmp_path / "ensemble.sdf"
    energies = {"a": (0.0, 0.5, 1.3), "b": (2.0, 2.1)}
    names = [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2)]
    text = ""
    for name, k in names:
        atoms = stretched(k) if name == "a" else [*stretched(k), ("H", -2.0, 1.0, 0.3)]
        text += sdf_record(atoms, name, data=[("E", str(energies[name][k]))])
    path.write_text(text)
    return path


# One by one


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_names_units_and_gives_an_uncertainty_and_a_flag_for_every_conformer(
    suffix, delimiter, sdf, tmp_path
):
    output = tmp_path / f"out{suffix}"
    summary = predict(FAKE_TWO, sdf, output=output)
    rows = table(output, delimiter)
    head = [
        "source",
        "record",
        "title",
        "H [eV]",
        "H_std [eV]",
        "H_95 [eV]",
        "mu [D]",
        "mu_std [D]",
        "mu_95 [D]",
        "in_domain",
        "domain_reason",
    ]
    assert list(rows[0]) == head
    assert [row["title"] for row in rows] == [f"m{k}" for k in range(20)]
    assert_allclose([float(row["H [eV]"]) for row in rows], expected(sdf), atol=1e-6)
    assert_allclose([float(row["mu [D]"]) for row in rows], expected(sdf, 1), atol=1e-6)
    assert {(row["H_std [eV]"], row["H_95 [eV]"]) for row in rows} == {("0.25", "0.5")}
    flags = [int(7 not in c.atomic_number) for c in read_conformers(sdf)]
    assert [int(row["in_domain"]) for row in rows] == flags
    assert (summary.read, summary.written, summary.rejected) == (20, 20, 0)
    assert summary.out_of_domain == flags.count(0) > 0
    assert (summary.model, summary.model_sha256) == ("fake", "f" * 64)


def test_millielectronvolts_of_a_total_energy_survive_the_table(sdf, tmp_path):
    class Heavy(Fake):
        def values(self, conformer):
            return [-11178.9664321]

    predict(Heavy(), sdf, output=tmp_path / "a.csv")
    assert float(table(tmp_path / "a.csv")[0]["H [eV]"]) == pytest.approx(-11178.96643, abs=1e-5)


def test_the_unit_of_results_is_the_users_and_the_uncertainty_follows(sdf, tmp_path):
    predict(FAKE_TWO, sdf, output=tmp_path / "a.csv", unit="kcal/mol")
    rows = table(tmp_path / "a.csv")
    assert_allclose(
        [float(row["H [kcal/mol]"]) for row in rows], KCAL_PER_EV * np.array(expected(sdf)), rtol=1e-8
    )
    assert float(rows[0]["H_std [kcal/mol]"]) == pytest.approx(0.25 * KCAL_PER_EV, rel=1e-3)
    assert_allclose([float(row["mu [D]"]) for row in rows], expected(sdf, 1), rtol=1e-8)
    with pytest.raises(ConfigError, match=r"unit 'a0\^3' fits no property of the model: enthalpy in eV"):
        predict(FAKE, sdf, output=tmp_path / "b.csv", unit="a0^3")
    assert not (tmp_path / "b.csv").exists()


def test_hdf5_describes_itself_and_is_read_again(sdf, tmp_path):
    output = tmp_path / "a.h5"
    column = replace(Target.of("log/P", "1"), description="octanol and water")
    predict(Fake((H, column)), sdf, output=output, command="molgiae predict")
    with h5py.File(output) as file:
        endings = "", "_std", "_95"
        assert set(file["predictions"]) == {f"{name}{end}" for name in ("H", "log%2FP") for end in endings}
        assert_allclose(file["predictions/H"][:], expected(sdf), rtol=1e-12)
        assert_allclose(file["predictions/H_std"][:], 0.25)
        assert file["predictions/H"].attrs["unit"] == file["predictions/H_std"].attrs["unit"] == "eV"
        assert file["predictions/H"].attrs["description"] == "enthalpy at 298.15 K, predicted"
        assert "68 %" in file["predictions/H_std"].attrs["description"]
        assert "95 %" in file["predictions/H_95"].attrs["description"]
        assert file["predictions/log%2FP"].attrs["unit"] == "1"
        assert file["in_domain"].dtype == np.uint8 and len(file["in_domain"]) == 20
        assert file.attrs["model"] == "fake" and file.attrs["command"] == "molgiae predict"
        assert file["properties/k"].asstr()[:].tolist() == [str(k) for k in range(20)]
    with EmbeddingFile(output) as file:
        assert_allclose(file.column("predictions/H", 3, 7), expected(sdf)[3:7])
        assert "predictions/H_std" in file.summary()["columns"]
    again = tmp_path / "again.h5"
    predict(FAKE, output, output=again)
    with h5py.File(output) as first, h5py.File(again) as second:
        assert_allclose(second["predictions/H"][:], first["predictions/H"][:])


def test_sdf_is_kept_to_the_letter_and_measured_values_stay_beside_predicted_ones(tmp_path):
    path, output = tmp_path / "a.sdf", tmp_path / "b.sdf"
    records = [
        sdf_record(molecule(0), "labelled", data=[("H", "-41.5"), ("note", "two\nlines")], block=["M  CHG  1   1   1"]),
        sdf_record(molecule(1), "bare"),
        v3000_record(molecule(2), "new", data=[("empty", "")]),
    ]  # fmt: skip
    path.write_text("".join(records))
    predict(FAKE, path, output=output)
    written = output.read_text().split("$$$$\n")[:-1]
    for record, text in zip(records, written, strict=True):
        assert text.startswith(record.removesuffix("$$$$\n").rstrip())
    found = list(read_conformers(output))
    assert [c.title for c in found] == ["labelled", "bare", "new"] and [c.charge for c in found] == [1, 0, 0]
    assert found[0].properties["H"] == "-41.5" and found[0].properties["note"] == "two\nlines"
    assert found[2].properties["empty"] == ""
    for c, value in zip(found, expected(path), strict=True):
        assert float(c.properties["molgiae_H"]) == pytest.approx(value, abs=1e-6)
        assert c.properties["molgiae_H_std"] == "0.25" and c.properties["molgiae_H_unit"] == "eV"
        assert c.properties["molgiae_in_domain"] in ("0", "1")


def test_predicting_twice_replaces_the_first_prediction(tmp_path):
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(molecule(0), "a"))
    predict(FAKE, path, output=tmp_path / "b.sdf")
    predict(replace(FAKE, std=0.5), tmp_path / "b.sdf", output=tmp_path / "c.sdf")
    text = (tmp_path / "c.sdf").read_text()
    assert text.count("<molgiae_H_std>") == 1 and "\n0.5\n" in text


def test_rdkit_reads_the_sdf(sdf, tmp_path):
    predict(FAKE, sdf, output=tmp_path / "b.sdf")
    read = list(Chem.SDMolSupplier(str(tmp_path / "b.sdf"), sanitize=False, removeHs=False))
    assert_allclose([float(mol.GetProp("molgiae_H")) for mol in read], expected(sdf), atol=1e-6)
    assert [mol.GetProp("k") for mol in read] == [str(k) for k in range(20)]


def test_xyz_gets_pairs(xyz, tmp_path):
    predict(FAKE, xyz, output=tmp_path / "b.xyz")
    found = list(read_conformers(tmp_path / "b.xyz"))
    assert [c.title for c in found] == [f"m{k}" for k in range(20)]
    assert_allclose([float(c.properties["molgiae_H"]) for c in found], expected(xyz), atol=1e-6)


def test_every_record_is_written_or_listed(tmp_path):
    path, output = tmp_path / "a.sdf", tmp_path / "b.csv"
    silane = sdf_record([("Si", 0, 0, 0), ("H", 0, 0, 1.5)], "silane")
    broken = sdf_record(molecule(9), "broken").replace("C  ", "Xx ", 1)
    path.write_text("".join([sdf_record(molecule(0), "a"), silane, broken, sdf_record(molecule(1), "b")]))
    summary = predict(FAKE, path, output=output)
    assert (summary.read, summary.written, summary.rejected) == (4, 2, 2)
    assert [row["record"] for row in table(output)] == ["1", "4"]
    assert summary.rejected_in == f"{output}.rejected.csv"
    assert {row["record"]: row["title"] for row in table(Path(summary.rejected_in))} == {
        "2": "silane", "3": "broken",
    }  # fmt: skip
    with pytest.raises(ConformerError):
        predict(FAKE, path, output=tmp_path / "c.csv", on_error="stop")
    assert not (tmp_path / "c.csv").exists()


# Averages


def test_boltzmann_weights_by_hand():
    rng = np.random.default_rng(0)
    molecule_, energy = np.array([1, 0, 1, 1, 0]), rng.normal(-4e4, 0.03, 5)
    value, std = rng.normal(size=(5, 2)), rng.uniform(0.1, 1, (5, 2))
    found = average_over(molecule_, value, std, energy, 310.0)
    for k in range(2):
        mine = molecule_ == k
        boltzmann = np.exp(-(energy[mine] - energy[mine].mean()) / (BOLTZMANN * 310.0))
        p = boltzmann / boltzmann.sum()
        assert_allclose(found.value[k], p @ value[mine], rtol=1e-7)
        assert_allclose(found.std[k], p @ std[mine], rtol=1e-7)
        assert_allclose(found.spread[k], np.sqrt(p @ (value[mine] - p @ value[mine]) ** 2), rtol=1e-6)
        assert found.largest_weight[k] == pytest.approx(p.max(), rel=1e-7)
        assert found.conformers[k] == mine.sum()


def test_boltzmann_averages_lie_between_the_coldest_and_the_hottest():
    value, energy = np.array([[1.0], [5.0], [9.0]]), np.array([0.0, 0.1, 0.2])
    zeros, one = np.zeros((3, 1)), np.zeros(3, np.int64)
    cold = average_over(one, value, zeros, energy, 1e-3).value[0, 0]
    hot = average_over(one, value, zeros, energy, 1e9).value[0, 0]
    assert cold == 1.0 and hot == pytest.approx(5.0, abs=1e-4)
    assert average_over(one, value, zeros, None, 1.0).value[0, 0] == pytest.approx(5.0)


def test_a_model_of_boltzmann_weights_knows_the_energies_that_it_was_trained_with(ensemble, tmp_path):
    weighed = Checkpoint(provenance={"weighed_by": {"energy": "E", "energy_unit": "kJ/mol"}})
    model = Fake(checkpoint=weighed, pooling="boltzmann")
    predict(model, ensemble, output=tmp_path / "known.csv")
    predict(
        FAKE, ensemble, output=tmp_path / "told.csv", average="boltzmann", energy="E", energy_unit="kJ/mol"
    )
    predict(model, ensemble, output=tmp_path / "other.csv", energy="E", energy_unit="kcal/mol")
    known, told, other = (table(tmp_path / f"{name}.csv") for name in ("known", "told", "other"))
    assert known == told != other


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".h5"])
def test_molecules_are_averaged_by_title(suffix, ensemble, tmp_path):
    output = tmp_path / f"out{suffix}"
    summary = predict(FAKE, ensemble, output=output, average="boltzmann", energy="E")
    values = expected(ensemble)
    p = np.exp(-np.array([0.0, 0.5, 1.3]) / (BOLTZMANN * 298.15 * KCAL_PER_EV))
    a = p @ np.array(values)[[0, 2, 4]] / p.sum()
    if suffix == ".h5":
        with h5py.File(output) as file:
            assert file["H"].attrs["unit"] == "eV" and file.attrs["temperature"] == "298.15 K"
            assert file["title"].asstr()[:].tolist() == ["a", "b"]
            assert file["H"][0] == pytest.approx(a, abs=1e-9)
            assert set(file) >= {"H_std", "H_spread", "conformers", "largest_weight", "in_domain"}
    else:
        rows = (
            json.loads(output.read_text())["rows"]
            if suffix == ".json"
            else table(output, "\t" if suffix == ".tsv" else ",")
        )
        assert [(row["title"], int(row["conformers"])) for row in rows] == [("a", 3), ("b", 2)]
        assert float(rows[0]["H [eV]"]) == pytest.approx(a, abs=1e-6)
        assert float(rows[0]["largest_weight"]) == pytest.approx(1 / p.sum(), abs=1e-6)
        assert float(rows[0]["H_std [eV]"]) == pytest.approx(0.25) and float(rows[0]["H_spread [eV]"]) > 0
    assert summary.notes == [
        "averaged over the conformers of 2 molecules, Boltzmann weights at 298.15 K by E in kcal/mol"
    ]
    assert (summary.read, summary.written) == (5, 5)


@pytest.mark.parametrize(
    ("comment", "unit", "taken"),
    [
        ("        {:.8f}", None, "Ha"),  # CREST
        ("{:.10f} converged=true", None, "Ha"),  # GOAT
        ("{:.10f} converged=true", "eV", "eV"),
        (" energy: {:.12f} gnorm: 0.000412 xtb: 6.6.1", None, "Ha"),
        ("Coordinates from ORCA-job propanol E {:.12f}", None, "Ha"),
        ("energy={:.12f} charge=0", "Ha", "Ha"),
        ("energy={:.12f} charge=0", None, "kcal/mol"),
        ('title=propanol Properties=species:S:1:pos:R:3 energy="{:.12f} eV"', None, "eV"),
    ],
)
def test_comment_lines_of_programs_weigh(comment, unit, taken, tmp_path):
    """One file for one molecule: where the comment line is but an energy the file names it."""
    energies = np.array([-268.90012, -268.90123, -268.8990])
    frames = [xyz_frame(stretched(k), comment.format(e)) for k, e in enumerate(energies)]
    path = tmp_path / "propanol.xyz"
    path.write_text("".join(frames))
    summary = predict(
        FAKE, path, output=tmp_path / "a.csv", average="boltzmann", energy="energy", energy_unit=unit
    )
    assert summary.rejected == 0
    assert summary.notes[0].endswith(f"of 1 molecules, Boltzmann weights at 298.15 K by energy in {taken}")
    ev = (energies - energies.min()) * {"Ha": HARTREE, "eV": 1, "kcal/mol": 1 / KCAL_PER_EV}[taken]
    p = np.exp(-ev / (BOLTZMANN * 298.15))
    (row,) = table(tmp_path / "a.csv")
    assert row["title"] == "propanol" and float(row["largest_weight"]) == pytest.approx(
        (p / p.sum()).max(), abs=1e-6
    )


def test_energies_that_are_not_there_or_of_another_unit_are_listed(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("".join(xyz_frame(stretched(k), "-26.5 converged=true") for k in range(2)))
    for options, reason in (
        ({"energy": "free"}, "has a property 'free' for --energy; properties found: comment line, converged"),
        ({"energy": "comment line", "energy_unit": "D"}, "units disagree"),
    ):
        try:
            summary = predict(
                FAKE, path, output=tmp_path / "a.csv", overwrite=True, average="boltzmann", **options
            )
        except ConfigError as error:
            assert reason in str(error)
        else:
            assert summary.rejected == 2 and list(summary.reasons) == [reason]
    path.write_text(xyz_frame(molecule(0), " energy: -1.0 gnorm: 0.1 xtb: 6.6"))
    summary = predict(
        FAKE,
        path,
        output=tmp_path / "a.csv",
        overwrite=True,
        average="boltzmann",
        energy="energy",
        energy_unit="eV",
    )
    assert list(summary.reasons) == ["units disagree: its energy is in Ha, not in eV"]


def test_plain_means(ensemble, tmp_path):
    predict(FAKE, ensemble, output=tmp_path / "a.csv", average="mean")
    values = np.array(expected(ensemble))
    found = [float(row["H [eV]"]) for row in table(tmp_path / "a.csv")]
    assert_allclose(found, [values[[0, 2, 4]].mean(), values[[1, 3]].mean()], atol=1e-6)
    assert "largest_weight" not in table(tmp_path / "a.csv")[0]


def test_a_model_of_energies_weighs_by_its_own_and_says_when_it_cannot(ensemble, tmp_path):
    sure, unsure = replace(FAKE, std=0.001), FAKE
    calm = predict(sure, ensemble, output=tmp_path / "a.csv", average="boltzmann", unit="meV")
    assert calm.notes == ["averaged over the conformers of 2 molecules, Boltzmann weights at 298.15 K by H"]
    values = np.array(expected(ensemble))[[0, 2, 4]]
    p = np.exp(-(values - values.min()) / (BOLTZMANN * 298.15))
    assert float(table(tmp_path / "a.csv")[0]["H [meV]"]) == pytest.approx(1e3 * p @ values / p.sum())
    warned = predict(unsure, ensemble, output=tmp_path / "b.csv", average="boltzmann", unit="meV")
    assert "uncertainty of H, 0.250 eV at the median, exceeds k T, 0.026 eV" in warned.notes[1]


def test_which_energies_weigh():
    own = Target.of("binding", "kJ/mol", extensive=True)
    assert Energies.choose([find("U0"), find("G"), find("H")], None, None).name == "G"
    assert Energies.choose([find("gap"), own], None, None).target == 1
    assert Energies.choose([H], "E", None).unit == ""
    assert Energies.choose([H], "E [Ha]", None).unit == "Ha"
    assert Energies.choose([H], "energy_kj_per_mol", None).unit == "kJ/mol"
    assert Energies.choose([H], "energy_kj_per_mol", "eV").unit == "eV"
    with pytest.raises(ConfigError, match="the model predicts gap, dipole only; name the property"):
        Energies.choose([KNOWN["gap"], MU], None, None)
    with pytest.raises(ConfigError, match="units disagree"):
        Energies.choose([H], "E", "D")


def test_conformers_that_cannot_be_averaged_are_listed(tmp_path):
    path, output = tmp_path / "a.sdf", tmp_path / "a.csv"
    path.write_text(
        "".join(
            [
                sdf_record(molecule(0), "a", data=[("E", "1.0")]),
                sdf_record(stretched(1), "", data=[("E", "1.0")]),
                sdf_record(molecule(1), "a", data=[("E", "1.0")]),
                sdf_record(stretched(2), "a"),
                sdf_record(stretched(3), "a", data=[("E", "low")]),
                sdf_record(stretched(4), "a", data=[("E", "nan")]),
            ]
        )
    )
    summary = predict(FAKE, path, output=output, average="boltzmann", energy="E")
    assert (summary.read, summary.written, summary.rejected) == (6, 1, 5)
    reasons = {row["record"]: row["reason"] for row in table(Path(f"{output}.rejected.csv"))}
    assert reasons["2"] == "no title by which it could be averaged with others of its molecule"
    assert reasons["3"] == "its formula is not that of the first conformer titled 'a'"
    assert reasons["4"] == "has no property 'E' for the energy"
    assert reasons["5"] == "property 'E' is 'low', expected an energy"
    assert reasons["6"] == "property 'E' is 'nan', expected an energy"
    (row,) = table(output)
    assert row["conformers"] == "1" and float(row["H_spread [eV]"]) == 0


def test_a_molecule_is_in_domain_if_all_of_its_conformers_are(tmp_path):
    class Far(Fake):
        def predict(self, conformers):
            found = super().predict(conformers)
            reasons = ["" if p["far"] == "0" else f"radius: {p['far']}" for p in found.block.properties]
            return replace(found, domain_reason=np.array(reasons, object))

    path = tmp_path / "a.sdf"
    flags = [("a", "0"), ("a", "1"), ("b", "0"), ("b", "0")]
    path.write_text("".join(sdf_record(stretched(k), t, data=[("far", f)]) for k, (t, f) in enumerate(flags)))
    summary = predict(Far(), path, output=tmp_path / "a.csv", average="mean")
    rows = [(row["in_domain"], row["domain_reason"]) for row in table(tmp_path / "a.csv")]
    assert rows == [("0", "radius: 1"), ("1", "")]
    assert (summary.out_of_domain, summary.domain_reasons) == (1, {"radius: 1": 1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"average": "median"}, "average 'median' is unknown"),
        ({"energy": "E"}, "it needs --average boltzmann"),
        ({"average": "boltzmann", "energy_unit": "eV"}, "name it with --energy"),
        ({"average": "boltzmann", "temperature": 0.0}, "must be above 0"),
        ({"output": "a.npz"}, r"\.h5 or \.csv or \.tsv or \.sdf or \.xyz"),
        ({"output": "a.sdf", "average": "mean"}, "end the name of the output in"),
        ({"output": "a.json"}, "end the name of the output in"),
        ({"output": "a.csv.gz", "average": "mean"}, "end the name of the table in"),
    ],
)
def test_options_that_cannot_be(changes, message, ensemble, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        predict(FAKE, ensemble, **changes)
    assert list(tmp_path.iterdir()) == [ensemble]


def test_nothing_is_replaced_unasked(ensemble, tmp_path):
    for average in ("none", "mean"):
        (tmp_path / "a.csv").write_text("mine")
        with pytest.raises(MolgiaeError, match="exists already"):
            predict(FAKE, ensemble, output=tmp_path / "a.csv", average=average)
        assert (tmp_path / "a.csv").read_text() == "mine"
        predict(FAKE, ensemble, output=tmp_path / "a.csv", average=average, overwrite=True)
        assert len(table(tmp_path / "a.csv")) > 1


# The command


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("molgiae.commands.predict._opened", lambda model, options: (FAKE, 1))

    def invoke(*words: object):
        return CliRunner().invoke(app, ["predict", "fake", *map(str, words)])

    return invoke


def test_the_command_reports_and_tells_the_truth_by_its_status(command, ensemble, tmp_path):
    done = command(ensemble)
    assert done.exit_code == 0 and done.stdout == ""
    assert "predicted 5 of 5 conformers" in done.stderr and "-> ensemble_predicted.csv" in done.stderr
    assert len(table(tmp_path / "ensemble_predicted.csv")) == 5
    silane = tmp_path / "silane.sdf"
    silane.write_text(sdf_record([("Si", 0, 0, 0), ("H", 0, 0, 1.5)], "silane"))
    done = command(ensemble, silane, "-o", "b.sdf", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["reasons"] == {"silicon is unknown": 1}
    done = command(ensemble, "-o", "c.csv", "--average", "boltzmann", "--energy", "E", "--temperature", "400")
    assert done.exit_code == 0 and "2 molecules, Boltzmann weights at 400 K by E" in done.stderr
    done = command(ensemble, "-o", "d.csv", "--unit", "D")
    assert done.exit_code == 1 and done.stderr.startswith("molgiae: error: unit 'D' fits no property")


def test_a_model_that_is_none_is_one_line(model_path, ensemble):
    for model, message in [("nowhere", "nowhere"), (model_path, "finetune")]:
        done = CliRunner().invoke(
            app, ["predict", model, str(ensemble), "-o", str(ensemble.with_suffix(".csv"))]
        )
        assert done.exit_code == 1, done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith("molgiae: error: ") and message in line


def test_models_trained_on_molecules_predict_molecules(ensemble, tmp_path):
    predict(Fake(pooling="mean"), ensemble, output=tmp_path / "mean.csv")
    predict(FAKE, ensemble, output=tmp_path / "asked.csv", average="mean")
    assert (tmp_path / "mean.csv").read_text() == (tmp_path / "asked.csv").read_text()
    summary = predict(Fake(pooling="mean"), ensemble, output=tmp_path / "each.csv", average="none")
    assert summary.written == len(table(tmp_path / "each.csv")) == 5


def test_learned_weights_are_a_softmax_of_scores(ensemble, tmp_path):
    """Scores of the fake are 0, 1, 2 ... in the order of the file: a, b, a, b, a."""
    predict(Fake(pooling="attention"), ensemble, output=tmp_path / "a.csv")
    values = expected(ensemble)
    for row, of in zip(table(tmp_path / "a.csv"), ([0, 2, 4], [1, 3]), strict=True):
        weight = np.exp(np.array(of, float))
        weight /= weight.sum()
        assert float(row["H [eV]"]) == pytest.approx(float(weight @ [values[k] for k in of]), abs=1e-6)
        assert float(row["largest_weight"]) == pytest.approx(weight.max(), abs=1e-6)
    with pytest.raises(ConfigError, match="has not learned to weigh conformers"):
        predict(FAKE, ensemble, output=tmp_path / "b.csv", average="attention")
