"""How far an embedding moves along smooth paths: a bond that is stretched, a bond that is turned.

A path is smooth in the coordinates, so what jumps along it is the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from molgiae.data.blocks import concatenate
from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import Bonds, Conformer, ConformerBlock
from molgiae.evaluation.descriptors import Floats, Panel, typical_distance
from molgiae.evaluation.exact_distances import ExactDistance
from molgiae.evaluation.report import Figures
from molgiae.evaluation.smoothness import MIN_JUMP

LENGTHS = np.arange(0.9, 1.7 + 1e-9, 0.01)
"""Of a bond to hydrogen while it is stretched, angstrom."""
ANGLES = np.arange(0.0, 360.0 + 1e-9, 3.0)
"""By which a bond is turned, degrees."""
MIN_CONTACT = 0.8
"""Atoms that are turned through others come nearer, angstrom; two hydrogens in H2 hardly do."""
NO_FRAMES = np.empty(0, np.int64)
STRAIGHT = np.cos(np.radians(5.0))
"""Bonds within 5 degrees of one line turn nothing."""

Path = Callable[[Conformer, np.random.Generator], Floats | None]
"""Coordinates (S, n, 3) along a path, angstrom; None where the conformer has no bond for it."""


def stretch(conformer: Conformer, rng: np.random.Generator) -> Floats | None:
    """Stretch the bond of one hydrogen, drawn at random, to `LENGTHS`; the other atoms stay."""
    bonds, position = known_bonds(conformer), conformer.position
    degree = np.bincount(bonds.ravel(), minlength=len(conformer))
    both = np.concatenate([bonds, bonds[:, ::-1]])
    hydrogen = (conformer.atomic_number[both[:, 0]] == 1) & (degree[both[:, 0]] == 1)
    if not hydrogen.any():
        return None
    end, partner = rng.choice(both[hydrogen])
    along = position[end] - position[partner]
    frames = np.repeat(position[None], len(LENGTHS), axis=0)
    frames[:, end] = position[partner] + LENGTHS[:, None] * along / np.linalg.norm(along)
    return frames


def torsion(conformer: Conformer, rng: np.random.Generator) -> Floats | None:
    """Turn one side of a bond, drawn at random, by `ANGLES`: of one in no ring that has atoms off its axis on both."""
    turning = rotatable(conformer)
    if not turning:
        return None
    (first, second), side = turning[int(rng.integers(len(turning)))]
    return _turned(conformer.position, first, second, side, ANGLES)


def turned_methyl(conformer: Conformer, rng: np.random.Generator) -> Floats | None:
    """Turn a group of an atom and three hydrogens, drawn at random, by a random angle; one frame (1, n, 3)."""
    bonds, z = known_bonds(conformer), conformer.atomic_number
    both = np.concatenate([bonds, bonds[:, ::-1]])
    hydrogens = np.bincount(both[z[both[:, 1]] == 1, 0], minlength=len(z))
    degree = np.bincount(both[:, 0], minlength=len(z))
    methyl = np.flatnonzero((hydrogens == 3) & (degree == 4))
    if not len(methyl):
        return None
    centre = int(rng.choice(methyl))
    around = both[both[:, 0] == centre, 1]
    side = np.isin(np.arange(len(z)), [centre, *around[z[around] == 1]])
    (partner,) = around[z[around] != 1]
    return _turned(conformer.position, partner, centre, side, rng.uniform(0.0, 120.0, 1))


PATHS: dict[str, Path] = {"stretch": stretch, "torsion": torsion}
"""Name to what is done to a conformer."""


def frames_of(conformer: Conformer, positions: Floats, start: int = 0) -> ConformerBlock:
    """Return the conformer at each of the coordinates (S, n, 3), with its bonds; records count up from the start."""
    frames = [replace(conformer, position=x, record=k, text="") for k, x in enumerate(positions, start)]
    return ConformerBlock.of(frames)


def scans(panel: Panel, block: ConformerBlock, exact: Mapping[str, ExactDistance]) -> dict[str, Figures]:
    """Return the change of embeddings from frame to frame along each of `PATHS`, in every conformer that has one.

    Frames in which atoms come nearer than `MIN_CONTACT` break a path in two. For each descriptor and path `paths`, the
    conformers that have one, `steps`, and, in units of the typical distance of two conformers of the block,
    `change_median` and `change_max` of a step, and `jumps`, the share of steps above `MIN_JUMP`; None without a step.
    For those in `exact`, which stand for such a distance, `jumps_exact` is the share of its steps in the same unit.
    """
    unit = {name: typical_distance(values, panel.seed) for name, values in panel(block)[1].items()}
    figures: dict[str, Figures] = {name: {} for name in unit}
    for path, along in PATHS.items():
        rng = np.random.default_rng(panel.seed)
        moved = [(c, along(c, rng)) for c in block]
        paths = [(c, positions) for c, positions in moved if positions is not None]
        frames = [frames_of(c, x, 2 * k * max(len(LENGTHS), len(ANGLES))) for k, (c, x) in enumerate(paths)]
        free, start = _steps(concatenate(frames)) if frames else (block.take(NO_FRAMES), NO_FRAMES)
        values = panel(free)[1] if len(free) else {}
        for name, size in unit.items():
            step = np.diff(values[name], axis=0)[start] if values else np.empty((0, 1))
            found = {"paths": len(paths), **_summary(np.linalg.norm(step, axis=1) / size)}
            if name in exact:
                apart = exact[name](free.take(start), free.take(start + 1))
                found["jumps_exact"] = _summary(apart / size)["jumps"]
            figures[name][path] = found
    return figures


def _steps(frames: ConformerBlock) -> tuple[ConformerBlock, NDArray[np.int64]]:
    """Return the frames without contacts, and the places of those whose next one is the next of their path."""
    free = np.flatnonzero([pdist(c.position).min(initial=np.inf) >= MIN_CONTACT for c in frames])
    return frames.take(free), np.flatnonzero(np.diff(frames.record[free]) == 1)


def _summary(change: Floats) -> Figures:
    some = len(change) > 0
    return {
        "steps": len(change),
        "change_median": float(np.median(change)) if some else None,
        "change_max": float(change.max()) if some else None,
        "jumps": float((change > MIN_JUMP).mean()) if some else None,
    }


def turned_methyls(block: ConformerBlock, seed: int) -> ConformerBlock | None:
    """Return the conformers that have a methyl group, with one of these turned at random; None if none has."""
    rng = np.random.default_rng(seed)
    moved = [(c, turned_methyl(c, rng)) for c in block]
    found = [frames_of(c, positions) for c, positions in moved if positions is not None]
    return concatenate(found) if found else None


def rotatable(conformer: Conformer) -> list[tuple[tuple[int, int], NDArray[np.bool_]]]:
    """Return each rotatable bond, in the direction of the side (n,) that is turned, the smaller one."""
    bonds, size, found = known_bonds(conformer), len(conformer), []
    degree = np.bincount(bonds.ravel(), minlength=size)
    for k in np.flatnonzero((degree[bonds] > 1).all(axis=1)):
        apart = np.delete(bonds, k, axis=0)
        sides = [(int(end), _side(apart, size, int(end))) for end in bonds[k]]
        (fixed, rest), (end, side) = sorted(sides, key=lambda one: -one[1].sum())
        in_ring = bool(side[fixed])
        if not in_ring and all(
            _off_axis(conformer.position, *ends) for ends in ((fixed, end, side), (end, fixed, rest))
        ):
            found.append(((fixed, end), side))
    return found


def _side(bonds: Bonds, size: int, start: int) -> NDArray[np.bool_]:
    """Return (n,) the atoms that bonds connect with one of them."""
    graph = coo_array((np.ones(len(bonds), np.int8), tuple(bonds.T)), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    return np.asarray(label == label[start])


def _off_axis(position: Floats, first: int, second: int, side: NDArray[np.bool_]) -> bool:
    """Return whether any atom of the side of the second stands off the line of a bond."""
    axis = position[second] - position[first]
    rest = position[side] - position[second]
    length = np.linalg.norm(rest, axis=1)
    across = np.abs(rest @ axis) / np.linalg.norm(axis)
    return bool((across < STRAIGHT * length).any())


def _turned(position: Floats, first: int, second: int, side: NDArray[np.bool_], angles: Floats) -> Floats:
    """Return (S, n, 3) coordinates in which one side of a bond is turned about it by angles (S,), degrees."""
    axis = position[second] - position[first]
    turns = Rotation.from_rotvec(np.radians(angles)[:, None] * axis / np.linalg.norm(axis)).as_matrix()
    frames = np.repeat(position[None], len(angles), axis=0)
    frames[:, side] = (position[side] - position[second]) @ turns.transpose(0, 2, 1) + position[second]
    return frames
