"""Blocks and results give the conformers that are asked for, whichever way rows are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from molgiae.canonical.forms import canonical_forms
from molgiae.data.blocks import joined
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.errors import ConfigError, ShapeError
from tests.conformers import conformer

BLOCK = ConformerBlock.of(
    [conformer([6] * n, [[1.5 * k, n, 0] for k in range(n)], title=f"{n}") for n in (3, 1, 4, 2, 5, 2, 3)]
)
EVERY = np.arange(len(BLOCK))


@pytest.mark.parametrize(
    "which",
    [
        slice(2, 5),
        slice(None),
        slice(5, 2),
        slice(0, None, 2),
        slice(1, None, 3),
        slice(None, None, -1),
        slice(-2, 0, -2),
        EVERY % 3 == 1,
        np.array([6, 0, 0, 3]),
        np.array([], dtype=np.int64),
    ],
    ids=str,
)
def test_taken_conformers_keep_their_atoms(which):
    taken = BLOCK.take(which)
    expected = EVERY[which].tolist()
    assert len(taken) == len(expected)
    for found, m in zip(taken, expected, strict=True):
        assert found.title == BLOCK[m].title
        assert_array_equal(found.position, BLOCK[m].position)
        assert_array_equal(found.atomic_number, BLOCK[m].atomic_number)


@pytest.mark.parametrize(
    "bonds", [[[0, 3]], [[-1, 2]], [[0, 1], [1, 7]], [[1, 1]], [[0, 1, 2]], [0, 1], [[0.5, 1.0]]]
)
def test_bonds_that_cannot_be_are_refused_before_compiled_loops_see_them(bonds):
    z, position, bonds = np.array([6, 6, 6], np.uint8), np.eye(3), np.array(bonds)
    with pytest.raises(ShapeError, match="bond"):
        Conformer(z, position, bonds=bonds)
    many = {"bonds": bonds, "bond_offset": np.array([0, len(bonds), len(bonds)])}
    with pytest.raises(
        ShapeError, match="bond"
    ):  # the second conformer has more atoms, the first has these bonds
        ConformerBlock.from_arrays(np.tile(z, 4), np.tile(position, (4, 1)), np.array([0, 3, 12]), **many)
    Conformer(z, position, bonds=np.array([[0, 2], [1, 2]]))


def test_pieces_of_a_result_make_the_whole():
    whole = canonical_forms(BLOCK)
    whole = replace(whole, block=replace(whole.block, rejected=[Rejected("", 9, "", 0, "bad")]))
    for size in (1, 2, len(BLOCK), 100):
        pieces = list(whole.iter_blocks(size))
        assert [len(piece) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
        again = joined(pieces)
        assert again.block.title == whole.block.title and again.block.rejected == whole.block.rejected
        for name in whole:
            assert_array_equal(again[name], whole[name])
    assert list(whole) == list(whole.keys()) and "stability" in whole and "nothing" not in whole
    with pytest.raises(ConfigError, match="no column 'nothing' here; there are rotation, "):
        whole["nothing"]


@pytest.mark.parametrize("which", [EVERY % 3 == 1, np.array([6, 0, 0, 3]), slice(None, None, -1)], ids=str)
def test_taken_rows_of_a_result_are_those_of_its_conformers(which):
    taken = canonical_forms(BLOCK).take(which)
    expected = canonical_forms(BLOCK.take(which))
    for name in expected:
        assert_array_equal(taken[name], expected[name])


def test_what_is_printed_is_short():
    whole = canonical_forms(BLOCK)
    assert [len(str(shown)) < 120 for shown in (whole, BLOCK, BLOCK[0])] == [True] * 3
    assert str(BLOCK[0]) == "Conformer('3', C3)" and str(BLOCK) == "ConformerBlock(7 conformers, 20 atoms)"
