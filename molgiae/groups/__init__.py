"""Groups as batched tensors: torch alone.

Notation of the paper: rho(g) x is ``g.act(x)``, rho_Y(g) y is ``g.act_equivariant(y)``, xi(y) is
``Group.from_equivariant(y)``, y0 is ``Group.reference()``, g h is ``g @ h`` (h acts first).
"""

from typing import Any

from molgiae.groups.base import Group
from molgiae.groups.euclidean import SE2, SE3, RigidVectors, SE3xSn, Translation
from molgiae.groups.permutation import Permutation, soft_sort
from molgiae.groups.product import Product
from molgiae.groups.rotation import SO2, SO3

GROUPS: dict[str, type[Group[Any]]] = {
    "SO2": SO2,
    "SO3": SO3,
    "T": Translation,
    "SE2": SE2,
    "SE3": SE3,
    "Sn": Permutation,
    "SE3xSn": SE3xSn,
}
"""The groups by name."""

__all__ = [
    "GROUPS",
    "SE2",
    "SE3",
    "SO2",
    "SO3",
    "Group",
    "Permutation",
    "Product",
    "RigidVectors",
    "SE3xSn",
    "Translation",
    "soft_sort",
]
