"""No molecule, and no scaffold, on both sides of a split."""

from __future__ import annotations

import numpy as np
import pytest

from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.properties.splitting import make_split, molecule_numbers, scaffold_numbers
from tests.properties.labelled import chain, labelled_of

SIZES = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]


def numbers_of(*conformers) -> list[int]:
    return molecule_numbers(ConformerBlock.of(conformers)).tolist()


def test_untitled_conformers_go_by_bond_graph():
    assert numbers_of(chain(5), chain(5, seed=1), chain(5, z=8), chain(6), chain(5, z=8, seed=3)) == [
        0,
        0,
        1,
        2,
        1,
    ]


def test_titles_and_graphs_both_bind():
    """Frames of a trajectory have titles of their own; a reaction changes the graph under one title."""
    assert numbers_of(chain(5, "frame 1"), chain(5, "frame 2", seed=1)) == [0, 0]
    broken = chain(5, "a")
    stretched = type(broken)(broken.atomic_number, broken.position * 2, title="a")
    assert numbers_of(broken, stretched, chain(5, "b", z=8)) == [0, 0, 1]
    assert numbers_of(broken, chain(5, "c", seed=2), stretched) == [0, 0, 0]


def test_a_title_of_unlike_molecules_names_nothing():
    assert numbers_of(chain(5, "mol"), chain(6, "mol"), chain(7, "mol"), chain(6, "mol", seed=1)) == [
        0,
        1,
        2,
        1,
    ]


def test_no_conformers_no_molecules():
    assert numbers_of() == []
    assert scaffold_numbers(ConformerBlock.of([])).tolist() == []


def test_scaffolds_are_rings_without_what_hangs_on_them():
    conformers = [
        chain(6, ring=True),
        chain(6, ring=True, tail=3, seed=1),
        chain(6, z=7, ring=True),
        chain(5, ring=True, tail=1),
        chain(9),
        chain(4),
    ]
    assert scaffold_numbers(ConformerBlock.of(conformers)).tolist() == [0, 0, 1, 2, 3, 3]


def many(copies: int = 5) -> list:
    return [chain(n, f"m{n}{z}", z=z, seed=k) for n in SIZES for z in (6, 7, 8) for k in range(copies)]


@pytest.mark.parametrize("seed", range(5))
def test_conformers_of_a_molecule_stay_together(seed):
    labelled = labelled_of(many())
    split = make_split(labelled, seed=seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(len(labelled)))
    sides = [set(molecule_numbers(labelled.block)[rows].tolist()) for rows in split]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert [len(rows) for rows in split] == [120, 15, 15]


def test_a_random_split_does_not_keep_them_together():
    labelled = labelled_of(many())
    split = make_split(labelled, "random")
    assert set(molecule_numbers(labelled.block)[split.train].tolist()) & set(
        molecule_numbers(labelled.block)[split.test].tolist()
    )
    assert [len(rows) for rows in split] == [120, 15, 15]


def test_scaffolds_stay_together_and_common_ones_are_trained_on():
    rings = [
        chain(n, f"{n} {tail} {z}", z=z, ring=True, tail=tail)
        for n in (3, 4, 5, 6)
        for z in (6, 7)
        for tail in (0, 1)
    ]
    labelled = labelled_of([*rings, *many(1)])
    split = make_split(labelled, "scaffold", seed=3)
    scaffold = scaffold_numbers(labelled.block)
    sides = [set(scaffold[rows].tolist()) for rows in split]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert scaffold[-1] in sides[0] and all(sides)


def test_seeds_choose_and_repeat():
    labelled = labelled_of(many())
    first, again, other = (make_split(labelled, seed=seed).test.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_groups_of_unlike_size_fill_the_shares():
    conformers = [
        chain(n, f"m{n}{z}", z=z, seed=k) for n in SIZES for z in (6, 7, 8) for k in range(1 + n * (z == 8))
    ]
    labelled = labelled_of(conformers)
    for seed in range(5):
        shares = np.array([len(rows) for rows in make_split(labelled, seed=seed)]) / len(labelled)
        assert np.abs(shares - [0.8, 0.1, 0.1]).max() < 0.06


def test_the_split_of_the_data_is_the_default_where_there_is_one():
    labelled = labelled_of(many(1)[:4], split=[2, 0, 1, 0])
    for by in (None, "column"):
        assert [rows.tolist() for rows in make_split(labelled, by)] == [[1, 3], [2], [0]]


def test_splits_that_cannot_be():
    labelled = labelled_of([chain(5, seed=k) for k in range(9)])
    with pytest.raises(ConfigError, match=r"1 molecule with values cannot make three sets.*split by random"):
        make_split(labelled)
    assert len(make_split(labelled, "random").train)
    with pytest.raises(ConfigError, match="2 records with values"):
        make_split(labelled.take(np.arange(2)), "random")
    with pytest.raises(ConfigError, match="name a column with --split-column"):
        make_split(labelled, "column")
    with pytest.raises(ConfigError, match="expected one of molecule, random, scaffold, column"):
        make_split(labelled, "moon")
    with pytest.raises(ConfigError, match="three positive numbers whose sum is 1"):
        make_split(labelled, shares=(0.9, 0.2, 0.1))
    with pytest.raises(ConfigError, match="the validation set has no value of x"):
        make_split(labelled_of(many(1)[:4], split=[2, 0, 0, 0]))
