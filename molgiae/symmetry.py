"""Frames from the atoms of a conformer, and the symmetry that such frames show: stabilizer and point group.

Atoms of the rarest class give candidate frames. Rotations between those that give one cloud are the proper
stabilizer; those between the conformer and its mirror image are the improper operations (Schoenflies symbols as in
Cotton, Chemical Applications of Group Theory, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POSES = ("none", "axis", "full")
"""`pose_defined` by the number of directions that every proper symmetry leaves alone: 0, 1, 3."""

SYMMETRIC = 0.02
"""An operation is a symmetry if it puts every atom within this of where one of its class was, angstrom."""

REACH = (1.0, 0.5, 0.02, 1e-7)
"""Distances from the centroid or the axis at which atoms define a direction, angstrom; the first that any does."""

_WAVES = np.array([[1.31, 0.47, 0.73], [-0.53, 1.17, 0.91], [0.37, -0.83, 1.43]])
_PHASES = np.array([0.4, 1.3, 2.2])
_STEEP = 5.0
"""Clouds whose waves differ by more than so much per angstrom and root of the number of atoms are different."""


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations that put the atoms of a conformer upon atoms of their class.

    Attributes:
        matrix: (m, 3, 3) orthogonal, about the centroid.
        image: (m, n) the atom that each atom falls upon.
        proper: (m,) whether they are rotations.
    """

    matrix: Floats
    image: Ints
    proper: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Symmetry:
    """What leaves a conformer as it is.

    Attributes:
        point_group: Schoenflies symbol in plain text, * for infinite axes: C1, Cs, Ci, C2v, S4, D3d, Td, C*v, D*h,
            and Kh for a single atom.
        pose_defined: one of `POSES`.
        order_defined: whether no proper symmetry exchanges atoms.
        symmetry_number: order of the proper stabilizer; 0 for an infinite one.
    """

    point_group: str
    pose_defined: str
    order_defined: bool
    symmetry_number: int


def complete(classes: Ints, pos: Floats, first: Floats | None) -> tuple[Floats, float]:
    """The best of all frames that the conformer itself singles out.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, from the point that translations are measured from.
        first: (3,) first axis, or None if that has to come from the atoms too.

    Returns:
        (2, 3) first and second axis, and the noise on the atoms, angstrom, that would make another candidate
        with another cloud win; infinite without one.
    """
    frames = candidates(classes, pos, first)
    clouds = pos @ frames
    waves = _waves(classes, clouds)
    value = waves.sum(axis=1)
    best = int(value.argmin())
    for k in _similar(waves, waves[best], len(pos)):
        if _image(classes, clouds[k], clouds[best]) is not None:
            value[k] = np.inf
    wins_by = float(value.min() - waves[best].sum()) / _slope(classes, clouds[best]) / 2**0.5
    return frames[best].T[:2], wins_by


def symmetry_of(classes: Ints, pos: Floats) -> Symmetry:
    """Stabilizer and point group, up to `SYMMETRIC`.

    Args:
        classes: (n,) of the atoms, from 0; no symmetry may exchange atoms of different classes.
        pos: (n, 3) angstrom, from the centroid.
    """
    radius = np.linalg.norm(pos, axis=1)
    if radius.max() <= SYMMETRIC:
        return Symmetry("Kh", "none", True, 0)
    axis = pos[radius.argmax()] / radius.max()
    height = pos @ axis
    if np.linalg.norm(pos - height[:, None] * axis, axis=1).max() <= SYMMETRIC / 2:
        line = np.stack([height, 0 * height, 0 * height], axis=1)
        turned = _image(classes, line * [-1.0, 1.0, 1.0], line) is not None
        return Symmetry(*(("D*h", "none", False) if turned else ("C*v", "axis", True)), 0)
    frames = candidates(classes, pos, None)
    proper, images = _operations(classes, pos, frames)
    improper, _ = _operations(classes, pos, frames * [1.0, 1.0, -1.0])
    # the mean over a group projects on what the group fixes, so its trace is the number of directions
    fixed = round(float(np.trace(proper, axis1=1, axis2=2).mean()))
    pose = {3: "full", 1: "axis"}.get(fixed, "none")
    exchanges = (images != np.arange(len(pos))).any()
    return Symmetry(schoenflies(proper, improper), pose, not exchanges, len(proper))


def operations(classes: Ints, pos: Floats) -> Operations:
    """All operations that put the atoms upon atoms of their class, up to `SYMMETRIC`; the identity comes first.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, from the centroid, not all on a line.
    """
    frames = candidates(classes, pos, None)
    proper, images = _operations(classes, pos, frames)
    improper, mirrored = _operations(classes, pos, frames * [1.0, 1.0, -1.0])
    return Operations(
        np.concatenate([proper, improper]),
        np.concatenate([images, mirrored]),
        np.arange(len(proper) + len(improper)) < len(proper),
    )


def _operations(classes: Ints, pos: Floats, frames: Floats) -> tuple[Floats, Ints]:
    """All operations from the frames (C, 3, 3) to the first that put the atoms upon atoms, each once.

    Returns:
        (m, 3, 3) operations, and (m, n) which atom falls upon which.
    """
    clouds = pos @ frames
    right = frames[0] * [1.0, 1.0, np.linalg.det(frames[0]).round()]
    reference = pos @ right
    found = {}
    for k in _similar(_waves(classes, clouds), _waves(classes, reference[None])[0], len(pos)):
        image = _image(classes, clouds[k], reference)
        if image is not None:
            # two atoms may point the same way; only on a line do rotations move no atom
            found[image.tobytes()] = (right @ frames[k].T, image)
    matrices = np.array([operation for operation, _ in found.values()]).reshape(-1, 3, 3)
    return matrices, np.array([image for _, image in found.values()], np.int64).reshape(-1, len(pos))


def schoenflies(proper: Floats, improper: Floats) -> str:
    """The symbol of a finite point group.

    Args:
        proper: (m, 3, 3) its rotations, the identity included.
        improper: (m or 0, 3, 3) its other operations.
    """
    order = len(proper)
    folds = np.array([_fold(rotation) for rotation in proper])
    top = int(folds.max())
    trace = np.trace(improper, axis1=1, axis2=2).round(1)
    mirrors = [_axis(-mirror) for mirror in improper[trace > 0.8] if _fold(-mirror) == 2]
    if order == 1:
        return "Cs" if mirrors else "Ci" if len(improper) else "C1"
    main = [_axis(rotation) for rotation in proper[folds == top]]
    across = any(abs(normal @ axis) > 0.9 for normal in mirrors for axis in main)
    if order == top:
        if not len(improper):
            return f"C{top}"
        return f"C{top}h" if across else f"C{top}v" if mirrors else f"S{2 * top}"
    if order == 2 * top:
        return f"D{top}" + (("h" if across else "d") if len(improper) else "")
    # near-symmetric conformers may show operations that are no group up to the tolerance
    letter = {12: "T", 24: "O", 60: "I"}.get(order, "C1")
    if len(improper) and letter != "C1":
        return letter + ("d" if letter == "T" and (trace > -2.8).all() else "h")
    return letter


def _fold(rotation: Floats) -> int:
    """Order of a rotation: the smallest number of times that make a whole turn."""
    cosine = np.clip((np.trace(rotation) - 1) / 2, -1.0, 1.0)
    turn = np.arccos(cosine) / (2 * np.pi)
    if turn < 0.01:
        return 1
    whole = np.arange(2, 31) * turn
    return 2 + int((np.abs(whole - whole.round()) < 0.02).argmax())


def _axis(rotation: Floats) -> Floats:
    """Unit vector (3,) along the axis of a rotation other than the identity."""
    value, vectors = np.linalg.eigh((rotation + rotation.T) / 2)
    return vectors[:, value.argmax()]


def candidates(classes: Ints, pos: Floats, first: Floats | None) -> Floats:
    """(m, 3, 3) rotations with axes towards atoms of one class each, as columns; arguments as of `complete`."""
    starts = directions(classes, pos) if first is None else first[None]
    if not len(starts):
        starts = np.eye(3)[:1]
    return np.concatenate([_frames(classes, pos, start) for start in starts])


def directions(classes: Ints, offset: Floats) -> Floats:
    """Unit vectors (m, 3) towards the atoms of one class, none if no offset (n, 3) reaches far enough.

    The class is the smallest of those with an atom that reaches, by the first `REACH` that any does; the first
    class of these. Graph and rank decide, so that noise seldom does.
    """
    length = np.linalg.norm(offset, axis=1)
    size = np.bincount(classes)
    for reach in REACH:
        far = length >= reach
        if far.any():
            found = np.unique(classes[far])
            chosen = far & (classes == found[size[found].argmin()])
            return offset[chosen] / length[chosen, None]
    return np.empty((0, 3))


def _frames(classes: Ints, pos: Floats, first: Floats) -> Floats:
    """(m, 3, 3) rotations with this first axis, the second towards atoms of one class, any if all lie on it."""
    second = directions(classes, pos - (pos @ first)[:, None] * first)
    if not len(second):
        second = np.eye(3)[np.abs(first).argmin()][None]
    # once more, for offsets as short as round-off
    second = second - (second @ first)[:, None] * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([np.broadcast_to(first, second.shape), second, np.cross(first, second)], axis=2)


def _waves(classes: Ints, clouds: Floats) -> Floats:
    """(C, 3) continuous functions of clouds (C, n, 3) that tell poses apart; the order of atoms does not enter.

    Candidates are compared by their sum.
    """
    weight = _weight(classes)
    phases = (clouds @ wave + phase for wave, phase in zip(_WAVES, _PHASES, strict=True))
    return np.stack([np.cos(phase) @ weight for phase in phases], axis=1)


def _similar(waves: Floats, reference: Floats, n: int) -> list[int]:
    """The clouds that may be the same as a reference, up to `SYMMETRIC`, by their waves (C, 3)."""
    near = np.abs(waves - reference).max(axis=1) <= _STEEP * n**0.5 * SYMMETRIC
    return np.flatnonzero(near).tolist()


def _slope(classes: Ints, cloud: Floats) -> float:
    """Length of the gradient of the sum of `_waves` at a cloud (n, 3)."""
    gradient = _weight(classes)[:, None] * (np.sin(cloud @ _WAVES.T + _PHASES) @ _WAVES)
    return float(np.linalg.norm(gradient)) + 1e-12


def _weight(classes: Ints) -> Floats:
    return 1.0 + np.modf(0.618034 * (classes + 1))[0]


def _image(classes: Ints, cloud: Floats, reference: Floats) -> Ints | None:
    """(n,) which atom of the reference each atom of the cloud falls upon, or None if one falls on none."""
    square = (cloud**2).sum(axis=1)[:, None] + (reference**2).sum(axis=1) - 2 * cloud @ reference.T
    square[classes[:, None] != classes] = np.inf
    image = square.argmin(axis=1)
    fits = square[np.arange(len(cloud)), image] <= SYMMETRIC**2
    return image if fits.all() and len(np.unique(image)) == len(image) else None
