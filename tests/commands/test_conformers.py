"""`molgiae conformers`: what it makes, what it lists, and that neither cuts nor cores change the output."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDepictor
from rdkit.Chem import rdForceFieldHelpers as fields
from typer.testing import CliRunner, Result

import molgiae
from molgiae.cli import app
from molgiae.commands import conformers as generation
from molgiae.commands.conformer_worker import answer, selected
from molgiae.commands.conformers import generate_conformers
from molgiae.config import ConformerSearch
from molgiae.data.conformer import Conformer
from molgiae.data.etkdg import embed_and_minimise, first_seed
from molgiae.data.molecule_files import Columns, Molecule, read_molecules
from molgiae.data.readers import read_conformers
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.matching import superpose_pairs
from molgiae.parallel.processes import NoAnswerError, Workers

LINES = [
    "CCO ethanol",
    "C1CC broken",
    "CC(=O)[O-] acetate",
    "C[N+](C)(C)C",
    "[Na+].[Cl-] salt",
    "CCF fluoroethane",
]
N_GOOD = 4


@pytest.fixture
def smi(tmp_path: Path) -> Path:
    path = tmp_path / "in.smi"
    path.write_text("\n".join(LINES) + "\n")
    return path


class InProcess:
    """Workers that are none, for what does not need them."""

    asked: ClassVar[list[str]] = []

    def __init__(self, size: int, module: str, setup: dict, time_limit: float) -> None:
        self.search = ConformerSearch.from_dict(setup)

    def __enter__(self) -> InProcess:
        self.asked.clear()
        return self

    def __exit__(self, *_) -> None:
        pass

    def ask(self, question: dict) -> dict:
        self.asked.append(question["title"])
        return answer(question, self.search)


@pytest.fixture
def in_process(monkeypatch):
    monkeypatch.setattr(generation, "Workers", InProcess)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["conformers", *map(str, words), "-q"])


def made(smiles: str, **options) -> list[Conformer]:
    search = ConformerSearch(**options)
    return selected(embed_and_minimise(smiles, True, "t", search), search)


def energies(path: Path) -> list[float]:
    return [float(c.properties["mmff94s_energy"]) for c in read_conformers(path)]


# Files


def test_conformers_charges_properties_and_the_list_of_what_failed(smi, tmp_path):
    output = tmp_path / "out.sdf"
    result = CliRunner().invoke(
        app, ["conformers", str(smi), "-o", str(output), "-n", "3", "-j", "1", "--json"]
    )
    assert result.exit_code == 3
    summary = json.loads(result.stdout)
    assert (summary["molecules"], summary["written"], summary["rejected"]) == (6, N_GOOD, 2)
    found = list(read_conformers(output))
    assert len(found) == summary["conformers"]
    charges = {c.title: c.charge for c in found}
    assert charges == {"ethanol": 0, "acetate": -1, "in 4": 1, "fluoroethane": 0}
    assert list(dict.fromkeys(c.title for c in found)) == ["ethanol", "acetate", "in 4", "fluoroethane"]
    assert found[0].properties["smiles"] == "CCO" and found[0].properties["conformer"] == "1"
    assert (found[0].atomic_number == 1).sum() == 6
    rows = list(csv.DictReader((tmp_path / "out.sdf.rejected.csv").read_text().splitlines()))
    assert [(r["source"], r["line"], r["title"]) for r in rows] == [
        (str(smi), "2", "broken"),
        (str(smi), "5", "salt"),
    ]
    assert "cannot be parsed" in rows[0]["reason"] and "2 molecules" in rows[1]["reason"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.smi", "out.sdf", "out.sdf.rejected.csv"]


def test_what_is_written_are_minima_lowest_first(tmp_path, in_process):
    (tmp_path / "a.smi").write_text("CCCCO butanol\n")
    assert run(tmp_path / "a.smi", "-o", tmp_path / "a.sdf", "-j", "1").exit_code == 0
    found = energies(tmp_path / "a.sdf")
    assert len(found) > 2 and found == sorted(found)
    for mol, energy in zip(Chem.SDMolSupplier(str(tmp_path / "a.sdf"), removeHs=False), found, strict=True):
        field = fields.MMFFGetMoleculeForceField(mol, fields.MMFFGetMoleculeProperties(mol, "MMFF94s"))
        assert field.CalcEnergy() == pytest.approx(energy, abs=0.01)


def test_the_same_bytes_whatever_the_number_of_processes(smi, tmp_path):
    run(smi, "-o", tmp_path / "one.sdf", "-n", "2", "-j", "1")
    run(smi, "-o", tmp_path / "two.sdf", "-n", "2", "-j", "2")
    assert (tmp_path / "one.sdf").read_bytes() == (tmp_path / "two.sdf").read_bytes()


@pytest.mark.parametrize("suffix", [".xyz", ".h5", ".sdf.gz"])
def test_other_formats_hold_the_same(smi, tmp_path, suffix, in_process):
    run(smi, "-o", tmp_path / "a.sdf", "-n", "2", "-j", "1")
    other = tmp_path / f"b{suffix}"
    run(smi, "-o", other, "-n", "2", "-j", "1")
    wanted = list(read_conformers(tmp_path / "a.sdf"))
    if suffix == ".h5":
        with h5py.File(other) as file:
            np.testing.assert_array_equal(file["position"][:], np.concatenate([c.position for c in wanted]))
            assert list(file["title"].asstr()[:]) == [c.title for c in wanted]
            assert len(file["rejected/reason"]) == 2
        return
    for a, b in zip(wanted, read_conformers(other), strict=True):
        assert (a.title, a.charge, a.properties["conformer"]) == (
            b.title,
            b.charge,
            b.properties["conformer"],
        )
        np.testing.assert_array_equal(a.position, b.position)


# Continuing


def crash(*_, **__):
    raise MolgiaeError("crash")


def cut(path: Path, lines: int, extra: str) -> None:
    """What a crash leaves of a complete run: so many lines of the log, and half-written ones."""
    log = path.with_name(path.name + ".part.log")
    kept = log.read_text().splitlines(keepends=True)[: lines + 1]
    log.write_text("".join(kept) + extra)


LOST = '{"end": 99999999, "note": {}}\n'


@pytest.mark.parametrize(
    ("lines", "extra"), [(0, ""), (1, ""), (2, ""), (2, LOST), (2, '{"end": 1'), (5, ""), (6, "")]
)
def test_a_run_that_was_cut_is_continued_to_the_same_bytes(
    smi, tmp_path, monkeypatch, in_process, lines, extra
):
    output, whole = tmp_path / "out.sdf", tmp_path / "whole.sdf"
    search = ConformerSearch(number=2)
    expected = generate_conformers(smi, whole, search, jobs=1)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "_publish", crash)
        with pytest.raises(MolgiaeError, match="crash"):
            generate_conformers(smi, output, search, jobs=1)
    cut(output, lines, extra)
    summary = generate_conformers(smi, output, search, jobs=1, resume=True)
    assert InProcess.asked == ["ethanol", "broken", "acetate", "in 4", "salt", "fluoroethane"][lines:]
    assert output.read_bytes() == whole.read_bytes()
    rejected = [p.with_name(p.name + ".rejected.csv").read_bytes() for p in (output, whole)]
    assert rejected[0] == rejected[1]
    assert (summary.resumed, summary.conformers, summary.rejected) == (
        lines,
        expected.conformers,
        expected.rejected,
    )
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_what_can_be_continued(tmp_path, how, status):
    (tmp_path / "in.smi").write_text("\n".join(["CCCCCCO"] * 5000) + "\n")
    words = ["conformers", "in.smi", "-o", "out.sdf", "-n", "2", "-j", "1", "-q"]
    heeds = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs do not
    )
    start = [sys.executable, "-c", f"{heeds}; from molgiae.cli import main; main()"]
    process = subprocess.Popen([*start, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "out.sdf.part.log"
    while not (log.exists() and len(log.read_text().splitlines()) > 3):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    _, stderr = process.communicate(
        timeout=30
    )  # which ends when the workers have ended, too: the pipe is theirs
    assert process.returncode == status and "--resume" in stderr and "Traceback" not in stderr
    assert not (tmp_path / "out.sdf").exists() and log.exists()
    refused = CliRunner().invoke(
        app, ["conformers", str(tmp_path / "in.smi"), "-o", str(tmp_path / "out.sdf")]
    )
    assert refused.exit_code == 1 and "continue it with --resume" in refused.stderr


def test_another_run_is_not_continued(smi, tmp_path, monkeypatch, in_process):
    monkeypatch.setattr(generation, "_publish", crash)
    with pytest.raises(MolgiaeError, match="crash"):
        generate_conformers(smi, tmp_path / "a.sdf", number=1, jobs=1)
    with pytest.raises(ConfigError, match="was begun with number 1, not 2"):
        generate_conformers(smi, tmp_path / "a.sdf", number=2, jobs=1, resume=True)


def test_resume_begins_where_there_is_nothing_and_leaves_alone_what_the_same_run_has_finished(
    smi, tmp_path, in_process
):
    words = [smi, "-o", tmp_path / "a.sdf", "-n", "1", "-j", "1", "--resume"]
    first = run(*words)
    assert first.exit_code == 3
    InProcess.asked.clear()
    again, quietly = run(*words), run(*words, "--allow-rejected")
    assert (again.exit_code, quietly.exit_code, InProcess.asked) == (3, 0, [])
    said = CliRunner().invoke(app, ["conformers", *map(str, words)]).stderr
    assert "nothing was done" in said
    other = run(*words[:3], "-n", "2", "--resume")
    assert other.exit_code == 1 and "is not known to be what this run would make" in other.stderr
    with open(tmp_path / "a.sdf", "a") as file:
        file.write("more")
    assert run(*words).exit_code == 1
    assert run(*words, "--overwrite").exit_code == 3 and InProcess.asked


def test_the_help_shows_how_and_the_library_does_the_same(smi, tmp_path, in_process):
    result = CliRunner().invoke(app, ["conformers", "--help"])
    assert result.exit_code == 0 and "molgiae conformers molecules.smi" in result.stdout
    assert run(smi, "-o", tmp_path / "a.sdf", "-n", "2").exit_code == 3
    molgiae.generate_conformers(smi, tmp_path / "b.sdf", number=2)
    assert (tmp_path / "a.sdf").read_bytes() == (tmp_path / "b.sdf").read_bytes()


# Which conformers


def dihedral(c: Conformer) -> float:
    a, b, d = np.diff(c.position[:4], axis=0)
    n, m = np.cross(a, b), np.cross(b, d)
    return float(np.degrees(np.arctan2(np.dot(np.cross(n, m), b / np.linalg.norm(b)), n @ m)))


def test_butane_has_anti_and_both_gauche_conformers_each_once():
    found = made("CCCC", number=30)
    assert sorted(abs(dihedral(c)) for c in found) == pytest.approx([65, 65, 180], abs=1)
    gauche = [c for c in found if abs(dihedral(c)) < 90]
    assert {np.sign(dihedral(c)) for c in gauche} == {-1.0, 1.0}
    first, second = (float(c.properties["mmff94s_energy"]) for c in gauche)
    assert first == pytest.approx(second, abs=1e-4)
    assert superpose_pairs(gauche[:1], gauche[1:], allow_reflection=True).rmsd[0] < 0.01


def test_achiral_minima_are_kept_once_though_hydrogens_change_places():
    assert len(made("CC", number=10)) == 1
    assert len(made("CC(C)(C)C", number=10)) == 1
    assert len(made("CC", number=5, prune=0)) == 5


def test_keep_and_energy_window():
    everything = made("OCCCO", number=20)
    energy = np.array([float(c.properties["mmff94s_energy"]) for c in everything])
    assert len(made("OCCCO", number=20, keep=2)) == 2
    assert len(made("OCCCO", number=20, energy_window=1.0)) == (energy <= energy[0] + 1.0).sum() < len(energy)


def test_a_stereocentre_left_open_is_the_same_in_all_conformers():
    found = made("CC(O)C(F)CCl", number=12)
    (smiles,) = {c.properties["smiles"] for c in found}
    assert smiles.count("@") >= 2
    assert {stereo(c) for c in found} == {smiles}


def stereo(c: Conformer) -> str:
    mol = Chem.MolFromMolBlock(c.text, removeHs=False)
    mol.GetConformer().SetPositions(np.ascontiguousarray(c.position))
    Chem.AssignStereochemistryFrom3D(mol)
    return Chem.MolToSmiles(Chem.RemoveHs(mol))


def test_stereocentres_that_are_given_stay():
    (smiles,) = {stereo(c) for c in made("C[C@H](O)/C=C/Cl", number=5)}
    assert smiles == Chem.CanonSmiles("C[C@H](O)/C=C/Cl")


def test_force_fields():
    with pytest.raises(ConformerError, match="--force-field uff"):
        made("CB(O)O")
    assert "uff_energy" in made("CB(O)O", force_field="uff", number=2)[0].properties
    assert list(made("CB(O)O", force_field="none", number=2)[0].properties) == ["smiles"]
    with pytest.raises(ConfigError, match="energy window"):
        ConformerSearch(force_field="none", energy_window=1.0)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "parsed"),
        ("*C", "no element"),
        ("C(C)(C)(C)(C)C", "valence"),
        ("O.O", "2 molecules"),
        ("[He]", "MMFF94s"),
    ],
)
def test_why_there_are_none(smiles, reason):
    reply = answer({"text": smiles, "is_smiles": True, "title": "t"}, ConformerSearch(number=1))
    assert reason in reply["reason"] and "\n" not in reply["reason"]


def test_seeds_in_a_row_make_no_conformer_twice():
    """RDKit's seed of conformer k is k times the first."""
    every = [k * first_seed(seed) for seed in range(20) for k in range(1, 11)]
    assert len(set(every)) == len(every) and max(every) < 2**31
    few = [made("CCCCCO", number=4, prune=0, seed=seed) for seed in range(3)]
    places = [c.position.round(3).tobytes() for conformers in few for c in conformers]
    assert len(set(places)) == len(places)


def test_another_seed_makes_other_conformers():
    first, again, other = (made("CCCCO", number=2, seed=seed)[0].position for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


# Workers


WORKER = """
import json, sys, time
setup = json.loads(sys.stdin.readline())
print('{"ready": true}', flush=True)
for line in sys.stdin:
    question = json.loads(line)
    if question == {"hang": True}: time.sleep(60)
    if question == {"die": True}: sys.exit(7)
    print(json.dumps({"echo": question, "setup": setup}), flush=True)
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    (tmp_path / "echo_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    with Workers(1, "echo_worker", {"a": 1}, time_limit=3.0) as workers:
        yield workers


def test_a_worker_that_hangs_or_dies_costs_one_answer(worker):
    assert worker.ask({"q": 1}) == {"echo": {"q": 1}, "setup": {"a": 1}}
    with pytest.raises(NoAnswerError, match=r"died \(status 7\)"):
        worker.ask({"die": True})
    started = time.monotonic()
    with pytest.raises(NoAnswerError, match="longer than 3 s"):
        worker.ask({"hang": True})
    assert time.monotonic() - started < 10
    assert worker.ask({"q": 2})["echo"] == {"q": 2}


def test_a_worker_that_cannot_start_is_an_error():
    with (
        Workers(1, "molgiae.nothing", {}, 1.0) as workers,
        pytest.raises(MolgiaeError, match="does not start"),
    ):
        workers.ask({})


def test_a_molecule_beyond_the_time_limit_is_listed_and_the_others_are_made(tmp_path):
    (tmp_path / "in.smi").write_text("C" * 400 + " long\nCC ethane\n")
    summary = generate_conformers(tmp_path / "in.smi", tmp_path / "a.sdf", number=2, jobs=1, time_limit=2.0)
    assert (summary.written, summary.rejected) == (1, 1)
    assert "longer than 2 s" in next(iter(summary.reasons))
    assert [c.title for c in read_conformers(tmp_path / "a.sdf")][:1] == ["ethane"]


# Inputs


def table(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def molecules(path: Path, **options) -> list[tuple]:
    items = read_molecules([path], **options)
    return [(i.record, i.line, i.title, i.text if isinstance(i, Molecule) else None) for i in items]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "gdb_index,smiles\n7,C\n9,N\n", [(1, 2, "7", "C"), (2, 3, "9", "N")]),
        ("a.csv.gz", "id,smiles\n7,C\n", [(1, 2, "7", "C")]),
        ("a.csv", "Canonical_SMILES;mw;Name\nC;16;methane\n", [(1, 2, "methane", "C")]),
        ("a.tsv", "smiles\tx\nC\t1\n\n\t2\n", [(1, 2, "a 1", "C"), (2, 4, "a 2", None)]),
        ("a.csv", 'name,smiles\n"two\nlines",C\nb,N\n', [(1, 2, "two lines", "C"), (2, 4, "b", "N")]),
        (
            "a.smi",
            "smiles name\nC methane\n\n# no\nN\tammonia gas\nO",
            [(1, 2, "methane", "C"), (2, 5, "ammonia gas", "N"), (3, 6, "a 3", "O")],
        ),
        ("a.smi.gz", "\ufeffC x\r\nN y\r\n", [(1, 1, "x", "C"), (2, 2, "y", "N")]),
    ],
)
def test_tables_and_smiles_files(tmp_path, name, text, expected):
    assert molecules(table(tmp_path / name, text)) == expected


def test_columns_by_name(tmp_path):
    path = table(tmp_path / "a.csv", "A,B,C\nx,C,1\n")
    assert molecules(path, columns=Columns("b", "A")) == [(1, 2, "x", "C")]
    with pytest.raises(
        ConfigError, match="no column smiles; the columns are A, B, C; name one with --smiles-col"
    ):
        molecules(path)
    with pytest.raises(ConfigError, match="no column D"):
        molecules(path, columns=Columns("B", "D"))


def test_a_table_without_smiles_leaves_nothing_behind(tmp_path):
    path = table(tmp_path / "a.csv", "A,B\n1,2\n")
    result = run(path, "-o", tmp_path / "a.sdf")
    assert result.exit_code == 1 and "no column smiles" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "what"), [("no.smi", "no such file"), ("a.doc", "says no format"), ("", "is a directory")]
)
def test_inputs_that_cannot_be_read(tmp_path, name, what):
    (tmp_path / "a.doc").write_text("C\n")
    with pytest.raises(ConfigError, match=what):
        read_molecules([tmp_path / name])


def test_a_damaged_file_is_listed(tmp_path):
    packed = gzip.compress(("C methane\n" * 5000 + os.urandom(300).hex()).encode())
    (tmp_path / "a.smi.gz").write_bytes(packed[:-20])
    *_, last = read_molecules([tmp_path / "a.smi.gz"])
    assert "gzip" in last.reason


def test_bonds_and_stereocentres_of_an_sdf_are_taken(tmp_path, in_process):
    mol = Chem.MolFromSmiles("C[C@H](N)C(=O)[O-]")
    mol.SetProp("_Name", "alaninate")
    rdDepictor.Compute2DCoords(mol)
    with Chem.SDWriter(str(tmp_path / "in.sdf")) as writer:
        writer.write(mol)
    (tmp_path / "in.sdf").write_text((tmp_path / "in.sdf").read_text() + "rubbish\n$$$$\n")
    summary = generate_conformers(tmp_path / "in.sdf", tmp_path / "a.sdf", number=2, jobs=1)
    assert (summary.written, summary.rejected) == (1, 1)
    first = next(iter(read_conformers(tmp_path / "a.sdf")))
    assert (first.title, first.charge) == ("alaninate", -1)
    assert stereo(first) == Chem.MolToSmiles(mol) == first.properties["smiles"]
    assert np.ptp(first.position[:, 2]) > 1


CXSMILES = [
    "CNO |(0.0,0,;1.0,0,;2.0,0,)| my name",
    "C[C@H](O)F |o1:1|",
    "CC=CC |t:1|\talkene",
    "CCO |$a;b;c$|\tlabelled molecule",
    "CCN | not closed",
    "CCF |$;;$| of | bars",
    "CCCl",
]


def test_cxsmiles_extensions_are_no_titles(tmp_path, in_process):
    """A title stands behind the extension, as RDKit reads it; what plays no part is said once."""
    (tmp_path / "a.smi").write_text("\n".join(CXSMILES) + "\n")
    (tmp_path / "a.csv").write_text('smiles,name\n"C[C@H](O)F |o1:1|",table\n')
    molecules = list(read_molecules([tmp_path / "a.smi", tmp_path / "a.csv"]))
    titles = ["my name", "a 2", "alkene", "labelled molecule", "| not closed", "of | bars", "a 7", "table"]
    assert [m.title for m in molecules] == titles
    assert [m.is_extended for m in molecules] == [True] * 4 + [False, True, False, True]
    words = ["conformers", str(tmp_path / "a.smi"), "-n", "1", "-j", "1"]
    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "a.sdf")])
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("5 have a CXSMILES extension, read as RDKit does") == 1
    found = list(read_conformers(tmp_path / "a.sdf"))
    assert [c.title for c in found] == titles[:-1]
    assert all("V2000" in c.text for c in found)
    for line, conformer in zip(CXSMILES[:2], found, strict=False):
        assert conformer.properties["smiles"] == Chem.CanonSmiles(line.partition(" ")[0])
    assert generate_conformers(tmp_path / "a.csv", tmp_path / "b.sdf", number=1).extended == 1
