"""The frame of a conformer: principal axes of its classes of atoms, completed by single atoms where these give none.

The principal axes of the sums of the positions over classes are left alone by every symmetry of the bond graph; their
signs come from the ranks of the classes. Where these sums vanish, as for symmetric conformers, atoms of the rarest
class give candidate frames, and that in which one continuous function of the cloud is least wins. Whole shells of atoms
at one distance are taken or left, so that a symmetry never exchanges a candidate for what is none.
"""

from __future__ import annotations

import math

import numpy as np

from molgiae.canonical.bond_graph import Bools, Floats, Ints, sizes_of
from molgiae.canonical.places import SYMMETRY_TOLERANCE, fall_upon, places_of
from molgiae.canonical.waves import slope, waves
from molgiae.data.bonds import SAME_LENGTH, lowest_reached
from molgiae.parallel.eigen import eigen
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import cross, orthonormalize

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
"""Most atoms placed in candidate frames, a second; where there are more, candidates are thinned out first."""


@kernel
def class_axes(classes: Ints, pos: Floats) -> tuple[Floats, Floats, float]:
    """Return the principal axes of the sums of positions over classes, each divided by the root of its size.

    Noise s on every coordinate is noise s on every coordinate of such a sum. Signs are those of the projections
    of the sums weighted by the centered ranks of their classes.

    Args:
        classes: (n,) of the atoms, from 0, without gaps.
        pos: (n, 3) angstrom, from the centroid.

    Returns:
        rotation (3, 3) with the axes as rows; margin (2,) by how much the first and the second axis exceed
        `MIN_AXIS_GAP` and `MIN_PROJECTION`, angstrom, negative where they are not defined; and depth, the third
        singular value, angstrom, 0 if there is a mirror plane.
    """
    size = sizes_of(classes)
    sums, moment, lean = np.zeros((len(size), 3)), np.zeros((3, 3)), np.zeros(3)
    for i in range(len(classes)):
        for x in range(3):
            sums[classes[i], x] += pos[i, x]
    mean = (len(size) - 1) / 2
    norm = 0.0
    for c in range(len(size)):
        norm += (c - mean) ** 2
        for x in range(3):
            sums[c, x] /= math.sqrt(size[c])
            lean[x] += (c - mean) * sums[c, x]
    for x in range(3):
        for y in range(3):
            for c in range(len(size)):
                moment[x, y] += sums[c, x] * sums[c, y]
    value, axes = eigen(moment)
    rotation, margin = np.empty((3, 3)), np.empty(2)
    for k in range(2):
        along = 0.0
        for x in range(3):
            along += axes[x, k] * lean[x] / max(math.sqrt(norm), 1e-12)
        for x in range(3):
            rotation[k, x] = -axes[x, k] if along < 0 else axes[x, k]
        gap = math.sqrt(max(value[k], 0.0)) - math.sqrt(max(value[k + 1], 0.0)) - MIN_AXIS_GAP
        # the second axis is worth no more than the gap to the first
        margin[k] = min(gap / 2**0.5, abs(along) - MIN_PROJECTION)
    cross(rotation[0], rotation[1], rotation[2])
    return rotation, margin, math.sqrt(max(value[2], 0.0))


@kernel
def frame_of_atoms(classes: Ints, pos: Floats, first: Floats, most_placed: int) -> tuple[Floats, float]:
    """Return the best of all frames that the conformer itself singles out, and how steady it is.

    Args:
        classes: (n,) of the atoms, from 0.
        pos: (n, 3) angstrom, relative to mu's translation.
        first: (1, 3) first axis, or (0, 3) if that has to come from the atoms too.
        most_placed: `MAX_PLACED_ATOMS`.

    Returns:
        rotation (3, 3) with the axes as rows, and the noise on the atoms, angstrom, that would make another candidate
        with another cloud win, or change what the candidates are; infinite without another, 0 if there were
        too many even of the rarest to compare them all, so that the frame may depend on the pose.
    """
    frames, steadiness = candidates(classes, pos, first, most_placed)
    value = waves(classes, pos, frames)
    order = argsort(value)
    best = order[0]
    cloud = placed(pos, frames[best])
    places, image = places_of(classes, cloud), np.empty(len(pos), np.int64)
    for j in range(1, len(order)):
        k = order[j]
        if not fall_upon(places, classes, placed(pos, frames[k]), SYMMETRY_TOLERANCE, image):
            wins_by = (value[k] - value[best]) / slope(classes, cloud) / 2**0.5
            return frames[best], min(steadiness, wins_by)
    return frames[best], steadiness


@kernel
def placed(pos: Floats, rotation: Floats) -> Floats:
    """Return the coordinates (n, 3) of atoms along the rows of a rotation."""
    found = np.empty((len(pos), 3))
    for i in range(len(pos)):
        for x in range(3):
            found[i, x] = pos[i, 0] * rotation[x, 0] + pos[i, 1] * rotation[x, 1] + pos[i, 2] * rotation[x, 2]
    return found


@kernel
def candidates(classes: Ints, pos: Floats, first: Floats, most_placed: int) -> tuple[Floats, float]:
    """Return rotations with axes towards atoms of one class each, as rows; arguments as of `frame_of_atoms`.

    Where the atoms of one class would give too many (`most_placed`), those of its rarest shell stand for them.

    Returns:
        (m, 3, 3), and the noise on the atoms that would change what they are, angstrom.
    """
    for thinned in range(2):
        starts, steadiness = first, np.inf
        if not len(first):
            starts, steadiness = directions(classes, pos, thinned > 0)
        if not len(starts):
            starts = np.zeros((1, 3))
            starts[0, 0] = 1.0
        frames, number, is_all = np.empty((len(pos), 3, 3)), 0, True
        across = np.empty((len(pos), 3))
        for a in range(len(starts)):
            start = starts[a]
            for i in range(len(pos)):
                _reject(pos[i], start, across[i])
            seconds, steady = directions(classes, across, thinned > 0)
            steadiness = min(steadiness, steady)
            if not len(seconds):
                seconds = _any_across(start)
            if number + len(seconds) > len(frames):
                frames = _grown(frames, number, 2 * (number + len(seconds)))
            for b in range(len(seconds)):
                orthonormalize(start, seconds[b], frames[number])
                number += 1
            if number * len(pos) > most_placed:
                is_all = False
                break
        if is_all:
            break
    return frames[:number], steadiness if is_all else 0.0


@kernel
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
    n, size = len(classes), sizes_of(classes)
    length, far = np.empty(n), np.zeros(n, np.bool_)
    for i in range(n):
        length[i] = math.sqrt(offset[i, 0] ** 2 + offset[i, 1] ** 2 + offset[i, 2] ** 2)
    steadiness, chosen = np.inf, -1
    for k in range(len(MIN_RADII)):
        reach = MIN_RADII[k]
        # beside the lower limits even SAME_LENGTH is much; half of one bounds what is near it in any case
        step = min(SAME_LENGTH, reach / 10)
        least = lowest_reached(length, reach, step)
        for i in range(n):
            far[i] = length[i] >= least and length[i] > reach / 2
            c = classes[i]
            if far[i] and (chosen < 0 or size[c] < size[chosen] or (size[c] == size[chosen] and c < chosen)):
                chosen = c
        if chosen >= 0:
            # beyond the lower limits other atoms turn the frame, but hardly move one
            if k < 2:
                steadiness = _steadiness(length, far, size, classes, chosen, reach, step)
            break
    own, number = np.empty(n), 0
    for i in range(n):
        far[i] &= classes[i] == chosen
        if far[i]:
            own[number] = length[i]
            number += 1
    low, high = 0.0, np.inf
    if thinned and number:
        low, high, steady = rarest_shell(own[:number])
        steadiness = min(steadiness, steady)
    units, number = np.empty((number, 3)), 0
    for i in range(n):
        if far[i] and low <= length[i] <= high:
            for x in range(3):
                units[number, x] = offset[i, x] / length[i]
            number += 1
    return units[:number], steadiness


@kernel
def _steadiness(
    length: Floats, far: Bools, size: Ints, classes: Ints, chosen: int, reach: float, step: float
) -> float:
    """Return the noise on the atoms, angstrom, that would change the chosen class or which of its atoms reach."""
    nearest, least, most = np.inf, np.inf, -np.inf
    for i in range(len(length)):
        if size[classes[i]] <= size[chosen]:
            nearest = min(nearest, abs(length[i] - reach))
            if far[i]:
                least = min(least, length[i])
            else:
                most = max(most, length[i])
    return min(nearest, least - most - step)


@kernel
def rarest_shell(length: Floats) -> tuple[float, float, float]:
    """Return between which lengths the atoms are that fewest share, by steps of `SAME_LENGTH`.

    Of several such shells the most isolated one is taken.

    Args:
        length: (m,) angstrom.

    Returns:
        these two and the noise on the atoms that would change the choice, angstrom.
    """
    m, order = len(length), argsort(length)
    best, after, isolated, second = 0, m + 1, -np.inf, -np.inf
    begin, before = 0, np.inf
    for k in range(1, m + 1):
        step = length[order[k]] - length[order[k - 1]] if k < m else np.inf
        if step <= SAME_LENGTH:
            continue
        isolation = min(before, step)
        if k - begin < after - best:
            best, after, isolated, second = begin, k, isolation, -np.inf
        elif k - begin == after - best:
            if isolation > isolated:
                best, after, isolated, second = begin, k, isolation, isolated
            else:
                second = max(second, isolation)
        begin, before = k, step
    lead = isolated - second if second > -np.inf else np.inf
    return length[order[best]], length[order[after - 1]], min(lead, isolated - SAME_LENGTH) / 2


@kernel
def _grown(frames: Floats, number: int, size: int) -> Floats:
    found = np.empty((size, 3, 3))
    for k in range(number):
        for x in range(3):
            for y in range(3):
                found[k, x, y] = frames[k, x, y]
    return found


@kernel
def _any_across(first: Floats) -> Floats:
    """Return the axis of the coordinates (1, 3) that is least along a unit vector."""
    found, best = np.zeros((1, 3)), 0
    for x in range(1, 3):
        if abs(first[x]) < abs(first[best]):
            best = x
    found[0, best] = 1.0
    return found


@kernel
def _reject(vector: Floats, axis: Floats, across: Floats) -> None:
    """Fill in the part of a vector (3,) across a unit vector."""
    along = vector[0] * axis[0] + vector[1] * axis[1] + vector[2] * axis[2]
    for x in range(3):
        across[x] = vector[x] - along * axis[x]
