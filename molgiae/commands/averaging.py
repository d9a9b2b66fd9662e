"""From conformers to molecules: mean and Boltzmann averages of predicted properties, over equal titles.

A Boltzmann average weighs conformer i of a molecule by exp(-E_i / k T) / sum_j exp(-E_j / k T), where E is read from
the records or predicted, degeneracies are left out and every minimum of importance is taken to be there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.run import stem_of
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.fields import shown
from molgiae.data.hdf5.schema import property_name
from molgiae.data.partial import PartialFile
from molgiae.data.tables import Field, check_table, write_table
from molgiae.errors import ConfigError, ConformerError
from molgiae.output.files import write_rejected
from molgiae.properties.columns import ENERGY, energy_of, is_energy_alone
from molgiae.properties.targets import KNOWN, Target, canonical_unit, conversion, split_heading

if TYPE_CHECKING:
    from molgiae.model.embedder import Result

Average = Literal["none", "mean", "boltzmann"]
AVERAGES: tuple[Average, ...] = ("none", "mean", "boltzmann")

BOLTZMANN = 8.617333262e-5
"""Boltzmann's constant, eV/K (CODATA 2018)."""
DEFAULT_ENERGY_UNIT = "kcal/mol"

OWN_ENERGIES = ("free_energy", "enthalpy", "internal_energy", "internal_energy_0k")
"""Targets whose differences weigh conformers, the best first."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Energies:
    """Where the energies of conformers come from: a property of their records, or a target of the model.

    Attributes:
        name: key of the property, or symbol of the target.
        factor: eV per unit, where records say no other.
        target: column of the target among those of the model; None for a property.
        unit: of the property, as the user or its name says; empty if neither does.
        taken: units in which energies of records were read so far.
    """

    name: str
    factor: float
    target: int | None = None
    unit: str = ""
    taken: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def choose(cls, targets: Sequence[Target], name: str | None, unit: str | None) -> Energies:
        """The property of this name; without one the free energy of the model, or what comes next to it.

        Args:
            targets: of the model.
            name: of a property of the records.
            unit: of it; None for what its name or its values say, as in ``energy_kj_per_mol``, else kcal/mol, but
                hartree for numbers in front of comment lines of XYZ, as CREST and GOAT write them.

        Raises:
            ConfigError: if there are no energies, or the unit is none of energy.
        """
        if name is not None:
            said = unit or split_heading(name)[1]
            factor = conversion(said or DEFAULT_ENERGY_UNIT, "eV")
            return cls(name, factor, unit=canonical_unit(said) if said else "")
        names = [target.name for target in targets]
        own = [known for known in OWN_ENERGIES if known in names]
        own += [t.name for t in targets if t.name not in KNOWN and t.energy and t.extensive]
        if not own:
            raise ConfigError(
                f"Boltzmann weights need energies, and the model predicts {', '.join(names)} only; "
                "name the property of the records that holds them with --energy"
            )
        chosen = names.index(own[0])
        return cls(targets[chosen].symbol, conversion(targets[chosen].unit, "eV"), chosen)

    def reason(self, conformer: Conformer) -> str:
        """Why a conformer has none; empty if it has."""
        if self.target is not None:
            return ""
        try:
            self._energy(conformer)
        except (ConfigError, ConformerError) as error:
            return error.reason if isinstance(error, ConformerError) else str(error)
        return ""

    def _energy(self, conformer: Conformer) -> float:
        """Energy that a record says, eV."""
        energy = energy_of(conformer, self.name)
        if energy.unit and self.unit and energy.unit != self.unit:
            raise ConformerError(f"units disagree: its {self.name} is in {energy.unit}, not in {self.unit}")
        unit = energy.unit or self.unit or energy.default_unit or DEFAULT_ENERGY_UNIT
        factor = conversion(unit, "eV")
        self.taken.add(unit)
        return energy.value * factor

    def described(self) -> str:
        """The name, and the units in which energies of records were read."""
        return " in ".join(filter(None, [self.name, ", ".join(sorted(self.taken))]))

    def of(self, block: ConformerBlock, value: Floats) -> Floats:
        """(M,) energies, eV.

        Args:
            block: M conformers without a reason against them.
            value: (M, T) what the model predicts of them.
        """
        if self.target is not None:
            return value[:, self.target] * self.factor
        return np.array([self._energy(conformer) for conformer in block], np.float64)


class Titles:
    """Refuses conformers that cannot be said to be of a molecule: no title, or that of another formula."""

    def __init__(self) -> None:
        self._formula: dict[str, bytes] = {}

    def reason(self, conformer: Conformer) -> str:
        """Why a conformer is of no molecule; empty if it is of one."""
        title = conformer.title
        if not title:
            return "no title by which it could be averaged with others of its molecule"
        formula = np.sort(conformer.atomic_number).tobytes()
        if self._formula.setdefault(title, formula) != formula:
            return f"its formula is not that of the first conformer titled {shown(title)}"
        return ""


def named_by_file(blocks: Iterable[ConformerBlock], energies: Energies | None) -> Iterator[ConformerBlock]:
    """The blocks, in which frames whose comment line tells but an energy have the name of their file for a title.

    Args:
        blocks: as read, with their text.
        energies: to weigh by; None for none.
    """
    names = {ENERGY} if energies is None or energies.target is not None else {ENERGY, energies.name}
    for block in blocks:
        title = [
            stem_of([conformer.source])
            if any(is_energy_alone(conformer, name) for name in names)
            else conformer.title
            for conformer in block
        ]
        yield replace(block, title=title)


def without(
    blocks: Iterable[ConformerBlock], reasons: Sequence[Callable[[Conformer], str]]
) -> Iterator[ConformerBlock]:
    """The blocks, in which conformers are refused for the first reason that applies."""
    for block in blocks:
        found = [next(filter(None, (reason(c) for reason in reasons)), "") for c in block]
        yield block.reject({m: reason for m, reason in enumerate(found) if reason})


@dataclass(frozen=True, eq=False)
class Averages:
    """Averages over the conformers of K molecules.

    Attributes:
        conformers: (K,) how many.
        value: (K, T) mean.
        std: (K, T) mean of the uncertainties: errors of conformers of one molecule are much the same, and do not
            cancel.
        spread: (K, T) standard deviation over the conformers.
        largest_weight: (K,) share of the conformer that counts most.
    """

    conformers: NDArray[np.int64]
    value: Floats
    std: Floats
    spread: Floats
    largest_weight: Floats


def average_over(
    molecule: NDArray[np.int64], value: Floats, std: Floats, energy: Floats | None, temperature: float
) -> Averages:
    """Average over the conformers of each molecule.

    Args:
        molecule: (M,) number of the molecule of each conformer, all of 0 to K - 1.
        value: (M, T) of conformers.
        std: (M, T) uncertainties.
        energy: (M,) eV; None for equal weights.
        temperature: kelvin.
    """
    count = np.bincount(molecule)
    weight = np.ones(len(molecule))
    if energy is not None:
        lowest = np.full(len(count), np.inf)
        np.minimum.at(lowest, molecule, energy)
        weight = np.exp((lowest[molecule] - energy) / (BOLTZMANN * temperature))
    weight /= np.bincount(molecule, weight)[molecule]
    largest = np.zeros(len(count))
    np.maximum.at(largest, molecule, weight)

    def mean(values: Floats) -> Floats:
        columns = [np.bincount(molecule, weight * column, len(count)) for column in values.T]
        return np.stack(columns, axis=1) if columns else np.empty((len(count), 0))

    centre = mean(value)
    spread = np.sqrt(mean(np.square(value - centre[molecule])))
    return Averages(count, centre, mean(std), spread, largest)


class MoleculeSink:
    """Averages over the conformers of each molecule to a table; holds some numbers of every conformer until the end.

    Args:
        path: name that ends in a suffix of `molgiae.data.tables`.
        targets: T properties, of which a result brings ``predictions/SYMBOL`` and ``predictions/SYMBOL_std``.
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
        self.path = path
        self.table = path.with_name(f"{path.name}.rejected.csv")
        self._partial_table = PartialFile(self.table, overwrite=overwrite)
        self._targets, self._energies, self._temperature = targets, energies, temperature
        self._about, self._overwrite = about, overwrite
        self._number: dict[str, int] = {}
        self._molecule: list[NDArray[np.int64]] = []
        self._parts: dict[str, list[Floats]] = {}
        self._reasons: list[str] = []
        self._rejected: list[Rejected] = []

    def __enter__(self) -> MoleculeSink:
        return self

    def __exit__(self, *exception: Any) -> None:
        if exception[0] is not None:
            return
        fields, rows = self._fields(), self._rows()
        write_table(self.path, fields, rows, self._about, overwrite=self._overwrite)
        if self._rejected:
            write_rejected(self._partial_table, self._rejected)
        else:
            self.table.unlink(missing_ok=True)  # that of the output which is replaced

    @property
    def molecules(self) -> int:
        """How many there are so far."""
        return len(self._number)

    def write(self, result: Result) -> None:
        """Append the conformers of a block."""
        number = [self._number.setdefault(title, len(self._number)) for title in result.block.title]
        self._molecule.append(np.array(number, np.int64))
        self._reasons += result["domain_reason"].tolist()
        for name, column in result.columns.items():
            if name == "domain_reason":
                continue
            self._parts.setdefault(name, []).append(np.asarray(column, np.float64))
        self._rejected += result.block.rejected

    def rejected_in(self) -> str:
        """The table beside the file."""
        return str(self.table)

    def notes(self) -> list[str]:
        """None: what averages say of themselves stands in `doubt`."""
        return []

    def doubt(self) -> str:
        """A line if the energies of the model are too uncertain to weigh conformers; else empty."""
        if self._energies is None or self._energies.target is None or not self._number:
            return ""
        target = self._targets[self._energies.target]
        column = self._column(f"predictions/{property_name(target.symbol)}_std")
        std, kt = float(np.median(column)) * conversion(target.unit, "eV"), BOLTZMANN * self._temperature
        if std <= kt:
            return ""
        return (
            f"the uncertainty of {self._energies.name}, {std:.3f} eV at the median, exceeds k T, {kt:.3f} eV: weights "
            "that come of it may be far off; name better energies with --energy"
        )

    def _column(self, name: str) -> Floats:
        return np.concatenate(self._parts.get(name) or [np.empty(0)])

    def _fields(self) -> list[Field]:
        in_hdf5 = self.path.suffix.lower() in (".h5", ".hdf5")

        def field(target: Target, ending: str, description: str) -> Field:
            unit = "" if target.unit == "1" or in_hdf5 else f" [{target.unit}]"
            symbol = property_name(target.symbol) if in_hdf5 else target.symbol
            return Field(f"{symbol}{ending}{unit}", float, target.unit, description)

        fields = [
            Field("title", str, "text", "of the molecule"),
            Field("conformers", int, "1", "how many were averaged over"),
        ]
        for target in self._targets:
            fields += [
                field(target, "", f"{target.description}, predicted, averaged over the conformers"),
                field(target, "_std", "its uncertainty, averaged over the conformers"),
                field(target, "_spread", "standard deviation over the conformers"),
            ]
        if self._energies is not None:
            fields.append(Field("largest_weight", float, "1", "share of the conformer that counts most"))
        return [
            *fields,
            Field("in_domain", bool, "1", "1: all conformers are within what was trained on"),
            Field("domain_reason", str, "text", "why the first one that is not within is not"),
        ]

    def _rows(self) -> list[list[Any]]:
        if not self._number:
            return []
        molecule = np.concatenate(self._molecule)
        names = [f"predictions/{property_name(target.symbol)}" for target in self._targets]
        value = np.stack([self._column(name) for name in names], axis=1)
        std = np.stack([self._column(f"{name}_std") for name in names], axis=1)
        energy = None if self._energies is None else self._column("energy")
        found = average_over(molecule, value, std, energy, self._temperature)
        outside: dict[int, str] = {}
        for k, reason in zip(molecule.tolist(), self._reasons, strict=True):
            if reason:
                outside.setdefault(k, reason)
        rows: list[list[Any]] = []
        for k, title in enumerate(self._number):
            triples = zip(found.value[k], found.std[k], found.spread[k], strict=True)
            row = [title, int(found.conformers[k]), *(float(x) for triple in triples for x in triple)]
            row += [] if energy is None else [float(found.largest_weight[k])]
            rows.append([*row, k not in outside, outside.get(k, "")])
        return rows


def check_temperature(temperature: float) -> None:
    """Raise a ConfigError unless it is a number of kelvin above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ConfigError(f"temperature {temperature:g} K: must be above 0")
