"""Conformers onto a reference: copies exactly, others as well as Kabsch can, strangers rejected."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import molgiae
from molgiae.commands.align import References, align_block
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.readers import read_conformers
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching.molecules import hill
from tests.conformers import conformer, mirrored, moved, random_conformer
from tests.data.molfiles import SYMBOL, sdf_record, xyz_frame
from tests.model.test_embedder import SPECIAL

REFERENCE = random_conformer(11, 0)


def atoms_of(c: Conformer) -> list[tuple[str, float, float, float]]:
    return [(SYMBOL[z], *row) for z, row in zip(c.atomic_number.tolist(), c.position.tolist(), strict=True)]


def write_xyz(path: Path, *conformers: Conformer) -> Path:
    path.write_text("".join(xyz_frame(atoms_of(c), c.title) for c in conformers))
    return path


def aligned(reference, *conformers, **options):
    return align_block(References(reference), ConformerBlock.of(conformers), **options)


def assert_stored_motion_leads_back(result) -> None:
    for m, c in enumerate(result.block):
        atoms = slice(result.block.offset[m], result.block.offset[m + 1])
        back = result["aligned_position"][atoms] @ result["rotation"][m].T + result["translation"][m]
        assert_allclose(c.position[result["permutation"][atoms]], back, atol=1e-9)
        assert_allclose(np.linalg.det(result["rotation"][m]), 1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 11, 40])
def test_copies_are_found_from_the_group_actions_alone(n):
    reference = random_conformer(n, n)
    result = aligned(reference, *(moved(reference, seed) for seed in range(5)))
    assert result["rmsd_group_action"].max() < 1e-6
    assert result["rmsd"].max() < 1e-6
    assert result["rmsd_before"].min() > 0.5
    for m in range(5):
        assert_allclose(result["aligned_position"][m * n : (m + 1) * n], reference.position, atol=1e-5)
    assert_stored_motion_leads_back(result)


@pytest.mark.parametrize("reference", SPECIAL)
def test_copies_of_symmetric_conformers_are_found(reference):
    result = aligned(reference, *(moved(reference, seed) for seed in range(5)))
    assert result["rmsd"].max() < 1e-6
    assert result["rmsd_group_action"].max() < 1e-6
    assert_stored_motion_leads_back(result)


def test_noisy_copies_are_aligned_to_within_the_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, REFERENCE.position.shape)
    noisy = Conformer(REFERENCE.atomic_number, REFERENCE.position + noise)
    result = aligned(REFERENCE, moved(noisy, 1))
    assert result["rmsd"][0] <= np.sqrt(np.square(noise).sum(axis=1).mean())
    assert_stored_motion_leads_back(result)


def test_a_mirror_image_is_not_taken_for_a_copy():
    result = aligned(REFERENCE, moved(mirrored(REFERENCE), 1), moved(REFERENCE, 2))
    assert result["rmsd"][0] > 0.1 > result["rmsd"][1]


def test_other_formulas_are_rejected_with_both_named():
    water = SPECIAL[0]
    result = aligned(water, SPECIAL[1], moved(water, 0))
    assert len(result) == 1
    assert [r.reason for r in result.block.rejected] == [
        "formula CH4 differs from that of the reference, H2O"
    ]


def test_formulas_are_in_the_order_of_hill():
    assert hill(conformer([8, 1, 6, 1, 17, 35, 6], np.zeros((7, 3)))) == "C2H2BrClO"
    assert hill(conformer([1, 17], np.zeros((2, 3)))) == "ClH"
    assert hill(conformer([8, 1, 1], np.zeros((3, 3)))) == "H2O"


def test_sdf_output_has_the_order_and_bonds_of_the_reference_frame(tmp_path, model_path):
    """Each bond joins the same elements as before, and lengths are kept."""
    c = conformer([6, 8, 7, 1, 1, 1, 1, 1], random_conformer(8, 5).position, title="one")
    bonds = [(1, 2), (1, 3), (1, 4), (1, 5), (2, 6), (3, 7), (3, 8)]
    copy = moved(c, 3)
    place = [int(np.flatnonzero((copy.atomic_number == z) & near).item())
             for z, near in ((z, np.isclose(np.linalg.norm(copy.position - copy.position.mean(0), axis=1),
                                            np.linalg.norm(x - c.position.mean(0)), atol=1e-9))
                             for z, x in zip(c.atomic_number, c.position, strict=True))]  # fmt: skip
    copied = [(place[a - 1] + 1, place[b - 1] + 1) for a, b in bonds]
    path = tmp_path / "two.sdf"
    path.write_text(
        sdf_record(atoms_of(c), "one", bonds)
        + sdf_record(atoms_of(copy), "two", copied, data=[("key", "value")])
    )
    output = tmp_path / "out.sdf"
    summary = molgiae.align(path, output=output, model=model_path)
    assert (summary.read, summary.written, summary.rejected) == (2, 2, 0)
    assert summary.metrics["rmsd_mean"] < 1e-3 < summary.metrics["rmsd_before_mean"]
    first, second = read_conformers(output)
    assert_array_equal(first.atomic_number, second.atomic_number)
    assert_allclose(first.position, second.position, atol=2e-3)
    assert second.title == "two" and second.properties["key"] == "value"
    assert float(second.properties["molgiae_rmsd"]) < 1e-3 < float(second.properties["molgiae_rmsd_before"])
    found = [
        sorted(map(int, line.split()[:2])) for line in second.text.splitlines()[4 + 8 : 4 + 8 + len(bonds)]
    ]
    assert sorted(found) == sorted(map(sorted, bonds))


def test_hdf5_output_holds_the_motion(tmp_path, model_path):
    path = write_xyz(tmp_path / "a.xyz", REFERENCE, *(moved(REFERENCE, seed) for seed in range(3)))
    molgiae.align(path, output=tmp_path / "out.h5", model=model_path)
    with EmbeddingFile(tmp_path / "out.h5") as file:
        assert file.column("rmsd").max() < 1e-6
        for m in range(4):
            back = file.column("aligned_position", m, m + 1) @ file.column("rotation", m, m + 1)[0].T
            expected = file.column("position", m, m + 1)[file.column("permutation", m, m + 1)]
            assert_allclose(back + file.column("translation", m, m + 1), expected, atol=1e-9)


def test_the_reference_may_come_from_another_file_of_another_format(tmp_path, model_path):
    target = moved(REFERENCE, 9, reach=1.0)
    reference = tmp_path / "reference.sdf"
    reference.write_text(sdf_record(atoms_of(target), "target") + sdf_record(atoms_of(SPECIAL[0]), "ignored"))
    probes = write_xyz(tmp_path / "a.xyz", REFERENCE, moved(REFERENCE, 4))
    molgiae.align(probes, reference=reference, output=tmp_path / "out.xyz", model=model_path, format="xyz")
    for c in read_conformers(tmp_path / "out.xyz"):
        assert_array_equal(c.atomic_number, target.atomic_number)
        assert_allclose(c.position, target.position, atol=1e-3)  # four decimals in the reference


def test_the_reference_may_come_from_hdf5(tmp_path, model_path):
    with Hdf5Writer(tmp_path / "reference.h5", columns=()) as writer:
        writer.append(ConformerBlock.of([REFERENCE, SPECIAL[0]]))
    probes = write_xyz(tmp_path / "a.xyz", moved(REFERENCE, 4))
    molgiae.align(probes, reference=tmp_path / "reference.h5", output=tmp_path / "out.xyz", model=model_path)
    assert_allclose(next(iter(read_conformers(tmp_path / "out.xyz"))).position, REFERENCE.position, atol=1e-5)


def test_standard_input_is_read_once_and_none_of_it_is_lost(tmp_path, model_path, monkeypatch):
    """The reference is the first conformer of the same stream."""
    bad = "3\nbad\nC 0 0 0\n"
    copies = [moved(REFERENCE, seed) for seed in range(4)]
    text = bad + "".join(xyz_frame(atoms_of(c), str(k)) for k, c in enumerate(copies))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    summary = molgiae.align("-", output=tmp_path / "out.xyz", model=model_path)
    assert (summary.read, summary.written, summary.rejected) == (5, 4, 1)
    found = list(read_conformers(tmp_path / "out.xyz"))
    assert [c.properties["title"] for c in found] == ["0", "1", "2", "3"]
    for c in found:
        assert_allclose(c.position, copies[0].position, atol=1e-5)


def test_standard_input_cannot_be_input_and_reference(tmp_path, model_path):
    with pytest.raises(ConfigError, match="read only once"):
        molgiae.align("-", reference="-", output=tmp_path / "out.sdf", model=model_path)


def test_a_bad_reference_is_an_error_not_replaced_by_the_next_record(tmp_path, sdf, model_path):
    reference = tmp_path / "reference.xyz"
    reference.write_text("2\nbroken\nC 0 0 0\nH 0 nan 1\n" + xyz_frame(atoms_of(SPECIAL[0]), "fine"))
    with pytest.raises(
        ConformerError, match=r"reference\.xyz, record 1.*broken.*cannot serve as the reference.*nan"
    ):
        molgiae.align(sdf, reference=reference, output=tmp_path / "out.sdf", model=model_path)
    assert not (tmp_path / "out.sdf").exists()


def test_input_without_any_conformer_is_an_error(tmp_path, model_path):
    path = tmp_path / "bad.xyz"
    path.write_text("2\nbroken\nC 0 0 0\nH 0 nan 1\n")
    with pytest.raises(ConformerError, match=r"bad\.xyz, record 1"):
        molgiae.align(path, output=tmp_path / "out.sdf", model=model_path)


def test_the_output_may_not_be_the_reference(tmp_path, sdf, model_path):
    reference = write_xyz(tmp_path / "r.xyz", SPECIAL[0])
    with pytest.raises(ConfigError, match="is an input"):
        molgiae.align(sdf, reference=reference, output=reference, overwrite=True, model=model_path)


def test_each_is_brought_onto_the_first_of_its_title(tmp_path, model_path):
    """From the input itself, and from a file of references."""
    first, second = random_conformer(6, 1), random_conformer(9, 2)
    titled = [replace(c, title=t) for c, t in ((first, "a"), (second, "b"))]
    moving = [replace(moved(c, k), title=c.title) for k in (1, 2) for c in titled]
    path = write_xyz(tmp_path / "all.xyz", *titled, *moving)
    summary = molgiae.align(path, output=tmp_path / "out.xyz", model=model_path, to="title")
    assert (summary.written, summary.rejected) == (6, 0)
    for k, c in enumerate(read_conformers(tmp_path / "out.xyz")):
        assert_allclose(c.position, titled[k % 2].position, atol=1e-5)
    references = write_xyz(tmp_path / "references.xyz", titled[1])
    summary = molgiae.align(
        write_xyz(tmp_path / "moved.xyz", *moving),
        reference=references, to="title", output=tmp_path / "out.csv", model=model_path,
    )  # fmt: skip
    assert (summary.written, summary.rejected) == (2, 2)
    assert list(summary.reasons) == [f"no conformer of title 'a' in {references}"]


def test_csv_holds_what_leads_back_to_the_input(tmp_path, model_path):
    probe = moved(REFERENCE, 3)
    path = write_xyz(tmp_path / "a.xyz", REFERENCE, probe)
    summary = molgiae.align(path, output=tmp_path / "out.csv", model=model_path)
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["record"] for row in rows] == ["1", "2"]
    assert [row["title"] for row in rows] == [REFERENCE.title, probe.title]
    assert float(rows[1]["rmsd"]) < 1e-6
    assert float(rows[1]["rmsd_before"]) > 0.5
    assert (rows[1]["match"], rows[1]["proven"], rows[1]["reflected"]) == ("atoms", "1", "0")
    rotation, translation = (np.array(rows[1][name].split(), float) for name in ("rotation", "translation"))
    order = np.array(rows[1]["permutation"].split(), int)
    back = REFERENCE.position @ rotation.reshape(3, 3).T + translation
    assert_allclose(probe.position[order], back, atol=1e-5)
    assert summary.notes == ["matched 2 by atoms; 2 of 2 proven to be the least RMSD"]


def test_a_mirror_image_is_reflected_on_request_and_the_motion_leads_to_its_mirror_image():
    image = moved(mirrored(REFERENCE), 1)
    result = aligned(REFERENCE, image, allow_reflection=True)
    assert result["rmsd"][0] < 1e-6
    assert result["reflected"].tolist() == [1]
    back = result["aligned_position"] @ result["rotation"][0].T + result["translation"][0]
    assert_allclose(-image.position[result["permutation"]], back, atol=1e-6)
    assert_allclose(result["aligned_position"], REFERENCE.position, atol=1e-6)


def test_bonds_decide_where_records_have_them(tmp_path, model_path):
    """Two chains of the same atoms in space, bonded in another order: rejected by bonds, matched by atoms."""
    c = conformer([6, 6, 6, 6, 8], random_conformer(5, 5).position)
    path = tmp_path / "two.sdf"
    path.write_text(
        sdf_record(atoms_of(c), "chain", [(1, 2), (2, 3), (3, 4), (4, 5)])
        + sdf_record(atoms_of(c), "star", [(1, 2), (1, 3), (1, 4), (1, 5)])
    )
    by_bonds = molgiae.align(path, output=tmp_path / "bonds.csv", model=model_path)
    assert (by_bonds.written, list(by_bonds.reasons)) == (1, ["the bond graphs differ"])
    by_atoms = molgiae.align(path, output=tmp_path / "atoms.csv", model=model_path, match="atoms")
    assert by_atoms.written == 2


def test_unknown_ways_are_errors(tmp_path, sdf, model_path):
    with pytest.raises(ConfigError, match="to 'last' is unknown"):
        molgiae.align(sdf, output=tmp_path / "out.sdf", model=model_path, to="last")


def test_elements_the_model_does_not_know_are_aligned():
    c = random_conformer(8, 3, elements=(26, 78, 53))
    result = aligned(c, moved(c, 1))
    assert result["rmsd"][0] < 1e-6
