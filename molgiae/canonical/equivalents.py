"""The order of atoms that a symmetry exchanges, where a connection table tells them apart.

A canonical form leaves open which of these atoms comes first: the oxygen atoms of a planar nitro group share one
charge, the bonds of benzene are drawn in one of two ways. In a file they differ by what the table says of them. All
rotations of the conformer upon itself are tried, and of the tables they give the first in alphabetical order is taken.
Reflections are not tried, for a mirror image is no copy: charges and bond orders may make a record chiral whose atoms
are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from molgiae.canonical.bond_graph import Floats, Ints
from molgiae.canonical.operations import operations
from molgiae.canonical.places import SYMMETRY_TOLERANCE
from molgiae.canonical.point_group import MAX_IMAGES

Render = Callable[[Ints, Floats], str]
"""Text of a record whose atoms stand in this order (n,) at these positions (n, 3)."""

_HALF_TURN = np.diag([-1.0, -1.0, 1.0])


def least_table(species: Ints, order: Ints, position: Floats, render: Render) -> tuple[Ints, Floats, Floats]:
    """Return the canonical order and position, of those that are equivalent, for which the text is least.

    Texts are compared without coordinates. Where several are least, the coordinates of the given form are preferred
    to others, which are nearly the same.

    Args:
        species: (n,) elements and isotopes in canonical order.
        order: (n,) atom of the record, from 0, that stands at each place of the canonical form.
        position: (n, 3) of the canonical form, angstrom.
        render: writes the record.

    Returns:
        (n,) order, (n, 3) position, and (3, 3) rotation from the given pose to the one returned.
    """
    center, nowhere, given = position.mean(axis=0), np.zeros_like(position), render(order, position)
    texts, forms = [], []
    for matrix, image in _rotations(np.unique(species, return_inverse=True)[1], position - center):
        moved, turned = np.empty_like(order), np.empty_like(position)
        moved[image], turned[image] = order, (position - center) @ matrix.T + center
        text = render(moved, turned)
        texts.append((render(moved, nowhere), text != given, text))
        forms.append((moved, turned, matrix))
    return forms[min(range(len(texts)), key=texts.__getitem__)]


def _rotations(classes: Ints, pos: Floats) -> Iterator[tuple[Floats, Ints]]:
    """Rotations (3, 3) of a canonical form upon itself, and the atom (n,) that each atom falls upon."""
    if np.linalg.norm(pos[:, 1:], axis=1).max() > SYMMETRY_TOLERANCE / 2:
        found, _ = operations(classes, pos, MAX_IMAGES)
        yield from zip(found.matrix[found.proper], found.image[found.proper], strict=True)
        return
    # the frame of a linear conformer has its first axis along it
    yield np.eye(3), np.arange(len(pos))
    along = pos[:, 0].argsort()
    image = np.empty_like(along)
    image[along] = along[::-1]
    error = np.linalg.norm(pos @ _HALF_TURN - pos[image], axis=1).max()
    if error <= SYMMETRY_TOLERANCE and np.array_equal(classes, classes[image]):
        yield _HALF_TURN, image
