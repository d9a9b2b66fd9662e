"""Data of atoms and vectors follow the atoms, or are left out by name."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

import molgiae
from molgiae.data.attached import Motion, moved_atom_data, moved_properties
from molgiae.data.conformer import Conformer
from molgiae.data.readers import read_conformers
from molgiae.data.writers import StructureWriter

N = 5
RNG = np.random.default_rng(0)
PLACES = RNG.normal(0, 2, (N, 3))
ORDER = RNG.permutation(N)
TURN = Rotation.random(random_state=0).as_matrix()


def numbers(text: str) -> np.ndarray:
    return np.array(text.replace("[", " ").replace("]", " ").replace(",", " ").split(), float)


def words(values: np.ndarray) -> str:
    return " ".join(f"{value:.10f}" for value in np.ravel(values))


@pytest.mark.parametrize("rotation", [TURN, -TURN], ids=["proper", "mirrored"])
def test_what_is_made_of_coordinates_moves_as_they_do(rotation):
    """Quantities that are functions of the coordinates: those of the moved conformer are the moved ones."""
    charge = np.arange(N) - 2.0

    def quantities(x: np.ndarray, q: np.ndarray) -> tuple[dict[str, str], dict[str, np.ndarray]]:
        dipole, tensor = q @ x, (q[:, None] * x).T @ x
        voigt = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        spin = (
            np.cross(x, x[::-1] * q[:, None]).sum(axis=0)
            if False
            else np.cross(dipole, q @ x**1 * 0 + tensor @ dipole)
        )
        properties = {
            "dipole": words(dipole),
            "REF_dipole_moment": f"[{', '.join(words(dipole).split())}]",
            "polarizability": words(tensor),
            "stress": words(voigt),
            "magmom": words(spin),
            "energy": "-1.5",
            "atom.dprop.Charge": words(q),
            "forces": "\n".join(words(row) for row in x * q[:, None]),
            "mulliken_charges": words(q),
        }
        return properties, {
            "forces": x * q[:, None],
            "q": q,
            "virials": (x[:, :, None] * x[:, None]).reshape(N, 9),
        }

    before, data = quantities(PLACES, charge)
    after, data_after = quantities(PLACES[ORDER] @ rotation.T, charge[ORDER])
    motion = Motion(ORDER, rotation)
    found, dropped = moved_properties(before, motion)
    assert not dropped
    for key, text in after.items():
        assert_allclose(numbers(found[key]), numbers(text), atol=1e-7, err_msg=key)
    moved, dropped = moved_atom_data(data, motion)
    assert not dropped
    for key, values in data_after.items():
        assert_allclose(moved[key], values, atol=1e-9, err_msg=key)


def test_what_cannot_be_known_is_left_out_and_named():
    given = {
        "odd": "1.5 2.5 3.5",
        "grid": "1 2 3",
        "rotational constants": "1.5 2.5 3.5",
        "list": "1 2 3 4 5.0",
    }
    given |= {
        "bond.dprop.length": "1 2 3 4",
        "atom.dprop.q": "1 2 3",
        "origin": "0.0 0.0 1.0",
        "smiles": "CCO",
        "version": "1.2.3.4",
        "time": "10:11:12.5",
    }
    found, dropped = moved_properties(given, Motion(ORDER, TURN))
    assert sorted(dropped) == ["atom.dprop.q", "bond.dprop.length", "list", "odd", "origin"]
    assert found == {key: given[key] for key in ("grid", "rotational constants", "smiles", "version", "time")}
    data = {"odd": np.ones((N, 3)), "mask": np.ones((N, 3), bool), "name": np.array(list("abcde"))}
    found_data, dropped = moved_atom_data(data, Motion(ORDER, TURN))
    assert sorted(dropped) == ["mask", "odd"]
    assert_array_equal(found_data["name"], data["name"][ORDER])


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 9])
def test_no_named_vector_is_kept_in_the_old_pose(n):
    """Components, numbers between words, several vectors and a vector with its length: none is written as it was."""
    given = {
        "dipole_x": "1.25",
        "fy": "0.5",
        "virial xy": "3.5",
        "dipole": "x=1.0 y=2.0 z=3.0",
        "mu": "1.0 nan 2.0 D",
        "dipole_total": "1.0 2.0 2.0 3.0",
        "transition_dipoles": words(RNG.normal(size=(n + 5, 3))),
    }
    given_kept = {"mu_reference": "B3LYP/6-31G(d,p)", "dipole_norm": "1.5", "gap_x": "1.0", "vector": "fx"}
    motion = Motion(np.roll(np.arange(n), 1), TURN)
    found, dropped = moved_properties(given | given_kept, motion)
    assert (found, sorted(dropped)) == (given_kept, sorted(given))
    data = {"forces_x": np.arange(n) + 0.5, "vz": np.arange(n) + 0.5}
    assert moved_atom_data(data, motion) == ({}, ["forces_x", "vz"])


@pytest.mark.parametrize("n", [2, 4, 6, 9])
def test_one_spin_for_each_atom_follows_its_atom(n):
    found, dropped = moved_properties(
        {"magmoms": words(np.arange(n))}, Motion(np.roll(np.arange(n), 1), TURN)
    )
    assert not dropped
    assert_array_equal(numbers(found["magmoms"]), np.roll(np.arange(n), 1))


def test_three_spins_of_three_atoms_may_be_one_vector():
    _, dropped = moved_properties({"magmoms": "1.0 0.0 -1.0"}, Motion(np.array([2, 0, 1]), TURN))
    assert dropped == ["magmoms"]


def test_nothing_changes_where_nothing_moves():
    given = {"odd": "1.5 2.5 3.5", "forces": words(PLACES), "atom.dprop.q": "0.5  1 2 3 4", "origin": "0 0 1"}
    found, dropped = moved_properties(given, Motion(np.arange(N)))
    assert (found, dropped) == (given, [])


def test_lists_of_bonds_are_left_out_where_bonds_are_sorted():
    given = {"bond.dprop.length": "1 2 3 4", "atom.dprop.q": "0.5  1 2 3 4"}
    _, dropped = moved_properties(given, Motion(np.arange(N), sorts_bonds=True))
    assert dropped == ["bond.dprop.length"]


def test_items_of_pubchem_name_the_same_atoms():
    place = np.argsort(ORDER) + 1
    given = {
        "PUBCHEM_MMFF94_PARTIAL_CHARGES": "3\n1 0.5\n3 -0.5\n5 0.25",
        "PUBCHEM_PHARMACOPHORE_FEATURES": "2\n3 1 2 3 rings\n1 5 donor",
    }
    found, _ = moved_properties(given, Motion(ORDER, TURN))
    charges = dict(line.split() for line in found["PUBCHEM_MMFF94_PARTIAL_CHARGES"].split("\n")[1:])
    assert charges == {str(place[0]): "0.5", str(place[2]): "-0.5", str(place[4]): "0.25"}
    lines = [line.split() for line in found["PUBCHEM_PHARMACOPHORE_FEATURES"].split("\n")[1:]]
    features = {line[-1]: {int(word) for word in line[1:-1]} for line in lines}
    assert features == {"rings": set(place[:3].tolist()), "donor": {int(place[4])}}


def test_forces_and_dipole_through_canonicalize_and_align(tmp_path):
    """Forces along the bonds stay along the bonds, whatever command moved them."""
    q = np.array([0.5, -0.5, 0.25, -0.25, 0.0])
    cs = []
    for k in range(4):
        order = np.random.default_rng(k).permutation(N)
        x = (PLACES @ Rotation.random(random_state=k).as_matrix().T)[order]
        forces = x - x.mean(axis=0)
        cs.append(
            Conformer(
                np.array([1, 6, 7, 8, 9], np.uint8)[order],
                x,
                properties={"dipole": words(q[order] @ x)},
                atom_data={"forces": forces, "charge": q[order], "odd": forces},
            )
        )
    with StructureWriter(tmp_path / "a.xyz") as writer:
        for c in cs:
            writer.write(c)
    summaries = [
        molgiae.canonicalize(tmp_path / "a.xyz", output=tmp_path / "b.xyz", model="qm9"),
        molgiae.align(tmp_path / "a.xyz", output=tmp_path / "c.xyz", model="qm9"),
        molgiae.align(tmp_path / "a.xyz", output=tmp_path / "d.sdf", model="qm9", allow_reflection=True),
    ]
    assert all(any("odd (4)" in note for note in summary.notes) for summary in summaries)
    for name in ("b.xyz", "c.xyz"):
        for c in read_conformers(tmp_path / name):
            assert_allclose(c.atom_data["forces"], c.position - c.position.mean(axis=0), atol=1e-7)
            assert_allclose(numbers(c.properties["dipole"]), c.atom_data["charge"] @ c.position, atol=1e-7)
    for c in read_conformers(tmp_path / "d.sdf"):
        forces = numbers(c.properties["forces"]).reshape(N, 3)
        assert_allclose(forces, c.position - c.position.mean(axis=0), atol=2e-4)
        assert_allclose(
            numbers(c.properties["dipole"]),
            numbers(c.properties["atom.dprop.charge"]) @ c.position,
            atol=2e-4,
        )


def test_further_columns_must_be_of_their_kind(tmp_path):
    (tmp_path / "a.xyz").write_text("1\nProperties=species:S:1:pos:R:3:q:R:1\nH 0 0 0 x\n")
    rejected: list = []
    assert not list(read_conformers(tmp_path / "a.xyz", on_error="skip", rejected=rejected))
    assert "column q" in rejected[0].reason


def test_the_cell_turns_with_the_atoms(tmp_path):
    """Where a neighbour stands in the next cell, in units of the cell, is the same before and after."""
    cell = np.array([[9.0, 0, 0], [1, 8, 0], [0.5, 0.25, 7]])
    c = Conformer(
        np.array([1, 6, 7, 8, 9], np.uint8),
        PLACES,
        properties={"Lattice": words(cell), "pbc": "T T F", "Origin": "0 0 1"},
    )
    with StructureWriter(tmp_path / "a.xyz") as writer:
        writer.write(c)
    summary = molgiae.canonicalize(tmp_path / "a.xyz", output=tmp_path / "b.xyz", model="qm9")
    assert any("Origin (1)" in note for note in summary.notes)
    before, after = (ase.io.read(tmp_path / name, format="extxyz") for name in ("a.xyz", "b.xyz"))
    assert_array_equal(after.pbc, [True, True, False])
    order = [before.numbers.tolist().index(z) for z in after.numbers]
    shift = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)[order]
    assert_allclose(shift, shift[:1].repeat(5, 0), atol=1e-6)


def test_what_vanishes_by_symmetry_is_written_as_zero():
    turn = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    found, _ = moved_properties({"dipole": "0.0 0.0 1.5", "forces": "1.5 0 0"}, Motion(np.arange(2), turn))
    assert found == {"dipole": "0 0 1.5", "forces": "0 1.5 0"}
