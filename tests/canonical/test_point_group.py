"""Point groups against tables of character books, and against clouds made by every kind of group."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tests.geometries import (
    GOLDEN,
    SYMMETRIES,
    by_graph,
    g2,
    jittered,
    mirrored,
    named,
    one,
    random_action,
    together,
)

G2 = {
    "H2O": "C2v", "NH3": "C3v", "CH4": "Td", "C2H2": "D*h", "C2H4": "D2h", "C2H6": "D3d", "C6H6": "D6h",
    "CO2": "D*h", "HCN": "C*v", "N2": "D*h", "CO": "C*v", "H2O2": "C2", "N2H4": "C2", "H2CO": "C2v", "HCOOH": "Cs",
    "CH3OH": "Cs", "CH3Cl": "C3v", "H2CCl2": "C2v", "HCCl3": "C3v", "CCl4": "Td", "SiH4": "Td", "SiF4": "Td",
    "BF3": "D3h", "AlCl3": "D3h", "PF3": "C3v", "ClF3": "C2v", "O3": "C2v", "SO2": "C2v", "N2O": "C*v", "OCS": "C*v",
    "C2F4": "D2h", "NCCN": "D*h", "CS2": "D*h", "C3H6_D3h": "D3h", "cyclobutane": "D2d", "cyclobutene": "C2v",
    "bicyclobutane": "C2v", "isobutane": "C3v", "trans-butane": "C2h", "butadiene": "C2h", "OCHCHO": "C2h",
    "C3H4_D2d": "D2d", "C3H4_C3v": "C3v", "C3H4_C2v": "C2v", "C5H8": "D2d", "C4H4O": "C2v", "C5H5N": "C2v",
    "C3H8": "C2v", "CH3COCH3": "C2v", "CH3OCH3": "C2v", "CH3CHO": "Cs", "CH3CN": "C3v", "Si2H6": "D3d",
    "CH3": "D3h", "C2H5": "Cs", "CH3CH2OH": "Cs", "C2H6CHOH": "C1", "H2COH": "C1", "Na": "Kh", "HCl": "C*v",
}  # fmt: skip
"""Molecules of ase.build.molecule and their point groups in these conformations."""

X, Y, Z, DIAGONAL, FIVEFOLD = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 1, GOLDEN)
INVERSION = -np.eye(3)


def turn(axis: tuple[float, ...], fold: int) -> np.ndarray:
    return Rotation.from_rotvec(2 * np.pi / fold * np.array(axis) / np.linalg.norm(axis)).as_matrix()


def mirror(axis: tuple[float, ...]) -> np.ndarray:
    return -turn(axis, 2)


GENERATORS = {
    "C1": [], "Cs": [mirror(Z)], "Ci": [INVERSION],
    **{f"C{n}": [turn(Z, n)] for n in (2, 3, 5, 6)},
    **{f"C{n}v": [turn(Z, n), mirror(X)] for n in (2, 3, 4, 6)},
    **{f"C{n}h": [turn(Z, n), mirror(Z)] for n in (2, 3, 4)},
    **{f"D{n}": [turn(Z, n), turn(X, 2)] for n in (2, 3, 4, 5)},
    **{f"D{n}h": [turn(Z, n), turn(X, 2), mirror(Z)] for n in (2, 3, 4, 5, 7)},
    **{f"D{n}d": [mirror(Z) @ turn(Z, 2 * n), mirror(X)] for n in (2, 3, 4, 5)},
    **{f"S{n}": [mirror(Z) @ turn(Z, n)] for n in (4, 6, 8)},
    "T": [turn(DIAGONAL, 3), turn(Z, 2)], "Th": [turn(DIAGONAL, 3), turn(Z, 2), INVERSION],
    "Td": [turn(DIAGONAL, 3), mirror(Z) @ turn(Z, 4)], "O": [turn(DIAGONAL, 3), turn(Z, 4)],
    "Oh": [turn(DIAGONAL, 3), turn(Z, 4), INVERSION], "I": [turn(DIAGONAL, 3), turn(FIVEFOLD, 5)],
    "Ih": [turn(DIAGONAL, 3), turn(FIVEFOLD, 5), INVERSION],
}  # fmt: skip


def orbits(group: str, points: list[tuple[int, tuple[float, float, float]]]) -> tuple[list[int], np.ndarray]:
    """All images of points under a group, with an atomic number for each point."""
    z, places = [], []
    for number, point in points:
        images = [np.array(point, dtype=float)]
        for image in images:
            for generator in GENERATORS[group]:
                new = generator @ image
                if min(np.linalg.norm(new - known) for known in images) > 1e-6:
                    images.append(new)
        z += [number] * len(images)
        places += images
    return z, np.array(places)


def cloud_of(group: str):
    """One orbit of each element, four atoms at least."""
    points = [(6, (1.9, 0.7, 2.6)), (7, (3.1, -1.4, 0.9)), (8, (0.4, 4.3, 3.3)), (9, (-2.1, 1.2, 1.7))]
    z, places = orbits(
        group, points[: 4 if group in ("C1", "C2", "Cs", "Ci") else 2 if group[0] in "TOI" else 3]
    )
    return one(z, torch.from_numpy(places))


def order_of(group: str) -> int:
    return len(orbits(group, [(1, (0.31, 0.77, 1.9))])[0])


@pytest.mark.parametrize("group", GENERATORS)
def test_point_group_of_clouds_made_by_it(group):
    x = cloud_of(group)
    action = by_graph(x.moved(random_action(x, seed=1)))
    assert action.point_group == [group]
    achiral = group[-1] in "vhdsi" or group.startswith("S")
    assert int(action.symmetry_number) == order_of(group) // (2 if achiral else 1)


@pytest.mark.parametrize("rounding", [0.0, 3e-5])
def test_point_group_of_molecules(rounding):
    x = jittered(together(*(g2(name) for name in G2)), rounding, seed=2)
    found = dict(zip(G2, by_graph(x.moved(random_action(x, seed=3))).point_group, strict=True))
    assert found == G2


def test_point_group_of_shared_geometries():
    for name, (group, _, number) in SYMMETRIES.items():
        action = by_graph(named(name))
        assert action.point_group == ["Kh" if group == "K" else group], name
        assert int(action.symmetry_number) == number, name


def test_mirror_images_have_one_point_group():
    groups = [group for group in GENERATORS if group[0] not in "OI"]
    x = together(*(cloud_of(group) for group in groups))
    assert by_graph(mirrored(x)).point_group == groups


def test_a_molecule_bent_by_more_than_the_tolerance_loses_its_symmetry():
    x = jittered(g2("C6H6"), 0.05, seed=4)
    action = by_graph(x)
    assert (action.point_group, int(action.symmetry_number)) == (["C1"], 1)
