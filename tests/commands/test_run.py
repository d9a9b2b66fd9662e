"""Commands from file to file: every record is written or listed, formats and names as asked for."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import itertools
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import molgiae
from molgiae.canonical.forms import canonical_forms
from molgiae.commands.outcomes import Reasons
from molgiae.data.elements import SYMBOLS
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.readers import CHUNK_SIZE, read_conformers
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.model import checkpoint
from molgiae.model.embedder import Embedder
from molgiae.parallel.threads import threads_used
from tests.conformers import any_bonds
from tests.conftest import N_MOLECULES, TINY, TINY_DOMAIN
from tests.data.molfiles import molecule, sdf_record, xyz_frame
from tests.data.test_bad_records import SDF_ACCEPTED, SDF_CASES, XYZ_ACCEPTED, XYZ_CASES

STRANGER = sdf_record([("Si", 0, 0, 0), ("H", 0, 0, 1.5)], "silane")
COMMANDS = ["embed", "canonicalize", "reconstruct"]
INTERRUPTIBLE = """
import signal
from molgiae.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
main()
"""


def titles(path: Path) -> list[str]:
    with EmbeddingFile(path) as file:
        return file.column("title").tolist()


def assert_convention(path: Path) -> None:
    """With h5py and numpy alone."""
    with h5py.File(path) as file:
        offset = file["atom_offset"][:]
        assert len(offset) == len(file["title"]) + 1
        for m, (start, stop) in enumerate(itertools.pairwise(offset)):
            found = file["position"][start:stop][file["permutation"][start:stop]]
            expected = file["canonical_position"][start:stop] @ file["rotation"][m].T + file["translation"][m]
            assert_allclose(found, expected, atol=1e-9)


# Scorecard F: one bad record amid twenty good ones


def one_in_twenty_one(record, bad: str, path: Path) -> int:
    """Write the file; returns the line at which the bad record starts."""
    good = [record(molecule(k), f"molecule {k}") for k in range(20)]
    text = "".join([*good[:10], bad, *good[10:]])
    path.write_bytes(text.encode("latin-1"))
    return "".join(good[:10]).count("\n") + 1


def assert_good_ones_are_there(path: Path, among: int) -> None:
    """Right elements and coordinates of all twenty, in their order."""
    with h5py.File(path) as file:
        names = file["title"].asstr()[:].tolist()
        assert len(names) == among
        assert [name for name in names if name.startswith("molecule ")] == [
            f"molecule {k}" for k in range(20)
        ]
        assert np.isfinite(file["embedding"][:]).all()
        for k in range(20):
            m = names.index(f"molecule {k}")
            atoms = slice(file["atom_offset"][m], file["atom_offset"][m + 1])
            expected = molecule(k)
            assert [SYMBOLS[z] for z in file["atomic_number"][atoms]] == [atom[0] for atom in expected]
            assert_array_equal(file["position"][atoms], [atom[1:] for atom in expected])


loaded = functools.cache(checkpoint.load)
"""Once for all records, for that takes longer than they do."""


def embed_case(path: Path, model_path: str) -> tuple[Path, molgiae.commands.outcomes.Summary]:
    output = path.with_suffix(".h5")
    summary = molgiae.embed(path, output=output, model=loaded(model_path))
    assert summary.read == summary.written + summary.rejected
    assert_convention(output)
    return output, summary


CASES = [("sdf", sdf_record, case, *SDF_CASES[case]) for case in SDF_CASES] + [
    ("xyz", xyz_frame, case, *XYZ_CASES[case]) for case in XYZ_CASES
]


@pytest.mark.parametrize(
    ("suffix", "record", "case", "bad", "reason"), CASES, ids=[f"{c[0]} {c[2]}" for c in CASES]
)
def test_a_bad_record_is_listed_and_twenty_are_embedded(
    suffix, record, case, bad, reason, tmp_path, model_path
):
    path = tmp_path / f"a.{suffix}"
    line = one_in_twenty_one(record, bad, path)
    output, summary = embed_case(path, model_path)
    assert_good_ones_are_there(output, 20)
    assert (summary.read, summary.written, summary.rejected) == (21, 20, 1)
    assert sum(summary.reasons.values()) == 1
    with h5py.File(output) as file:
        refused = file["rejected"]
        assert refused["source"].asstr()[:].tolist() == [str(path)]
        assert refused["record"][:].tolist() == [11]
        assert refused["line"][:].tolist() == [line]
        assert reason in refused["reason"].asstr()[0]
        if "bad one" in bad.split("\n")[:2] and case != "count missing":
            assert refused["title"].asstr()[0] == "bad one"
        assert file["record"][:].tolist() == [k for k in range(1, 22) if k != 11]


ODD = [("sdf", sdf_record, case, SDF_ACCEPTED[case]) for case in SDF_ACCEPTED] + [
    ("xyz", xyz_frame, case, XYZ_ACCEPTED[case]) for case in XYZ_ACCEPTED
]


@pytest.mark.parametrize(("suffix", "record", "case", "odd"), ODD, ids=[f"{c[0]} {c[2]}" for c in ODD])
def test_an_odd_record_is_embedded(suffix, record, case, odd, tmp_path, model_path):
    path = tmp_path / f"a.{suffix}"
    one_in_twenty_one(record, odd, path)
    output, summary = embed_case(path, model_path)
    assert_good_ones_are_there(output, 21)
    assert (summary.read, summary.written, summary.rejected) == (21, 21, 0)


def test_a_record_the_model_cannot_take_is_listed_like_a_bad_one(tmp_path, model_path):
    path = tmp_path / "a.sdf"
    line = one_in_twenty_one(sdf_record, STRANGER, path)
    output, summary = embed_case(path, model_path)
    assert_good_ones_are_there(output, 20)
    with EmbeddingFile(output) as file:
        (refused,) = file.rejected()
    assert (refused.source, refused.record, refused.title, refused.line) == (str(path), 11, "silane", line)
    assert "element Si is unknown to the model" in refused.reason
    assert summary.rejected == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_where_all_are_refused_the_list_of_them_is_written(command, tmp_path, model_path):
    """The run did what it could: a valid file without conformers that says why, and status 3."""
    path = tmp_path / "a.sdf"
    path.write_text(SDF_CASES["NaN"][0] * 3)
    summary = getattr(molgiae, command)(path, output=tmp_path / "a.h5", model=model_path)
    assert (summary.read, summary.written, summary.rejected) == (3, 0, 3)
    with EmbeddingFile(tmp_path / "a.h5") as file:
        assert len(file) == 0 and len(list(file.rejected())) == 3
        assert file.summary()["conformers"] == 0


@pytest.mark.parametrize("content", ["", "\n\n \n"])
def test_an_input_without_records_is_an_error_and_leaves_nothing(content, tmp_path, model_path):
    path = tmp_path / "a.sdf"
    path.write_text(content)
    with pytest.raises(ConformerError, match=r"a\.sdf: no records"):
        molgiae.embed(path, output=tmp_path / "a.h5", model=model_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.sdf"]


# Inputs


def test_formats_and_packing_do_not_matter(tmp_path, sdf, xyz, model_path):
    packed = tmp_path / "packed.sdf.gz"
    packed.write_bytes(gzip.compress(sdf.read_bytes()))
    found = {}
    for path in (sdf, xyz, packed):
        molgiae.embed(path, output=tmp_path / "out.h5", overwrite=True, model=model_path)
        with EmbeddingFile(tmp_path / "out.h5") as file:
            assert file.column("source").tolist() == [str(path)] * N_MOLECULES
            found[path] = file.column("embedding")
    assert_allclose(found[xyz], found[sdf], rtol=1e-4, atol=1e-5)
    assert_array_equal(found[packed], found[sdf])


def test_several_files_and_directories_in_the_order_named(tmp_path, sdf, xyz, model_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.xyz").write_text(xyz.read_text())
    (folder / "deep" / "c.sdf").write_text(sdf.read_text())
    (folder / "readme.txt").write_text("no structures")
    summary = molgiae.embed([xyz, folder, sdf], output=tmp_path / "out.h5", model=model_path)
    assert summary.written == 4 * N_MOLECULES
    with EmbeddingFile(tmp_path / "out.h5") as file:
        sources = list(dict.fromkeys(file.column("source")))
        assert sources == [str(p) for p in (xyz, folder / "b.xyz", folder / "deep" / "c.sdf", sdf)]
        assert file.column("record").tolist() == [*range(1, N_MOLECULES + 1)] * 4


def test_standard_input(tmp_path, sdf, model_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sdf.read_bytes())))
    assert molgiae.embed("-", output=tmp_path / "out.h5", model=model_path).written == N_MOLECULES
    with EmbeddingFile(tmp_path / "out.h5") as file:
        assert set(file.column("source")) == {"-"}


def test_hdf5_as_input_keeps_origin_and_properties(tmp_path, sdf, model_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    molgiae.embed(sdf, output=first, model=model_path)
    assert molgiae.embed([first], output=second, model=model_path).written == N_MOLECULES
    with EmbeddingFile(first) as a, EmbeddingFile(second) as b:
        for name in (*a.columns, "title", "source", "record"):
            assert_array_equal(a.column(name), b.column(name))
        assert b.properties() == a.properties() == [{"k": str(k)} for k in range(N_MOLECULES)]


def test_hdf5_as_input_of_structures(tmp_path, sdf, model_path):
    molgiae.embed(sdf, output=tmp_path / "a.h5", model=model_path)
    molgiae.canonicalize(tmp_path / "a.h5", output=tmp_path / "a.xyz", model=model_path)
    molgiae.canonicalize(sdf, output=tmp_path / "b.xyz", model=model_path)
    for a, b in zip(read_conformers(tmp_path / "a.xyz"), read_conformers(tmp_path / "b.xyz"), strict=True):
        assert_allclose(a.position, b.position)


def test_a_generator_of_inputs_is_not_used_up_by_naming_the_output(
    sdf, xyz, model_path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    summary = molgiae.embed((path for path in (sdf, xyz)), model=model_path)
    assert (summary.output, summary.written) == ("molecules.h5", 2 * N_MOLECULES)


# Outputs


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("molecules.sdf", "molecules.h5"),
        ("molecules.v2.sdf.gz", "molecules.v2.h5"),
        ("no-suffix", "no-suffix.h5"),
        ("run.2/", "run.2.h5"),
        ("-", "conformers.h5"),
    ],
)
def test_the_output_is_named_after_the_first_input_in_the_current_directory(
    name, expected, tmp_path, sdf, model_path, monkeypatch
):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir(), elsewhere.mkdir()
    monkeypatch.chdir(home)
    path = elsewhere / name
    if name == "-":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sdf.read_bytes())))
    elif name.endswith("/"):
        path.mkdir()
        (path / "a.sdf").write_bytes(sdf.read_bytes())
    else:
        path.write_bytes(gzip.compress(sdf.read_bytes()) if name.endswith(".gz") else sdf.read_bytes())
    summary = molgiae.embed("-" if name == "-" else path, model=model_path)
    assert summary.output == expected
    assert [p.name for p in home.iterdir()] == [expected]


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        ("embed", ".h5"),
        ("canonicalize", "_canonical.h5"),
        ("reconstruct", "_reconstructed.h5"),
        ("align", "_aligned.sdf"),
    ],
)
def test_every_command_names_its_output(command, ending, tmp_path, xyz, model_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert getattr(molgiae, command)(xyz, model=model_path).output == f"molecules{ending}"
    assert (tmp_path / f"molecules{ending}").exists()


@pytest.mark.parametrize("command", [*COMMANDS, "align"])
def test_names_without_a_writer_are_refused(command, sdf, tmp_path, model_path):
    other = {"embed": ["x.sdf", "x.xyz"], "align": []}.get(command, ["x.csv"])
    for name in ("x", "x.h5.txt", *other):
        with pytest.raises(ConfigError, match=r"end the name of the output in \.h5"):
            getattr(molgiae, command)(sdf, output=tmp_path / name, model=model_path)
    assert [p.name for p in tmp_path.iterdir()] == [sdf.name]


@pytest.mark.parametrize("name", ["out.h5", "out.sdf"])
def test_an_output_is_replaced_only_if_asked_for(name, sdf, tmp_path, model_path):
    output = tmp_path / name
    output.write_text("precious")
    with pytest.raises(MolgiaeError, match="exists already"):
        molgiae.canonicalize(sdf, output=output, model=model_path)
    assert output.read_text() == "precious"
    molgiae.canonicalize(sdf, output=output, model=model_path, overwrite=True)
    assert output.stat().st_size > 100


def test_an_output_that_fails_leaves_the_old_one(sdf, tmp_path, model_path):
    output = tmp_path / "out.h5"
    output.write_text("precious")
    with sdf.open("a") as file:
        file.write("garbage\n")
    with pytest.raises(ConformerError, match="record 21"):
        molgiae.embed(sdf, output=output, model=model_path, overwrite=True, on_error="stop")
    assert output.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["molecules.sdf", "out.h5"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_input_is_never_replaced(overwrite, sdf, tmp_path, model_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sdf.read_bytes()
    for output in (sdf, "molecules.sdf", "../" + tmp_path.name + "/molecules.sdf"):
        with pytest.raises(ConfigError, match="is an input, too"):
            molgiae.canonicalize(sdf, output=output, overwrite=overwrite, model=model_path)
    molgiae.embed(sdf, model=model_path)
    with pytest.raises(ConfigError, match="is an input, too"):
        molgiae.embed("molecules.h5", overwrite=overwrite, model=model_path)
    assert sdf.read_bytes() == before


def test_an_output_in_no_directory_is_an_error(sdf, tmp_path, model_path):
    with pytest.raises(MolgiaeError, match=r"there is no directory .*create it first"):
        molgiae.embed(sdf, output=tmp_path / "no" / "out.h5", model=model_path)


@pytest.mark.parametrize("bad", [SDF_CASES["NaN"][0], STRANGER])
@pytest.mark.parametrize("suffix", ["h5", "sdf"])
def test_stop_ends_at_the_first_record_that_is_refused(bad, suffix, sdf, tmp_path, model_path):
    """Whether the reader refuses it or the model."""
    sdf.write_text(sdf.read_text() + bad)
    with pytest.raises(ConformerError, match=r"molecules\.sdf, record 21, line \d+"):
        molgiae.reconstruct(sdf, output=tmp_path / f"out.{suffix}", model=model_path, on_error="stop")
    assert [p.name for p in tmp_path.iterdir()] == ["molecules.sdf"]


def test_provenance_is_written(sdf, tmp_path, model_path, embedder):
    molgiae.embed(sdf, output=tmp_path / "out.h5", model=model_path, command="molgiae embed it")
    with EmbeddingFile(tmp_path / "out.h5") as file:
        attributes = file.attributes
    assert attributes["model"] == model_path and attributes["model_sha256"] == embedder.checkpoint.sha256
    assert attributes["command"] == "molgiae embed it" and attributes["schema_version"] == 2
    assert attributes["molgiae_version"] == molgiae.__version__


@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_holds_what_the_embedder_says(command, sdf, tmp_path, model_path):
    getattr(molgiae, command)(sdf, output=tmp_path / "out.h5", model=model_path, batch_size=7)
    conformers = list(read_conformers(sdf))
    embedder = Embedder(model_path, device="cpu")
    if command == "canonicalize":
        expected = canonical_forms(conformers)
    else:
        expected = embedder.embed(conformers, reconstruct=command == "reconstruct")
    assert_convention(tmp_path / "out.h5")
    with EmbeddingFile(tmp_path / "out.h5") as file:
        for name, column in expected.columns.items():
            if column.dtype.kind in "SOU":
                assert file.column(name).tolist() == column.astype(str).tolist()
            else:
                assert_allclose(file.column(name), column, rtol=1e-6, atol=1e-5, err_msg=name)
        assert ("embedding" in file.columns) == (command != "canonicalize")


# SDF and XYZ output


def bonds(text: str) -> set[tuple[int, int]]:
    lines = text.splitlines()
    n_atoms, n_bonds = int(lines[3][:3]), int(lines[3][3:6])
    table = lines[4 + n_atoms : 4 + n_atoms + n_bonds]
    return {tuple(sorted((int(line[:3]) - 1, int(line[3:6]) - 1))) for line in table}


@pytest.mark.parametrize("suffix", ["sdf", "sdf.gz", "xyz"])
def test_canonical_structures_keep_bonds_titles_and_properties(suffix, sdf, tmp_path, model_path, embedder):
    output = tmp_path / f"out.{suffix}"
    summary = molgiae.canonicalize(sdf, output=output, model=model_path)
    assert (summary.read, summary.written, summary.rejected_in) == (20, 20, "")
    before, after = list(read_conformers(sdf)), list(read_conformers(output))
    expected = canonical_forms(before)
    for m, (old, new) in enumerate(zip(before, after, strict=True)):
        atoms = slice(expected.block.offset[m], expected.block.offset[m + 1])
        order = expected["permutation"][atoms]
        assert_array_equal(new.atomic_number, old.atomic_number[order])
        assert_allclose(new.position, expected["canonical_position"][atoms], atol=1e-4)
        assert new.properties["k"] == old.properties["k"]
        assert old.title in (new.title, new.properties.get("title"))
        if suffix != "xyz":
            place = np.argsort(order)
            assert bonds(new.text) == {tuple(sorted((place[a], place[b]))) for a, b in bonds(old.text)}


def test_reconstructed_structures_stand_in_pose_and_order_of_the_input(sdf, tmp_path, model_path, embedder):
    molgiae.reconstruct(sdf, output=tmp_path / "out.sdf", model=model_path)
    before, after = list(read_conformers(sdf)), list(read_conformers(tmp_path / "out.sdf", on_error="skip"))
    expected = embedder.embed(before, reconstruct=True)
    by_title = {c.title: (m, c) for m, c in enumerate(before)}
    assert len(after) > 10  # an untrained model may put atoms on top of each other, which readers refuse
    for new in after:
        m, old = by_title[new.title]
        atoms = slice(expected.block.offset[m], expected.block.offset[m + 1])
        z = expected["reconstructed_atomic_number"][atoms]
        assert_allclose(new.position, expected["reconstructed_position"][atoms], atol=1e-4)
        assert_array_equal(new.atomic_number, np.where(z > 0, z, old.atomic_number))
        assert int(new.properties["molgiae_types_wrong"]) == (z != old.atomic_number).sum()
        assert float(new.properties["molgiae_rmsd"]) == pytest.approx(expected["rmsd"][m], abs=1e-4)
        assert bonds(new.text) == bonds(old.text)


def test_the_summary_of_reconstruct_has_the_mean_rmsd(sdf, tmp_path, model_path):
    summary = molgiae.reconstruct(sdf, output=tmp_path / "out.h5", model=model_path)
    with EmbeddingFile(tmp_path / "out.h5") as file:
        rmsd, z = file.column("rmsd"), file.column("reconstructed_atomic_number")
        wrong = np.add.reduceat(z != file.column("atomic_number"), file.column("atom_offset")[:-1]) > 0
    assert wrong.any(), "the model of the tests is hardly trained"
    assert f"{wrong.sum()} come back with an atom of another element" in summary.notes
    assert summary.metrics == pytest.approx({"rmsd_mean": rmsd.mean(), "rmsd_median": np.median(rmsd)})


def table_of(output: Path) -> list[dict[str, str]]:
    with output.with_name(f"{output.name}.rejected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_refused_records_of_structure_outputs_stand_in_a_table(sdf, tmp_path, model_path):
    good = sdf.read_text()
    sdf.write_text(good + SDF_CASES["NaN"][0] + STRANGER + good)
    output = tmp_path / "out.sdf"
    summary = molgiae.reconstruct(sdf, output=output, model=model_path)
    assert (summary.read, summary.written, summary.rejected) == (42, 40, 2)
    assert summary.rejected_in == f"{output}.rejected.csv"
    first, second = table_of(output)
    assert first == {
        "source": str(sdf),
        "record": "21",
        "title": "bad one",
        "line": str(good.count("\n") + 1),
        "reason": first["reason"],
    }
    assert "nan" in first["reason"]
    assert (second["record"], second["title"]) == ("22", "silane")


def test_a_table_of_an_earlier_run_does_not_stay(sdf, tmp_path, model_path):
    good, output = sdf.read_text(), tmp_path / "out.sdf"
    sdf.write_text(good + STRANGER)
    molgiae.reconstruct(sdf, output=output, model=model_path)
    sdf.write_text(good)
    with pytest.raises(MolgiaeError, match="exists already"):
        molgiae.reconstruct(sdf, output=output, model=model_path)
    assert len(table_of(output)) == 1
    molgiae.reconstruct(sdf, output=output, model=model_path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["molecules.sdf", "out.sdf"]


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    with threads_used(request.param):
        yield request.param


def test_counts_add_up_over_many_blocks(tmp_path, model_path, threads):
    """More records than a block of the reader holds, every seventh of them bad, every eleventh a stranger."""
    kinds = ["bad" if k % 7 == 0 else "stranger" if k % 11 == 0 else "good" for k in range(2500)]
    frames = {
        "bad": XYZ_CASES["NaN"][0],
        "stranger": "2\nsilane\nSi 0 0 0\nH 0 0 1.5\n",
        "good": xyz_frame([("C", 0.0, 0.0, 0.0), ("O", 0.0, 0.0, 1.2)], "fine"),
    }
    path = tmp_path / "many.xyz"
    path.write_text("".join(frames[kind] for kind in kinds))
    summary = molgiae.embed(path, output=tmp_path / "many.h5", model=model_path)
    assert (summary.read, summary.written) == (2500, kinds.count("good"))
    with EmbeddingFile(tmp_path / "many.h5") as file:
        assert file.column("record").tolist() == [k + 1 for k in range(2500) if kinds[k] == "good"]
        assert sorted(r.record for r in file.rejected()) == [k + 1 for k in range(2500) if kinds[k] != "good"]


def test_out_of_domain_conformers_are_counted_and_named(sdf, tmp_path, embedder):
    domain = replace(TINY_DOMAIN, **any_bonds(TINY.elements))
    checkpoint.save(tmp_path / "m.safetensors", embedder.model, domain, {"data": "none"})
    model = tmp_path / "m.safetensors"  # untrained, and gives nothing back
    summary = molgiae.embed(sdf, output=tmp_path / "out.h5", model=model, check=False)
    with EmbeddingFile(tmp_path / "out.h5") as file:
        flags, reasons = file.column("in_domain"), file.column("domain_reason")
    with_chlorine = [any(atom[0] == "Cl" for atom in molecule(k)) for k in range(N_MOLECULES)]
    assert flags.tolist() == [not chlorine for chlorine in with_chlorine]
    reason = "element: Cl is not among H C N O"
    assert reasons.tolist() == [reason if chlorine else "" for chlorine in with_chlorine]
    assert summary.out_of_domain == sum(with_chlorine) > 0
    assert summary.domain_reasons == {reason: sum(with_chlorine)}


# Runs that are cut off


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (signal.SIGKILL, "out.h5"),
        (signal.SIGKILL, "out.xyz"),
        (signal.SIGINT, "out.h5"),
        (signal.SIGTERM, "out.xyz"),
    ],
)
def test_a_run_that_is_cut_off_leaves_no_file_that_looks_complete(how, name, tmp_path):
    """The input stalls after the first of three chunks was computed and written in part."""
    frames = xyz_frame(molecule(0), "x" * 500) * (2 * CHUNK_SIZE // 500)
    command = [
        sys.executable,
        "-c",
        INTERRUPTIBLE,
        "canonicalize",
        "-",
        "-q",
        "-o",
        str(tmp_path / name),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdin
            process.stdin.write(frames.encode())
            process.stdin.flush()
            wait_for(lambda: sum(path.stat().st_size for path in tmp_path.iterdir()) > 100_000)
            process.send_signal(how)
            error = process.communicate(timeout=60)[1].decode()
        finally:
            process.kill()
    left = [path.name for path in tmp_path.iterdir()]
    if how == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        assert len(left) == 1 and left[0].startswith(f".{name}.part")
    else:
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[how]
        assert left == []
        assert error.strip() == "molgiae: interrupted; unfinished outputs were removed"


def test_reasons_are_counted_by_kind_in_bounded_memory(monkeypatch):
    monkeypatch.setattr("molgiae.commands.outcomes.MAX_REASONS", 2)
    reasons = Reasons()
    for reason in (
        "line 4: bad",
        "atom 1 lost",
        "line 5: bad",
        "unlike",
        "other",
        "atom 2 lost",
        "line 6: bad",
    ):
        reasons.add([reason])
    assert reasons.most_common() == {"line 4: bad": 3, "atom 1 lost": 2, "other reasons": 2}
