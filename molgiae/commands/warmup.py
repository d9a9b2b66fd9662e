"""The command that compiles all kernels, so that no other has to."""

from __future__ import annotations

import time

import numpy as np

from molgiae.canonical.forms import canonical_forms
from molgiae.canonical.operations import operations
from molgiae.canonical.point_group import MAX_IMAGES
from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import Conformer
from molgiae.data.near_atoms import nearest
from molgiae.matching import superpose_pairs
from molgiae.matching.atoms import blocks_of
from molgiae.matching.copies import Rule, find_duplicates
from molgiae.matching.graphs import graph_of, isomorphism, refine
from molgiae.matching.kabsch import sufficient
from molgiae.matching.starts import best_starts, sampled_rotations

WATER = Conformer(
    np.array([8, 1, 1], np.uint8), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
)
HYDROGEN = Conformer(np.array([1, 1], np.uint8), np.array([[0.0, 0.0, 0.37], [0.0, 0.0, -0.37]]))


def warmup() -> float:
    """Call every kernel that others are called by, once; return the seconds that took.

    What a kernel calls is compiled with it, whether this molecule needs it or not.
    """
    started = time.monotonic()
    perceived_bonds(WATER.atomic_number, WATER.position)
    nearest(WATER.position, np.array([0, len(WATER)]), 1)  # of flat conformers
    canonical_forms([WATER])
    operations(np.array([0, 1, 1]), WATER.position - WATER.position.mean(axis=0), MAX_IMAGES)
    for match in ("bonds", "atoms"):
        superpose_pairs([WATER], [WATER], match=match, allow_reflection=True)
        find_duplicates([WATER, WATER], Rule(match=match))
    superpose_pairs([HYDROGEN], [HYDROGEN])  # its atoms change places, which those of water do as leaves
    x, blocks, graph = np.eye(3), blocks_of(np.ones(3, int)), graph_of(np.ones(3, int), np.array([[0, 1]]))
    best_starts(blocks, x, x, sampled_rotations(), 1)  # where nothing is proven
    isomorphism(graph, graph, refine(graph), refine(graph))  # where bonds are not known to be the same
    sufficient(0.0, 1.0, 3)
    return time.monotonic() - started
