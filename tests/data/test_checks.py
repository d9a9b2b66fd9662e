"""Geometry checks: what no molecule has is rejected, what some molecule has is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molgiae.data.checks import MIN_DISTANCE, geometry_faults, reject_faulty
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import ATOMIC_NUMBER


def conformer(symbols: str, position: object) -> Conformer:
    number = np.array([ATOMIC_NUMBER[symbol] for symbol in symbols.split()], np.uint8)
    return Conformer(number, np.array(position, np.float64))


def ring(n: int, length: float) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    radius = length / (2 * np.sin(np.pi / n))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 1)


def graphene() -> np.ndarray:
    a = 1.42
    cells = [(i, j) for i in range(4) for j in range(4)]
    return np.array(
        [(np.sqrt(3) * a * (i + j / 2), 1.5 * a * j + shift, 0.0) for i, j in cells for shift in (0.0, a)]
    )


benzene = np.concatenate([ring(6, 1.39), ring(6, 1.39) * (1.39 + 1.09) / 1.39])
perfluorobenzene = np.concatenate([ring(6, 1.39), ring(6, 1.39) * (1.39 + 1.33) / 1.39])
c2cl4 = [[0.67, 0, 0], [-0.67, 0, 0]] + [[x * 1.58, y * 1.46, 0] for x in (1, -1) for y in (1, -1)]
c2f4 = [[0.66, 0, 0], [-0.66, 0, 0]] + [[x * 1.38, y * 1.1, 0] for x in (1, -1) for y in (1, -1)]
oxalyl = [[0.77, 0, 0], [-0.77, 0, 0], [1.3, 1.05, 0], [-1.3, -1.05, 0], [1.7, -1.5, 0], [-1.7, 1.5, 0]]
PLANAR = {
    "carbon": ("C", [[0, 0, 0]]),
    "CO": ("C O", [[0, 0, 0], [1.13, 0, 0]]),
    "C2": ("C C", [[0, 0, 0], [1.5, 0, 0]]),
    "CO2": ("O C O", [[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]]),
    "CS2": ("S C S", [[-1.55, 0, 0], [0, 0, 0], [1.55, 0, 0]]),
    "HCN": ("H C N", [[-1.07, 0, 0], [0, 0, 0], [1.16, 0, 0]]),
    "C2N2": ("N C C N", [[-1.85, 0, 0], [-0.69, 0, 0], [0.69, 0, 0], [1.85, 0, 0]]),
    "C3O2": ("O C C C O", [[-2.45, 0, 0], [-1.28, 0, 0], [0, 0, 0], [1.28, 0, 0], [2.45, 0, 0]]),
    "benzene": ("C " * 6 + "H " * 6, benzene),
    "perfluorobenzene": ("C " * 6 + "F " * 6, perfluorobenzene),
    "C2Cl4": ("C C Cl Cl Cl Cl", c2cl4),
    "C2F4": ("C C F F F F", c2f4),
    "phosgene": ("C O Cl Cl", [[0, 0, 0], [0, 1.18, 0], [1.45, -0.97, 0], [-1.45, -0.97, 0]]),
    "oxalyl chloride": ("C C O O Cl Cl", oxalyl),
    "graphene": ("C " * 32, graphene()),
    "no carbon": ("S O O", [[0, 0, 0], [1.24, 0.72, 0], [-1.24, 0.72, 0]]),
}
DRAWINGS = {
    "propane": ("C C C", [[0, 0, 0], [1.3, 0.75, 0], [2.6, 0, 0]]),
    "benzene": ("C " * 6, ring(6, 1.5)),
    "benzene in units of the paper": ("C " * 6, ring(6, 0.825)),
    "neopentane": ("C C C C C", [[0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0], [0, 1.5, 0], [0, -1.5, 0]]),
    "urea": ("C O N N", [[0, 0, 0], [0, 1.5, 0], [1.3, -0.75, 0], [-1.3, -0.75, 0]]),
    "acetic acid, uneven": ("C C O O", [[0, 0, 0], [1.2, 0.9, 0], [2.4, 0.1, 0], [1.2, 2.3, 0]]),
    "pyridine": ("N C C C C C", ring(6, 1.39)),
}


@pytest.mark.parametrize("name", PLANAR)
def test_planar_molecules_pass(name: str) -> None:
    assert geometry_faults(ConformerBlock.of([conformer(*PLANAR[name])])) == {}


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_rejected(name: str) -> None:
    faults = geometry_faults(ConformerBlock.of([conformer(*DRAWINGS[name])]))
    assert "2D drawing" in faults[0]


def test_a_drawing_is_one_at_any_height_but_not_if_an_atom_leaves_the_plane() -> None:
    symbols, position = DRAWINGS["urea"]
    lifted = np.array(position) + np.array([0, 0, 0.1])
    assert geometry_faults(ConformerBlock.of([conformer(symbols, lifted)]))
    lifted[0, 2] += 0.1
    assert not geometry_faults(ConformerBlock.of([conformer(symbols, lifted)]))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 12),
    m=st.integers(1, 6),
    scale=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_overlaps_are_those_of_all_pairs(seed: int, n: int, m: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    block = ConformerBlock.of(
        Conformer(np.full(n, 6, np.uint8), rng.normal(scale=scale, size=(n, 3))) for _ in range(m)
    )
    expected = set()
    for k, one in enumerate(block):
        distance = np.linalg.norm(one.position[:, None] - one.position, axis=-1) + np.eye(n)
        if distance.min() < MIN_DISTANCE:
            expected.add(k)
    assert set(geometry_faults(block)) == expected


def test_faults_name_the_atoms() -> None:
    good = conformer("O H H", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    block = ConformerBlock.of(
        [
            good,
            conformer("O H H", [[0, 0, 0], [0.96, 0, 0], [0.95, 0.02, 0.01]]),
            conformer("O H", [[0, 0, 0], [np.nan, 0, 0]]),
            conformer("O H", [[0, 0, 0], [-1.1e6, 0, 0]]),
            conformer("O H", [[0, 0, 0], [0, 0, 0]]),
            good,
        ]
    )
    faults = geometry_faults(block)
    assert sorted(faults) == [1, 2, 3, 4]
    assert "atoms 2 and 3 overlap" in faults[1]
    assert "atom 2 is at (nan, 0, 0)" in faults[2]
    assert "atom 2" in faults[3]
    assert "2 atoms are zero" in faults[4]
    checked = reject_faulty(block)
    assert len(checked) == 2 and len(checked.rejected) == 4
    assert geometry_faults(ConformerBlock.of([])) == {}
