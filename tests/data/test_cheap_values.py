"""Many conformers by a cheap method: the order is kept, what fails costs itself alone, processes make no difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.data import cheap_values, cheap_worker
from molgiae.data.blocks import concatenate
from molgiae.data.cheap_methods import QUANTITIES
from molgiae.data.cheap_values import Question, chunks, computed_values
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.errors import ConfigError
from molgiae.parallel.processes import NoAnswerError
from tests.conformers import conformer, random_conformer
from tests.data.test_cheap_methods import SMILES, computed, molecule

BAD = 2
BLOCK = ConformerBlock.of(
    [*map(molecule, SMILES[:BAD]), conformer([92, 9], [[0, 0, 0], [0, 0, 2]]), *map(molecule, SMILES[BAD:])]
)


@pytest.mark.parametrize("jobs", [1, 2])
def test_values_are_those_of_each_conformer_and_one_that_fails_costs_itself_alone(jobs, monkeypatch):
    pytest.importorskip("tblite", reason="needs the extra labels")
    monkeypatch.setattr(cheap_values, "CHUNK_ATOMS", 8)
    found = computed_values(BLOCK, "gfn2", jobs=jobs)
    assert [bool(reason) for reason in found.reason] == [m == BAD for m in range(len(BLOCK))]
    assert "No support for elements" in found.reason[BAD]
    alone = [computed("gfn2", c).numbers for c in map(molecule, SMILES)]
    for name in QUANTITIES:
        values = getattr(found, name)
        assert values.shape == (len(BLOCK),)
        assert np.isnan(values[BAD])
        assert_allclose(np.delete(values, BAD), [one[name] for one in alone], rtol=1e-9)


def test_force_fields_need_nothing_but_bonds():
    found = computed_values(BLOCK, "mmff94s", jobs=1)
    assert np.isfinite(found.energy).tolist() == [m != BAD for m in range(len(BLOCK))]
    assert np.isnan(found.gap).all()


@pytest.mark.parametrize("size", [1, 7, 20, 10**6])
def test_chunks_are_all_of_a_block_in_order(size, monkeypatch):
    monkeypatch.setattr(cheap_values, "CHUNK_ATOMS", size)
    bad = Rejected("a", 9, "", 1, "broken")
    parts = list(chunks([replace(BLOCK, rejected=[bad]), ConformerBlock.of([], [bad])]))
    joined = concatenate(parts)
    assert joined.rejected == [bad, bad]
    assert_array_equal(joined.position, BLOCK.position)
    assert all(part.n_atoms[:-1].sum() < size for part in parts)
    assert len(parts) == 2 if size > len(BLOCK.position) else len(parts) > 2


class Fragile:
    """Workers that die over elements beyond the fifth period, with all conformers of the question."""

    def __init__(self, size: int, module: str, setup: dict, time_limit: float) -> None:
        self.answer = cheap_worker.answering(setup)

    def __enter__(self) -> Fragile:
        return self

    def __exit__(self, *_) -> None:
        pass

    def ask(self, question: dict) -> dict:
        if any(max(c["atomic_number"]) > 54 for c in question["conformers"]):
            raise NoAnswerError("the process that worked on it died (status -11)")
        return self.answer(question)


def test_a_crash_costs_one_conformer(monkeypatch):
    monkeypatch.setattr(cheap_values, "Workers", Fragile)
    found = computed_values(BLOCK, "mmff94s", jobs=1)
    assert found.reason[BAD] == "the process that worked on it died (status -11)"
    assert np.isfinite(np.delete(found.energy, BAD)).all()


def test_one_conformer_in_so_many_gets_a_polarizability():
    pytest.importorskip("tblite", reason="needs the extra labels")
    water = ConformerBlock.of([molecule("O")] * 5)
    asked = Question("gfn2", polarizability_every=2)
    ((_, found),) = asked.answers(((chunk, None) for chunk in chunks([water])), jobs=1)
    assert np.isfinite([one["polarizability"] for one in found]).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "mmff94s", "polarizability_every": 1}, "tells no polarizability"),
        ({"method": "mmff94s", "time_limit": 0}, "positive"),
        ({"method": "dft"}, "unknown"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Question(**changes)


def test_what_takes_too_long_is_given_up_alone():
    pytest.importorskip("tblite", reason="needs the extra labels")
    large = random_conformer(120, 1, elements=(6,))
    found = computed_values(ConformerBlock.of([molecule("O"), large]), "gfn2", jobs=1, time_limit=2)
    assert not found.reason[0] and "took longer than 2 s" in found.reason[1]
