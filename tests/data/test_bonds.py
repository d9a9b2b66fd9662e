"""Bonds of records in both formats, and from distances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase.build import molecule as g2
from scipy.spatial.transform import Rotation

from molgiae.data.bonds import (
    BOND_LENGTH_FACTOR,
    SURE_FACTOR,
    perceived_bonds,
    perceived_bonds_of_block,
)
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.near_atoms import nearest
from molgiae.data.readers import read_conformers
from tests.data.molfiles import molecule, sdf_record, v3000_record, xyz_frame

ATOMS = molecule(1)
CHAIN = [[k, k + 1] for k in range(len(ATOMS) - 1)]


@pytest.mark.parametrize("record", [sdf_record(ATOMS, "a"), v3000_record(ATOMS, "a")])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_bonds_of_both_formats(tmp_path, record, newline):
    path = tmp_path / "a.sdf"
    path.write_bytes(record.replace("\n", newline).encode())
    assert next(iter(read_conformers(path))).bonds.tolist() == CHAIN


def test_bonds_are_sorted_and_none_is_there_twice(tmp_path):
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(ATOMS, "a", [(5, 2), (2, 1), (1, 2)]))
    assert next(iter(read_conformers(path))).bonds.tolist() == [[0, 1], [1, 4]]


def test_labels_of_v3000_need_not_be_numbers_in_order(tmp_path):
    text = v3000_record(ATOMS[:3], "a")
    text = text.replace("M  V30 1 C", "M  V30 7 C").replace("V30 1 1 1 2", "V30 1 1 7 2")
    path = tmp_path / "a.sdf"
    path.write_text(text)
    assert next(iter(read_conformers(path))).bonds.tolist() == [[0, 1], [1, 2]]


def test_a_table_without_a_version_stamp_keeps_its_bonds(tmp_path):
    """CONCORD and GaussView leave the stamp out."""
    path = tmp_path / "a.sdf"
    path.write_text(sdf_record(ATOMS, "a").replace(" V2000", ""))
    assert next(iter(read_conformers(path))).bonds.tolist() == CHAIN


@pytest.mark.parametrize("size", [1, 30])
def test_bonds_of_many_records_are_those_of_each(tmp_path, size):
    rng = np.random.default_rng(size)
    path = tmp_path / "a.sdf"
    expected, records = [], []
    for k in range(size):
        atoms = molecule(k)
        pairs = rng.integers(1, len(atoms) + 1, (rng.integers(0, 12), 2))
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        expected.append(sorted({tuple(sorted(pair)) for pair in (pairs - 1).tolist()}))
        text = sdf_record(atoms, "a", [tuple(pair) for pair in pairs.tolist()])
        records.append(text.replace(" V2000", "") if k % 5 == 2 else text)
    path.write_text("".join(records))
    assert [[tuple(b) for b in c.bonds.tolist()] for c in read_conformers(path)] == expected


def test_a_record_without_a_table_has_none(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(xyz_frame(ATOMS, "a"))
    assert not len(next(iter(read_conformers(path))).bonds)


BONDS_OF_G2 = {
    "H2": 1, "F2": 1, "N2": 1, "H2O": 2, "CH4": 4, "C6H6": 12, "CH3CH2OCH3": 11, "SiH4": 4, "cyclobutane": 12,
    "bicyclobutane": 11, "C60": 90, "LiF": 1, "NaCl": 1, "PH3": 3, "Cl2": 1,
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), BONDS_OF_G2.items())
def test_bonds_from_distances(name, number):
    atoms = g2(name)
    bonds = perceived_bonds(atoms.numbers, atoms.positions)
    assert len(bonds) == number
    assert (bonds[:, 0] < bonds[:, 1]).all()


def test_atoms_far_apart_and_single_atoms_have_no_bonds():
    assert perceived_bonds(np.array([6]), np.zeros((1, 3))).shape == (0, 2)
    assert perceived_bonds(np.array([6, 6]), np.array([[0.0, 0, 0], [3.0, 0, 0]])).shape == (0, 2)


def posed(pos, seed, decimals=None):
    turned = Rotation.random(random_state=seed).apply(pos)
    return turned if decimals is None else turned.round(decimals)


@pytest.mark.parametrize("factor", [BOND_LENGTH_FACTOR, SURE_FACTOR])
@pytest.mark.parametrize("decimals", [3, 4, 6, None])
def test_bonds_that_a_symmetry_exchanges_are_all_there_or_none(factor, decimals):
    """Silicon, for whose partners only the factors decide; in every pose at lengths about each limit."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
    z = np.array([14, 17, 17, 17, 17])
    limit = factor * (1.11 + 1.02)
    for step, seed in itertools.product(np.linspace(-2e-3, 2e-3, 9), range(5)):
        pos = posed(np.vstack([np.zeros(3), (limit + step) * corners]), seed, decimals)
        assert len(perceived_bonds(z, pos)) in (0, 4)


@pytest.mark.parametrize("length", np.arange(1.05, 1.7, 0.02).round(2))
def test_a_stretched_bond_of_hydrogen_stays(length):
    atoms = g2("isobutane")
    bonds = perceived_bonds(atoms.numbers, atoms.positions)
    for hydrogen in np.flatnonzero(atoms.numbers == 1).tolist():
        carbon = int(bonds[(bonds == hydrogen).any(axis=1)].min())
        pos = atoms.positions.copy()
        along = pos[hydrogen] - pos[carbon]
        pos[hydrogen] = pos[carbon] + length * along / np.linalg.norm(along)
        assert np.array_equal(perceived_bonds(atoms.numbers, pos), bonds)


def cage(with_hydrogens):
    """Bicyclo[1.1.1]pentane, 1.87 angstrom between the bridgeheads; propellane at that length without hydrogens."""
    turns = np.arange(3) * 2 * np.pi / 3
    around = np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    up = np.array([0.0, 0.0, 1.0])
    heads, bridges = np.array([0.935 * up, -0.935 * up]), 1.21 * around
    outer = np.vstack([1.82 * around + 0.91 * up, 1.82 * around - 0.91 * up])
    ends = np.array([2.03 * up, -2.03 * up])
    pos = np.vstack([heads, bridges, outer, *([ends] if with_hydrogens else [])])
    return np.array([6] * 5 + [1] * (len(pos) - 5)), pos


def test_a_carbon_with_four_neighbours_has_no_long_bond():
    z, pos = cage(with_hydrogens=True)
    assert len(perceived_bonds(z, pos)) == 14
    z, pos = cage(with_hydrogens=False)
    assert [0, 1] in perceived_bonds(z, pos).tolist()


@pytest.mark.parametrize("pair", [(6, 6), (9, 9), (14, 17), (6, 35), (11, 17)])
def test_two_atoms_are_bonded_up_to_1_3_times_their_radii(pair):
    """On both sides of the limit, to the second decimal."""
    radii = sum(COVALENT_RADIUS[z] for z in pair)
    for factor, number in ((1.29, 1), (1.31, 0)):
        pos = np.array([[0.0, 0, 0], [0.0, factor * radii, 0]])
        assert len(perceived_bonds(np.array(pair), pos)) == number


@pytest.mark.parametrize(("noise", "scale"), [(0.0, 1.0), (0.3, 1.0), (0.0, 1.3), (0.1, 4.0)])
def test_a_block_has_the_bonds_of_its_conformers(noise, scale):
    rng = np.random.default_rng(0)
    atoms = [g2(name) for name in ("cyclobutane", "H", "CF4", "bicyclobutane", "LiF", "isobutane", "SiH4")]
    poses = [scale * (a.positions + noise * rng.normal(size=a.positions.shape)) for a in atoms]
    offset = np.cumsum([0, *map(len, atoms)])
    z, pos = np.concatenate([a.numbers for a in atoms]), np.concatenate(poses)
    bonds, margin = perceived_bonds_of_block(z, pos, offset)
    one_by_one = [
        perceived_bonds(a.numbers, x) + start for a, x, start in zip(atoms, poses, offset, strict=False)
    ]
    assert np.array_equal(bonds, np.concatenate(one_by_one))
    for m, (a, x) in enumerate(zip(atoms, poses, strict=True)):
        alone = perceived_bonds_of_block(a.numbers, x, np.array([0, len(a)]))[1]
        assert margin[m] == alone


@pytest.mark.parametrize("length", [0.74, 3.0, 50.0])
def test_the_margin_is_the_distance_to_the_limit(length):
    z, pos = np.array([1, 1, 1]), np.array([[0.0, 0, 0], [0, 0, length], [5.0, 5, 5]])
    margin = perceived_bonds_of_block(z, pos, np.array([0, 2, 3]))[1]
    assert margin[0] == pytest.approx(abs(length - BOND_LENGTH_FACTOR * 0.62))
    assert margin[1] == np.inf


@pytest.mark.parametrize("count", [1, 4])
def test_nearest_atoms_are_those_of_all_distances(count: int) -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([1, 2, 3, 30, 1, 17])
    offset = np.append(0, np.cumsum(sizes))
    pos = rng.normal(0, 3, (offset[-1], 3))
    distance, atom = nearest(pos, offset, count)
    for start, stop in itertools.pairwise(offset):
        every = np.linalg.norm(pos[start:stop, None] - pos[None, start:stop], axis=2)
        np.fill_diagonal(every, np.inf)
        known = min(count, stop - start - 1)
        np.testing.assert_allclose(
            distance[start:stop, :known], np.sort(every, axis=1)[:, :known], rtol=1e-14
        )
        np.testing.assert_array_equal(atom[start:stop, :known] - start, np.argsort(every, axis=1)[:, :known])
        assert np.isinf(distance[start:stop, known:]).all()
        np.testing.assert_array_equal(
            atom[start:stop, known:], np.arange(start, stop)[:, None].repeat(count - known, 1)
        )
