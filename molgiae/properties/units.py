"""Units by dimension, their spellings, and conversion; factors derive from CODATA 2018."""

from __future__ import annotations

import re

from molgiae.errors import ConfigError

HARTREE = 27.211386245988
BOHR = 0.529177210903
E_BOHR = 2.541746473
_PER_MOL = HARTREE / 2625.4996394799
"""eV for each kJ/mol."""

_ENERGIES = {
    "eV": 1.0, "meV": 1e-3, "Ha": HARTREE, "mHa": 1e-3 * HARTREE, "Ry": HARTREE / 2, "kJ/mol": _PER_MOL,
    "kcal/mol": 4.184 * _PER_MOL, "cal/mol": 4.184e-3 * _PER_MOL, "cm^-1": HARTREE / 219474.63136320,
}  # fmt: skip
UNITS: dict[str, dict[str, float]] = {
    # dimension: units, each with its size in the first
    "energy": _ENERGIES,
    "heat capacity": {"cal/(mol K)": 1.0, "J/(mol K)": 1 / 4.184, "eV/K": 1 / (4.184e-3 * _PER_MOL)},
    "dipole moment": {"D": 1.0, "e a0": E_BOHR, "e A": E_BOHR / BOHR},
    "length": {"A": 1.0, "a0": BOHR, "nm": 10.0, "pm": 0.01},
    "area": {"a0^2": 1.0, "A^2": BOHR**-2, "nm^2": 100 * BOHR**-2},
    "polarisability": {"a0^3": 1.0, "A^3": BOHR**-3, "nm^3": 1000 * BOHR**-3},
    "frequency": {"GHz": 1.0, "MHz": 1e-3},
    "pure number": {"1": 1.0, "%": 0.01},
}
"""Units by dimension."""

_SPELLINGS = {
    "hartree": "Ha", "hartrees": "Ha", "eh": "Ha", "e_h": "Ha", "millihartree": "mHa", "rydberg": "Ry",
    "electronvolt": "eV", "kcal_mol": "kcal/mol", "kcal_per_mol": "kcal/mol", "kcal mol-1": "kcal/mol",
    "kcal mol^-1": "kcal/mol", "kcal": "kcal/mol", "kj_mol": "kJ/mol", "kj_per_mol": "kJ/mol", "kj mol-1": "kJ/mol",
    "kj mol^-1": "kJ/mol", "kj": "kJ/mol", "cal_per_mol": "cal/mol", "cm-1": "cm^-1", "1/cm": "cm^-1",
    "cal/mol/k": "cal/(mol K)", "cal/molk": "cal/(mol K)", "cal/(molk)": "cal/(mol K)",
    "cal/(mol*k)": "cal/(mol K)", "cal mol-1 k-1": "cal/(mol K)", "j/mol/k": "J/(mol K)",
    "j/(mol*k)": "J/(mol K)", "j mol-1 k-1": "J/(mol K)", "debye": "D", "ea0": "e a0", "e*a0": "e a0",
    "ea": "e A", "e*a": "e A", "angstrom": "A", "å": "A", "bohr": "a0", "bohr^2": "a0^2", "bohr2": "a0^2",
    "a0**2": "a0^2", "å^2": "A^2", "angstrom^2": "A^2", "bohr^3": "a0^3", "bohr3": "a0^3", "a0**3": "a0^3",
    "å^3": "A^3", "å3": "A^3", "angstrom^3": "A^3", "none": "1", "dimensionless": "1", "": "1",
}  # fmt: skip
"""Other spellings, in small letters."""

_DIMENSION = {unit: dimension for dimension, units in UNITS.items() for unit in units}
_BY_SMALL_LETTERS = {unit.lower(): unit for unit in _DIMENSION} | _SPELLINGS
_BRACKETED = re.compile(r"(.*\S)\s*(?:\[([^\]]+)\]|\(([^)]+(?:\([^)]*\))?)\))\s*")
_ENDING = re.compile(
    r"(.+)_(ev|mev|ha|hartree|kcal_per_mol|kcal_mol|kcal|kj_per_mol|kj_mol|kj)", re.IGNORECASE
)


def canonical_unit(unit: str) -> str:
    """Return a unit as `UNITS` spells it; one that is not there as it is."""
    text = " ".join(unit.split())
    if text in _DIMENSION:
        return text
    return _BY_SMALL_LETTERS.get(text.lower(), text)


def dimension_of(unit: str) -> str | None:
    """Return the dimension of a unit; None if it is not in `UNITS`."""
    return _DIMENSION.get(canonical_unit(unit))


def conversion(from_unit: str, to_unit: str) -> float:
    """Return what values in one unit are multiplied by to be in another.

    Raises:
        ConfigError: the units measure different things, or are unequal and one of them is unknown.
    """
    source, goal = canonical_unit(from_unit), canonical_unit(to_unit)
    if source == goal:
        return 1.0
    for unit, other in ((source, goal), (goal, source)):
        if unit not in _DIMENSION:
            known = ", ".join(UNITS[_DIMENSION[other]]) if other in _DIMENSION else ", ".join(_DIMENSION)
            raise ConfigError(f"unit '{unit}' is not known and cannot be converted; known are {known}")
    if _DIMENSION[source] != _DIMENSION[goal]:
        raise ConfigError(
            f"units disagree: {source} is a unit of {_DIMENSION[source]}, {goal} of {_DIMENSION[goal]}"
        )
    sizes = UNITS[_DIMENSION[source]]
    return sizes[source] / sizes[goal]


def split_heading(heading: str) -> tuple[str, str]:
    """Return name and unit of a column such as ``H [eV]``, ``gap (Ha)`` or ``energy_kcal_per_mol``; "" for no unit."""
    found = _BRACKETED.fullmatch(heading)
    if found and dimension_of(unit := found[2] or found[3]):
        return found[1], canonical_unit(unit)
    found = _ENDING.fullmatch(heading)
    return (found[1], canonical_unit(found[2])) if found else (heading, "")
