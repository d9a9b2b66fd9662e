"""`molgiae label`: every record gets its numbers, in formats that others read, whatever the cores and interruptions."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_type_hints

import ase.io
import numpy as np
import pytest
from ase.units import Debye
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import Crippen

from molgiae.cli.label import label as command
from molgiae.commands.label import label
from molgiae.commands.outcomes import Summary
from molgiae.commands.resume import Unfinished
from molgiae.data import cheap_values
from molgiae.data.atom_chemistry import WIDTH
from molgiae.data.cheap_methods import METHODS, Computed
from molgiae.data.conformer import Conformer
from molgiae.data.readers import read_conformers
from molgiae.errors import ConfigError
from molgiae.nn.labels import CHEMISTRY
from molgiae.properties.units import split_heading
from molgiae.training.labels import read_labels
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import N_MOLECULES
from tests.data.molfiles import molecule, sdf_record, xyz_frame
from tests.data.test_cheap_methods import SMILES
from tests.data.test_cheap_methods import molecule as realistic

pytest.importorskip("tblite", reason="needs the extra labels")

URANIUM = [("U", 0.0, 0.0, 0.0), ("F", 0.0, 0.0, 2.0)]
BAD = 2
FORMATS = ("out.sdf", "out.xyz", "out.csv", "out.npz")


@pytest.fixture(autouse=True)
def small_questions(monkeypatch):
    monkeypatch.setattr(cheap_values, "CHUNK_ATOMS", 30)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Molecules with tables, one that no method knows, and one record that is broken."""
    path = tmp_path / "mixed.sdf"
    texts = [f"{realistic(smiles).text}$$$$\n" for smiles in SMILES]
    texts.insert(BAD, sdf_record(URANIUM, "uranium"))
    path.write_text("".join([*texts, sdf_record(molecule(1), "broken")[:90] + "\n$$$$\n"]))
    return path


def found_of(
    c: Conformer, method: str = "gfn2", polarizability: bool = False, solvents: Sequence[str] = ()
) -> Computed:
    return METHODS[method].compute(c, polarizability, solvents)


def rejected_of(output: Path) -> list[str]:
    with open(f"{output}.rejected.csv", newline="") as file:
        return [row["record"] for row in csv.DictReader(file)]


def assert_nothing_is_lost(summary: Summary, output: Path) -> None:
    assert (summary.read, summary.written, summary.rejected) == (len(SMILES) + 2, len(SMILES), 2)
    assert sorted(rejected_of(output)) == [str(BAD + 1), str(len(SMILES) + 2)]


def test_sdf_is_the_record_as_it_was_and_what_was_found(mixed, tmp_path):
    output = tmp_path / "out.sdf"
    assert_nothing_is_lost(label(mixed, output=output, jobs=1, polarizability_every=1), output)
    before = [c for c in read_conformers(mixed, on_error="skip") if 92 not in c.atomic_number]
    after = list(read_conformers(output))
    for one, other, mol in zip(before, after, Chem.SDMolSupplier(str(output), removeHs=False), strict=True):
        found = found_of(one, polarizability=True)
        assert other.text.startswith(one.text.rstrip())
        numbers = {name: float(other.properties[f"gfn2_{name}"]) for name in found.numbers}
        assert_allclose(list(numbers.values()), list(found.numbers.values()), rtol=1e-6, atol=1e-6)
        charges = [atom.GetDoubleProp("gfn2_charge") for atom in mol.GetAtoms()]
        assert_allclose(charges, found.charges, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_energies_in_solvents_go_to_every_format(mixed, tmp_path, name):
    output, solvents = tmp_path / name, ("water", "octanol")
    assert_nothing_is_lost(label(mixed, output=output, jobs=1, solvents=(*solvents, "water")), output)
    wanted = [
        found_of(c, solvents=solvents).solvation
        for c in read_conformers(mixed, on_error="skip")
        if 92 not in c.atomic_number
    ]
    for solvent in solvents:
        if name.endswith("npz"):
            known = read_labels([output])
            found = known.arrays[f"solvation_{solvent}"].tolist()
        elif name.endswith("csv"):
            with output.open(newline="") as file:
                found = [float(row[f"gfn2_solvation_{solvent} [eV]"]) for row in csv.DictReader(file)]
        else:
            found = [float(c.properties[f"gfn2_solvation_{solvent}"]) for c in read_conformers(output)]
        assert_allclose(found, [one[solvent] for one in wanted], atol=2e-6)


def test_labels_without_solvents_are_read_as_not_known(mixed, tmp_path):
    label(mixed, output=tmp_path / "out.npz", jobs=1)
    assert read_labels([tmp_path / "out.npz"]).arrays["solvation_water"].isnan().all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--solvent", "gin"), "method gfn2 knows no solvent 'gin'; use one of water, "),
        (
            ("--method", "mmff94s", "--solvent", "water"),
            "method mmff94s knows no solvent 'water'; use method gfn2",
        ),
    ],
)
def test_solvents_that_are_not_known_are_one_line(mixed, tmp_path, words, message):
    assert_one_line(molgiae_("label", str(mixed), "-o", str(tmp_path / "out.sdf"), *words), message)
    assert not list(tmp_path.glob("out*"))


def test_ase_reads_what_is_written_to_xyz_and_nothing_of_the_input_is_lost(tmp_path):
    frame = xyz_frame(molecule(3), 'Properties=species:S:1:pos:R:3 energy=-1.5 dipole="1 0 0" name=m3')
    (tmp_path / "in.xyz").write_text(frame + xyz_frame(molecule(4), "m4"))
    label(tmp_path / "in.xyz", output=tmp_path / "out.xyz", jobs=1)
    first, second = ase.io.read(tmp_path / "out.xyz", ":")
    for atoms, c in zip((first, second), read_conformers(tmp_path / "in.xyz"), strict=True):
        found = found_of(c)
        assert_allclose(atoms.get_potential_energy(), found.energy, rtol=1e-8)
        assert_allclose(atoms.get_forces(), found.forces, atol=1e-6)
        assert_allclose(atoms.get_charges(), found.charges, atol=1e-6)
        assert_allclose(atoms.get_dipole_moment() / Debye, found.dipole, atol=1e-5)
        assert_allclose(atoms.info["gfn2_gap"], found.gap, rtol=1e-6)
    assert first.info["input_energy"] == -1.5 and first.info["input_dipole"].tolist() == [1, 0, 0]


def test_tables_have_a_row_for_each_record_and_units_that_are_understood(mixed, tmp_path):
    output = tmp_path / "out.csv"
    assert_nothing_is_lost(label(mixed, output=output, method="mmff94s", jobs=1), output)
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["source", "record", "title", "mmff94s_point_energy [eV]"]
    assert split_heading(list(rows[0])[-1]) == ("mmff94s_point_energy", "eV")
    conformers = [c for c in read_conformers(mixed, on_error="skip") if 92 not in c.atomic_number]
    assert [int(row["record"]) for row in rows] == [c.record for c in conformers]
    energies = [found_of(c, "mmff94s").energy for c in conformers]
    assert_allclose([float(row["mmff94s_point_energy [eV]"]) for row in rows], energies, atol=1e-8)


def test_pretraining_reads_the_npz(mixed, tmp_path):
    output = tmp_path / "out.npz"
    assert_nothing_is_lost(label(mixed, output=output, jobs=1, polarizability_every=4), output)
    assert WIDTH == CHEMISTRY
    known = read_labels([output])
    conformers = [c for c in read_conformers(mixed, on_error="skip") if 92 not in c.atomic_number]
    assert len(known) == len(conformers)
    for m, c in enumerate(conformers):
        atoms, found = slice(int(known.offset[m]), int(known.offset[m + 1])), found_of(c)
        assert_array_equal(known.arrays["atomic_number"][atoms], c.atomic_number)
        centered = c.position - c.position.mean(axis=0)
        assert_allclose(known.arrays["position"][atoms], centered, atol=1e-5)
        assert_allclose(known.arrays["forces"][atoms], found.forces, atol=1e-5)
        assert_allclose(known.arrays["dipole"][m], found.dipole, atol=1e-5)
        assert_allclose(known.arrays["charges"][atoms].sum(), known.arrays["formal_charge"][m], atol=1e-5)
        logp = Crippen.MolLogP(Chem.MolFromMolBlock(c.text, removeHs=False))
        assert_allclose(known.arrays["chemistry"][atoms, 0].sum(), logp, atol=1e-4)
    assert known.arrays["polarizability"].isfinite().tolist() == [True, False, False, True]


def test_conformers_without_bonds_have_no_chemistry(xyz, tmp_path):
    label(xyz, output=tmp_path / "out.npz", jobs=1)
    assert read_labels([tmp_path / "out.npz"]).arrays["chemistry"].isnan().all()


@pytest.mark.parametrize("name", FORMATS)
def test_processes_make_no_difference(mixed, tmp_path, name):
    outputs = [tmp_path / f"{jobs}{name}" for jobs in (1, 3)]
    for jobs, output in zip((1, 3), outputs, strict=True):
        label(mixed, output=output, jobs=jobs, displace=0.1)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize(
    ("name", "done"), [(name, done) for k, name in enumerate(FORMATS) for done in ((1,) if k % 2 else (0, 3))]
)
def test_what_was_cut_is_continued_to_the_same_bytes(sdf, tmp_path, monkeypatch, name, done):
    whole, output = tmp_path / f"whole_{name}", tmp_path / name
    label(sdf, output=whole, jobs=1, displace=0.1)
    append = Unfinished.append

    def cut(self, text, note):
        if len(self.notes) == done:
            raise KeyboardInterrupt
        append(self, text, note)

    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "append", cut)
        with pytest.raises(KeyboardInterrupt):
            label(sdf, output=output, jobs=1, displace=0.1)
    assert not output.exists()
    if done:
        with pytest.raises(ConfigError, match=r"was begun with displace 0\.1, not 0\.2"):
            label(sdf, output=output, jobs=1, displace=0.2, resume=True)
        with pytest.raises(ConfigError, match="continue it with --resume"):
            label(sdf, output=output, jobs=1, displace=0.1)
    asked = []
    monkeypatch.setattr(
        cheap_values,
        "_found",
        lambda workers, c, really=cheap_values._found: asked.append(c) or really(workers, c),
    )
    summary = label(sdf, output=output, jobs=1, displace=0.1, resume=True)
    made = output.read_bytes()
    again = label(sdf, output=output, jobs=1, displace=0.1, resume=True)
    assert "nothing was done" in again.notes[-1] and again.written == summary.written
    assert output.read_bytes() == made
    assert output.read_bytes() == whole.read_bytes()
    assert summary.written == N_MOLECULES and sum(map(len, asked)) < N_MOLECULES + (not done)
    assert not list(tmp_path.glob("*.part*"))


def test_a_killed_command_leaves_what_can_be_continued(tmp_path):
    (tmp_path / "in.xyz").write_text("".join(xyz_frame(molecule(k % 20), f"m{k}") for k in range(4000)))
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = [sys.executable, "-c", f"{heeds}; from molgiae.cli import main; main()"]
    words = ["label", "in.xyz", "-o", "out.csv", "-j", "1", "-q"]
    process = subprocess.Popen([*start, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out.csv.part.log"
    while not (log.exists() and len(log.read_text().splitlines()) > 2):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143 and "--resume" in stderr and "Traceback" not in stderr
    assert log.exists() and not (tmp_path / "out.csv").exists()


def test_every_other_conformer_is_displaced_and_labelled_where_it_is_written(sdf, tmp_path):
    label(sdf, output=tmp_path / "out.sdf", jobs=1, displace=0.2, seed=3)
    before, after = list(read_conformers(sdf)), list(read_conformers(tmp_path / "out.sdf"))
    moved = [np.abs(a.position - b.position).max() for a, b in zip(before, after, strict=True)]
    assert not any(moved[::2]) and all(0 < far < 1.5 for far in moved[1::2])
    for c in after[:4]:
        assert_allclose(float(c.properties["gfn2_energy"]), found_of(c).energy, rtol=1e-7)


def test_a_draw_is_the_same_for_a_seed_and_in_order(sdf, tmp_path):
    def drawn(name: str, seed: int) -> list[int]:
        label(sdf, output=tmp_path / name, jobs=1, method="gfn2", number=8, seed=seed)
        return [int(c.properties["k"]) for c in read_conformers(tmp_path / name)]

    first = drawn("a.sdf", 0)
    assert len(first) == 8 and first == sorted(first)
    assert drawn("b.sdf", 0) == first != drawn("c.sdf", 1)


def test_npz_and_hdf5_are_inputs_and_splits_are_of_npz(xyz, tmp_path):
    water = realistic("O")
    plain = {"n_atoms": [3] * 3, "atomic_number": [8, 1, 1] * 3, "position": np.tile(water.position, (3, 1))}
    np.savez(tmp_path / "in.npz", **plain)
    summary = label(tmp_path / "in.npz", output=tmp_path / "a.csv", jobs=1)
    assert summary.written == 3
    with pytest.raises(ConfigError, match="without a split"):
        label(xyz, output=tmp_path / "b.csv", split="train")
    with pytest.raises(ConfigError, match="separate run"):
        label([tmp_path / "in.npz", xyz], output=tmp_path / "b.csv")
    molgiae_("canonicalize", xyz, "-o", tmp_path / "in.h5")
    assert label(tmp_path / "in.h5", output=tmp_path / "c.xyz", jobs=1).written == N_MOLECULES


def test_without_bonds_a_force_field_rejects_by_name(xyz, tmp_path):
    result = molgiae_("label", xyz, "--method", "mmff94s", "-o", tmp_path / "out.sdf", "-j", "1")
    assert result.exit_code == 3
    assert f"{N_MOLECULES} x such as: MMFF94s needs bonds" in result.stderr
    assert len(rejected_of(tmp_path / "out.sdf")) == N_MOLECULES


def test_a_missing_package_and_odd_options_are_one_line(sdf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("molgiae.data.cheap_methods.find_spec", lambda _: None)
    assert_one_line(molgiae_("label", sdf), 'pip install "molgiae[labels]"')
    monkeypatch.undo()
    assert_one_line(
        molgiae_("label", sdf, "--method", "mmff94s", "--polarizability"), "tells no polarizability"
    )
    assert_one_line(molgiae_("label", sdf, "-o", "a.pdb"), ".npz")
    assert not list(tmp_path.glob("*.part*"))


def test_a_label_beside_one_of_the_same_name_takes_its_place(tmp_path):
    c = realistic("O")
    (tmp_path / "in.sdf").write_text(f"{c.text}> <gfn2_energy>\n1.0\n\n$$$$\n")
    label(tmp_path / "in.sdf", output=tmp_path / "out.sdf", jobs=1)
    (after,) = read_conformers(tmp_path / "out.sdf")
    assert float(after.properties["gfn2_energy"]) < -100


def test_the_command_knows_all_methods():
    assert get_args(get_type_hints(command)["method"]) == tuple(METHODS)
