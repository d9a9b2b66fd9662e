"""Atoms told apart by the bond graph, and those it cannot tell apart by a walk that turns at torsions.

Coordinates and learned scores of equivalent atoms cross when atoms move a little; torsions of a staggered or
planar surrounding stay near multiples of 60 degrees. So the walk starts at an atom of the rarest class, goes
outwards level by level, and orders children of one atom that the graph cannot tell apart by the torsion about
the bond that leads to them, counted from `CUT`, an angle that no common torsion is close to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from molgiae.data.bonds import BOND_LENGTH_FACTOR, FOUR_BONDS, SURE_FACTOR, perceived_bonds
from molgiae.data.elements import COVALENT_RADIUS
from molgiae.data.gaps import SAME_LENGTH
from molgiae.tensors import AtomicNumbers

CUT = -0.58
"""Torsion that comes first, radian: about as far as can be from multiples of 60 degrees, and none of 6 or 10."""

STRAIGHT = 0.35
"""Sine of the least angle at which three atoms define a torsion."""

UPRIGHT = 0.42
"""Sine of the least angle at which a frame axis serves as reference; between those of 19.5 and 30 degrees."""

TOGETHER = 0.3
"""Torsions that follow each other by less, radian, are one: the height along the bond decides.

Where heights are equal too, the projection on `DIRECTION` does, which no symmetry makes equal.
"""

DIRECTION = (1.0, 0.5437, 0.2331)
"""Roots that the graph cannot tell apart start where this direction of the canonical frame points; no
special position of a point group is orthogonal to it."""


@dataclass(frozen=True, eq=False)
class Walk:
    """The order of a walk.

    Attributes:
        place: (B, n) int64, each atom's place in the walk; n where padded.
        margin: (B,) noise on the atoms, angstrom, that would turn the closest decision; infinite without one.
    """

    place: Tensor
    margin: Tensor


def bonded(z: AtomicNumbers, pos: Tensor) -> tuple[Tensor, Tensor]:
    """Bonds as distances show them, by the rule of `molgiae.data.bonds.perceived_bonds`.

    Args:
        z: (B, n) atomic numbers, 0 marks padding.
        pos: (B, n, 3) angstrom.

    Returns:
        (B, n, n) bool, and (B,) how far the most doubtful distance is from its limit, angstrom.
    """
    radius = torch.tensor(COVALENT_RADIUS, dtype=pos.dtype, device=pos.device)[z]
    radii, apart = radius[:, :, None] + radius[:, None], torch.cdist(pos, pos)
    pair = (z > 0)[:, :, None] & (z > 0)[:, None]
    pair &= ~torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    unsure = (apart - SURE_FACTOR * radii).masked_fill_(~pair, torch.inf)
    full = (z == FOUR_BONDS) & ((unsure < 0).sum(dim=2) >= 4)
    # a carbon with four neighbours has no bond beyond the lower limit
    barred = (full[:, :, None] | full[:, None]) & (unsure > 0)
    excess = torch.where(barred, unsure, apart - BOND_LENGTH_FACTOR * radii)
    bonds = (excess < 0) & pair
    doubt = excess.abs_().masked_fill_(~pair, torch.inf).flatten(1)
    doubt = torch.nn.functional.pad(doubt, (0, 1), value=torch.inf).amin(dim=1)
    tied = unsure.abs_().flatten(1).amin(dim=1) <= SAME_LENGTH
    lone = ((z == 1) & ~bonds.any(dim=2)).any(dim=1)
    for b in torch.nonzero(lone | tied | (doubt <= SAME_LENGTH)).flatten().tolist():
        n = int((z[b] > 0).sum())
        found = torch.from_numpy(perceived_bonds(z[b, :n].cpu().numpy(), pos[b, :n].double().cpu().numpy()))
        first, second = found.to(bonds.device).T
        bonds[b] = False
        bonds[b, first, second] = bonds[b, second, first] = True
    return bonds, doubt


def refined(classes: Tensor, bonds: Tensor) -> Tensor:
    """Classes split until atoms of one class have neighbours of the same classes (Weisfeiler and Leman, 1968).

    Args:
        classes: (B, n) int64 from 0, last where padded.
        bonds: (B, n, n) bool.

    Returns:
        (B, n) int64, numbered from 0 without gaps, in the order of the classes given.
    """
    n = classes.shape[1]
    hashes = torch.rand(n + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hashes, adjacent = hashes.to(classes.device), bonds.double()
    while True:
        around = (adjacent @ hashes[classes][..., None])[..., 0]
        split = _ranks(classes * (n + 1) + _ranks(around, 1e-9))
        if torch.equal(split, classes):
            return classes
        classes = split


def by_isotope(classes: Tensor, isotope: Tensor | None, bonds: Tensor) -> Tensor:
    """Return the classes with atoms of unlike isotopes apart, and those that this tells apart.

    The order among the classes given stays, so that isotopes decide between atoms that are else alike.

    Args:
        classes: (B, n) int64, refined.
        isotope: (B, n) mass numbers, 0 for natural atoms; None if all are.
        bonds: (B, n, n) bool.
    """
    if isotope is None:
        return classes
    return refined(_ranks(classes * (int(isotope.max()) + 1) + isotope), bonds)


def graph_classes(z: AtomicNumbers, pos: Tensor) -> Tensor:
    """Classes of atoms by element, heavy ones first, and by bonds as distances show them.

    Args:
        z: (B, n) atomic numbers, 0 marks padding.
        pos: (B, n, 3) angstrom.

    Returns:
        (B, n) int64 from 0; the class of padding comes last.
    """
    return refined(_ranks(torch.where(z > 0, -z, 1)), bonded(z, pos)[0])


def _ranks(values: Tensor, tolerance: float = 0.0) -> Tensor:
    """(B, n) to ranks in each row; values closer than the tolerance share one."""
    ordered, order = values.sort(dim=-1)
    rank = torch.nn.functional.pad((ordered.diff(dim=-1) > tolerance).long().cumsum(dim=-1), (1, 0))
    return torch.empty_like(rank).scatter_(-1, order, rank)


def walk(classes: Tensor, bonds: Tensor, pos: Tensor, mask: Tensor) -> Walk:
    """Visit all atoms; a component of the graph after the other.

    Args:
        classes: (B, n) int64 from 0, smaller than n + 1.
        bonds: (B, n, n) bool.
        pos: (B, n, 3) float64, angstrom, in the canonical frame.
        mask: (B, n) true for atoms.
    """
    return _Walk(classes, bonds, pos, mask).run()


class _Walk:
    """State of a walk over the atoms of a batch as one list of B n atoms; atom i of conformer b is b n + i."""

    def __init__(self, classes: Tensor, bonds: Tensor, pos: Tensor, mask: Tensor) -> None:
        self.size, self.n = classes.shape
        total = self.size * self.n
        self.mask, self.bonds = mask.flatten(), bonds.flatten(0, 1)
        self.classes, self.pos = classes.flatten(), pos.flatten(0, 1)
        device = classes.device
        self.unseen = total
        self.conformer = torch.arange(total, device=device) // self.n
        ends, to = self.bonds.nonzero(as_tuple=True)
        self.start, self.end = ends, self.conformer[ends] * self.n + to
        self.place = torch.full((total,), self.unseen, device=device)
        self.parent = torch.full((total,), -1, device=device)
        self.seen = torch.zeros(self.size, dtype=torch.long, device=device)
        self.projection = self.pos @ self.pos.new_tensor(DIRECTION)
        self.margin = torch.full((self.size,), torch.inf, dtype=self.pos.dtype, device=device)
        count = torch.zeros(total, dtype=torch.long, device=device)
        own = self.conformer * self.n + self.classes.clamp(max=self.n - 1)
        self.multiplicity = count.index_add_(0, own, self.mask.long())[own]
        self.roots = self._in_order(
            (self.conformer * (self.n + 1) + self.multiplicity) * (self.n + 1) + self.classes,
            -self.projection,
        )
        self.root_rank = torch.empty_like(self.roots)
        self.root_rank[self.roots] = torch.arange(total, device=device)

    @staticmethod
    def _in_order(key: Tensor, value: Tensor) -> Tensor:
        by_value = value.argsort(stable=True)
        return by_value[key[by_value].argsort(stable=True)]

    def _split(self, key: Tensor, value: Tensor, step: float) -> Tensor:
        """Number the groups of equal keys anew, in order, split where sorted values differ by more than a step."""
        order = self._in_order(key, value)
        new = (key[order].diff() != 0) | (value[order].diff() > step)
        number = torch.nn.functional.pad(new.long().cumsum(dim=0), (1, 0))
        return torch.empty_like(number).scatter_(0, order, number)

    def run(self) -> Walk:
        frontier = torch.zeros_like(self.mask)
        while True:
            children, of = self._children(frontier)
            frontier = torch.zeros_like(self.mask)
            roots = self._new_roots(children)
            if not len(children) and not len(roots):
                break
            frontier[roots] = True
            self._put(roots)
            if len(children):
                self.parent[children] = of
                self._put(self._sorted(children, of))
                frontier[children] = True
        place = self.place - self.conformer * self.n
        place = torch.where(self.mask, place, self.n).view(self.size, self.n)
        return Walk(place, self.margin)

    def _children(self, frontier: Tensor) -> tuple[Tensor, Tensor]:
        """Atoms not yet seen beside the frontier, and for each the first atom of the frontier it is bonded to."""
        step = frontier[self.start] & (self.place[self.end] == self.unseen)
        first = torch.full_like(self.place, self.unseen)
        first = first.scatter_reduce(0, self.end[step], self.place[self.start[step]], "amin")
        children = torch.nonzero(first < self.unseen).flatten()
        at = torch.full_like(self.place, -1)
        placed = torch.nonzero(self.place < self.unseen).flatten()
        at[self.place[placed]] = placed
        return children, at[first[children]]

    def _new_roots(self, children: Tensor) -> Tensor:
        """For each conformer that stands still with atoms not yet seen, where to start again."""
        left = (self.place == self.unseen) & self.mask
        still = torch.zeros(self.size, dtype=torch.bool, device=left.device)
        still[self.conformer[left]] = True
        still[self.conformer[children]] = False
        if not still.any():
            return children[:0]
        rank = torch.where(left & still[self.conformer], self.root_rank, self.unseen)
        best = torch.full((self.size,), self.unseen, device=left.device)
        best = best.scatter_reduce(0, self.conformer, rank, "amin")[still]
        root = self.roots[best]
        follower = self.roots[(best + 1).clamp(max=len(self.roots) - 1)]
        rival = (self.conformer[follower] == self.conformer[root]) & self.mask[follower] & (follower != root)
        rival &= (self.classes[follower] == self.classes[root]) & (self.place[follower] == self.unseen)
        gap = (self.projection[root] - self.projection[follower])[rival] / 2**0.5
        self._doubt(root[rival], gap)
        return root

    def _doubt(self, atoms: Tensor, gap: Tensor) -> None:
        self.margin = self.margin.scatter_reduce(0, self.conformer[atoms], gap, "amin")

    def _put(self, atoms: Tensor) -> None:
        """Give the next places of their conformers to atoms, which are grouped by conformer."""
        owner = self.conformer[atoms]
        first = torch.searchsorted(owner, torch.arange(self.size, device=owner.device))
        rank = torch.arange(len(atoms), device=owner.device) - first[owner]
        self.place[atoms] = owner * self.n + self.seen[owner] + rank
        self.seen += torch.bincount(owner, minlength=self.size)

    def _sorted(self, children: Tensor, of: Tensor) -> Tensor:
        """Children by place of their parent, class, torsion."""
        key = self.place[of] * (self.n + 1) + self.classes[children]
        _, group, count = key.unique(return_inverse=True, return_counts=True)
        tied = count[group] > 1
        if tied.any():
            atoms, sibling = children[tied], key[tied]
            angle, height = self._torsions(atoms, of[tied], children[~tied])
            # equal torsions, then equal heights, as a symmetry makes them, leave the choice to the next key
            group = self._split(sibling, angle, TOGETHER)
            group = self._split(group, -height, SAME_LENGTH)
            order = self._in_order(group, -self.projection[atoms])
            children = torch.cat([atoms[order], children[~tied]])
            key = torch.cat([sibling[order], key[~tied]])
        return children[key.argsort(stable=True)]

    def _torsions(self, atoms: Tensor, of: Tensor, told_apart: Tensor) -> tuple[Tensor, Tensor]:
        """Torsions (T,) of atoms about the bonds to their parents, counted from `CUT`, and heights along these.

        The axis comes from the parent's parent; at a root from a child that is told apart, else from the
        child that is foremost along `DIRECTION`, which comes first. The plane of reference is that of a child
        that is told apart, else of an atom with a place, neighbours on the axis first, else of a frame axis.
        """
        every = torch.arange(len(atoms), device=atoms.device)
        others = (self.conformer[atoms] * self.n)[:, None] + torch.arange(self.n, device=atoms.device)
        bonded_to_parent, place, classes = self.bonds[of], self.place[others], self.classes[others]
        apart = torch.zeros_like(self.mask)
        apart[told_apart] = True
        sibling = bonded_to_parent & apart[others]
        least, which = torch.where(sibling, classes, self.unseen).min(dim=1)
        same = bonded_to_parent & (classes == self.classes[atoms][:, None]) & (place == self.unseen)
        ahead = torch.where(same, self.projection[others], -torch.inf)
        (first, second), foremost = ahead.topk(2, dim=1).values.T, ahead.argmax(dim=1)
        before = self.parent[of]
        at_root = before < 0
        chosen = others[every, torch.where(least < self.unseen, which, foremost)]
        start = torch.where(at_root, chosen, before)
        leads = at_root & (least == self.unseen)
        self._doubt(atoms[leads], (first - second)[leads] / 2**0.5)

        axis = torch.nn.functional.normalize(self.pos[of] - self.pos[start], dim=1)
        offset = self.pos[others] - self.pos[of][:, None]
        across = offset - (offset * axis[:, None]).sum(dim=-1, keepdim=True) * axis[:, None]
        sine = across.norm(dim=-1) / offset.norm(dim=-1).clamp_min(1e-9)
        known = (sibling | (place < self.unseen)) & (others != of[:, None]) & (others != start[:, None])
        rank = torch.where(self.bonds[torch.where(at_root, of, start)], place, place + self.unseen)
        # a ring may close at children told apart by several parents, and of one class
        by_parent = (classes - self.n - 1) * (self.unseen + 1) + self.place[self.parent[others]]
        rank = torch.where(sibling, by_parent, rank).masked_fill(~known, 4 * self.unseen)
        best, which = rank.masked_fill(sine < STRAIGHT, 4 * self.unseen).min(dim=1)
        wavering = (sine - STRAIGHT).abs() * offset.norm(dim=-1)
        wavering = wavering.masked_fill((rank > best[:, None]) | ~known, torch.inf)
        self._doubt(atoms, wavering.amin(dim=1) / 2**0.5)
        frame = torch.eye(3, dtype=axis.dtype, device=axis.device) - axis[:, :, None] * axis[:, None]
        free = (frame.norm(dim=-1) > UPRIGHT).long().argmax(dim=1)
        plane = torch.where((best < 4 * self.unseen)[:, None], across[every, which], frame[every, free])
        plane = torch.nn.functional.normalize(plane, dim=1)

        own = self.pos[atoms] - self.pos[of]
        x, y = (own * plane).sum(dim=1), (own * torch.linalg.cross(axis, plane)).sum(dim=1)
        angle = torch.remainder(torch.atan2(y, x) - CUT, 2 * math.pi)
        straight = torch.hypot(x, y) < STRAIGHT * own.norm(dim=1)
        turns = ~straight & (atoms != start)
        near = torch.minimum(angle, 2 * math.pi - angle) * torch.hypot(x, y)
        self._doubt(atoms[turns], near[turns] / 2**0.5)
        height = (own * axis).sum(dim=1)
        return torch.where(atoms == start, -2.0, torch.where(straight, -1.0, angle)), height
