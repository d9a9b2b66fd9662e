"""The best automorphism for a pair of conformers of one molecule: branch and bound down a chain of stabilizers.

With positions from the centroid, the RMSD over all rotations is least where the overlap, the largest trace of R^T C
with C = sum x_i y_i^T over matched atoms, is largest. Every core automorphism is a product t1 t2 ... tm of one
element of each transversal. The first j of them say which orbit of the stabilizer of the first j base atoms is sent
where, not which atom of it. The overlap is then at most that of the orbit means plus, for each orbit, the product of
the norms of the deviations from them. The search goes down where the bound is largest; at the end of the chain leaves
are permuted.
"""

from __future__ import annotations

import math

import numpy as np

from molgiae.matching.assignment import Best
from molgiae.matching.atom_search import search_atoms
from molgiae.matching.automorphisms import Symmetry
from molgiae.matching.kabsch import Floats, Ints, best_rotation, sufficient
from molgiae.parallel.kernels import kernel

MAX_WORK = 2_000_000
"""Pairs of atoms looked at after which the search is given up and nothing is proven."""


def search_chain(symmetry: Symmetry, x: Floats, y: Floats, best: Best) -> bool:
    """Replace the best solution by better automorphisms; return whether none is left, before the work was up.

    Args:
        symmetry: of the molecule.
        x: (n, 3) reference, centroid at the origin, angstrom.
        y: (n, 3) probe, the same.
        best: the best solution so far.
    """
    n, depth = len(x), len(symmetry.level) - 1
    if depth == 0:
        return search_atoms(symmetry.bunches, x, y, best)
    bounds, partial = [bound_all(symmetry, x, y, np.arange(n), 0)], [np.arange(n)]
    while bounds:
        level, chosen = len(bounds) - 1, int(bounds[-1].argmax())
        if min(bounds[-1][chosen], best.square / 2) <= sufficient(best.overlap[0], best.square, n):
            bounds.pop()
            partial.pop()
            continue
        if best.work[0] > best.work[1] and best.overlap[0] > -np.inf:
            return False
        bounds[-1][chosen] = -np.inf
        image = partial[-1][symmetry.transversal[symmetry.level[level] + chosen]]
        if level + 1 < depth:
            partial.append(image)
            bounds.append(bound_all(symmetry, x, y, image, level + 1))
            best.work[0] += 4 * n * len(bounds[-1])
        elif not _permute_leaves(symmetry, x, y, image, best):
            return False
    return True


def _permute_leaves(symmetry: Symmetry, x: Floats, y: Floats, core: Ints, best: Best) -> bool:
    """Do what `search_chain` does for permutations of leaves after one core automorphism (n,)."""
    before = best.overlap[0]
    proven = search_atoms(symmetry.bunches, x, y[core], best)
    if best.overlap[0] > before:
        best.order[:] = core[best.order]
    return proven


@kernel
def bound_all(symmetry: Symmetry, x: Floats, y: Floats, partial: Ints, level: int) -> Floats:
    """Return the largest overlaps (k,) that a partial automorphism (n,) times each element of a transversal leads to.

    Angstrom squared; other arguments as above.
    """
    first, n = symmetry.level[level], len(x)
    bound = np.empty(symmetry.level[level + 1] - first)
    mine, theirs, image = np.empty((n, 5)), np.empty((n, 5)), np.empty(n, np.int64)
    for k in range(n):
        image[k] = k
    _orbit_means(x, image, symmetry.orbit[level], mine)
    for t in range(len(bound)):
        for k in range(n):
            image[k] = partial[symmetry.transversal[first + t, k]]
        _orbit_means(y, image, symmetry.orbit[level], theirs)
        bound[t] = bound_of(mine, theirs)
    return bound


@kernel
def bound_of(mine: Floats, theirs: Floats) -> float:
    """Return the largest overlap that orbits (n, 5) of the reference and of the probe allow, angstrom squared."""
    c, total = np.zeros(9), 0.0
    for o in range(len(mine)):
        if mine[o, 4] > 0:
            total += mine[o, 3] * theirs[o, 3]
            for i in range(3):
                for j in range(3):
                    c[3 * i + j] += mine[o, 4] * mine[o, i] * theirs[o, j]
    return total + best_rotation(c, np.empty(9))[0]


@kernel
def _orbit_means(position: Floats, image: Ints, orbit: Ints, means: Floats) -> None:
    """Fill in what bounds need of the images of orbits.

    Args:
        position: (n, 3) angstrom.
        image: (n,) what each atom is sent to.
        orbit: (n,) the first atom of the orbit of each.
        means: (n, 5) filled in where atoms are first: mean position, norm of the deviations from it, number of atoms.
    """
    means[:] = 0.0
    for k in range(len(orbit)):
        means[orbit[k], 4] += 1.0
        for i in range(3):
            means[orbit[k], i] += position[image[k], i]
    for k in range(len(orbit)):
        for i in range(3 if means[k, 4] > 1 else 0):
            means[k, i] /= means[k, 4]
    for k in range(len(orbit)):
        if means[orbit[k], 4] > 1:
            for i in range(3):
                means[orbit[k], 3] += (position[image[k], i] - means[orbit[k], i]) ** 2
    for k in range(len(orbit)):
        means[k, 3] = math.sqrt(means[k, 3])
