"""The order of atoms: a walk over the bond graph that turns at torsions.

Coordinates and learned scores of equivalent atoms cross when atoms move a little; torsions of a staggered or
planar surrounding stay near multiples of 60 degrees. So the walk starts at an atom of the rarest class, goes
outwards level by level, and orders children of one atom that the graph cannot tell apart by the torsion about
the bond that leads to them, counted from `FIRST_TORSION`, an angle that no common torsion is close to.
"""

from __future__ import annotations

import math

import numpy as np

from molgiae.canonical.bond_graph import Bools, Floats, Ints, sizes_of
from molgiae.data.bonds import SAME_LENGTH
from molgiae.parallel.kernels import kernel
from molgiae.parallel.sorting import argsort
from molgiae.parallel.vectors import dot, normalize

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


Graph = tuple[Ints, Ints, Ints]
"""Classes (n,) of the atoms, and their bonds as of `bond_graph.neighbours_of`."""

Visit = tuple[Ints, Ints, Ints, Bools, Floats]
"""Where a walk stands: atoms in the order of their places, places (n,) of the atoms, n where there is none yet, parents
(n,), n where there is none, which of the atoms that get places next are told apart by class and parent, and how far all
are along `DIRECTION`, angstrom."""


@kernel
def walk(classes: Ints, start: Ints, neighbour: Ints, pos: Floats) -> tuple[Ints, float]:
    """Visit all atoms; a component of the graph after the other.

    Args:
        classes: (n,) from 0, without gaps.
        start: bonds as of `bond_graph.neighbours_of`.
        neighbour: the same.
        pos: (n, 3) angstrom, in the canonical frame.

    Returns:
        (n,) each atom's place in the walk, and the noise on the atoms, angstrom, that would turn the closest decision;
        infinite without one.
    """
    n = len(classes)
    graph = classes, start, neighbour
    projection = np.empty(n)
    for i in range(n):
        projection[i] = pos[i, 0] * DIRECTION[0] + pos[i, 1] * DIRECTION[1] + pos[i, 2] * DIRECTION[2]
    visit = np.empty(n, np.int64), np.full(n, n), np.full(n, n), np.zeros(n, np.bool_), projection
    visited, place, apart = visit[0], visit[1], visit[3]
    roots = _roots(classes, projection)
    next_root, begin, seen, margin = 0, 0, 0, np.inf
    while seen < n:
        stop = seen + _find_children(graph, visit, begin, seen)
        begin = seen
        if stop > seen:
            margin = min(margin, _sort(graph, visit, pos, seen, stop))
        else:
            while place[roots[next_root]] < n:
                next_root += 1
            root, stop = roots[next_root], seen + 1
            visited[seen] = root
            if next_root + 1 < n:
                rival = roots[next_root + 1]
                if classes[rival] == classes[root] and place[rival] == n:
                    margin = min(margin, (projection[root] - projection[rival]) / 2**0.5)
        for k in range(seen, stop):
            place[visited[k]], apart[visited[k]] = k, False
        seen = stop
    return place, margin


@kernel
def _roots(classes: Ints, projection: Floats) -> Ints:
    """Return the atoms in the order in which a walk would start at them: the rarest class first, then along."""
    n, size = len(classes), sizes_of(classes)
    key, behind = np.empty(n), np.empty(n)
    for i in range(n):
        behind[i] = -projection[i]
    order = argsort(behind)
    for k in range(n):
        key[k] = size[classes[order[k]]] * n + classes[order[k]]
    roots = np.empty(n, np.int64)
    by_class = argsort(key)
    for k in range(n):
        roots[k] = order[by_class[k]]
    return roots


@kernel
def _find_children(graph: Graph, visit: Visit, begin: int, seen: int) -> int:
    """Write the atoms without a place beside those from `begin` to `seen` after these, and return their number.

    The first of the atoms beside it is made the parent of each.
    """
    _, start, neighbour = graph
    visited, place, parent, _, _ = visit
    n, number = len(place), 0
    for k in range(begin, seen):
        for b in range(start[visited[k]], start[visited[k] + 1]):
            i = neighbour[b]
            if place[i] == n and parent[i] == n:
                parent[i] = visited[k]
                visited[seen + number] = i
                number += 1
    return number


@kernel
def _sort(graph: Graph, visit: Visit, pos: Floats, seen: int, stop: int) -> float:
    """Sort atoms visited from `seen` to `stop` by place of their parent, class, torsion.

    Returns:
        the noise on the atoms, angstrom, that would turn a decision.
    """
    classes, (visited, place, parent, apart, _) = graph[0], visit
    m, margin, begin = stop - seen, np.inf, 0
    key, children = np.empty(m), visited[seen:stop].copy()
    for k in range(m):
        key[k] = place[parent[children[k]]] * len(classes) + classes[children[k]]
    order = argsort(key)
    for k in range(m):
        visited[seen + k] = children[order[k]]
        is_first, is_last = (
            k == 0 or key[order[k - 1]] < key[order[k]],
            k + 1 == m or key[order[k + 1]] > key[order[k]],
        )
        apart[visited[seen + k]] = is_first and is_last
    for k in range(1, m + 1):
        if k < m and key[order[k]] == key[order[begin]]:
            continue
        if k - begin > 1:
            margin = min(margin, _sort_alike(graph, visit, pos, seen, visited[seen + begin : seen + k]))
        begin = k
    return margin


@kernel
def _sort_alike(graph: Graph, visit: Visit, pos: Floats, seen: int, alike: Ints) -> float:
    """Sort children of one atom and one class; return the noise, angstrom, that would turn a decision.

    Equal torsions, then equal heights, as a symmetry makes them, leave the choice to the next key.

    Args:
        graph: with the bonds.
        visit: where the walk stands.
        pos: (n, 3) angstrom, in the canonical frame.
        seen: number of atoms that have a place.
        alike: these children, sorted in place.
    """
    m, margin, projection = len(alike), np.inf, visit[4]
    angle, depth = np.empty(m), np.empty(m)
    for k in range(m):
        angle[k], height, steady = _torsion(graph, visit, pos, seen, alike[k])
        depth[k], margin = -height, min(margin, steady)
    level = _chains(np.zeros(m), angle, SAME_TORSION)
    level = _chains(level, depth, SAME_LENGTH)
    for k in range(1, m):  # by level, then along
        moved, rank, j = alike[k], level[k], k
        while j > 0 and (
            level[j - 1] > rank or (level[j - 1] == rank and projection[alike[j - 1]] < projection[moved])
        ):
            alike[j], level[j] = alike[j - 1], level[j - 1]
            j -= 1
        alike[j], level[j] = moved, rank
    return margin


@kernel
def _chains(level: Floats, value: Floats, step: float) -> Floats:
    """Number levels (m,) anew, in order, split where sorted values (m,) differ by more than a step."""
    m = len(level)
    order = argsort(value)
    key = np.empty(m)
    for k in range(m):
        key[k] = level[order[k]]
    by_level = argsort(key)
    found, number = np.empty(m), 0.0
    for k in range(m):
        own = order[by_level[k]]
        if k > 0:
            before = order[by_level[k - 1]]
            if level[own] != level[before] or value[own] - value[before] > step:
                number += 1.0
        found[own] = number
    return found


@kernel
def _torsion(graph: Graph, visit: Visit, pos: Floats, seen: int, atom: int) -> tuple[float, float, float]:
    """Return the torsion of an atom about the bond to its parent, from `FIRST_TORSION`, and its height along this.

    The third number is the noise on the atoms, angstrom, that would change either by a jump. Arguments as above.
    """
    of = visit[2][atom]
    begin, margin = _start(graph, visit, atom)
    axis, own, plane, straight = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for x in range(3):
        axis[x], own[x] = pos[of, x] - pos[begin, x], pos[atom, x] - pos[of, x]
    normalize(axis)
    margin = min(margin, _plane(graph, visit, pos, seen, of, begin, axis, plane))
    height, along = dot(own, axis), dot(own, plane)
    for k in range(3):
        straight[k] = axis[(k + 1) % 3] * plane[(k + 2) % 3] - axis[(k + 2) % 3] * plane[(k + 1) % 3]
    aside = dot(own, straight)
    if atom == begin:
        return -2.0, height, margin
    radius = math.hypot(along, aside)
    if radius < MIN_SINE_OF_TORSION * math.sqrt(dot(own, own)):
        return -1.0, height, margin
    angle = (math.atan2(aside, along) - FIRST_TORSION) % (2 * math.pi)
    return angle, height, min(margin, min(angle, 2 * math.pi - angle) * radius / 2**0.5)


@kernel
def _start(graph: Graph, visit: Visit, atom: int) -> tuple[int, float]:
    """Return the atom from which the axis to the parent of an atom comes, and the noise that would change it.

    The parent's parent; at a root a child that is told apart, else the child that is foremost along `DIRECTION`,
    which comes first.
    """
    classes, start, neighbour = graph
    _, place, parent, apart, projection = visit
    n, of = len(classes), parent[atom]
    if parent[of] < n:
        return parent[of], np.inf
    told, foremost, first, second = n, n, -np.inf, -np.inf
    for b in range(start[of], start[of + 1]):
        i = neighbour[b]
        if apart[i] and (told == n or classes[i] < classes[told]):
            told = i
        if classes[i] == classes[atom] and place[i] == n:
            if projection[i] > first:
                foremost, first, second = i, projection[i], first
            else:
                second = max(second, projection[i])
    return (told, np.inf) if told < n else (foremost, (first - second) / 2**0.5)


@kernel
def _plane(
    graph: Graph, visit: Visit, pos: Floats, seen: int, of: int, begin: int, axis: Floats, plane: Floats
) -> float:
    """Find a unit vector across an axis from which torsions are counted; return the noise that would change it.

    Towards a child that is told apart, else an atom with a place, neighbours on the axis first, else along a frame
    axis.

    Args:
        graph: as above.
        visit: as above.
        pos: as above.
        seen: as above.
        of: the atom that the axis points to.
        begin: the atom that it comes from.
        axis: (3,) of length 1.
        plane: (3,) filled in.
    """
    classes, start, neighbour = graph
    visited, place, parent, apart, _ = visit
    n, margin, across = len(classes), np.inf, np.empty(3)
    beside = of if parent[of] == n else begin
    done = -1.0
    for stage in range(2):
        # told apart children of the atom, a ring may close at some of several parents and of one class; neighbours
        base = of if stage == 0 else beside
        while True:
            best, least = n, np.inf
            for b in range(start[base], start[base + 1]):
                i = neighbour[b]
                if i == of or i == begin or not (apart[i] if stage == 0 else place[i] < n):
                    continue
                rank = float(classes[i] * n + place[parent[i]] if stage == 0 else place[i])
                if done < rank < least:
                    best, least = i, rank
            if best == n:
                break
            done = least
            bent, steady = _bent(pos, of, best, axis, plane)
            margin = min(margin, steady)
            if bent:
                return margin
        done = -1.0
    for k in range(seen):
        i = visited[k]
        if i != of and i != begin:
            bent, steady = _bent(pos, of, i, axis, plane)
            margin = min(margin, steady)
            if bent:
                return margin
    for x in range(3):
        for y in range(3):
            across[y] = (1.0 if x == y else 0.0) - axis[x] * axis[y]
        if x == 2 or math.sqrt(dot(across, across)) > MIN_SINE_OF_AXIS:
            break
    for x in range(3):
        plane[x] = across[x]
    normalize(plane)
    return margin


@kernel
def _bent(pos: Floats, of: int, atom: int, axis: Floats, plane: Floats) -> tuple[bool, float]:
    """Fill in the direction (3,) of an atom across an axis; return whether it is bent, and by what margin."""
    along = 0.0
    for x in range(3):
        plane[x] = pos[atom, x] - pos[of, x]
        along += plane[x] * axis[x]
    length = math.sqrt(dot(plane, plane))
    for x in range(3):
        plane[x] -= along * axis[x]
    sine = math.sqrt(dot(plane, plane)) / max(length, 1e-9)
    normalize(plane)
    return sine >= MIN_SINE_OF_TORSION, abs(sine - MIN_SINE_OF_TORSION) * length / 2**0.5
