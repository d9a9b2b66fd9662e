"""The least RMSD by trying everything, with code that shares nothing with `molgiae.matching`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

Bonds = list[tuple[int, int]]
Graph = tuple[list[int], Bonds]
"""Elements and bonds."""


def _star(z: int, leaf: int, k: int) -> Graph:
    return [z] + k * [leaf], [(0, i) for i in range(1, k + 1)]


def _with_leaves(z: list[int], bonds: Bonds, leaves: dict[int, tuple[int, int]]) -> Graph:
    """A skeleton with so many leaves of an element on some atoms: {atom: (element, number)}."""
    z, bonds = list(z), list(bonds)
    for atom, (element, number) in leaves.items():
        for _ in range(number):
            bonds.append((atom, len(z)))
            z.append(element)
    return z, bonds


def _copies(z: list[int], bonds: Bonds, number: int) -> Graph:
    n = len(z)
    return number * z, [(a + k * n, b + k * n) for k in range(number) for a, b in bonds]


def _ring(z: int, n: int) -> Graph:
    return n * [z], [(k, (k + 1) % n) for k in range(n)]


WATER, BENZENE = _star(8, 1, 2), _with_leaves(*_ring(6, 6), {k: (1, 1) for k in range(6)})
CUBE = [(a, b) for a, b in itertools.combinations(range(8), 2) if (a ^ b).bit_count() == 1]
PRISM = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (0, 3), (1, 4), (2, 5)]
CUNEANE = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 4), (2, 5), (3, 6), (3, 7), (4, 5), (4, 6), (5, 7), (6, 7)]

GRAPHS: dict[str, Graph] = {
    "atom": ([18], []),
    "hydrogen": ([1, 1], [(0, 1)]),
    "water": WATER,
    "methane": _star(6, 1, 4),
    "pentafluoride": _star(15, 9, 5),
    "hexafluoride": _star(16, 9, 6),
    "heptafluoride": _star(53, 9, 7),
    "carbon dioxide": _star(6, 8, 2),
    "benzene": BENZENE,
    "cubane": ([6] * 8, CUBE),
    "prismane": ([6] * 6, PRISM),
    "cuneane": ([6] * 8, CUNEANE),
    "butyne": _with_leaves([6] * 4, [(0, 1), (1, 2), (2, 3)], {0: (1, 3), 3: (1, 3)}),
    "propane": _with_leaves([6] * 3, [(0, 1), (1, 2)], {0: (1, 3), 1: (1, 2), 2: (1, 3)}),
    "tert-butanol": _with_leaves(
        [6] * 4 + [8, 1], [(0, 1), (0, 2), (0, 3), (0, 4), (4, 5)], {k: (1, 3) for k in (1, 2, 3)}
    ),
    "neopentane": _with_leaves(*_star(6, 6, 4), {k: (1, 3) for k in range(1, 5)}),
    "two pentafluorides": _with_leaves([16, 16], [(0, 1)], {0: (9, 5), 1: (9, 5)}),
    "two rings": _copies(*_ring(6, 6), 2),
    "four waters": _copies(*WATER, 4),
    "six waters": _copies(*WATER, 6),
    "five hydrogens": _copies([1, 1], [(0, 1)], 5),
    "six atoms": ([18] * 6, []),
}
"""Small graphs of every kind that the search treats in its own way: with leaves of one parent, with equal parts."""


def isomorphisms(
    z: np.ndarray | list[int], bonds: Bonds, z_other: np.ndarray | list[int], bonds_other: Bonds
) -> np.ndarray:
    """(K, n) every mapping of the atoms of one graph to those of the other that keeps elements and bonds.

    Atom after atom is mapped to each atom that is left, and given up where elements or bonds contradict.
    """
    n = len(z)
    near, near_other = (np.zeros((n, n), bool) for _ in range(2))
    for matrix, pairs in ((near, bonds), (near_other, bonds_other)):
        for a, b in pairs:
            matrix[a, b] = matrix[b, a] = True
    sequence: list[int] = []
    while len(sequence) < n:  # neighbours of what is mapped first, to fail early
        rest = [k for k in range(n) if k not in sequence]
        sequence.append(next((k for k in rest if near[k, sequence].any()), rest[0]))

    def extended(images: list[int]) -> Iterator[list[int]]:
        if len(images) == n:
            yield images
            return
        atom, before = sequence[len(images)], sequence[: len(images)]
        for image in range(n):
            if (
                image not in images
                and z[atom] == z_other[image]
                and (near[atom, before] == near_other[image, images]).all()
            ):
                yield from extended([*images, image])

    found = np.array(list(extended([])), np.int64).reshape(-1, n)
    result = np.empty_like(found)
    result[:, sequence] = found
    return result


@lru_cache
def automorphisms(name: str) -> np.ndarray:
    """(K, n) of a graph of `GRAPHS`."""
    z, bonds = GRAPHS[name]
    return isomorphisms(z, bonds, z, bonds)


def matchings(z: np.ndarray, z_other: np.ndarray) -> np.ndarray:
    """(K, n) every mapping that keeps elements."""
    return isomorphisms(z, [], z_other, [])


def overlaps(x: np.ndarray, y: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """(K,) largest overlap of positions (n, 3), both from their centroids, over proper rotations, for each mapping."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    c = np.einsum("ni,knj->kij", x, y[maps])
    singular = np.linalg.svd(c, compute_uv=False)
    singular[:, 2] *= np.sign(np.linalg.det(c))
    return singular.sum(axis=1)


def least_rmsd(x: np.ndarray, y: np.ndarray, maps: np.ndarray, *, reflect: bool = False) -> float:
    """The least RMSD over mappings and proper rotations, and of y and its mirror image if wanted."""
    found = []
    for sign in (1.0, -1.0) if reflect else (1.0,):
        overlap = overlaps(x, sign * y, maps)
        best = maps[np.argsort(-overlap)[:8]]  # overlaps of perfect copies have lost half of their digits
        found += [rmsd_of(x, sign * y[mapping]) for mapping in best]
    return min(found)


def rmsd_of(x: np.ndarray, y: np.ndarray) -> float:
    """After the best proper rotation, of atoms matched as they stand."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    u, _, v = np.linalg.svd(x.T @ y)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    return float(np.sqrt(np.square(x - y @ turn.T).sum() / len(x)))


def _turn(rng: np.random.Generator) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * np.sign(np.linalg.det(q))


def _noisy(noise: float) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    def make(x: np.ndarray, mapping: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return x, x[mapping] + noise * rng.normal(size=x.shape)

    return make


def _nearly_symmetric(noise: float) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Both close to a geometry that a rotation and an automorphism leave nearly alone: many matchings are as good."""

    def make(x: np.ndarray, mapping: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = (x + x[mapping] * [1, -1, -1]) / 2
        return x + noise * rng.normal(size=x.shape), x + noise * rng.normal(size=x.shape)

    return make


GEOMETRIES: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "unrelated": lambda x, m, rng: (x, rng.normal(0, 1.5, x.shape)),
    "far copy": _noisy(0.3),
    "copy": _noisy(0.03),
    "near copy": _noisy(1e-5),
    "exact copy": _noisy(0.0),
    "mirror image": lambda x, m, rng: (x, -x[m] + 0.05 * rng.normal(size=x.shape)),
    "planar": lambda x, m, rng: (x * [1, 1, 0], rng.normal(0, 1.5, x.shape) * [1, 1, 0]),
    "planar copy": lambda x, m, rng: (x * [1, 1, 0], x[m] * [1, 1, 0] + 0.01 * rng.normal(size=x.shape)),
    "linear": lambda x, m, rng: (x * [1, 0, 0], rng.normal(0, 1.5, x.shape) * [1, 0, 0]),
    "linear copy": lambda x, m, rng: (x * [1, 0, 0], x[m] * [1, 0, 0] + 1e-3 * rng.normal(size=x.shape)),
    "symmetric": _nearly_symmetric(0.1),
    "nearly symmetric": _nearly_symmetric(1e-3),
    "symmetric but for the last digits": _nearly_symmetric(1e-5),
}
"""Makers of pairs from positions (n, 3), a mapping and a generator."""


def pair(geometry: str, maps: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Reference and probe (n, 3), each with its centroid at the origin, the probe in any pose."""
    start = rng.normal(0, 1.5, (maps.shape[1], 3))
    x, y = GEOMETRIES[geometry](start, maps[rng.integers(len(maps))], rng)
    y = y @ _turn(rng).T
    return x - x.mean(axis=0), y - y.mean(axis=0)
