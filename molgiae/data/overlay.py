"""How far two conformers of any molecules cover each other: the best overlay of their Gaussian densities, by RDKit.

The density of a conformer is a sum of Gaussians, one on each heavy atom. All have the radius of carbon, r = 1.7
angstrom, so that two of them at a distance d overlap by the volume

    v(d) = 4/3 pi r^3 exp(-kappa d^2 / (2 r^2)),   kappa = pi/2 (6/pi)^(2/3) = 2.41798793...

and two conformers by V_ab, the sum of v over all pairs of an atom of one and an atom of the other (first order: Grant,
Gallardo, Pickup, J. Comput. Chem. 1996, 17, 1653). The square of the distance of two densities is
V_aa + V_bb - 2 V_ab, their Tanimoto is V_ab / (V_aa + V_bb - V_ab), both at the pose where V_ab is largest. Color is
the same for points of chemistry, as donors, acceptors, ions and rings: r = 1.08265 angstrom, and only points of one
kind overlap.

RDKit (`rdkit.Chem.rdGaussianShape`) finds the pose from several starts, as PubChem does. It need not find the best, and
from a to b it finds another one than from b to a: here both ways are gone and the better one is taken, which makes the
overlay symmetric. Unlike RDKit's default, distant atoms are not left out, which costs nothing and keeps the formula
exact; all other options are its defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan, nan
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import at_positions, to_rdkit

Floats = NDArray[np.float64]
Best = Literal["combination", "shape"]

RADIUS, COLOR_RADIUS = 1.7, 1.08265
"""Of every heavy atom and every point of color, angstrom."""
KAPPA = np.pi / 2 * (6 / np.pi) ** (2 / 3)
"""Makes the overlap of a Gaussian with itself the volume of the sphere of its radius."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is overlaid of one conformer; made once by `shape_of`, never changed.

    Attributes:
        volume: V_aa, angstrom cubed; 0 without heavy atoms.
        color_volume: the same of the points of color; NaN where the chemistry of the conformer could not be told.
        molecule: RDKit's, with the coordinates of the conformer.
        heavy: atoms of the molecule that are overlaid, from 0.
        reference: RDKit's shape with color where there is any; None without heavy atoms.
        plain: RDKit's shape without color.
    """

    volume: float
    color_volume: float
    molecule: Any
    heavy: list[int]
    reference: Any
    plain: Any

    @property
    def has_color(self) -> bool:
        """Whether color is known; a molecule without any point of color, as methane, has it all the same."""
        return not isnan(self.color_volume)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The best overlay of a shape b on a shape a.

    Attributes:
        shape_tanimoto: 0 to 1; NaN if neither has heavy atoms.
        color_tanimoto: 0 to 1; NaN if color of one is not known or neither has a point of color.
        combination: mean of both; the shape Tanimoto alone where the other is NaN.
        overlap: V_ab, angstrom cubed.
        color_overlap: of the points of color, angstrom cubed; NaN if color of one is not known.
        rotation: (3, 3) proper.
        translation: (3,) angstrom; ``position @ rotation.T + translation`` lays b on a.
    """

    shape_tanimoto: float
    color_tanimoto: float
    combination: float
    overlap: float
    color_overlap: float
    rotation: Floats
    translation: Floats


def overlap(a: Floats, b: Floats, radius: float = RADIUS) -> float:
    """Return V_ab of Gaussians of one radius as they stand, angstrom cubed; with itself, V_aa.

    Args:
        a: (n, 3) positions of heavy atoms (or points of color of one kind), angstrom.
        b: (m, 3).
        radius: angstrom.
    """
    squares = np.square(a[:, None] - b).sum(axis=-1)
    return float(4 / 3 * np.pi * radius**3 * np.exp(-KAPPA / (2 * radius**2) * squares).sum())


def self_overlap(position: Floats) -> float:
    """Return V_aa of heavy atoms (n, 3) in angstrom, angstrom cubed."""
    return overlap(position, position)


def tanimoto(both: float, a: float, b: float) -> float:
    """Return the Tanimoto of two things of these volumes, which overlap by a volume; NaN if they have none."""
    union = a + b - both
    return both / union if union > 0 else nan


def shape_of(conformer: Conformer, *, color: bool = True) -> Shape:
    """Return the shape of a conformer.

    Color needs the molecule of `molgiae.data.toolkits.to_rdkit`; where there is none, color is not known.

    Args:
        conformer: any.
        color: look for points of color; not needed for shape alone.
    """
    heavy = np.flatnonzero(conformer.atomic_number > 1).tolist()
    volume = self_overlap(conformer.position[heavy])
    if not heavy:
        return Shape(0.0, 0.0, None, heavy, None, None)
    from rdkit import rdBase  # noqa: PLC0415

    with rdBase.BlockLogs():
        plain = _carbons(conformer.position[heavy])
        molecule = to_rdkit(conformer) if color else None
        shape = None if molecule is None else _colored(molecule, heavy)
        without = _shape(plain, list(range(len(heavy))), color=False)
    if shape is None:
        return Shape(volume, nan, plain, list(range(len(heavy))), without, without)
    return Shape(volume, float(shape.ColorVolume), molecule, heavy, shape, without)


def overlay(a: Shape, b: Shape, best: Best = "combination") -> Overlay:
    """Lay b on a as well as possible; the same with a and b exchanged, but for the motion, which is the inverse.

    Args:
        a: stays where it is.
        b: is moved.
        best: "combination" takes the pose, of those where shapes overlap best from each start, with the largest mean
            of shape and color Tanimoto, as RDKit does by default; "shape" the one with the largest V_ab, whatever the
            color.
    """
    known = a.has_color and b.has_color
    if not (a.heavy and b.heavy):
        return _scored(a, b, 0.0, 0.0 if known else nan, np.eye(4))
    from rdkit import rdBase  # noqa: PLC0415

    color = known and best == "combination"
    with rdBase.BlockLogs():
        there, back = _aligned(a, b, color=color), _aligned(b, a, color=color)
        score, both, both_color, motion = there
        if back[0] > score:
            score, both, both_color, motion = back
            motion = np.linalg.inv(motion).astype(np.float64)
        if known and not color:
            both_color = _color_overlap(a, b, motion)
    return _scored(a, b, both, both_color, motion)


def _aligned(a: Shape, b: Shape, *, color: bool) -> tuple[float, float, float, Floats]:
    """Return the score by which poses of b on a are compared, V_ab, that of color or NaN, and the motion (4, 4)."""
    from rdkit.Chem import rdGaussianShape  # noqa: PLC0415

    fit = _shape(b.molecule, b.heavy, color=color)  # the overlay changes it
    reference = a.reference if color else a.plain
    score, shape, of_color, motion = rdGaussianShape.AlignShapes(reference, fit, _options())
    both = _from_tanimoto(shape, a.volume + b.volume)
    both_color = _from_tanimoto(of_color, a.color_volume + b.color_volume) if color else nan
    return score, both, both_color, np.array(motion).reshape(4, 4)


def _from_tanimoto(value: float, volumes: float) -> float:
    """Return the overlap of two things of these volumes together."""
    return value * volumes / (1 + value)


def _color_overlap(a: Shape, b: Shape, motion: Floats) -> float:
    """Return the overlap of the points of color when a motion (4, 4) has moved b."""
    from rdkit.Chem import rdGaussianShape  # noqa: PLC0415

    there = _shape(a.molecule, a.heavy, color=True, motion=np.eye(4))
    moved = _shape(b.molecule, b.heavy, color=True, motion=motion)
    return float(rdGaussianShape.ScoreShape(there, moved, _options(normalize=False))[4])


def _scored(a: Shape, b: Shape, both: float, both_color: float, motion: Floats) -> Overlay:
    shape = tanimoto(both, a.volume, b.volume)
    color = tanimoto(both_color, a.color_volume, b.color_volume)
    combination = shape if isnan(color) else (shape + color) / 2
    return Overlay(shape, color, combination, both, both_color, motion[:3, :3], motion[:3, 3])


def _options(*, normalize: bool = True) -> Any:
    from rdkit.Chem import rdGaussianShape  # noqa: PLC0415

    options = rdGaussianShape.ShapeOverlayOptions()
    options.useDistCutoff, options.normalize = False, normalize
    return options


def _shape(molecule: Any, heavy: list[int], *, color: bool, motion: Floats | None = None) -> Any:
    """Return RDKit's shape of these atoms; moved, and scored as it stands, where a motion (4, 4) is given."""
    from rdkit import Chem  # noqa: PLC0415
    from rdkit.Chem import rdGaussianShape  # noqa: PLC0415

    what = rdGaussianShape.ShapeInputOptions()
    what.useColors, what.atomSubset = color, heavy
    if motion is not None:
        molecule = Chem.Mol(molecule)
        position = molecule.GetConformer().GetPositions() @ motion[:3, :3].T + motion[:3, 3]
        molecule.GetConformer().SetPositions(np.ascontiguousarray(position))
    return rdGaussianShape.ShapeInput(molecule, -1, what, _options(normalize=motion is None))


def _colored(molecule: Any, heavy: list[int]) -> Any | None:
    try:
        return _shape(molecule, heavy, color=True)
    except (RuntimeError, ValueError):  # features that RDKit cannot tell
        return None


def _carbons(position: Floats) -> Any:
    """Return an RDKit molecule of atoms without bonds, (n, 3) angstrom."""
    from rdkit import Chem  # noqa: PLC0415

    molecule = Chem.RWMol()
    for _ in position:
        molecule.AddAtom(Chem.Atom(6))
    return at_positions(molecule, position)
