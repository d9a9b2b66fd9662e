"""The frame of a conformer: principal axes of its classes of atoms, completed by single atoms where these give none.

The principal axes of the sums of the positions over classes are left alone by every symmetry of the bond graph; their
signs come from the ranks of the classes. Where these sums vanish, as for symmetric conformers, atoms of the rarest
class give candidate frames, and that in which one continuous function of the cloud is least wins. Whole shells of atoms
at one distance are taken or left, so that a symmetry never exchanges a candidate for what is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.canonical.point_group import Places
from molgiae.data.bonds import SAME_LENGTH, at_least

MIN_AXIS_GAP = 0.50013
"""Least difference between the singular values of sums over classes that defines their axes, angstrom.

Not at the round number, which made-up structures meet, by more than coordinates of four decimals move a value.
"""

MIN_PROJECTION = 0.10013
"""Shortest projection on an axis that defines its sign, angstrom; not round for the same reason."""

MIN_RADII = (0.9983, 0.4983, 0.0203, 1e-7)
"""Least distances from the centroid or the axis at which atoms define a direction, angstrom; the first that any has.

Not at round numbers, which made-up structures meet. The last is beyond round-off.
"""

MAX_PLACED_ATOMS = 100_000_000
"""Most atoms placed in candidate frames, some seconds; where there are more, candidates are thinned out first."""

PLACED_AT_ONCE = 1 << 19
"""Atoms placed at once, some ten megabytes for each array."""

_WAVES = np.array([[1.31, 0.47, 0.73], [-0.53, 1.17, 0.91], [0.37, -0.83, 1.43]])
_PHASES = np.array([0.4, 1.3, 2.2])


@dataclass(frozen=True, eq=False)
class ClassAxes:
    """The principal axes of the classes of B conformers.

    Attributes:
        rotation: (B, 3, 3) with the axes as columns.
        margin: (B, 2) by how much the first and the second axis exceed `MIN_AXIS_GAP` and `MIN_PROJECTION`, angstrom;
            negative where they are not defined.
        depth: (B,) third singular value, angstrom; 0 if there is a mirror plane.
    """

    rotation: Floats
    margin: Floats
    depth: Floats

    @property
    def defined(self) -> Bools:
        """(B,) bool, whether both axes are."""
        return self.margin.min(axis=1) >= 0


def class_axes(classes: Ints, pos: Floats, mask: Bools) -> ClassAxes:
    """Return the principal axes of the sums of positions over classes, each divided by the root of its size.

    Noise s on every coordinate is noise s on every coordinate of such a sum. Signs are those of the projections
    of the sums weighted by the centered ranks of their classes.

    Args:
        classes: (B, n) of the atoms, from 0.
        pos: (B, n, 3) angstrom, from the centroid, 0 where padded.
        mask: (B, n) true for atoms.
    """
    size, n = classes.shape
    flat = (classes + n * np.arange(size)[:, None]).ravel()
    count = np.bincount(flat[mask.ravel()], minlength=size * n).reshape(size, n)
    totals = np.stack([np.bincount(flat, c, minlength=size * n) for c in pos.reshape(-1, 3).T], axis=1)
    sums: Floats = totals.reshape(size, n, 3) / np.sqrt(np.maximum(count, 1))[..., None]
    present: Floats = (count > 0).astype(np.float64)
    mean = (np.arange(n) * present).sum(axis=1) / present.sum(axis=1)
    rank = (np.arange(n) - mean[:, None]) * present
    weight = rank / np.maximum(np.linalg.norm(rank, axis=1, keepdims=True), 1e-12)
    value, axes = np.linalg.eigh(sums.transpose(0, 2, 1) @ sums)
    singular, axes = np.sqrt(np.maximum(value, 0.0))[:, ::-1], axes[:, :, ::-1]
    lean = ((weight[:, None] @ sums) @ axes)[:, 0]
    axes = axes * np.where(lean < 0, -1.0, 1.0)[:, None]
    gap = (singular[:, :2] - singular[:, 1:]) - MIN_AXIS_GAP
    # the second axis is worth no more than the gap to the first
    margin = np.minimum(gap / 2**0.5, np.abs(lean[:, :2]) - MIN_PROJECTION)
    first, second = axes[:, :, 0], axes[:, :, 1]
    return ClassAxes(np.stack([first, second, np.cross(first, second)], axis=2), margin, singular[:, 2])


def frame_of_atoms(classes: Ints, pos: Floats, first: Floats | None) -> tuple[Floats, float]:
    """Return the best of all frames that the conformer itself singles out, and how steady it is.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, relative to mu's translation.
        first: (3,) first axis, or None if that has to come from the atoms too.

    Returns:
        (2, 3) first and second axis, and the noise on the atoms, angstrom, that would make another candidate
        with another cloud win, or change what the candidates are; infinite without another, 0 if there were
        too many even of the rarest to compare them all, so that the frame may depend on the pose.
    """
    frames, steadiness = candidates(classes, pos, first)
    value = np.concatenate(
        [
            _waves(classes, pos @ some)
            for some in np.array_split(frames, len(frames) * len(pos) // PLACED_AT_ONCE + 1)
        ]
    )
    order = value.argsort()
    best = int(order[0])
    cloud = pos @ frames[best]
    places = Places(classes, cloud)
    for k in order[1:].tolist():
        if places.image(pos @ frames[k]) is None:
            wins_by = float(value[k] - value[best]) / _slope(classes, cloud) / 2**0.5
            return frames[best].T[:2], min(steadiness, wins_by)
    return frames[best].T[:2], steadiness


def candidates(classes: Ints, pos: Floats, first: Floats | None) -> tuple[Floats, float]:
    """Return rotations with axes towards atoms of one class each, as columns; arguments as of `frame_of_atoms`.

    Where the atoms of one class would give too many (`MAX_PLACED_ATOMS`), those of its rarest shell stand for them.

    Returns:
        (m, 3, 3), and the noise on the atoms that would change what they are, angstrom.
    """
    for thinned in (False, True):
        if first is None:
            starts, steadiness = directions(classes, pos, thinned)
        else:
            starts, steadiness = first[None], np.inf
        frames: list[Floats] = []
        number = 0
        for start in starts if len(starts) else np.eye(3)[:1]:
            across = pos - (pos @ start)[:, None] * start
            seconds, steady = directions(classes, across, thinned)
            frames.append(_frames(start, seconds))
            number += len(frames[-1])
            steadiness = min(steadiness, steady)
            if number * len(pos) > MAX_PLACED_ATOMS:
                break
        else:
            return np.concatenate(frames), steadiness
    return np.concatenate(frames), 0.0


def directions(classes: Ints, offset: Floats, thinned: bool) -> tuple[Floats, float]:
    """Return unit vectors towards the atoms of one class, none if no offset reaches far enough.

    The class is the smallest of those with an atom that reaches, by the first `MIN_RADII` that any does; the first
    class of these. Graph and rank decide, so that noise seldom does.

    Args:
        classes: (n,) of the atoms, from 0.
        offset: (n, 3) from the centroid or the axis, angstrom.
        thinned: whether to take the rarest shell of the class only, see `rarest_shell`.

    Returns:
        (m, 3), and the noise on the atoms that would change the choice of atoms, angstrom.
    """
    length = np.linalg.norm(offset, axis=1)
    size = np.bincount(classes)
    for reach in MIN_RADII:
        # beside the lower limits even SAME_LENGTH is much; half of one bounds what is near it in any case
        step = min(SAME_LENGTH, reach / 10)
        far = at_least(length, reach, step) & (length > reach / 2)
        if not far.any():
            continue
        found = np.unique(classes[far])
        chosen = found[size[found].argmin()]
        steadiness = np.inf
        # beyond the lower limits other atoms turn the frame, but hardly move one
        if reach in MIN_RADII[:2]:
            rival = size[classes] <= size[chosen]
            steadiness = float(np.abs(length[rival] - reach).min())
            gap = length[rival & far].min() - length[rival & ~far].max(initial=-np.inf)
            steadiness = min(steadiness, float(gap - step))
        far &= classes == chosen
        if thinned:
            shell, steady = rarest_shell(length[far])
            far[far] = shell
            steadiness = min(steadiness, steady)
        return offset[far] / length[far, None], steadiness
    return np.empty((0, 3)), np.inf


def rarest_shell(length: Floats) -> tuple[Bools, float]:
    """Return the atoms at the distance that fewest share, by steps of `SAME_LENGTH`; of several the most isolated one.

    Args:
        length: (m,) angstrom.

    Returns:
        (m,) which atoms, and the noise on the atoms that would change the choice, angstrom.
    """
    order = length.argsort()
    steps = np.diff(length[order], prepend=-np.inf, append=np.inf)
    bounds = np.flatnonzero(steps > SAME_LENGTH)
    size = np.diff(bounds)
    isolation = np.minimum(steps[bounds[:-1]], steps[bounds[1:]])
    isolation[size > size.min()] = -np.inf
    best = int(isolation.argmax())
    shell = np.zeros(len(length), dtype=bool)
    shell[order[bounds[best] : bounds[best + 1]]] = True
    lead = isolation[best] - np.delete(isolation, best).max(initial=-np.inf)
    return shell, float(min(lead, isolation[best] - SAME_LENGTH)) / 2


def _frames(first: Floats, second: Floats) -> Floats:
    """Return (m, 3, 3) rotations with this first axis and these second ones (m, 3), any if there are none."""
    if not len(second):
        second = np.eye(3)[np.abs(first).argmin()][None]
    # once more, for offsets as short as round-off
    second = second - (second @ first)[:, None] * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([np.broadcast_to(first, second.shape), second, np.cross(first, second)], axis=2)


def _waves(classes: Ints, clouds: Floats) -> Floats:
    """Return (C,) a continuous function of clouds (C, n, 3) that tells poses, but not orders of atoms, apart."""
    weight = _weight(classes)
    phases = (clouds @ wave + phase for wave, phase in zip(_WAVES, _PHASES, strict=True))
    return np.sum([np.cos(phase) @ weight for phase in phases], axis=0)


def _slope(classes: Ints, cloud: Floats) -> float:
    """Return the length of the gradient of `_waves` at a cloud (n, 3)."""
    gradient = _weight(classes)[:, None] * (np.sin(cloud @ _WAVES.T + _PHASES) @ _WAVES)
    return float(np.linalg.norm(gradient)) + 1e-12


def _weight(classes: Ints) -> Floats:
    return 1.0 + np.modf(0.618034 * (classes + 1))[0]
