"""Charge and spin multiplicity of a molecule, as pairs, data items and radicals tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

CHARGE_KEYS = ("charge", "total_charge")
MULTIPLICITY_KEYS = ("multiplicity", "spin_multiplicity")
"""Keys, in small letters, of pairs that hold them, the best first."""

_KEYS = frozenset(CHARGE_KEYS + MULTIPLICITY_KEYS)
_INTEGER = re.compile(r"([-+]?\d+)(?:\.0*)?[,;]?", re.ASCII)


def charge_and_multiplicity(pairs: Mapping[str, str]) -> tuple[int, int]:
    """Return the total charge and the spin multiplicity that pairs name as whole numbers; 0 where they do not.

    Args:
        pairs: values by key, in small or capital letters.
    """
    found: dict[str, int] = {}
    for key, value in pairs.items():
        number = _INTEGER.fullmatch(value.strip()) if key.lower() in _KEYS else None
        if number is not None:
            found.setdefault(key.lower(), int(number[1]))
    charge = next((found[key] for key in CHARGE_KEYS if key in found), 0)
    return charge, next((found[key] for key in MULTIPLICITY_KEYS if found.get(key, 0) > 0), 0)


def multiplicity_of(radicals: Iterable[int]) -> int:
    """Return the spin multiplicity of a molecule with these radicals: that of the only one, else 0 for unknown.

    Args:
        radicals: 1 singlet, 2 doublet, 3 triplet, 0 none.
    """
    found = [value for value in radicals if value]
    return found[0] if len(found) == 1 else 0
