"""The command that compiles all kernels, so that no other has to."""

from __future__ import annotations

import time

import numpy as np

from molgiae.canonical.forms import canonical_forms
from molgiae.canonical.point_group import MAX_IMAGES, operations
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer
from molgiae.matching import superpose_pairs
from molgiae.matching.atoms import warm_up
from molgiae.matching.copies import Rule, find_duplicates

WATER = Conformer(
    np.array([8, 1, 1], np.uint8), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
)


def warmup() -> float:
    """Call every kernel that others are called by, once; return the seconds that took.

    What a kernel calls is compiled with it, whether this molecule needs it or not.
    """
    started = time.monotonic()
    perceived_bonds(WATER.atomic_number, WATER.position)
    canonical_forms([WATER])
    operations(np.array([0, 1, 1]), WATER.position - WATER.position.mean(axis=0), MAX_IMAGES)
    for match in ("bonds", "atoms"):
        superpose_pairs([WATER], [WATER], match=match, allow_reflection=True)
        find_duplicates([WATER, WATER], Rule(match=match))
    warm_up()
    return time.monotonic() - started
