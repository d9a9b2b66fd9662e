"""Differences to a cheap method: values from records or computed, in the unit of the target, failures listed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.cheap_methods import METHODS
from molgiae.data.cheap_values import computed_values
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError
from molgiae.properties.baselines import baselines
from molgiae.properties.delta import cheap_values, quantity_of, with_baseline, with_cheap_values
from molgiae.properties.labels import Labelled
from molgiae.properties.references import fit_references
from molgiae.properties.splitting import Split
from molgiae.properties.targets import Target, find

pytest.importorskip("tblite", reason="GFN2-xTB needs tblite")

ENTHALPY, GAP = find("enthalpy"), find("gap")
WATER = Conformer(
    np.array([8, 1, 1], np.uint8), np.array([[0.0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
)
HARTREE = 27.211386245988


def waters(count: int) -> list[Conformer]:
    rng = np.random.default_rng(0)
    return [
        replace(WATER, position=WATER.position + 0.05 * rng.standard_normal((3, 3)), title=f"w{k}")
        for k in range(count)
    ]


def test_values_are_those_of_the_method_in_the_unit_of_the_target():
    block = ConformerBlock.of(waters(3))
    found, reasons = cheap_values(block, (ENTHALPY, GAP.to("eV")), "gfn2")
    direct = computed_values(block, "gfn2", jobs=1)
    assert not reasons
    assert_allclose(found, np.stack([direct.energy / HARTREE, direct.gap], axis=1), rtol=1e-9)


def test_values_in_the_records_are_taken_from_there():
    first, second = waters(2)
    block = ConformerBlock.of([replace(first, properties={"gfn2_energy": "-27.5"}), second])
    found, _ = cheap_values(block, (ENTHALPY.to("eV"),), "gfn2")
    direct = computed_values(block, "gfn2", jobs=1).energy
    assert_allclose(found[:, 0], [-27.5, direct[1]])
    assert abs(direct[0] + 27.5) > 1


def test_what_cannot_be_computed_is_listed_and_nothing_else_is_lost():
    strange = Conformer(np.array([118, 1], np.uint8), np.array([[0.0, 0, 0], [0, 0, 1.6]]), title="og")
    conformers = [*waters(2), strange, *waters(3)[2:]]
    block, cheap = with_cheap_values(ConformerBlock.of(conformers), (ENTHALPY,), "gfn2")
    assert [bad.title for bad in block.rejected] == ["og"]
    assert len(block) == len(cheap) == 3 and np.isfinite(cheap).all()
    labelled = Labelled(ConformerBlock.of(conformers), np.arange(4.0)[:, None], (ENTHALPY,))
    found = with_baseline(labelled, "gfn2")
    assert [bad.title for bad in found.missing] == ["og"] and found.values[:, 0].tolist() == [0, 1, 3]
    assert found.cheap is not None
    assert_allclose(found.cheap, cheap)


@pytest.mark.parametrize(
    ("target", "method", "quantity"),
    [
        (ENTHALPY, "gfn2", "energy"),
        (Target.of("E", "kcal/mol", extensive=True), "mmff94s", "energy"),
        (GAP, "gfn1", "gap"),
        (find("mu"), "gfn2", "dipole"),
        (find("alpha"), "gfn2", "polarizability"),
    ],
)
def test_targets_have_their_counterparts(target, method, quantity):
    assert quantity_of(target, method) == quantity
    assert quantity in METHODS[method].gives


@pytest.mark.parametrize(
    ("target", "method"), [(GAP, "mmff94s"), (find("Cv"), "gfn2"), (Target.of("logS"), "gfn2")]
)
def test_targets_without_one_are_refused(target, method):
    with pytest.raises(ConfigError, match="tells nothing like"):
        quantity_of(target, method)


def test_rows_of_the_table_learn_the_difference():
    """What is learned is one tenth of an electronvolt; the method explains the rest, composition nothing."""
    block = ConformerBlock.of(waters(40))
    cheap, _ = cheap_values(block, (ENTHALPY.to("eV"),), "gfn2")
    labelled = Labelled(block, cheap + 0.1, (ENTHALPY.to("eV"),), baseline="gfn2", cheap=cheap)
    split = Split(np.arange(20), np.arange(20, 30), np.arange(30, 40))
    references = fit_references(block, labelled.values - cheap, labelled.targets)
    rows = baselines(labelled, split, references, {"size": block.n_atoms[:, None].astype(float)})
    truth = labelled.values[30:]
    for row in ("gfn2 and composition", "kernel ridge on size"):
        assert_allclose(rows[row], truth, atol=1e-6)
    assert np.abs(rows["composition"] - truth).mean() > 0.05
