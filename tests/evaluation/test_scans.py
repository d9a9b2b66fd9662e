"""Paths are smooth, and an embedding that jumps along one is caught where it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.conformer import ConformerBlock
from molgiae.data.overlay import overlap, self_overlap
from molgiae.evaluation.exact_distances import overlay_distance, superposed_rmsd
from molgiae.evaluation.scans import (
    ANGLES,
    LENGTHS,
    MIN_CONTACT,
    scans,
    stretch,
    torsion,
    turned_methyl,
    turned_methyls,
)
from molgiae.evaluation.smoothness import MIN_JUMP
from tests.conformers import conformer
from tests.evaluation.described import molecule, panel_of

BUTANOL, BENZENE, BUTYNE = molecule("CCCCO"), molecule("c1ccccc1"), molecule("CC#CC")
BLOCK = ConformerBlock.of([BUTANOL, BENZENE, replace(BUTANOL, position=1.01 * BUTANOL.position)])


def distances(position: np.ndarray) -> np.ndarray:
    return np.linalg.norm(position[..., :, None, :] - position[..., None, :, :], axis=-1)


def test_one_hydrogen_is_stretched():
    frames = stretch(BUTANOL, np.random.default_rng(0))
    assert frames.shape == (81, len(BUTANOL), 3)
    moving = np.flatnonzero(np.ptp(frames, axis=0).any(axis=1))
    assert len(moving) == 1 and BUTANOL.atomic_number[moving[0]] == 1
    bond = np.delete(distances(frames)[:, moving[0]], moving[0], axis=1).min(axis=1)
    assert_allclose(bond, LENGTHS, atol=1e-9)
    assert stretch(conformer([6, 8], [[0, 0, 0], [0, 0, 1.1]]), np.random.default_rng(0)) is None


@pytest.mark.parametrize("seed", range(3))
def test_one_bond_is_turned_all_around(seed):
    frames = torsion(BUTANOL, np.random.default_rng(seed))
    assert len(frames) == len(ANGLES)
    assert_allclose(frames[0], BUTANOL.position, atol=1e-9)
    assert_allclose(frames[-1], BUTANOL.position, atol=1e-9)
    spread = np.ptp(distances(frames), axis=0)
    changed = spread > 1e-6
    assert changed.any() and not changed[tuple(BUTANOL.bonds.T)].any()
    step = np.linalg.norm(np.diff(frames, axis=0), axis=-1).max(axis=1)
    assert step.max() < 0.4 and np.ptp(step) < 1e-9


def test_rings_and_straight_chains_are_not_turned():
    rng = np.random.default_rng(0)
    assert torsion(BENZENE, rng) is None
    assert torsion(molecule("C#CC#C"), rng) is None
    assert torsion(BUTYNE, rng) is not None, "its methyl groups turn"


def test_methyl_groups_are_turned():
    (frame,) = turned_methyl(BUTANOL, np.random.default_rng(0))
    moving = np.flatnonzero(np.abs(frame - BUTANOL.position).max(axis=1) > 1e-9)
    assert len(moving) == 3 and (BUTANOL.atomic_number[moving] == 1).all()
    bonds = tuple(BUTANOL.bonds.T)
    assert_allclose(distances(frame)[bonds], distances(BUTANOL.position)[bonds], atol=1e-9)
    turned = turned_methyls(BLOCK, 0)
    assert len(turned) == 2 and turned.title == ["CCCCO"] * 2
    assert turned_methyls(BLOCK.take(np.array([1])), 0) is None


def test_what_jumps_is_caught():
    def hydrogen(result):  # the longest bond of a hydrogen, and the same with a step at 1.284 angstrom
        x = [
            np.where(c.atomic_number == 1, np.sort(distances(c.position))[:, 1], 0).max()
            for c in result.block
        ]
        return np.array(x)[:, None]

    def stepping(result):
        return hydrogen(result) + 100 * (hydrogen(result) > 1.284)

    def spread(result):
        return np.array([[np.sqrt((c.position**2).sum())] for c in result.block])

    block = ConformerBlock.of([BUTANOL, BENZENE, molecule("CC"), molecule("O")])
    panel = panel_of(smooth=hydrogen, stepping=stepping, spread=spread)
    panel = replace(
        panel, descriptors={**panel.descriptors, "restless": lambda r: 100.0 * np.arange(len(r))[:, None]}
    )
    figures = scans(panel, block, {})
    assert figures["smooth"]["stretch"]["paths"] == 4
    assert figures["smooth"]["stretch"]["steps"] == 4 * (len(LENGTHS) - 1)
    assert figures["smooth"]["torsion"]["paths"] == 2
    assert 0 < figures["smooth"]["torsion"]["steps"] <= 2 * (len(ANGLES) - 1)
    assert figures["spread"]["torsion"]["jumps"] == 0
    assert figures["restless"]["stretch"]["jumps"] == figures["restless"]["torsion"]["jumps"] == 1


def test_a_step_is_found_where_it_is():
    """Two conformers, 1.5 apart by the descriptor, which is the unit; one hydrogen of the second is always far."""
    a, b = molecule("O"), replace(molecule("O"), position=2 * molecule("O").position, title="b")

    def descriptor(result):
        longest = np.array([np.sort(distances(c.position), axis=1)[:, 1].max() for c in result.block])
        return ((np.array(result.block.title) == "b") + 0.5 * (longest > 1.284))[:, None]

    figures = scans(panel_of(x=descriptor), ConformerBlock.of([a, b]), {})["x"]["stretch"]
    assert figures["jumps"] == pytest.approx(1 / 160)
    assert figures["change_max"] == pytest.approx(1 / 3) and figures["change_median"] == 0


def test_the_exact_distance_is_counted_in_the_unit_of_its_part():
    block = ConformerBlock.of([BUTANOL, molecule("CCO")])
    panel = panel_of(x=lambda r: (np.array(r.block.title) == "CCO")[:, None] * 1.0)
    steps: list[np.ndarray] = []

    def torsions(factor):
        def distance(a, b):
            steps.append(superposed_rmsd(a, b))
            return factor * steps[-1]

        return scans(panel, block, {"x": distance})["x"]["torsion"]

    assert torsions(1.0)["steps"] == len(steps[-1]) and np.ptp(steps[-1]) > 1e-3
    for least in np.quantile(steps[-1], [0.0, 0.3, 0.8]):
        found = torsions(MIN_JUMP / least)
        assert found["jumps"] == 0
        assert found["jumps_exact"] == pytest.approx(np.mean(steps[-1] > least), abs=2 / len(steps[-1]))


def test_exact_distances_are_those_of_the_best_pose():
    turned = replace(BUTANOL, position=BUTANOL.position @ np.diag([-1.0, -1.0, 1.0]) + 3.0)
    noisy = replace(
        BUTANOL, position=BUTANOL.position + np.random.default_rng(0).normal(0, 0.05, BUTANOL.position.shape)
    )
    first = ConformerBlock.of([BUTANOL, BUTANOL])
    second = ConformerBlock.of([turned, noisy])
    still, moved = superposed_rmsd(first, second)
    assert still < 1e-7 and 0.04 < moved < 0.09
    still, moved = overlay_distance(first, second)
    heavy = BUTANOL.atomic_number > 1
    volume = self_overlap(BUTANOL.position[heavy]) + self_overlap(noisy.position[heavy])
    as_they_stand = np.sqrt(volume - 2 * overlap(BUTANOL.position[heavy], noisy.position[heavy]))
    assert still < 0.05 and 0.5 * as_they_stand < moved <= as_they_stand + 1e-6


def test_contacts_break_paths():
    """A hydrogen that is turned through another atom."""
    far = conformer([6, 6, 1, 1, 1], [[0, 0, 0], [0, 0, 1.5], [1, 0, -0.4], [1, 0, 1.9], [0, 2.0, 0.7]])
    bonds = np.array([[0, 1], [0, 2], [1, 3]])
    near = replace(far, bonds=bonds, position=far.position.copy(), title="near")
    near.position[4] = [0, 1.0, 1.9]
    panel = panel_of(x=lambda r: np.arange(len(r))[:, None] * 1.0)
    whole, broken = (
        scans(panel, ConformerBlock.of([c]), {})["x"]["torsion"]["steps"]
        for c in (replace(far, bonds=bonds), near)
    )
    assert whole == len(ANGLES) - 1
    assert 0 < broken < whole
    assert MIN_CONTACT < 1.0
