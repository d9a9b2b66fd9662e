"""Conformers made in Python: random ones, and the same moved."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from molgiae.data.conformer import Conformer


def conformer(z: list[int], position: object, title: str = "", charge: int = 0) -> Conformer:
    xyz = np.asarray(position, dtype=np.float64).reshape(-1, 3)
    return Conformer(np.array(z, dtype=np.uint8), xyz, title=title, charge=charge)


def random_conformer(n: int, seed: int, elements: tuple[int, ...] = (1, 6, 7, 8)) -> Conformer:
    """Atoms on a jittered lattice: asymmetric, none too close."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)
    position = 1.4 * rng.permutation(lattice)[:n] + rng.uniform(-0.3, 0.3, (n, 3))
    return conformer(rng.choice(elements, n).tolist(), position, title=f"random {seed}")


def moved(c: Conformer, seed: int, reach: float = 10.0) -> Conformer:
    """A copy in another pose and order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(c))
    turned = Rotation.random(random_state=seed).apply(c.position) + rng.normal(0, reach, 3)
    return Conformer(c.atomic_number[order], turned[order], title=f"{c.title} moved")


def mirrored(c: Conformer) -> Conformer:
    return Conformer(c.atomic_number, c.position * [1.0, 1.0, -1.0], title=f"{c.title} mirrored")


def any_bonds(elements: tuple[int, ...]) -> dict[str, object]:
    """Fields of a `Domain` that random conformers lie in: bonds of 0.7 angstrom and more, many pieces, any shares."""
    pairs = [(a, b) for a in elements for b in elements if a <= b]
    return {
        "fragments": 100,
        "flat_centres": True,
        "bare_carbons": True,
        "bonds": tuple((*pair, 0.7, 4.0) for pair in pairs),
        "shares": tuple((z, 1.0) for z in elements),
    }
