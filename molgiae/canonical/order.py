"""The order of atoms: a walk over the bond graph that turns at torsions.

Coordinates and learned scores of equivalent atoms cross when atoms move a little; torsions of a staggered or
planar surrounding stay near multiples of 60 degrees. So the walk starts at an atom of the rarest class, goes
outwards level by level, and orders children of one atom that the graph cannot tell apart by the torsion about
the bond that leads to them, counted from `FIRST_TORSION`, an angle that no common torsion is close to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.data.bonds import SAME_LENGTH

FIRST_TORSION = -0.58
"""Torsion that comes first, radian: about as far as can be from multiples of 60 degrees, and none of 6 or 10."""

MIN_SINE_OF_TORSION = 0.35
"""Sine of the least angle at which three atoms define a torsion."""

MIN_SINE_OF_AXIS = 0.42
"""Sine of the least angle at which a frame axis serves as reference; between those of 19.5 and 30 degrees."""

SAME_TORSION = 0.3
"""Torsions that follow each other by less, radian, are one: the height along the bond decides.

Where heights are equal too, the projection on `DIRECTION` does, which no symmetry makes equal.
"""

DIRECTION = np.array([1.0, 0.5437, 0.2331])
"""Roots that the graph cannot tell apart start where this direction of the canonical frame points; no
special position of a point group is orthogonal to it."""


@dataclass(frozen=True, eq=False)
class Walk:
    """The order of a walk.

    Attributes:
        place: (B, n) int64, each atom's place in the walk; n where padded.
        margin: (B,) noise on the atoms, angstrom, that would turn the closest decision; infinite without one.
    """

    place: Ints
    margin: Floats


def walk(classes: Ints, adjacency: Bools, pos: Floats, mask: Bools) -> Walk:
    """Visit all atoms; a component of the graph after the other.

    Args:
        classes: (B, n) from 0, smaller than n + 1.
        adjacency: (B, n, n) bonds.
        pos: (B, n, 3) angstrom, in the canonical frame.
        mask: (B, n) true for atoms.
    """
    return _Walk(classes, adjacency, pos, mask).run()


class _Walk:
    """State of a walk over the atoms of a batch as one list of B n atoms; atom i of conformer b is b n + i."""

    def __init__(self, classes: Ints, adjacency: Bools, pos: Floats, mask: Bools) -> None:
        self.size, self.n = classes.shape
        total = self.size * self.n
        self.mask, self.adjacency = mask.ravel(), adjacency.reshape(total, self.n)
        self.classes, self.pos = classes.ravel(), pos.reshape(total, 3)
        self.unseen = total
        self.conformer = np.arange(total) // self.n
        self.start, to = self.adjacency.nonzero()
        self.end = self.conformer[self.start] * self.n + to
        self.place = np.full(total, self.unseen)
        self.parent = np.full(total, -1)
        self.seen = np.zeros(self.size, dtype=np.int64)
        self.projection = self.pos @ DIRECTION
        self.margin = np.full(self.size, np.inf)
        own = self.conformer * self.n + np.minimum(self.classes, self.n - 1)
        multiplicity = np.bincount(own[self.mask], minlength=total)[own]
        self.roots = np.lexsort((-self.projection, self.classes, multiplicity, self.conformer))
        self.root_rank = np.empty_like(self.roots)
        self.root_rank[self.roots] = np.arange(total)

    def run(self) -> Walk:
        frontier = np.zeros(self.unseen, dtype=bool)
        while True:
            children, of = self._children(frontier)
            frontier[:] = False
            roots = self._new_roots(children)
            if not len(children) and not len(roots):
                break
            frontier[roots] = True
            self._put(roots)
            if len(children):
                self.parent[children] = of
                self._put(self._sorted(children, of))
                frontier[children] = True
        place = np.where(self.mask, self.place - self.conformer * self.n, self.n)
        return Walk(place.reshape(self.size, self.n), self.margin)

    def _children(self, frontier: Bools) -> tuple[Ints, Ints]:
        """Atoms not yet seen beside the frontier, and for each the first atom of the frontier it is bonded to."""
        step = frontier[self.start] & (self.place[self.end] == self.unseen)
        first = np.full(self.unseen, self.unseen)
        np.minimum.at(first, self.end[step], self.place[self.start[step]])
        children = np.flatnonzero(first < self.unseen)
        at = np.full(self.unseen, -1)
        placed = np.flatnonzero(self.place < self.unseen)
        at[self.place[placed]] = placed
        return children, at[first[children]]

    def _new_roots(self, children: Ints) -> Ints:
        """For each conformer that stands still with atoms not yet seen, where to start again."""
        left = (self.place == self.unseen) & self.mask
        still = np.zeros(self.size, dtype=bool)
        still[self.conformer[left]] = True
        still[self.conformer[children]] = False
        if not still.any():
            return children[:0]
        rank = np.where(left & still[self.conformer], self.root_rank, self.unseen)
        best = rank.reshape(self.size, self.n).min(axis=1)[still]
        root = self.roots[best]
        follower = self.roots[np.minimum(best + 1, len(self.roots) - 1)]
        rival = (self.conformer[follower] == self.conformer[root]) & self.mask[follower] & (follower != root)
        rival &= (self.classes[follower] == self.classes[root]) & (self.place[follower] == self.unseen)
        gap = (self.projection[root] - self.projection[follower])[rival] / 2**0.5
        self._limit(root[rival], gap)
        return root

    def _limit(self, atoms: Ints, margin: Floats) -> None:
        """Bound the margins of the conformers of these atoms."""
        np.minimum.at(self.margin, self.conformer[atoms], margin)

    def _put(self, atoms: Ints) -> None:
        """Give the next places of their conformers to atoms, which are grouped by conformer."""
        owner = self.conformer[atoms]
        first = np.searchsorted(owner, np.arange(self.size))
        self.place[atoms] = owner * self.n + self.seen[owner] + np.arange(len(atoms)) - first[owner]
        self.seen += np.bincount(owner, minlength=self.size)

    def _sorted(self, children: Ints, of: Ints) -> Ints:
        """Children by place of their parent, class, torsion."""
        key = self.place[of] * (self.n + 1) + self.classes[children]
        _, group, count = np.unique(key, return_inverse=True, return_counts=True)
        tied = count[group] > 1
        if tied.any():
            atoms, sibling = children[tied], key[tied]
            angle, height = self._torsions(atoms, of[tied], children[~tied])
            # equal torsions, then equal heights, as a symmetry makes them, leave the choice to the next key
            alike = _split(sibling, angle, SAME_TORSION)
            alike = _split(alike, -height, SAME_LENGTH)
            order = np.lexsort((-self.projection[atoms], alike))
            children = np.concatenate([atoms[order], children[~tied]])
            key = np.concatenate([sibling[order], key[~tied]])
        return children[key.argsort(kind="stable")]

    def _torsions(self, atoms: Ints, of: Ints, told_apart: Ints) -> tuple[Floats, Floats]:
        """Torsions (T,) of atoms about the bonds to their parents, from `FIRST_TORSION`, and heights along these."""
        others = (self.conformer[atoms] * self.n)[:, None] + np.arange(self.n)
        apart = np.zeros(self.unseen, dtype=bool)
        apart[told_apart] = True
        sibling = self.adjacency[of] & apart[others]
        start = self._starts(atoms, of, others, sibling)
        axis = _normalized(self.pos[of] - self.pos[start])
        plane = self._planes(atoms, of, start, others, sibling, axis)
        own = self.pos[atoms] - self.pos[of]
        x, y = (own * plane).sum(axis=1), (own * np.cross(axis, plane)).sum(axis=1)
        angle = np.remainder(np.arctan2(y, x) - FIRST_TORSION, 2 * math.pi)
        straight = np.hypot(x, y) < MIN_SINE_OF_TORSION * _length(own)
        turns = ~straight & (atoms != start)
        near = np.minimum(angle, 2 * math.pi - angle) * np.hypot(x, y)
        self._limit(atoms[turns], near[turns] / 2**0.5)
        height = (own * axis).sum(axis=1)
        return np.where(atoms == start, -2.0, np.where(straight, -1.0, angle)), height

    def _starts(self, atoms: Ints, of: Ints, others: Ints, sibling: Bools) -> Ints:
        """Return the atoms (T,) from which the axes to the parents come.

        The parent's parent; at a root a child that is told apart, else the child that is foremost along `DIRECTION`,
        which comes first.
        """
        classes = self.classes[others]
        by_class = np.where(sibling, classes, self.unseen)
        same = self.adjacency[of] & (classes == self.classes[atoms][:, None])
        same &= self.place[others] == self.unseen
        ahead = np.where(same, self.projection[others], -np.inf)
        which = np.where(sibling.any(axis=1), by_class.argmin(axis=1), ahead.argmax(axis=1))
        before = self.parent[of]
        leads = (before < 0) & ~sibling.any(axis=1)
        second, first = np.sort(ahead[leads], axis=1)[:, -2:].T
        self._limit(atoms[leads], (first - second) / 2**0.5)
        return np.where(before < 0, np.take_along_axis(others, which[:, None], axis=1)[:, 0], before)

    def _planes(
        self, atoms: Ints, of: Ints, start: Ints, others: Ints, sibling: Bools, axis: Floats
    ) -> Floats:
        """Unit vectors (T, 3) across the axes from which torsions are counted.

        Towards a child that is told apart, else an atom with a place, neighbours on the axis first, else along a frame
        axis.
        """
        place, classes = self.place[others], self.classes[others]
        offset = self.pos[others] - self.pos[of][:, None]
        across = offset - (offset * axis[:, None]).sum(axis=-1, keepdims=True) * axis[:, None]
        length = _length(offset)
        sine = _length(across) / np.maximum(length, 1e-9)
        known = (sibling | (place < self.unseen)) & (others != of[:, None]) & (others != start[:, None])
        beside = self.adjacency[np.where(self.parent[of] < 0, of, start)]
        rank = np.where(beside, place, place + self.unseen)
        # a ring may close at children told apart by several parents, and of one class
        by_parent = (classes - self.n - 1) * (self.unseen + 1) + self.place[self.parent[others]]
        never = 4 * self.unseen
        rank = np.where(known, np.where(sibling, by_parent, rank), never)
        bent = np.where(sine < MIN_SINE_OF_TORSION, never, rank)
        which = bent.argmin(axis=1)
        every = np.arange(len(atoms))
        best = bent[every, which]
        wavering = np.abs(sine - MIN_SINE_OF_TORSION) * length
        wavering[(rank > best[:, None]) | ~known] = np.inf
        self._limit(atoms, wavering.min(axis=1) / 2**0.5)
        frame = np.eye(3) - axis[:, :, None] * axis[:, None]
        free = (_length(frame) > MIN_SINE_OF_AXIS).argmax(axis=1)
        return _normalized(np.where((best < never)[:, None], across[every, which], frame[every, free]))


def _split(key: Ints, value: Floats, step: float) -> Ints:
    """Number the groups of equal keys anew, in order, split where sorted values differ by more than a step."""
    order = np.lexsort((value, key))
    new = (np.diff(key[order]) != 0) | (np.diff(value[order]) > step)
    number = np.empty_like(key)
    number[order] = np.concatenate([[0], new.cumsum()])
    return number


def _length(vectors: NDArray[np.float64]) -> Floats:
    return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


def _normalized(vectors: Floats) -> Floats:
    return vectors / np.maximum(_length(vectors), 1e-12)[..., None]
