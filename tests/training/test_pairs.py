"""RMSDs of the pairs that pretraining learns from, against all matchings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.training import pairs as pairs_module
from molgiae.training.pairs import TURNED, conformer_pairs, draw_pairs
from tests.conformers import conformer, moved, random_conformer
from tests.matching.enumeration import isomorphisms, least_rmsd

GEOMETRIES = {
    "water": ([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    "peroxide": ([8, 8, 1, 1], [[0, 0, 0.73], [0, 0, -0.73], [0.9, 0.3, 0.95], [-0.5, 0.8, -0.95]]),
    "methanol": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.5, 0.9],
                                      [-0.4, -0.5, -0.9], [1.7, 0.6, 0.7]]),
    "methanol turned": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.5, 0.9],
                                              [-0.4, -0.5, -0.9], [1.7, -0.9, 0.3]]),
    "methanol of another graph": ([6, 8, 1, 1, 1, 1], [[0, 0, 0], [1.4, 0, 0], [-0.4, 1, 0], [-0.4, -0.8, 0.5],
                                                       [1.7, -0.5, -0.8], [1.7, 0.6, 0.7]]),
}  # fmt: skip
"""Which are conformers of which, the first word of the name says; bonds do not always agree."""


def block() -> ConformerBlock:
    """Four of each, displaced, in any pose and order."""
    rng = np.random.default_rng(0)
    made = []
    for name, (z, position) in GEOMETRIES.items():
        for seed in range(4):
            shifted = np.array(position) + 0.05 * rng.normal(size=(len(z), 3))
            copy = moved(conformer(z, shifted), seed)
            made.append(Conformer(copy.atomic_number, copy.position, title=name.split()[0]))
    return ConformerBlock.of(made)


@pytest.mark.parametrize("chunk", [5, 1000])
def test_their_rmsds_are_the_least_of_all_matchings(chunk, monkeypatch):
    monkeypatch.setattr(pairs_module, "CHUNK", chunk)
    found = conformer_pairs(block(), 0, None, False)
    size = len(found.block)
    kinds = {name for name, _ in map(kind_of, found.block)}
    assert kinds == {"water", "peroxide", "methanol"}
    drawn = [(a, b) for a, b in found.ends.tolist() if a != b % size]
    for mirrored in (False, True):
        assert len([b for _, b in drawn if (b >= size) is mirrored]) > 15
    for (a, b), rmsd in zip(found.ends.tolist(), found.rmsd, strict=True):
        x, y = found.block[a], found.block[b % size]
        assert kind_of(x) == kind_of(y), "of one molecule, with the same bonds"
        bonds = [perceived_bonds(c.atomic_number, c.position).tolist() for c in (x, y)]
        maps = isomorphisms(x.atomic_number, bonds[0], y.atomic_number, bonds[1])
        sign = -1 if b >= size else 1
        assert_allclose(rmsd, least_rmsd(x.position, sign * y.position, maps), atol=1e-6)


def kind_of(c: Conformer) -> tuple[str, tuple[int, ...]]:
    """The title and how many bonds atoms of each element have."""
    bonds = perceived_bonds(c.atomic_number, c.position)
    degree = np.bincount(bonds.ravel(), minlength=len(c))
    return c.title, tuple(sorted((10 * c.atomic_number.astype(int) + degree).tolist()))


def test_every_conformer_meets_its_mirror_image():
    found = conformer_pairs(block(), 0, None, False)
    size = len(found.block)
    own = found.ends[found.ends[:, 0] == found.ends[:, 1] - size, 0]
    assert_array_equal(np.sort(own[own < len(block())]), np.arange(len(block())))
    assert found.ends.max() < 2 * size and found.ends[:, 0].max() < size, "one of the two is as it was"


def methanol(angle: float = 0.0, title: str = "methanol") -> Conformer:
    """Its own mirror image where the methyl group is at 0 degrees."""
    turn = np.radians(angle + np.array([0.0, 120.0, 240.0]))
    methyl = np.stack([np.full(3, -0.36), 1.03 * np.cos(turn), 1.03 * np.sin(turn)], axis=1)
    rest = [[0.0, 0.0, 0.0], [1.42, 0.0, 0.0], [1.74, 0.9, 0.0]]
    return conformer([6, 8, 1, 1, 1, 1], np.concatenate([rest, methyl]), title=title)


def test_methyl_groups_of_what_equals_its_mirror_image_are_turned(tmp_path):
    """Copies differ from the conformer by the angle of the group alone, and are mirrored like others."""
    file = tmp_path / "pairs.npz"
    chiral = random_conformer(7, 3)
    water = conformer(*GEOMETRIES["water"], title="water")
    conformers = ConformerBlock.of([chiral, methanol(), water])
    found = conformer_pairs(conformers, 0, file, False)
    copies = [found.block[m] for m in range(3, len(found.block)) if found.block[m].title == "methanol"]
    assert len(copies) == TURNED
    assert_allclose([c.position[:3] for c in copies], [methanol().position[:3]] * TURNED)
    lengths = [np.linalg.norm(c.position[3:] - c.position[0], axis=1) for c in copies]
    assert_allclose(lengths, np.linalg.norm(methanol().position[3:], axis=1)[None].repeat(TURNED, 0))
    assert_allclose([c.position[3:, 0] for c in copies], -0.36, atol=1e-9)
    angles = {round(float(np.arctan2(*c.position[3, [2, 1]])), 6) for c in copies}
    assert len(angles) == TURNED
    size = len(found.block)
    apart = {
        int(a): float(rmsd)
        for (a, b), rmsd in zip(found.ends.tolist(), found.rmsd, strict=True)
        if b - size == a and found.block[int(a)].title == "methanol"
    }
    assert len(apart) == 1 + TURNED and apart[1] < 1e-6 and max(apart.values()) > 0.15
    for m, rmsd in apart.items():
        angle = np.arctan2(*found.block[m].position[3, [2, 1]])
        half = ((6 * angle + np.pi) % (2 * np.pi) - np.pi) / 6  # of the turn to the nearest third
        expected = 2 * 1.03 * abs(np.sin(half)) * 0.5**0.5
        assert rmsd <= expected + 1e-6, "superposition can only bring them nearer"


def test_what_has_no_methyl_group_or_is_chiral_is_not_copied():
    """Or without purpose: copies of it without a turned group teach nothing."""
    chiral, water = random_conformer(7, 3), conformer(*GEOMETRIES["water"], title="water")
    found = conformer_pairs(ConformerBlock.of([chiral, water]), 0, None, False)
    used = np.unique(found.ends % len(found.block))
    assert used.tolist() == [0, 1]


def test_a_run_that_is_resumed_finds_the_pairs_it_had(tmp_path):
    file = tmp_path / "pairs.npz"
    conformers = ConformerBlock.of([methanol(), methanol(title="other"), *block()])
    first = conformer_pairs(conformers, 0, file, False)
    again = conformer_pairs(conformers, 5, file, False)
    assert_array_equal(again.ends, first.ends)
    assert_array_equal(again.rmsd, first.rmsd)
    assert_array_equal(again.block.position, first.block.position)
    assert again.block.title == first.block.title
    other = conformer_pairs(conformers, 5, None, False)
    assert not np.array_equal(other.block.position, first.block.position)


def test_the_rmsd_of_a_mirrored_pair_is_that_of_the_mirror_image():
    """A chiral conformer twice: nothing is between the two, much between it and its mirror image."""
    chiral = random_conformer(9, seed=3)
    found = conformer_pairs(ConformerBlock.of([chiral, chiral]), 0, None, False)
    pairs = {tuple(ends): rmsd for ends, rmsd in zip(found.ends.tolist(), found.rmsd, strict=True)}
    assert set(pairs) == {(0, 1), (0, 3), (0, 2), (1, 3)}
    assert pairs[0, 1] < 1e-6
    assert all(pairs[a, 2 + b] > 0.1 for a in (0, 1) for b in (0, 1) if (a, 2 + b) in pairs)


def test_pairs_are_drawn_once_and_of_equal_keys():
    rng = np.random.default_rng(0)
    keys = ["a"] * 30 + ["b"] * 2 + ["c"]
    found = draw_pairs(keys, 1000, 20, rng)
    assert len({tuple(pair) for pair in found.tolist()}) == len(found) == 21
    assert all(keys[a] == keys[b] and a < b for a, b in found.tolist())
    assert len(draw_pairs(keys, 10, 20, rng)) == 10
    assert draw_pairs(["a", "b"], 10, None, rng).shape == (0, 2)
    many = draw_pairs(["a"] * 200, 100, None, rng)
    assert len(many) == 100 and many[:, 0].max() > 100, "from the whole of a group, not from its beginning"
