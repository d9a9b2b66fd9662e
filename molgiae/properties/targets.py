"""Properties that can be learned: names, symbols, units and the energies of free atoms.

To add one, add a row to `_ROWS`. The energies are those of QM9, at B3LYP/6-31G(2df,p), 298.15 K and 1 atm but for U0
(Ramakrishnan, Dral, Rupp and von Lilienfeld, Sci. Data 1, 140022 (2014); the free atoms are those of its file
``atomref``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from molgiae.errors import ConfigError
from molgiae.nn.property_head import Behaviour
from molgiae.properties.units import canonical_unit, conversion, dimension_of

ENERGY_UNIT = "eV"
"""Unit in which energies are given where the user names none."""


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
        odd: whether mirror images have its negative, as of an optical rotation.
        binary: whether it is 0 or 1, so that what is learned is a probability.
    """

    name: str
    symbol: str
    unit: str
    extensive: bool = False
    energy: bool = False
    references: Mapping[int, float] | None = field(default=None, hash=False)
    description: str = ""
    odd: bool = False
    binary: bool = False

    @classmethod
    def of(cls, column: str, unit: str = "1", extensive: bool = False) -> Self:
        """Return a property that is not in the table: whatever a column holds."""
        unit = canonical_unit(unit)
        return cls(column, column, unit, extensive, dimension_of(unit) == "energy", None, f"column {column}")

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves when molecules grow, and in the mirror."""
        return "odd" if self.odd else "extensive" if self.extensive else "intensive"

    def to(self, unit: str) -> Self:
        """Return the same property in another unit; errors as of `conversion`."""
        factor = conversion(self.unit, unit)
        atoms = self.references
        scaled = None if atoms is None else {z: factor * value for z, value in atoms.items()}
        return replace(self, unit=canonical_unit(unit), references=scaled)

    @property
    def heading(self) -> str:
        """Symbol and unit, as columns of results are headed."""
        return self.symbol if self.unit == "1" else f"{self.symbol} [{self.unit}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        atoms = self.references
        plain = None if atoms is None else {str(z): value for z, value in atoms.items()}
        return {**asdict(self), "references": plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the target of plain data.

        Raises:
            ConfigError: if a value is of the wrong type.
        """
        for name, value in data.items():
            kind = bool if name in ("extensive", "energy", "odd", "binary") else str
            if name != "references" and not isinstance(value, kind):
                raise ConfigError(f"target with {name}={value!r:.60}: expected a {kind.__name__}")
        atoms = data.get("references")
        return cls(**{**data, "references": atoms and {int(z): float(value) for z, value in atoms.items()}})


_ROWS = (
    # name, symbol, unit, extensive, description, other names, values of the free atoms of `_ATOMS`
    ("enthalpy", "H", "Ha", True, "enthalpy at 298.15 K", "h298 h_298 h298k",
     (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370)),
    ("internal_energy", "U", "Ha", True, "internal energy at 298.15 K", "u298 u_298 u298k",
     (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314)),
    ("internal_energy_0k", "U0", "Ha", True, "internal energy at 0 K", "u_0 u0k internal_energy_u0",
     (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730)),
    ("free_energy", "G", "Ha", True, "Gibbs free energy at 298.15 K", "g298 g_298 g298k gibbs_free_energy gibbs",
     (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544)),
    ("gap", "gap", "Ha", False, "gap between HOMO and LUMO", "homo_lumo_gap band_gap", None),
    ("homo", "homo", "Ha", False, "energy of the highest occupied orbital", "", None),
    ("lumo", "lumo", "Ha", False, "energy of the lowest unoccupied orbital", "", None),
    ("dipole", "mu", "D", False, "norm of the dipole moment", "dipole_moment", None),
    ("polarisability", "alpha", "a0^3", True, "isotropic polarisability", "polarizability", None),
    ("r2", "r2", "a0^2", True, "electronic spatial extent", "electronic_spatial_extent", None),
    ("zpve", "zpve", "Ha", True, "zero-point vibrational energy", "zero_point_energy zpe", None),
    ("heat_capacity", "Cv", "cal/(mol K)", True, "heat capacity at 298.15 K", "c_v", None),
)  # fmt: skip
_ATOMS = (1, 6, 7, 8, 9)

KNOWN: dict[str, Target] = {
    name: Target(
        name,
        symbol,
        unit,
        extensive,
        dimension_of(unit) == "energy",
        values and dict(zip(_ATOMS, values, strict=True)),
        description,
    )
    for name, symbol, unit, extensive, description, _, values in _ROWS
}
"""Targets by name, in the units of QM9; a row above adds one."""

ALIASES: dict[str, tuple[str, ...]] = {name: tuple(others.split()) for name, *_, others, _ in _ROWS}
"""Other names of known targets, in small letters, blanks and hyphens as underscores."""


def normalized(name: str) -> str:
    """Return a name in small letters, blanks and hyphens as underscores."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def names_of(target: Target) -> tuple[str, ...]:
    """Return names under which a column may hold a target, the best first; all but the first in any case."""
    return (
        target.symbol,
        *dict.fromkeys((normalized(target.symbol), target.name, *ALIASES.get(target.name, ()))),
    )


BY_NAME = {normalized(name): target for target in KNOWN.values() for name in names_of(target)}
"""Known targets by each of their names, normalized."""


def find(name: str) -> Target:
    """Return a known target by name, symbol or alias, in any case.

    Raises:
        ConfigError: there is none.
    """
    target = BY_NAME.get(normalized(name))
    if target is None:
        known = ", ".join(f"{target.name} ({target.symbol})" for target in KNOWN.values())
        raise ConfigError(
            f"no target '{name}'; known are {known}; any other column is learned with --target-column"
        )
    return target
