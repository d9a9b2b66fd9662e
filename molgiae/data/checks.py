"""Geometry that no molecule has: out of range, all zero, atoms on top of each other, 2D drawings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.elements import COVALENT_RADIUS

MAX_COORDINATE = 1e6
"""Angstrom; float32 coordinates beyond it are coarser than 0.06."""
MIN_DISTANCE = 0.2
"""Angstrom; nuclei never come so close, the shortest bond (H2) is 0.74."""

_RADIUS = np.array(COVALENT_RADIUS)
_OBLIQUE = np.array([0.5377, 0.6218, 0.5694])
"""A direction on which the atoms of planar and lattice-like molecules do not fall together."""

_NEIGHBOURS = 5
_NEIGHBOUR_CUTOFF = 1.25
_LINEAR = 150.0
_MULTIPLE_BOND = 0.88
_SQUEEZED = 0.75
_DRAWN_LENGTH = (1.47, 1.53)
_DRAWN_SPREAD = 1.02
_GRAPHITE_LENGTH = (1.36, 1.46)


def reject_faulty(block: ConformerBlock) -> ConformerBlock:
    """The block without the conformers that have a geometry fault; these are among its rejected."""
    faults = geometry_faults(block)
    if not faults:
        return block
    keep = np.ones(len(block), bool)
    keep[list(faults)] = False
    rejected = [
        Rejected(block.source[m], int(block.record[m]), block.title[m], int(block.line[m]), faults[m])
        for m in sorted(faults)
    ]
    return block.take(keep, rejected)


def geometry_faults(block: ConformerBlock) -> dict[int, str]:
    """What is wrong with the geometry of each faulty conformer, by its index in the block."""
    if not len(block):
        return {}
    faults = _out_of_range(block)
    owner = np.repeat(np.arange(len(block)), block.n_atoms)
    size = np.maximum(block.n_atoms, 1)
    nonzero = np.bincount(owner, block.position.any(axis=1), len(block))
    for m in np.flatnonzero((nonzero == 0) & (size > 1)).tolist():
        faults.setdefault(m, f"all coordinates of the {size[m]} atoms are zero")
    for m, reason in _overlaps(block, owner, faults).items():
        faults.setdefault(m, reason)
    flat = np.bincount(owner, block.position[:, 2] != 0, len(block)) == 0
    hydrogen = np.bincount(owner, block.atomic_number == 1, len(block)) > 0
    carbon = np.bincount(owner, block.atomic_number == 6, len(block)) > 0
    for m in np.flatnonzero(flat & ~hydrogen & carbon).tolist():
        conformer = slice(block.offset[m], block.offset[m + 1])
        if m not in faults and is_drawing(block.atomic_number[conformer], block.position[conformer]):
            faults[m] = (
                "a 2D drawing: flat, without hydrogen; make 3D coordinates first, e.g. with RDKit ETKDG"
            )
    return faults


def _out_of_range(block: ConformerBlock) -> dict[int, str]:
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(block.position) <= MAX_COORDINATE).all(axis=1)
    faults: dict[int, str] = {}
    for atom in np.flatnonzero(bad):
        m = int(np.searchsorted(block.offset, atom, side="right")) - 1
        x, y, z = block.position[atom]
        place = f"atom {atom - block.offset[m] + 1} is at ({x:g}, {y:g}, {z:g})"
        faults.setdefault(m, f"{place}, expected finite coordinates within {MAX_COORDINATE:g} angstrom")
    return faults


def _overlaps(block: ConformerBlock, owner: NDArray[np.int64], faults: dict[int, str]) -> dict[int, str]:
    """Pairs closer than MIN_DISTANCE: along a direction, each atom is compared with those just after it."""
    usable = np.ones(len(block), bool)
    usable[list(faults)] = False
    atom = np.flatnonzero(usable[owner])
    along = block.position[atom] @ _OBLIQUE
    span = np.ptp(along) + 1.0 if len(along) else 1.0
    order = np.argsort(along + owner[atom] * (span + 1.0))
    atom, along, owner = atom[order], along[order], owner[atom[order]]
    found: dict[int, str] = {}
    near, step = np.arange(len(atom) - 1), 1
    while len(near):
        other = near + step
        candidate = (along[other] - along[near] < MIN_DISTANCE) & (owner[other] == owner[near])
        near, other = near[candidate], other[candidate]
        distance = np.linalg.norm(block.position[atom[near]] - block.position[atom[other]], axis=1)
        for k in np.flatnonzero(distance < MIN_DISTANCE):
            m = int(owner[near[k]])
            pair = sorted((atom[near[k]] - block.offset[m] + 1, atom[other[k]] - block.offset[m] + 1))
            found.setdefault(m, f"atoms {pair[0]} and {pair[1]} overlap: {distance[k]:.3f} angstrom apart")
        step += 1
        near = near[near + step < len(atom)]
    return found


def is_drawing(atomic_number: NDArray[np.uint8], position: NDArray[np.float64]) -> bool:
    """Whether a flat set of atoms without hydrogen is a 2D drawing and not a planar molecule such as C2Cl4.

    A drawing leaves out hydrogen, so that some carbon has too few neighbours for its angle and bond lengths,
    or four in a plane; or its bonds are all of one length (1.5) whatever the elements, or far too short
    (units of the paper). Sheets of carbon with the bonds of graphite and up to two atoms are no drawings.

    Args:
        atomic_number: (n,) uint8.
        position: (n, 3) angstrom.
    """
    n = len(atomic_number)
    if n < 3:
        return False
    distance, neighbour = cKDTree(position).query(position, min(_NEIGHBOURS + 1, n))
    distance, neighbour = distance[:, 1:], neighbour[:, 1:]
    ratio = distance / (_RADIUS[atomic_number][:, None] + _RADIUS[atomic_number][neighbour])
    nearest = distance[:, 0]
    if (atomic_number == 6).all() and _within(nearest, _GRAPHITE_LENGTH):
        return False
    if np.median(ratio[:, 0]) < _SQUEEZED:
        return True
    if _within(nearest, _DRAWN_LENGTH) and nearest.max() < _DRAWN_SPREAD * nearest.min():
        return True
    bonded = ratio < _NEIGHBOUR_CUTOFF * np.median(ratio[:, 0])
    return any(
        _lacks_hydrogen(position[i], position[neighbour[i, bonded[i]]], ratio[i, bonded[i]])
        for i in np.flatnonzero(atomic_number == 6)
    )


def _within(length: NDArray[np.float64], bounds: tuple[float, float]) -> bool:
    return bool(bounds[0] <= length.min() and length.max() <= bounds[1])


def _lacks_hydrogen(
    carbon: NDArray[np.float64], neighbours: NDArray[np.float64], ratio: NDArray[np.float64]
) -> bool:
    """Whether a carbon of a flat molecule has a number of neighbours that its bonds do not explain."""
    if len(neighbours) == 1:
        return bool(ratio[0] > _MULTIPLE_BOND)
    if len(neighbours) == 2:
        a, b = neighbours - carbon
        cosine = a @ b / np.sqrt((a @ a) * (b @ b))
        return bool(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))) < _LINEAR)
    return len(neighbours) > 3
