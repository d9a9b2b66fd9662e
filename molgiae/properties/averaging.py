"""From conformers to molecules: mean and Boltzmann averages of predicted properties, over equal titles.

A Boltzmann average weighs conformer i of a molecule by exp(-E_i / k T) / sum_j exp(-E_j / k T), where E is read from
the records or predicted, degeneracies are left out and every minimum of importance is taken to be there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5.schema import property_name
from molgiae.data.tables import Field, check_table, write_table
from molgiae.errors import ConfigError, ConformerError
from molgiae.output.files import SinkWithTable
from molgiae.properties.columns import COMMENT, ENERGY, energy_of, properties_of
from molgiae.properties.units import canonical_unit, conversion, split_heading

if TYPE_CHECKING:
    from molgiae.properties.targets import Target

BOLTZMANN = 8.617333262e-5
"""Boltzmann's constant, eV/K (CODATA 2018)."""
DEFAULT_ENERGY_UNIT = "kcal/mol"

OWN_ENERGIES = ("free_energy", "enthalpy", "internal_energy", "internal_energy_0k")
"""Targets whose differences weigh conformers, the best first."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Energies:
    """Where the energies of conformers come from: a property of their records, or a target of the model.

    Attributes:
        name: key of the property, or symbol of the target.
        unit: of the target, or of the property, as the user or its name says; empty if neither does.
        target: column of the target among those of the model; None for a property.
        taken: units in which energies of records were read so far.
    """

    name: str
    unit: str = ""
    target: int | None = None
    taken: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def choose(cls, targets: Sequence[Target], name: str | None, unit: str | None) -> Energies:
        """Return the property of this name and unit; without one the free energy of the model, or what comes next.

        Without a unit the property has that which its name or its values say, as in ``energy_kj_per_mol``, else
        kcal/mol, but hartree for numbers in front of comment lines of XYZ, as CREST and GOAT write them.

        Raises:
            ConfigError: if there are no energies, or the unit is none of energy.
        """
        if name is not None:
            said = unit or split_heading(name)[1]
            conversion(said or DEFAULT_ENERGY_UNIT, "eV")
            return cls(name, canonical_unit(said) if said else "")
        from molgiae.properties.targets import KNOWN  # noqa: PLC0415 (loads torch)

        names = [target.name for target in targets]
        own = [known for known in OWN_ENERGIES if known in names]
        own += [t.name for t in targets if t.name not in KNOWN and t.energy and t.extensive]
        if not own:
            raise ConfigError(
                f"Boltzmann weights need energies, and the model predicts {', '.join(names)} only; "
                "name the property of the records that holds them with --energy"
            )
        chosen = names.index(own[0])
        return cls(targets[chosen].symbol, targets[chosen].unit, chosen)

    def fault(self, conformer: Conformer) -> str:
        """Return why a conformer has no energy; empty if it has one."""
        try:
            if self.target is None:
                self._read(conformer)
        except ConformerError as error:
            return error.reason
        except ConfigError as error:
            return str(error)
        return ""

    def require(self, block: ConformerBlock) -> None:
        """Raise a ConfigError if no conformer of a block has the property."""
        found = {key for conformer in block for key in properties_of(conformer)}
        if not (self.name in found or (self.name == ENERGY and COMMENT in found)):
            raise ConfigError(
                f"none of the first {len(block)} conformers has a property '{self.name}' for --energy; properties "
                f"found: {', '.join(sorted(found)) or 'none at all'}"
            )

    def _read(self, conformer: Conformer) -> float:
        """Return the energy that a record says, eV."""
        value, own, default = energy_of(conformer, self.name)
        if own and self.unit and own != self.unit:
            raise ConformerError(f"units disagree: its {self.name} is in {own}, not in {self.unit}")
        unit = own or self.unit or default or DEFAULT_ENERGY_UNIT
        factor = conversion(unit, "eV")
        self.taken.add(unit)
        return value * factor

    def of(self, block: ConformerBlock, value: Floats) -> Floats:
        """Return (M,) energies, eV, of conformers without a fault; value (M, T) is what the model predicts of them."""
        if self.target is not None:
            return value[:, self.target] * conversion(self.unit, "eV")
        return np.array([self._read(conformer) for conformer in block], np.float64)

    def described(self) -> str:
        """Return the name, and the units in which energies of records were read."""
        return " in ".join(filter(None, [self.name, ", ".join(sorted(self.taken))]))


LEARNED = Energies("scores")
"""In place of energies: scores of the model, times k T, by which it has learned to weigh conformers."""


class Averages(NamedTuple):
    """Averages over the conformers of K molecules.

    Attributes:
        conformers: (K,) how many.
        value: (K, T) mean.
        std: (K, W) means of the uncertainties: errors of conformers of one molecule are alike and do not cancel.
        spread: (K, T) standard deviation over the conformers.
        largest_weight: (K,) share of the conformer that counts most.
    """

    conformers: Ints
    value: Floats
    std: Floats
    spread: Floats
    largest_weight: Floats


def check_temperature(temperature: float) -> None:
    """Raise a ConfigError for a temperature at which there are no weights."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"temperature {temperature:g} K: must be above 0")


def weights_of(molecule: Ints, energy: Floats | None, temperature: float) -> Floats:
    """Return (M,) the share of each conformer in its molecule; arguments are those of `average_over`."""
    weight = np.ones(len(molecule))
    if energy is not None:
        lowest = np.full(molecule.max(initial=-1) + 1, np.inf)
        np.minimum.at(lowest, molecule, energy)
        weight = np.exp((lowest[molecule] - energy) / (BOLTZMANN * temperature))
    return weight / np.bincount(molecule, weight)[molecule]


def average_over(
    molecule: Ints, value: Floats, std: Floats, energy: Floats | None, temperature: float
) -> Averages:
    """Average values (M, T) and uncertainties (M, W) of conformers over each molecule.

    Molecules are numbers (M,), all of 0 to K - 1; energies are (M,) in eV, None for equal weights; temperatures kelvin.
    """
    count, weight = np.bincount(molecule), weights_of(molecule, energy, temperature)
    largest = np.zeros(len(count))
    np.maximum.at(largest, molecule, weight)

    def mean(values: Floats) -> Floats:
        columns = [np.bincount(molecule, weight * column, len(count)) for column in values.T]
        return np.stack(columns, axis=1) if columns else np.empty((len(count), 0))

    center = mean(value)
    spread = np.sqrt(mean((value - center[molecule]) ** 2))
    return Averages(count, center, mean(std), spread, largest)


class MoleculeSink(SinkWithTable):
    """Averages over the conformers of each molecule to a table; holds some numbers of every conformer until the end.

    Args:
        path: name that ends in a suffix of `molgiae.data.tables`.
        targets: T properties, of which a result brings ``predictions/SYMBOL``, and the same with ``_std`` and ``_95``.
        energies: to weigh conformers by, of which a result brings the column ``energy``; None for equal weights.
        temperature: kelvin.
        about: provenance.
        overwrite: replace an existing file.
    """

    def __init__(
        self,
        path: Path,
        targets: Sequence[Target],
        energies: Energies | None,
        temperature: float,
        about: Mapping[str, str],
        *,
        overwrite: bool,
    ) -> None:
        check_table(path, overwrite=overwrite)
        super().__init__(path, overwrite=overwrite)
        self._targets, self._energies, self._temperature = targets, energies, temperature
        self._about, self._overwrite = about, overwrite
        self._number: dict[str, int] = {}
        self._parts: list[dict[str, Any]] = []

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is not None:
            return
        write_table(self.path, self._fields(), self._rows(), self._about, overwrite=self._overwrite)
        self.write_rejected()

    def write(self, result: Result) -> None:
        """Append the conformers of a block."""
        number = [self._number.setdefault(title, len(self._number)) for title in result.block.title]
        self._parts.append({"molecule": np.array(number, np.int64), **result.columns})
        self.rejected += result.block.rejected

    def notes(self) -> list[str]:
        """Return what was averaged, and a warning if energies of the model are too uncertain to weigh conformers."""
        how = "equal weights"
        if self._energies is LEARNED:
            how = "weights that the model has learned"
        elif self._energies is not None:
            how = f"Boltzmann weights at {self._temperature:g} K by {self._energies.described()}"
        found = [f"averaged over the conformers of {len(self._number)} molecules, {how}"]
        if self._energies is not None and self._energies.target is not None and self._number:
            target = self._targets[self._energies.target]
            std = float(np.median(self._predicted(target, "_std"))) * conversion(target.unit, "eV")
            kt = BOLTZMANN * self._temperature
            if std > kt:
                found.append(
                    f"the uncertainty of {self._energies.name}, {std:.3f} eV at the median, exceeds k T, {kt:.3f} eV: "
                    "weights that come of it may be far off; name better energies with --energy"
                )
        return found

    def _column(self, name: str) -> NDArray[Any]:
        return np.concatenate([part[name] for part in self._parts])

    def _predicted(self, target: Target, ending: str = "") -> Floats:
        return self._column(f"predictions/{property_name(target.symbol)}{ending}")

    def _fields(self) -> list[Field]:
        in_hdf5 = self.path.suffix.lower() in (".h5", ".hdf5")
        fields = [
            Field("title", str, "text", "of the molecule"),
            Field("conformers", int, "1", "how many were averaged over"),
        ]
        for target in self._targets:
            unit = "" if target.unit == "1" or in_hdf5 else f" [{target.unit}]"
            symbol = property_name(target.symbol) if in_hdf5 else target.symbol
            for ending, meaning in (
                ("", f"{target.description}, predicted, averaged over the conformers"),
                ("_std", "its uncertainty, averaged over the conformers"),
                ("_95", "likewise of the interval that holds the value in about 95 % of cases"),
                ("_spread", "standard deviation over the conformers"),
            ):
                fields.append(Field(f"{symbol}{ending}{unit}", float, target.unit, meaning))
        if self._energies is not None:
            fields.append(Field("largest_weight", float, "1", "share of the conformer that counts most"))
        fields.append(Field("in_domain", bool, "1", "1: all conformers are within what was trained on"))
        fields.append(Field("domain_reason", str, "text", "why the first one that is not within is not"))
        return fields

    def _rows(self) -> list[list[Any]]:
        if not self._number:
            return []
        molecule = self._column("molecule")
        value, *widths = (
            np.stack([self._predicted(target, ending) for target in self._targets], axis=1)
            for ending in ("", "_std", "_95")
        )
        energy = None if self._energies is None else self._column("energy")
        found = average_over(molecule, value, np.hstack(widths), energy, self._temperature)
        outside: dict[int, str] = {}
        for k, reason in zip(molecule.tolist(), self._column("domain_reason").tolist(), strict=True):
            if reason:
                outside.setdefault(k, reason)
        numbers = np.stack([found.value, *np.hsplit(found.std, 2), found.spread], axis=2).reshape(
            len(self._number), -1
        )
        if energy is not None:
            numbers = np.column_stack([numbers, found.largest_weight])
        return [
            [title, int(found.conformers[k]), *numbers[k].tolist(), k not in outside, outside.get(k, "")]
            for title, k in self._number.items()
        ]
