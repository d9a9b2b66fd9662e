"""Charge and spin multiplicity of a molecule as key=value pairs and data items name them."""

from __future__ import annotations

import re
from collections.abc import Mapping

CHARGE_KEYS = ("charge", "total_charge")
MULTIPLICITY_KEYS = ("multiplicity", "spin_multiplicity")
"""Keys, in small letters, of pairs that hold them."""

_INTEGER = re.compile(r"([-+]?\d+)(?:\.0*)?[,;]?", re.ASCII)


def charge_and_multiplicity(pairs: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the total charge and the spin multiplicity that pairs name as whole numbers; None where they do not.

    Args:
        pairs: values by key, in small or capital letters.
    """
    found: dict[str, int] = {}
    for key, value in pairs.items():
        number = _INTEGER.fullmatch(value.strip()) if key.lower() in _KEYS else None
        if number is not None:
            found.setdefault(key.lower(), int(number[1]))
    charge = next((found[key] for key in CHARGE_KEYS if key in found), None)
    multiplicity = next((found[key] for key in MULTIPLICITY_KEYS if found.get(key, 0) > 0), None)
    return charge, multiplicity


_KEYS = frozenset(CHARGE_KEYS + MULTIPLICITY_KEYS)
