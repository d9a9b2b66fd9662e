"""Values are found wherever files hold them, and never made up."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.errors import ConfigError
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.splitting import molecule_numbers
from molgiae.properties.units import HARTREE
from tests.data.molfiles import molecule, sdf_record
from tests.properties.labelled import energy, write_sdf, write_xyz

N = 6
ENERGIES = [energy(k) for k in range(N)]
EXPECTED = pytest.approx(np.array(ENERGIES) * HARTREE, abs=1e-5)


def sdf_with(tmp_path: Path, name: str = "H", values: list[str] | None = None) -> Path:
    words = values or [f"{e:.8f}" for e in ENERGIES]
    return write_sdf(tmp_path / "a.sdf", [[(name, word)] for word in words])


@pytest.mark.parametrize("heading", ["H", "enthalpy", "H298", "h", "H [Ha]", "enthalpy (hartree)"])
def test_sd_data_in_any_heading(tmp_path, heading):
    found = read_labelled(sdf_with(tmp_path, heading), ["enthalpy"])
    assert found.values[:, 0] == EXPECTED
    assert found.targets[0].unit == "eV"
    assert found.block.title == [f"m{k}" for k in range(N)]
    assert not found.missing and not found.gaps and found.split is None


@pytest.mark.parametrize(
    "comment",
    [
        "H={:.8f}",
        "m1; H = {:.8f}",
        " H: {:.8f} gnorm: 0.1",
        "Properties=species:S:1:pos:R:3 H={:.8f}",
        "{:.8f}",
        "  {:.8f} converged=true",
        "{:.8f}   !t1",
    ],
)
def test_comment_lines_of_xyz(tmp_path, comment):
    path = write_xyz(tmp_path / "a.xyz", [comment.format(e) for e in ENERGIES])
    assert read_labelled(path, ["H"]).values[:, 0] == EXPECTED


@pytest.mark.parametrize(
    "comment", [" energy: {:.8f} gnorm: 0.1 xtb: 6.6.1", "Coordinates from ORCA-job m E {:.8f}"]
)
def test_comment_lines_of_programs_have_a_unit(tmp_path, comment):
    path = write_xyz(tmp_path / "a.xyz", [comment.format(e) for e in ENERGIES])
    found = read_labelled(path, target_columns=["energy"])
    assert found.targets[0].unit == "Ha" and found.values[:, 0] == pytest.approx(ENERGIES)
    with pytest.raises(ConfigError, match="units disagree: Ha, eV"):
        read_labelled(path, target_columns=["energy"], unit="eV")


def test_comment_lines_of_qm9_itself(tmp_path):
    others = "157.7\t157.7\t157.7\t0.\t13.21\t-0.3877\t0.1171\t0.5048\t35.3641\t0.044749"
    lines = [f"gdb {k}\t{others}\t{e}\t{e}\t{e}\t{e}\t6.469" for k, e in enumerate(ENERGIES)]
    lines[0] = lines[0].replace("0.5048", "0.6")
    found = read_labelled(write_xyz(tmp_path / "a.xyz", lines), ["H", "gap"], result_unit="Ha")
    assert found.values[:, 0] == pytest.approx(ENERGIES)
    assert found.values[:2, 1] == pytest.approx([0.6, 0.5048])


def test_whole_numbers_in_comments_are_no_values(tmp_path):
    path = write_xyz(tmp_path / "a.xyz", [str(k) for k in range(N)])
    with pytest.raises(ConfigError, match=r"no column H \(enthalpy\): the records have no properties"):
        read_labelled(path, ["H"])


def test_numeric_titles_of_sdf_are_no_values(tmp_path):
    path = write_sdf(tmp_path / "a.sdf", [[("x", "1")]] * N, [f"{k}.5" for k in range(N)])
    with pytest.raises(
        ConfigError, match=r"no column H \(enthalpy\); there are x; name one with --target-column H=COLUMN"
    ):
        read_labelled(path, ["H"])


def test_hdf5_keeps_properties(tmp_path):
    path = tmp_path / "a.h5"
    with Hdf5Writer(path, columns=()) as writer:
        for block in read_inputs(sdf_with(tmp_path)):
            writer.append(block)
    assert read_labelled(path, ["H"]).values[:, 0] == EXPECTED


def qm9_like(path: Path, **arrays: np.ndarray) -> Path:
    atoms = [molecule(k) for k in range(N)]
    number = {"C": 6, "O": 8, "N": 7, "Cl": 17, "H": 1}
    np.savez(
        path,
        n_atoms=np.array([len(a) for a in atoms]),
        atomic_number=np.array([number[word] for a in atoms for word, *_ in a], np.uint8),
        position=np.array([xyz for a in atoms for _, *xyz in a]),
        **arrays,
    )
    return path


def test_npz_brings_its_split(tmp_path):
    h = np.array(ENERGIES)
    h[2] = np.nan
    path = qm9_like(
        tmp_path / "a.npz", H=h, split=np.array([0, 0, 0, 1, 2, 2]), name=np.array(list("abcdef"))
    )
    found = read_labelled(path, ["H"], result_unit="kcal/mol")
    assert found.split.tolist() == [0, 0, 1, 2, 2]
    assert found.values[:, 0] == pytest.approx(h[[0, 1, 3, 4, 5]] * 627.5094740631)
    assert [(bad.record, bad.reason) for bad in found.missing] == [(3, "has no H")]
    with pytest.raises(ConfigError, match=r"no column name; there are n_atoms, H, split"):
        read_labelled(path, target_columns=["name"])
    with pytest.raises(ConfigError, match="a run of its own"):
        read_labelled([path, path], ["H"])


TABLE = "name,H,logP,set\n" + "".join(
    f"m{k},{e:.8f},{k}.5,{'train' if k < 4 else 'TEST'}\n" for k, e in enumerate(ENERGIES)
)


@pytest.mark.parametrize("text", [TABLE, TABLE.replace(",", "\t"), TABLE.replace(",", ";"), "\ufeff" + TABLE])
def test_table_keyed_by_title(tmp_path, text):
    table = tmp_path / "t.csv"
    table.write_text(
        "".join([text.splitlines(True)[0], *reversed(text.splitlines(True)[1:])]), encoding="utf-8"
    )
    found = read_labelled(
        sdf_with(tmp_path), ["H"], table=table, target_columns=["logP", "lipo=logP"], split_column="set"
    )
    assert found.values[:, 0] == EXPECTED
    assert found.values[:, 1].tolist() == [k + 0.5 for k in range(N)]
    assert [target.heading for target in found.targets] == ["H [eV]", "logP", "lipo"]
    assert found.split.tolist() == [0, 0, 0, 0, 2, 2]


def test_table_without_names_goes_by_numbers(tmp_path):
    table = tmp_path / "t.csv.gz"
    table.write_bytes(
        gzip.compress("".join(f"m{k}, {k}.5, {e:.8f}\n" for k, e in enumerate(ENERGIES)).encode())
    )
    sdf = sdf_with(tmp_path)
    assert read_labelled(sdf, table=table, target_columns=["H=3"]).values[:, 0] == EXPECTED
    with pytest.raises(
        ConfigError, match=r"no column H \(enthalpy\); there are 1, 2, 3; .*columns go by number"
    ):
        read_labelled(sdf, ["H"], table=table)


def test_table_that_does_not_match(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(TABLE.replace("m", "n"))
    with pytest.raises(
        ConfigError, match=r"none of the titles.*it starts with 'n0', 'n1', these with 'm0', 'm1'"
    ):
        read_labelled(sdf_with(tmp_path), ["H"], table=table)
    table.write_text(TABLE.replace("m3", "n3"))
    found = read_labelled(sdf_with(tmp_path), ["H"], table=table)
    assert [(bad.title, bad.reason) for bad in found.missing] == [("m3", "its title is not in t.csv")]
    assert found.notes == (f"1 titles of {table} are not among the structures",)


def test_duplicated_titles(tmp_path):
    table, sdf = tmp_path / "t.csv", sdf_with(tmp_path)
    table.write_text(TABLE + f"m0,{ENERGIES[0]:.8f},7,train\n")
    assert len(read_labelled(sdf, ["H"], table=table)) == N
    with pytest.raises(ConfigError, match=r"lines 2 and 8: title 'm0' stands twice .* logP, '0.5' and '7'"):
        read_labelled(sdf, table=table, target_columns=["logP"])
    shared = write_sdf(tmp_path / "b.sdf", [[]] * 3, ["m0", "m0", "m1"])
    assert len(read_labelled(shared, ["H"], table=table)) == 3


def test_tables_that_cannot_be_read(tmp_path):
    sdf, table = sdf_with(tmp_path), tmp_path / "t.csv"
    with pytest.raises(ConfigError, match="No such file"):
        read_labelled(sdf, ["H"], table=table)
    table.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_labelled(sdf, ["H"], table=table)
    table.write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_labelled(sdf, ["H"], table=table)
    table.write_text(TABLE)
    with pytest.raises(ConfigError, match="no column key; there are name, H"):
        read_labelled(sdf, ["H"], table=table, title_column="key")
    with pytest.raises(ConfigError, match=r"column logP says '0.5', expected train, validation or test"):
        read_labelled(sdf, ["H"], table=table, split_column="logP")


def test_missing_and_non_numeric_values_are_listed(tmp_path):
    words = [f"{e:.8f}" for e in ENERGIES]
    words[1:5] = ["n/a", "NaN", "", "1e999"]
    found = read_labelled(sdf_with(tmp_path, values=words), ["H"])
    assert found.values.shape == (2, 1) and np.isfinite(found.values).all()
    assert {bad.record: bad.reason for bad in found.missing} == {
        2: "its value 'n/a' is not a finite number",
        3: "its value 'NaN' is not a finite number",
        4: "its value is empty",
        5: "its value '1e999' is not a finite number",
    }


def test_records_without_one_of_several_targets_stay(tmp_path):
    data = [[("H", f"{e:.8f}"), ("gap", "0.3" if k % 2 else "0.2")] for k, e in enumerate(ENERGIES)]
    data[1] = data[1][:1]
    data[2] = data[2][1:]
    data[3] = []
    found = read_labelled(write_sdf(tmp_path / "a.sdf", data), ["H", "gap"])
    assert len(found) == N - 1
    assert np.argwhere(np.isnan(found.values)).tolist() == [[1, 1], [2, 0]]
    assert [bad.reason for bad in found.gaps] == ["gap: has no property gap", "enthalpy: has no property H"]
    assert [bad.reason for bad in found.missing] == ["enthalpy: has no property H; gap: has no property gap"]


def test_nothing_to_learn(tmp_path):
    with pytest.raises(ConfigError, match="name a target to learn"):
        read_labelled(sdf_with(tmp_path))
    with pytest.raises(
        ConfigError, match=r"none of 6 records has a value of enthalpy; the first: its value 'x'"
    ):
        read_labelled(sdf_with(tmp_path, values=["x"] * N), ["H"])
    with pytest.raises(ConfigError, match="one of 6 records has a value of enthalpy"):
        read_labelled(sdf_with(tmp_path, values=["-1.0", *["x"] * (N - 1)]), ["H"])
    with pytest.raises(ConfigError, match="all 6 values of y are 1; there is nothing to learn"):
        read_labelled(sdf_with(tmp_path, "y", ["1.0"] * N), target_columns=["y"], unit="eV")
    with pytest.raises(ConfigError, match=r"no column gap \(gap\); there are H; name one with .* gap=COLUMN"):
        read_labelled(sdf_with(tmp_path), ["gap"])


def test_units_are_heeded(tmp_path):
    in_kcal = [f"{e * 627.5094740631:.8f}" for e in ENERGIES]
    sdf = sdf_with(tmp_path, values=in_kcal)
    found = read_labelled(sdf, ["H"], unit="kcal/mol")
    assert found.targets[0].unit == "kcal/mol" and found.targets[0].references is not None
    assert found.values[:, 0] == pytest.approx(np.array(ENERGIES) * 627.5094740631)
    found = read_labelled(sdf, ["H"], unit="H=kcal/mol", result_unit="eV")
    assert found.values[:, 0] == EXPECTED
    found = read_labelled(sdf_with(tmp_path, values=[f"{word} kcal/mol" for word in in_kcal]), ["H"])
    assert found.values[:, 0] == EXPECTED
    found = read_labelled(sdf_with(tmp_path, "y_kcal_per_mol"), target_columns=["y"])
    assert found.targets[0].heading == "y [kcal/mol]"


def test_units_that_disagree(tmp_path):
    with pytest.raises(ConfigError, match="units disagree: Ha, eV"):
        read_labelled(sdf_with(tmp_path, "H [Ha]"), ["H"], unit="eV")
    words = [f"{e:.8f} Ha" for e in ENERGIES[:3]] + [f"{e * HARTREE:.8f} eV" for e in ENERGIES[3:]]
    with pytest.raises(ConfigError, match="units disagree: Ha, eV"):
        read_labelled(sdf_with(tmp_path, values=words), ["H"])
    with pytest.raises(ConfigError, match="units disagree: Ha, none"):
        read_labelled(sdf_with(tmp_path, values=[*words[:3], "-1", "-2", "-3"]), ["H"])
    with pytest.raises(
        ConfigError, match="enthalpy: units disagree: Ha is a unit of energy, D of dipole moment"
    ):
        read_labelled(sdf_with(tmp_path), ["H"], unit="D")
    with pytest.raises(ConfigError, match="unit 'parsec' is not known"):
        read_labelled(sdf_with(tmp_path), ["H"], unit="parsec")
    with pytest.raises(ConfigError, match=r"unit gap=eV: gap is not among the targets, enthalpy"):
        read_labelled(sdf_with(tmp_path), ["H"], unit="gap=eV")


@pytest.mark.parametrize(
    ("unit", "factor"), [("eV", HARTREE), ("kcal/mol", 627.5094740631), ("kJ/mol", 2625.4996394799)]
)
def test_size_of_total_energies_betrays_a_wrong_unit(tmp_path, unit, factor):
    sdf = sdf_with(tmp_path, values=[f"{e * factor:.8f}" for e in ENERGIES])
    with pytest.raises(ConfigError, match=f"read as Ha, .* total energies in {unit}; say --unit {unit}"):
        read_labelled(sdf, ["H"])
    with pytest.raises(ConfigError, match=f"read as meV, .* total energies in {unit}; say --unit {unit}"):
        read_labelled(sdf, ["H"], unit="meV")
    assert read_labelled(sdf, target_columns=["mine=H"], unit="meV").targets[0].references is None


def test_energies_from_another_zero_go_without_free_atoms(tmp_path):
    sdf = sdf_with(tmp_path, values=[f"{-0.4 - 0.01 * k}" for k in range(N)])
    found = read_labelled(sdf, ["H"])
    assert found.targets[0].references is None
    assert "no total energy" in found.notes[0]


def test_columns_that_could_be_meant_alike(tmp_path):
    sdf = write_sdf(tmp_path / "a.sdf", [[("H [Ha]", str(e)), ("H [eV]", str(e))] for e in ENERGIES])
    with pytest.raises(ConfigError, match=r"columns H \[Ha\], H \[eV\] could all be enthalpy"):
        read_labelled(sdf, ["H"])
    assert read_labelled(sdf, target_columns=["H=H [Ha]"]).values[:, 0] == EXPECTED


def test_unreadable_records_are_told_from_unlabelled_ones(tmp_path):
    sdf = sdf_with(tmp_path)
    text = sdf.read_text() + sdf_record([("Xy", 0.0, 0.0, 0.0)], "bad", data=[("H", "-1")])
    sdf.write_text(text)
    found = read_labelled(sdf, ["H"])
    assert len(found) == N and not found.missing
    assert [bad.title for bad in found.block.rejected] == ["bad"]


def test_examples_of_the_repository():
    examples = Path(__file__).parents[2] / "examples"
    found = read_labelled(examples / "trajectory.xyz", target_columns=["energy"], unit="kcal/mol")
    assert len(found) > 10 and found.targets[0].heading == "energy [kcal/mol]"
    assert len(set(molecule_numbers(found.block).tolist())) == 1
    found = read_labelled(examples / "conformers.sdf", target_columns=["energy_kcal_per_mol"])
    assert found.targets[0].heading == "energy [kcal/mol]"
    assert 3 < len(set(molecule_numbers(found.block).tolist())) < len(found)


def classes(tmp_path: Path, values: list[str], **kind: Any) -> Labelled:
    path = write_sdf(tmp_path / "classes.sdf", [[("toxic", value)] for value in values])
    return read_labelled(path, target_columns=["toxic"], **kind)


def test_values_that_are_all_0_or_1_are_classes_unless_it_is_said_otherwise(tmp_path):
    found = classes(tmp_path, ["0", "1", "1"])
    assert found.targets[0].binary and "its probability is learned" in found.notes[0]
    assert not classes(tmp_path, ["0", "1", "1"], classify=False).targets[0].binary
    asked = classes(tmp_path, ["0", "1", "1"], classify=True)
    assert asked.targets[0].binary and not asked.notes
    assert not classes(tmp_path, ["0", "1", "2"]).targets[0].binary
    for kind in ({"extensive": True}, {"odd": True}):  # which classes are not
        number = classes(tmp_path, ["0", "1", "1"], **kind)
        assert not number.targets[0].binary and not number.notes
        with pytest.raises(ConfigError, match="neither adds up nor changes its sign"):
            classes(tmp_path, ["0", "1", "1"], classify=True, **kind)
    with pytest.raises(ConfigError, match="classes of toxic are 0 and 1, and it has 2"):
        classes(tmp_path, ["0", "1", "2"], classify=True)
