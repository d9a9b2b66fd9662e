"""Every law for every group, over random elements and batch shapes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molgiae.groups import GROUPS
from tests.groups.laws import CASES, LAWS, Batch, Case, Law


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@settings(max_examples=9, deadline=None, database=None)
@given(batch=st.sampled_from([(), (5,), (2, 3)]), seed=st.integers(0, 2**32))
def test_law_holds(law: Law, case: Case, batch: Batch, seed: int) -> None:
    law(case, batch, seed)


def test_every_group_of_the_table_is_tried() -> None:
    assert set(GROUPS.values()) <= {case.group for case in CASES}
