"""What composition explains is found, taken off and put back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError
from molgiae.properties.references import References, composition, fit_references
from molgiae.properties.targets import Target, find

ATOM = {1: -0.6, 6: -38.0, 8: -75.2}


def block_of(*formulas: str) -> ConformerBlock:
    letters = {"H": 1, "C": 6, "O": 8, "F": 9}
    return ConformerBlock.of(
        Conformer(np.array([letters[c] for c in formula], np.uint8), np.zeros((len(formula), 3)))
        for formula in formulas
    )


BLOCK = block_of("CHHHH", "CCHHHH", "CO", "HHO", "COHHHH", "OO", "CCO")


def values_of(block: ConformerBlock, constant: float = 0.0) -> np.ndarray:
    return np.array([[constant + sum(ATOM[z] for z in c.atomic_number.tolist())] for c in block])


def test_composition_counts_atoms():
    assert composition(BLOCK, (1, 6, 8)).tolist()[:3] == [[4, 1, 0], [4, 2, 0], [0, 1, 1]]
    assert composition(block_of("CF", ""), (6,)).tolist() == [[1], [0]]


@pytest.mark.parametrize("target", [find("H"), find("alpha"), Target.of("E", "eV", extensive=True)])
def test_what_is_linear_in_composition_is_explained(target):
    values = values_of(BLOCK, constant=-2.0)
    found = fit_references(BLOCK, values, [target])
    assert found.of(BLOCK) == pytest.approx(values, abs=1e-9)
    other = block_of("CCCCHHOO")
    assert found.of(other) == pytest.approx(values_of(other, -2.0), abs=1e-8)


def test_kinds_follow_the_target():
    targets = [find("H").to("eV"), find("alpha"), find("gap"), Target.of("logP")]
    values = np.repeat(values_of(BLOCK), 4, axis=1)
    found = fit_references(BLOCK, values, targets)
    assert found.kind == ("atoms", "composition", "mean", "mean")
    assert found.of(BLOCK)[:, 3] == pytest.approx(values[:, 3].mean())
    assert fit_references(BLOCK, values, targets, "none").of(BLOCK).any() == np.False_


def test_isomers_are_explained_by_their_mean_and_neighbours_by_the_free_atoms():
    """With one composition the fit has no slope of its own; that of the table stays."""
    isomers, target = block_of(*["CHHHH"] * 5), find("H")
    values = values_of(isomers) + np.array([[0.0], [0.1], [-0.1], [0.2], [-0.2]])
    found = fit_references(isomers, values, [target])
    assert found.of(isomers) == pytest.approx(values.mean())
    assert np.allclose(found.coefficient[:, 0], [target.references[z] for z in found.elements])
    assert found.of(block_of("CCHHHH")) - found.of(isomers)[:1] == pytest.approx(target.references[6])
    alone = fit_references(isomers, values, [Target.of("E", "Ha", extensive=True)])
    assert not alone.coefficient.any()


def test_collinear_counts_do_no_harm():
    """In alkanes hydrogens follow from carbons; the prediction holds for alkanes."""
    alkanes = block_of(*["C" * n + "H" * (2 * n + 2) for n in (1, 2, 3, 5)])
    found = fit_references(alkanes, values_of(alkanes), [Target.of("E", "Ha", extensive=True)])
    longer = block_of("C" * 9 + "H" * 20)
    assert found.of(longer) == pytest.approx(values_of(longer), abs=1e-8)
    assert np.abs(found.coefficient).max() < 100


def test_elements_that_were_not_in_training_are_flagged():
    found = fit_references(BLOCK, values_of(BLOCK), [find("H")])
    assert found.seen == (1, 6, 8) and found.elements == (1, 6, 7, 8, 9)
    assert found.unseen(block_of("CHHHH", "CHHHF")).tolist() == [False, True]
    assert np.isfinite(found.of(block_of("CHHHF"))).all()


def test_missing_values_are_left_out():
    values = np.concatenate([values_of(BLOCK)] * 2, axis=1)
    values[0, 0] = values[3, 1] = np.nan
    targets = [Target.of("a", "eV", True), Target.of("b", "eV", True)]
    assert fit_references(BLOCK, values, targets).of(BLOCK) == pytest.approx(
        np.concatenate([values_of(BLOCK)] * 2, axis=1), abs=1e-9
    )


def test_tables_that_do_not_reach():
    with pytest.raises(ConfigError, match="polarisability has no energies of free atoms at all"):
        fit_references(BLOCK, values_of(BLOCK), [find("alpha")], "atoms")
    part = Target("e", "e", "Ha", True, True, {1: -0.5})
    with pytest.raises(
        ConfigError, match="e has no energies of free atoms of C, O; use references by composition"
    ):
        fit_references(BLOCK, values_of(BLOCK), [part], "atoms")
    assert fit_references(BLOCK, values_of(BLOCK), [part]).of(BLOCK) == pytest.approx(
        values_of(BLOCK), abs=1e-9
    )
    table = fit_references(BLOCK, values_of(BLOCK), [find("H")], "atoms")
    assert table.of(block_of("H"))[0, 0] == -0.497912
    with pytest.raises(ConfigError, match="expected one of auto, atoms"):
        fit_references(BLOCK, values_of(BLOCK), [part], "moon")  # type: ignore[arg-type]


def test_references_travel_as_plain_data():
    found = fit_references(BLOCK, np.repeat(values_of(BLOCK), 2, axis=1), [find("H"), find("gap")])
    again = References.from_dict(json.loads(json.dumps(found.to_dict())))
    assert (again.kind, again.elements, again.seen) == (found.kind, found.elements, found.seen)
    assert (again.of(BLOCK) == found.of(BLOCK)).all()
