"""Geometry that no molecule has: out of range, all zero, atoms on top of each other, 2D drawings.

A drawing has all of its atoms at one height and shows by something else that it is none of the planar molecules:
an atom with four neighbours, which is not flat; bonds of one length whatever the elements; hydrogens left out; or,
where the header of the record says 2D, any bond of a length that it never has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.data.bond_geometry import LINEAR_ANGLE, MIN_CARBON_BONDS, ORDER_DECAY, Bonding, remedy, unit_of
from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.near_atoms import nearest

MAX_COORDINATE = 1e6
"""Angstrom; float32 coordinates beyond it are coarser than 0.06."""
MIN_DISTANCE = 0.2
"""Angstrom; nuclei never come so close, the shortest bond (H2) is 0.74."""

_OBLIQUE = np.array([0.5377, 0.6218, 0.5694])
"""A direction on which the atoms of planar and lattice-like molecules do not fall together."""

_NEIGHBOURS = 5
"""Nearest atoms that are looked at."""
_NEIGHBOUR_CUTOFF = 1.25
"""Neighbours are bonded if nearer than this times the median, by radii, of the distances of nearest neighbours."""
_MULTIPLE_BOND_RATIO = 0.88
"""A bond is a multiple one if its length is less than this times the sum of the radii: C=C 0.88, C=O 0.85."""
_HALOGEN = np.isin(np.arange(256), (9, 17, 35, 53))
_SQUEEZED_RATIO = 0.75
"""Median distance of neighbours by radii, below which lengths are in units of the paper."""
_DRAWN_LENGTH = (1.47, 1.53)
"""Angstrom; the length that programs give to all bonds of a drawing."""
_UNIFORM_FACTOR = 1.02
"""Lengths that differ by no more than this factor were drawn alike."""
_GRAPHITE_LENGTH = (1.36, 1.46)
"""Angstrom; bonds of graphene and its flakes, 1.42 in the bulk."""
_OTHER_RADII_FACTOR = 1.3
"""Bonds whose radii differ by this factor never have one length: C-H and C-C, O-H and C-O. C=C and C-F may."""
_MIN_DRAWN_SHARE = 2 / 3
"""Share of the atoms of a drawing that have their neighbour at the drawn length; others are crowded."""

DRAWING = (
    "a 2D drawing: all atoms at one height, and {}; make 3D coordinates first, e.g. with molgiae conformers"
)


def reject_faulty(block: ConformerBlock) -> ConformerBlock:
    """Return the block without the conformers that have a geometry fault; these are among its rejected."""
    return block.reject(geometry_faults(block))


def geometry_faults(block: ConformerBlock) -> dict[int, str]:
    """Return what is wrong with the geometry of each faulty conformer, by its index in the block."""
    if not len(block):
        return {}
    faults = _out_of_range(block)
    owner = block.owner
    size = np.maximum(block.n_atoms, 1)
    nonzero = np.bincount(owner, block.position.any(axis=1), len(block))
    for m in np.flatnonzero((nonzero == 0) & (size > 1)).tolist():
        faults.setdefault(m, f"all coordinates of the {size[m]} atoms are zero")
    overlaps = _overlaps(block, owner, faults)
    units = unit_of(block.take(np.array(list(overlaps), np.int64)))
    for (m, reason), unit in zip(overlaps.items(), units, strict=True):
        faults.setdefault(m, f"{reason}; {remedy(unit)}" if unit else reason)
    flat = np.ones(len(block), bool)
    flat[owner[block.position[:, 2] != block.position[block.offset[owner], 2]]] = False
    flat[list(faults)] = False
    flat &= size >= 3
    drawings = _drawings(block.take(flat)) if flat.any() else {}
    where = np.flatnonzero(flat).tolist()
    return faults | {where[k]: DRAWING.format(found) for k, found in drawings.items()}


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
    """Find pairs closer than MIN_DISTANCE: along a direction, each atom is compared with those just after it."""
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


class _Flat:
    """Conformers whose atoms are all at one height, and the nearest neighbours of each atom.

    Attributes:
        distance, neighbour: (N, k) as of `nearest`.
        ratio: (N, k) distances over sums of covalent radii.
        usual: (M,) median ratio of the nearest neighbours of each conformer.
        bare: (M,) whether a conformer has no hydrogen.
        least, largest: (M,) distances of nearest neighbours.
        graphite: (M,) whether it is of carbon alone, with the bonds of graphite.
    """

    def __init__(self, block: ConformerBlock) -> None:
        self.block, self.z, self.owner = block, block.atomic_number, block.owner
        self.distance, self.neighbour = nearest(block.position, block.offset, _NEIGHBOURS)
        self.radii = COVALENT_RADIUS[self.z][:, None] + COVALENT_RADIUS[self.z[self.neighbour]]
        self.ratio = self.distance / self.radii
        self.usual = self.median(self.ratio[:, 0])
        self.bare = ~self.any(self.z == 1)
        self.least, self.largest = (self.extreme(f, self.distance[:, 0]) for f in (np.minimum, np.maximum))
        low, high = _GRAPHITE_LENGTH
        self.graphite = ~self.any(self.z != 6) & (low <= self.least) & (self.largest <= high)

    def median(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (M,) the median over the atoms of each conformer."""
        ordered = values[np.lexsort((values, self.owner))]
        size, start = self.block.n_atoms, self.block.offset[:-1]
        return np.asarray((ordered[start + (size - 1) // 2] + ordered[start + size // 2]) / 2)

    def extreme(self, function: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (M,) the least or largest of the values of each conformer's atoms."""
        return np.asarray(function.reduceat(values, self.block.offset[:-1]))

    def any(self, atoms: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (M,) whether an atom of each conformer is marked."""
        return self.block.count(atoms) > 0


def _drawings(block: ConformerBlock) -> dict[int, str]:
    """Return what shows that flat conformers, of three atoms or more, are drawings, by their index."""
    x = _Flat(block)
    found: dict[int, str] = {}
    crowded = Bonding(block).flat_centres
    lacking = _lacks_hydrogen(x) & (x.bare & ~x.graphite)[x.owner]
    for atoms, what in (
        (crowded, "{} has four neighbours, which are never in a plane with it"),
        (lacking, "hydrogen is missing at {}"),
    ):
        for atom in np.flatnonzero(atoms).tolist():
            found.setdefault(int(x.owner[atom]), what.format(block.name_of(atom)))
    for m in np.flatnonzero(_drawn_alike(x)).tolist():
        found.setdefault(m, "bonds have one length whatever the elements")
    return found


def _drawn_alike(x: _Flat) -> NDArray[np.bool_]:
    """Return (M,) which conformers have bonds of one length whatever the elements, or in units of the paper."""
    low, high = _DRAWN_LENGTH
    drawn = (low <= x.least) & (x.largest <= high) & (x.largest < _UNIFORM_FACTOR * x.least)
    usual = x.median(x.distance[:, 0])[x.owner][:, None]
    alike = (x.distance < _UNIFORM_FACTOR * usual) & (x.distance > usual / _UNIFORM_FACTOR)
    share = np.bincount(x.owner, alike.any(axis=1), len(x.block)) / x.block.n_atoms
    largest = x.extreme(np.maximum, np.where(alike, x.radii, 0.0).max(axis=1))
    least = x.extreme(np.minimum, np.where(alike, x.radii, np.inf).min(axis=1))
    mixed = (share > _MIN_DRAWN_SHARE) & (largest > _OTHER_RADII_FACTOR * least)
    squeezed = x.usual < _SQUEEZED_RATIO
    return mixed | (x.bare & x.any(x.z == 6) & ~x.graphite & (drawn | squeezed))


def _lacks_hydrogen(x: _Flat) -> NDArray[np.bool_]:
    """Return (N,) which carbons have neighbours that their bonds do not explain, but for carbenes of halogens."""
    bonded = x.ratio < _NEIGHBOUR_CUTOFF * x.usual[x.owner][:, None]
    count = bonded.sum(axis=1)
    order = np.exp((1 - x.ratio) / ORDER_DECAY, where=bonded, out=np.zeros_like(x.ratio))
    first = np.argsort(~bonded, axis=1, kind="stable")[:, :2]
    row = np.arange(len(x.owner))[:, None]
    a, b = np.moveaxis(x.block.position[x.neighbour[row, first]] - x.block.position[:, None], 1, 0)
    with np.errstate(invalid="ignore"):
        cosine = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    carbene = _HALOGEN[x.z[x.neighbour[row, first]]].all(axis=1)
    bent = (cosine > np.cos(np.radians(LINEAR_ANGLE))) & (order.sum(axis=1) < MIN_CARBON_BONDS) & ~carbene
    single = np.where(bonded, x.ratio, 0.0).max(axis=1) > _MULTIPLE_BOND_RATIO
    return (x.z == 6) & (((count == 1) & single) | ((count == 2) & bent) | (count > 3))


def reject_meaningless(block: ConformerBlock) -> ConformerBlock:
    """Return the block without conformers that readers reject but Python can make: no atoms, no element, NaN."""
    number, finite = _is_element(block.atomic_number), np.isfinite(block.position).all(axis=1)
    if block.n_atoms.all() and number.all() and finite.all():
        return block
    bad: dict[int, str] = {}
    for m, conformer in enumerate(block):
        if not len(conformer):
            bad[m] = "no atoms"
        elif not (known := _is_element(conformer.atomic_number)).all():
            atom = int(known.argmin())
            bad[m] = f"atom {atom + 1} has atomic number {int(conformer.atomic_number[atom])}"
        elif not np.isfinite(conformer.position).all():
            bad[m] = "a coordinate is not a finite number"
    return block.reject(bad)


def _is_element(number: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which atomic numbers (N,) are those of elements."""
    return (number > 0) & (number <= MAX_ATOMIC_NUMBER)
