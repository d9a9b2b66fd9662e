"""Superposition of conformers whatever their atom order: exact where it can be proven, said where it is not."""

from molgiae.matching.atoms import principal_starts, superpose
from molgiae.matching.kabsch import kabsch, rmsd
from molgiae.matching.neighbours import radial_bound
from molgiae.matching.pairs import Matches, superpose_pairs

__all__ = [
    "Matches",
    "kabsch",
    "principal_starts",
    "radial_bound",
    "rmsd",
    "superpose",
    "superpose_pairs",
]
