"""Properties that can be learned: names, symbols, units and the energies of free atoms; conversion of units.

The energies are those of QM9, at B3LYP/6-31G(2df,p), 298.15 K and 1 atm but for U0 (Ramakrishnan, Dral, Rupp and
von Lilienfeld, Sci. Data 1, 140022 (2014); the free atoms are those of its file ``atomref``). Conversion factors
derive from CODATA 2018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from molgiae.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = TypeVar("Values", float, NDArray[np.float64])

ENERGY_UNIT = "eV"
"""Unit in which energies are given where the user names none."""

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
    """A unit as `UNITS` spells it; one that is not there as it is."""
    text = " ".join(unit.split())
    if text in _DIMENSION:
        return text
    return _BY_SMALL_LETTERS.get(text.lower(), text)


def dimension_of(unit: str) -> str | None:
    """Dimension of a unit; None if it is not in `UNITS`."""
    return _DIMENSION.get(canonical_unit(unit))


def conversion(from_unit: str, to_unit: str) -> float:
    """What values in one unit are multiplied by to be in another.

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


def convert(values: Values, from_unit: str, to_unit: str) -> Values:
    """Values in another unit; errors as of `conversion`."""
    return values * conversion(from_unit, to_unit)


def split_heading(heading: str) -> tuple[str, str]:
    """Name and unit of a column such as ``H [eV]``, ``gap (Ha)`` or ``energy_kcal_per_mol``; "" if it names none."""
    found = _BRACKETED.fullmatch(heading)
    if found and dimension_of(unit := found[2] or found[3]):
        return found[1], canonical_unit(unit)
    found = _ENDING.fullmatch(heading)
    return (found[1], canonical_unit(found[2])) if found else (heading, "")


@dataclass(frozen=True)
class Target:
    """A property to learn.

    Attributes:
        name: in words, as ``--target`` takes it.
        symbol: short name, which heads columns of results.
        unit: of values and references; ``"1"`` for pure numbers.
        extensive: whether it grows with the molecule, so that a sum over atoms explains most of it.
        energy: whether it is measured in units of energy.
        references: value for the free atom of each atomic number; None if there are none.
        description: what it is.
    """

    name: str
    symbol: str
    unit: str
    extensive: bool = False
    energy: bool = False
    references: Mapping[int, float] | None = field(default=None, hash=False)
    description: str = ""

    @classmethod
    def of(cls, column: str, unit: str = "1", extensive: bool = False) -> Self:
        """A property that is not in the table: whatever a column holds."""
        unit = canonical_unit(unit)
        return cls(column, column, unit, extensive, dimension_of(unit) == "energy", None, f"column {column}")

    def to(self, unit: str) -> Self:
        """The same property in another unit; errors as of `conversion`."""
        factor = conversion(self.unit, unit)
        atoms = self.references
        scaled = None if atoms is None else {z: factor * value for z, value in atoms.items()}
        return replace(self, unit=canonical_unit(unit), references=scaled)

    @property
    def heading(self) -> str:
        """Symbol and unit, as columns of results are headed."""
        return self.symbol if self.unit == "1" else f"{self.symbol} [{self.unit}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        atoms = self.references
        plain = None if atoms is None else {str(z): value for z, value in atoms.items()}
        return {**asdict(self), "references": plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: if a value is of the wrong type.
        """
        for name, value in data.items():
            kind = bool if name in ("extensive", "energy") else str
            if name != "references" and not isinstance(value, kind):
                raise ConfigError(f"target with {name}={value!r:.60}: expected a {kind.__name__}")
        atoms = data.get("references")
        return cls(**{**data, "references": atoms and {int(z): float(value) for z, value in atoms.items()}})


def _free_atoms(*values: float) -> dict[int, float]:
    return dict(zip((1, 6, 7, 8, 9), values, strict=True))


KNOWN: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "enthalpy", "H", "Ha", True, True,
            _free_atoms(-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
            "enthalpy at 298.15 K",
        ),
        Target(
            "internal_energy", "U", "Ha", True, True,
            _free_atoms(-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
            "internal energy at 298.15 K",
        ),
        Target(
            "internal_energy_0k", "U0", "Ha", True, True,
            _free_atoms(-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
            "internal energy at 0 K",
        ),
        Target(
            "free_energy", "G", "Ha", True, True,
            _free_atoms(-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
            "Gibbs free energy at 298.15 K",
        ),
        Target("gap", "gap", "Ha", False, True, None, "gap between HOMO and LUMO"),
        Target("homo", "homo", "Ha", False, True, None, "energy of the highest occupied orbital"),
        Target("lumo", "lumo", "Ha", False, True, None, "energy of the lowest unoccupied orbital"),
        Target("dipole", "mu", "D", False, False, None, "norm of the dipole moment"),
        Target("polarisability", "alpha", "a0^3", True, False, None, "isotropic polarisability"),
        Target("r2", "r2", "a0^2", True, False, None, "electronic spatial extent"),
        Target("zpve", "zpve", "Ha", True, True, None, "zero-point vibrational energy"),
        Target("heat_capacity", "Cv", "cal/(mol K)", True, False, None, "heat capacity at 298.15 K"),
    )
}  # fmt: skip
"""Targets by name, in the units of QM9."""

ALIASES: dict[str, tuple[str, ...]] = {
    "enthalpy": ("h298", "h_298", "h298k"),
    "internal_energy": ("u298", "u_298", "u298k"),
    "internal_energy_0k": ("u_0", "u0k", "internal_energy_u0"),
    "free_energy": ("g298", "g_298", "g298k", "gibbs_free_energy", "gibbs"),
    "gap": ("homo_lumo_gap", "band_gap"),
    "dipole": ("dipole_moment",),
    "polarisability": ("polarizability",),
    "r2": ("electronic_spatial_extent",),
    "zpve": ("zero_point_energy", "zpe"),
    "heat_capacity": ("c_v",),
}
"""Other names of known targets, in small letters, blanks and hyphens as underscores."""


def normalised(name: str) -> str:
    """A name in small letters, blanks and hyphens as underscores."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def names_of(target: Target) -> tuple[str, ...]:
    """Names under which a column may hold a target, the best first; all but the first in any case."""
    return (
        target.symbol,
        *dict.fromkeys((normalised(target.symbol), target.name, *ALIASES.get(target.name, ()))),
    )


_BY_NAME = {normalised(name): target for target in KNOWN.values() for name in names_of(target)}


def find(name: str) -> Target:
    """A known target by name, symbol or alias, in any case.

    Raises:
        ConfigError: there is none.
    """
    target = _BY_NAME.get(normalised(name))
    if target is None:
        known = ", ".join(f"{target.name} ({target.symbol})" for target in KNOWN.values())
        raise ConfigError(
            f"no target '{name}'; known are {known}; any other column is learned with --target-column"
        )
    return target
