"""Superposition of two conformers of one formula: assignment within elements and proper Kabsch in turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from molgiae.matching.kabsch import kabsch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_ROUNDS = 50


@dataclass(frozen=True)
class Superposition:
    """Probe onto reference: ``probe[order] @ rotation.T + translation`` lies on the reference.

    Attributes:
        rotation: (3, 3), determinant +1.
        translation: (3,) angstrom.
        order: (n,) atom ``order[k]`` of the probe is matched with atom k of the reference.
        rmsd: angstrom.
    """

    rotation: Floats
    translation: Floats
    order: Ints
    rmsd: float


def assign(z_reference: Ints, reference: Floats, z_probe: Ints, probe: Floats) -> Ints:
    """The one-to-one matching within elements with the least sum of squared distances (Hungarian method).

    Args:
        z_reference: (n,) atomic numbers.
        reference: (n, 3) angstrom.
        z_probe: (n,) the same elements in any order.
        probe: (n, 3) angstrom, superposed on the reference.

    Returns:
        (n,) order: atom ``order[k]`` of the probe belongs to atom k of the reference.
    """
    order = np.empty(len(reference), dtype=np.int64)
    for element in np.unique(z_reference):
        mine, theirs = np.flatnonzero(z_reference == element), np.flatnonzero(z_probe == element)
        square = np.square(reference[mine, None] - probe[None, theirs]).sum(axis=-1)
        order[mine] = theirs[linear_sum_assignment(square)[1]]
    return order


def superpose(
    z_reference: Ints,
    reference: Floats,
    z_probe: Ints,
    probe: Floats,
    starts: Iterable[tuple[Floats, Floats]],
) -> Superposition:
    """Alternate assignment and Kabsch from several starts until nothing changes; the best end wins.

    Each round lowers the RMSD or ends, so every start leads to a local optimum. That the best of them is the
    global one is not proven.

    Args:
        z_reference: (n,) atomic numbers.
        reference: (n, 3) angstrom.
        z_probe: (n,) the same elements in any order.
        probe: (n, 3) angstrom.
        starts: rotations (3, 3) and translations (3,) of the probe, at least one.
    """
    ends = (_descend(z_reference, reference, z_probe, probe, *start) for start in starts)
    return min(ends, key=lambda end: end.rmsd)


def _descend(
    z_reference: Ints, reference: Floats, z_probe: Ints, probe: Floats, rotation: Floats, translation: Floats
) -> Superposition:
    order = assign(z_reference, reference, z_probe, probe @ rotation.T + translation)
    rotation, translation, distance = kabsch(reference, probe[order])
    for _ in range(MAX_ROUNDS):
        matched = assign(z_reference, reference, z_probe, probe @ rotation.T + translation)
        if np.array_equal(matched, order):
            break
        order = matched
        rotation, translation, distance = kabsch(reference, probe[order])
    return Superposition(rotation, translation, order, float(distance))


def principal_starts(reference: Floats, probe: Floats) -> list[tuple[Floats, Floats]]:
    """The four proper rotations that bring principal axes onto principal axes, centroids onto each other."""
    to, start = reference.mean(axis=0), probe.mean(axis=0)
    axes_to = np.linalg.eigh(np.cov((reference - to).T, bias=True))[1]
    axes_from = np.linalg.eigh(np.cov((probe - start).T, bias=True))[1]
    starts = []
    for first, second in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        signs = np.array([first, second, 1.0])
        signs[2] = np.sign(np.linalg.det((axes_to * signs) @ axes_from.T))
        rotation = (axes_to * signs) @ axes_from.T
        starts.append((rotation, to - rotation @ start))
    return starts
