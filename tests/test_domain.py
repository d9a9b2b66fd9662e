"""What training data cover, measured and compared."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from molgiae.clouds import pack
from molgiae.data.conformer import ConformerBlock
from molgiae.domain import extent, in_domain, measure_domain

from .conformers import conformer, random_conformer

LINE = conformer([6, 8, 7], [[0, 0, 0], [0, 0, 1.0], [0, 0, 4.0]])
ATOM = conformer([1], [[5.0, 5.0, 5.0]])


def cloud(block: ConformerBlock):
    return pack(block.atomic_number, block.position, block.offset)


def test_extent_by_hand_with_padding():
    far, near = extent(cloud(ConformerBlock.of([LINE, ATOM])))
    assert_allclose(far, [4.0 - 5 / 3, 0.0], rtol=1e-6)
    assert_allclose(near, [[1.0, 1.0, 3.0], [0.0, 0.0, 0.0]])


def test_measured_by_hand():
    ion = conformer([7, 1], [[0, 0, 0], [0, 0, 1.1]], charge=1)
    domain = measure_domain(ConformerBlock.of([LINE, ion]))
    assert domain.elements == (1, 6, 7, 8)
    assert (domain.n_atoms, domain.charge) == ((2, 3), (0, 1))
    assert_allclose(domain.radius, 4.0 - 5 / 3, rtol=1e-6)
    assert_allclose(domain.nearest, (1.0, 3.0))


def test_elements_of_less_than_one_conformer_in_a_thousand_do_not_count():
    common = [conformer([6], [[0, 0, 0]])] * 2001
    once = conformer([53, 53, 53], np.eye(3) * 3)
    assert measure_domain(ConformerBlock.of([*common, once])).elements == (6,)
    assert measure_domain(ConformerBlock.of([*common[:900], once])).elements == (6, 53)


def test_training_data_lie_within_their_own_domain():
    block = ConformerBlock.of([random_conformer(n, n) for n in range(1, 30)])
    assert in_domain(measure_domain(block), block, cloud(block)).all()


@pytest.mark.parametrize(
    "outside",
    [
        conformer([6, 8, 9], LINE.position),
        conformer([6, 8], LINE.position[:2]),
        conformer([6, 8, 7, 7], [*LINE.position, [0, 1.5, 0]]),
        conformer([6, 8, 7], LINE.position * 1.01),
        conformer([6, 8, 7], LINE.position * 0.99),
        conformer([6, 8, 7], LINE.position, charge=1),
        conformer([6, 8, 7], LINE.position, charge=-1),
    ],
    ids=["element", "smaller", "larger", "wider", "closer", "cation", "anion"],
)
def test_each_bound_is_kept(outside):
    domain = measure_domain(ConformerBlock.of([LINE]))
    block = ConformerBlock.of([LINE, outside, LINE])
    assert in_domain(domain, block, cloud(block)).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [29, 60])
def test_far_from_the_origin_nothing_changes(size):
    block = ConformerBlock.of([random_conformer(size, 1)])
    far = ConformerBlock.of([conformer(block.atomic_number.tolist(), block.position + 1e5)])
    assert in_domain(measure_domain(block), far, cloud(far)).all()


def test_padding_is_never_the_nearest_atom():
    """Centred padding stands at the origin, where an atom may stand, too."""
    through_origin = conformer([6, 8, 8], [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]])
    wide = cloud(ConformerBlock.of([through_origin, random_conformer(9, 0)]))
    assert_allclose(extent(wide)[1][0, :3], [1.2, 1.2, 1.2], rtol=1e-6)
    assert torch.isfinite(extent(wide)[1]).all()
