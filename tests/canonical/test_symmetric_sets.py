"""Symmetric sets at every size, round ones too, in any pose and written with any decimals: one group, one form.

Cuts at round numbers, decided atom by atom, part equivalent atoms by round-off; so here every orbit of a set stands
at one distance from the centroid, and the distances go through all hundredths of an angstrom.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from molgiae.canonical import point_group
from molgiae.canonical.operations import operations
from molgiae.canonical.point_group import MAX_IMAGES, point_group_of, symbol_of
from molgiae.model.cloud import Cloud
from tests.canonical.test_point_group import GENERATORS, orbits
from tests.geometries import GOLDEN, by_graph, together

GENERAL = [(6, (1.9, 0.7, 2.6)), (7, (3.1, -1.4, 0.9)), (8, (0.4, 4.3, 3.3)), (9, (-2.1, 1.2, 1.7))]
CENTRE = (14, (0.0, 0.0, 0.0))


def ring(fold: int, height: float = 0.0) -> list[tuple[int, tuple[float, float, float]]]:
    turns = 2 * np.pi / fold * np.arange(fold)
    return [(6, (float(np.cos(t)), float(np.sin(t)), height)) for t in turns]


SETS = {
    # name: (point group, atoms); orbits of general points at one distance
    **{
        group: (group, GENERAL[: 2 if group[0] in "TOI" else 4 if len(gens) < 2 else 3])
        for group, gens in GENERATORS.items()
    },
    "tetrahedron": ("Td", [CENTRE, (1, (1, 1, 1))]),
    "octahedron": ("Oh", [CENTRE, (9, (1, 0, 0))]),
    "cube": ("Oh", [(6, (1, 1, 1))]),
    "icosahedron": ("Ih", [(5, (0, 1, GOLDEN))]),
    "pyramid": ("C3v", [(7, (0, 0, 0.3)), (1, (0, 1, -0.2))]),
    "disphenoid": ("D2d", [(1, (0, 0.6, 0.8))]),
    "inverted pairs": ("Ci", GENERAL[:3]),
}
RINGS = {f"ring of {fold}": (f"D{fold}h", ring(fold)) for fold in (3, 4, 5, 6, 7, 12, 20)}
CONES = {f"cone of {fold}": (f"C{fold}v", [(7, (0, 0, -1)), *ring(fold, 0.5)]) for fold in (5, 6, 12)}
LINES = {
    "atom": ("Kh", [(6, (0, 0, 0))]),
    "pair": ("D*h", [(6, (0, 0, 1)), (6, (0, 0, -1))]),
    "rod": ("C*v", [(6, (0, 0, 1)), (7, (0, 0, -1)), (1, (0, 0, 2))]),
    "triatomic": ("C2v", [(8, (0, 0, 0.5)), (1, (0, 0.8, -0.6)), (1, (0, -0.8, -0.6))]),
    "tripod": ("Cs", [(6, (0, 0.6, 0.8)), (7, (0, 1, 0)), (8, (0, -0.8, 0.6)), (1, (1, 0, 0)), (1, (-1, 0, 0))]),
}  # fmt: skip
MADE_BY_GROUP = set(SETS)
SETS |= RINGS | CONES | LINES

DECIMALS = {None: 1e-8, 6: 5e-5, 4: 5e-3}
"""Decimals of coordinates, and how far apart that lets canonical forms be, angstrom."""

SIZES = np.arange(50, 301) / 100

NEAREST = 0.4
"""Atoms are farther apart, angstrom; H2 measures 0.74."""


def atoms_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and coordinates, the farthest orbit of general sets at 1 angstrom."""
    group, points = SETS[name]
    if name in MADE_BY_GROUP:
        lengths = [np.linalg.norm(point) for _, point in points]
        scaled = [
            (z, tuple(np.array(point) / (length or 1.0)))
            for (z, point), length in zip(points, lengths, strict=True)
        ]
        z, pos = orbits(group, scaled)
        return np.array(z), pos
    return np.array([z for z, _ in points]), np.array([point for _, point in points], dtype=float)


def possible(name: str, sizes: np.ndarray) -> np.ndarray:
    """The sizes at which the atoms are not nearer than `NEAREST`; twice the last one if there is none."""
    _, pos = atoms_of(name)
    apart = np.linalg.norm(pos[:, None] - pos, axis=2)[np.triu_indices(len(pos), 1)].min(initial=np.inf)
    fit = sizes[sizes * apart >= NEAREST]
    return fit if len(fit) else 2 * sizes[-1:]


def copies(name: str, sizes: np.ndarray, decimals: int | None, poses: int, seed: int) -> Cloud:
    """Turned and shuffled copies of a set, sizes in order, `poses` of each; centroids near the origin."""
    z, pos = atoms_of(name)
    rng = np.random.default_rng(seed)
    numbers, places = [], []
    for size in np.repeat(sizes, poses):
        order = rng.permutation(len(z))
        turned = Rotation.random(random_state=rng).apply(size * pos[order])
        numbers.append(z[order])
        places.append(turned if decimals is None else turned.round(decimals))
    return Cloud(torch.from_numpy(np.array(numbers)), torch.from_numpy(np.array(places)))


def rotations_of(symbol: str) -> int:
    """What a symbol says of the symmetry number; 0 for infinitely many rotations."""
    if symbol in ("Kh", "C*v", "D*h"):
        return 0
    if symbol[0] in "TOI":
        return {"T": 12, "O": 24, "I": 60}[symbol[0]]
    fold = int((re.search(r"\d+", symbol) or ["1"])[0])
    return {"C": fold, "D": 2 * fold, "S": fold // 2}[symbol[0]]


def check(name: str, sizes: np.ndarray, poses: int) -> int:
    """Groups and forms of copies of a set.

    Returns:
        the number of sizes whose forms may differ, as they sit on a decision up to the decimals of the
        coordinates, and say so by their stability.
    """
    group = SETS[name][0]
    undecided = 0
    for decimals, tolerance in DECIMALS.items():
        x = copies(name, sizes, decimals, poses, seed=len(name))
        action = by_graph(x)
        assert set(action.point_group) == {group}, (name, decimals)
        assert set(action.symmetry_number.tolist()) == {rotations_of(group)}
        form = x.moved(action.g.inverse())
        pos = form.pos.unflatten(0, (len(sizes), poses))
        apart = (pos - pos[:, :1]).abs().amax(dim=(1, 2, 3))
        differ = apart > tolerance
        doubtful = action.stability.view(len(sizes), poses).amin(dim=1) < (
            0 if decimals is None else 3 * 10.0**-decimals
        )
        wrong = sizes[(differ & ~doubtful).numpy()]
        assert not len(wrong), (name, decimals, wrong.tolist(), action.stability.view(len(sizes), -1)[differ])
        undecided += int((differ & doubtful).sum())
    return undecided


@pytest.mark.parametrize("name", SETS)
def test_round_sizes(name):
    """All sizes are a slow test."""
    assert check(name, possible(name, np.array([0.5, 1.0, 1.25, 2.0, 3.0]))[:4], poses=3) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_all_sizes(name):
    sizes = possible(name, SIZES)
    assert check(name, sizes[:: 5 if len(atoms_of(name)[0]) > 30 else 1], poses=2) <= 3


@pytest.mark.parametrize("fold", [30, 66, 137])
def test_symbol_and_symmetry_number_agree_for_large_rings(fold):
    """An element of its own on the axis makes a cone of the ring."""
    pos = np.array([point for _, point in [(7, (0, 0, 1)), *ring(fold)]])
    pos[1:] *= 1.4 * fold / (2 * np.pi)
    for pose in range(2):
        turned = Rotation.random(random_state=pose).apply(pos)
        assert symmetry_of(np.array([0] + [1] * fold), turned) == (f"C{fold}v", fold)


def symmetry_of(classes: np.ndarray, pos: np.ndarray) -> tuple[str, int]:
    """Symbol and symmetry number."""
    found = point_group.symmetry_of(classes, pos, MAX_IMAGES)
    return symbol_of(*found.symbol), found.number


def oracle(classes: np.ndarray, pos: np.ndarray, tolerance: float) -> dict[tuple[bool, bytes], np.ndarray]:
    """All symmetries by trying every image of three atoms: {(whether proper, permutation): matrix}; slow."""
    n = len(pos)
    triples = np.array(
        [(i, j, k) for i in range(n) for j in range(n) for k in range(n) if len({i, j, k}) == 3]
    )
    area = np.linalg.norm(np.cross(pos[triples[:, 0]], pos[triples[:, 1]]), axis=1)
    area += np.abs(np.linalg.det(pos[triples]))
    base = triples[area.argmax()]
    found = {}
    for hand in (1.0, -1.0):
        start = pos * [1.0, 1.0, hand]
        for triple in triples[(classes[triples] == classes[base]).all(axis=1)]:
            guess, _ = Rotation.align_vectors(pos[triple], start[base])
            near = np.linalg.norm(guess.apply(start)[:, None] - pos, axis=2)
            near[classes[:, None] != classes] = np.inf
            image = near.argmin(axis=1)
            if len(set(image.tolist())) == n and (hand > 0, image.tobytes()) not in found:
                fitted, _ = Rotation.align_vectors(pos[image], start)
                if np.linalg.norm(fitted.apply(start) - pos[image], axis=1).max() <= tolerance:
                    found[hand > 0, image.tobytes()] = fitted.as_matrix() * [1.0, 1.0, hand]
    return found


SMALL = [name for name in SETS if 3 < len(atoms_of(name)[0]) <= 12]


@pytest.mark.filterwarnings("ignore:Optimal rotation is not uniquely")
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("noise", [0.0, 0.006, 0.012, 0.1])
def test_symmetry_number_against_all_triples_of_atoms(name, noise):
    """Where operations are lost to noise, those left must be a group, and the symbol must say so."""
    z, pos = atoms_of(name)
    rng = np.random.default_rng([len(name), int(1000 * noise)])
    pos = 1.3 * pos + noise * rng.standard_normal(pos.shape)
    pos = Rotation.random(random_state=rng).apply(pos - pos.mean(axis=0))
    classes = np.unique(-z, return_inverse=True)[1]
    symbol, order = symmetry_of(classes, pos)
    assert rotations_of(symbol) == order
    found = oracle(classes, pos, tolerance=0.0201)
    number = sum(is_proper for is_proper, _ in found)
    images = [(is_proper, np.frombuffer(image, dtype=np.int64)) for is_proper, image in found]
    if all((p is q, a[b].tobytes()) in found for p, a in images for q, b in images):
        assert order == number
        assert (number < len(found)) is (symbol[-1] in "vhdsi" or symbol[0] == "S")
    else:
        assert 1 <= order <= number
    if noise == 0.0:
        assert symbol == SETS[name][0]


@pytest.mark.parametrize("name", ["tetrahedron", "octahedron", "cube", "ring of 6"])
def test_symbol_and_symmetry_number_agree_where_noise_leaves_no_group(name):
    """Noise about the tolerance: some operations are within it whose products are not."""
    z, pos = atoms_of(name)
    classes = np.unique(-z, return_inverse=True)[1]
    no_group = 0
    for seed in range(60):
        noisy = 1.3 * pos + 0.013 * np.random.default_rng(seed).standard_normal(pos.shape)
        found, _ = operations(classes, noisy - noisy.mean(axis=0), MAX_IMAGES)
        group = point_group_of(found)
        no_group += len(group) < len(found.error)
        known = {(bool(found.proper[k]), found.image[k].tobytes()) for k in group}
        for a in group:
            for b in group:
                is_proper = bool(found.proper[a] == found.proper[b])
                assert (is_proper, found.image[a][found.image[b]].tobytes()) in known
        symbol, order = symmetry_of(classes, noisy)
        assert rotations_of(symbol) == order == found.proper[group].sum()
    assert no_group > 5


def test_sets_are_many():
    """What the names of the sets promise."""
    assert len(SMALL) > 20
    assert len(together(*(copies(name, SIZES[:1], None, 1, 0) for name in SETS))) == len(SETS)


def test_where_operations_are_too_many_to_hold_the_order_is_not_called_defined():
    pos = np.array([point for _, point in ring(12)])
    whole, cut = (point_group.symmetry_of(np.zeros(12, np.int64), pos, most) for most in (MAX_IMAGES, 12))
    assert whole.is_settled and whole.number == 24
    assert not cut.is_settled and not cut.order_defined and cut.number < 24
