"""Properties of conformers from file to file: predicted, with uncertainties, one by one or averaged over molecules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.averaging import (
    AVERAGES,
    Average,
    Energies,
    MoleculeSink,
    Titles,
    check_temperature,
    named_by_file,
    without,
)
from molgiae.commands.run import Options, Summary, output_path, read, run
from molgiae.config import TEMPERATURE
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.schema import prediction_columns
from molgiae.data.inputs import is_hdf5, listed
from molgiae.data.readers import Inputs
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.model.embedder import Result
from molgiae.output.files import Hdf5Sink, Named, Sink, StructureSink
from molgiae.output.table import TableSink, is_table
from molgiae.properties.targets import Target, conversion, dimension_of

Floats = NDArray[np.float64]

ENDING = "_predicted.csv"
"""Of the name that is derived from that of the input."""


class Predicted(Protocol):
    """What a model says of the M conformers it takes of a block."""

    @property
    def block(self) -> ConformerBlock:
        """Those it takes; the others are among its rejected."""

    @property
    def value(self) -> Floats:
        """(M, T) in the units of the targets."""

    @property
    def std(self) -> Floats:
        """(M, T) uncertainties, in the same units."""

    @property
    def domain_reason(self) -> NDArray[np.object_]:
        """(M,) why they are not within what the model was trained on; empty where they are."""


class Predicting(Protocol):
    """What `predict` needs of a model; `molgiae.properties.predictor.Predictor` is one."""

    @property
    def checkpoint(self) -> Named:
        """Where it comes from."""

    @property
    def targets(self) -> tuple[Target, ...]:
        """The T properties, with units."""

    def predict(self, conformers: ConformerBlock, /) -> Predicted:
        """Values of a block."""


@dataclass(frozen=True)
class _InUse:
    """A model of properties, as `molgiae.commands.run.run` sees it."""

    checkpoint: Named
    workers: int = 1
    watch: None = None
    dimension: int = 0
    shape_dimension: int = 0


@dataclass(frozen=True)
class Properties:
    """T properties in the units of the results.

    Attributes:
        targets: in these units.
        factor: (T,) what the values of the model are multiplied by.
    """

    targets: tuple[Target, ...]
    factor: Floats

    @classmethod
    def in_unit(cls, targets: Sequence[Target], unit: str | None) -> Properties:
        """The targets, those of the same dimension in this unit.

        Raises:
            ConfigError: if the unit fits none of them.
        """
        if unit is None:
            return cls(tuple(targets), np.ones(len(targets)))
        fits = [
            target.unit == unit or None is not dimension_of(unit) == dimension_of(target.unit)
            for target in targets
        ]
        if not any(fits):
            found = ", ".join(f"{target.name} in {target.unit}" for target in targets)
            raise ConfigError(f"unit {unit!r} fits no property of the model: {found}")
        return cls(
            tuple(t.to(unit) if fit else t for t, fit in zip(targets, fits, strict=True)),
            np.array(
                [conversion(t.unit, unit) if fit else 1.0 for t, fit in zip(targets, fits, strict=True)]
            ),
        )

    @property
    def columns(self) -> list[str]:
        """Names of the 2 T columns of results: each property, then its uncertainty."""
        return [column.name for target in self.targets for column in _columns_of(target)]

    def of(self, prediction: Predicted) -> dict[str, NDArray[Any]]:
        """The columns of a prediction."""
        pairs = np.stack([prediction.value * self.factor, prediction.std * self.factor], axis=2)
        columns = pairs.reshape(-1, 2 * len(self.targets)).T  # a block may have lost all its conformers
        return {
            **dict(zip(self.columns, columns, strict=True)),
            "in_domain": (prediction.domain_reason == "").astype(np.uint8),
            "domain_reason": prediction.domain_reason,
        }


def predict(
    model: str | os.PathLike[str] | Predicting,
    inputs: Inputs,
    options: Options | None = None,
    *,
    average: Average = "none",
    temperature: float = TEMPERATURE,
    energy: str | None = None,
    energy_unit: str | None = None,
    unit: str | None = None,
    **changes: Any,
) -> Summary:
    """Predict properties of every conformer, or of every molecule by averaging over conformers of equal title.

    Of conformers the output is CSV, TSV, HDF5, SDF or XYZ by its name; of molecules CSV, TSV, JSON or HDF5. SDF
    and XYZ keep their records and properties and get ``molgiae_SYMBOL``, ``molgiae_SYMBOL_std``,
    ``molgiae_SYMBOL_unit``, ``molgiae_in_domain`` and, where that is 0, ``molgiae_domain_reason``, so that measured and
    predicted values stand side by side.

    Args:
        model: directory or file that `molgiae finetune` wrote, or a model in use.
        inputs: files, directories, ``-`` for standard input; one or several.
        options: of the command.
        average: "none", "mean" or "boltzmann".
        temperature: of Boltzmann weights, kelvin.
        energy: property of the records that holds energies for Boltzmann weights; None for those of the model.
        energy_unit: of that property; None for what its name or its values say, else kcal/mol, but hartree for what
            CREST, GOAT, xtb and ORCA write into the comment lines of XYZ.
        unit: of the results of its dimension; None for the units of the model.
        **changes: fields of `Options` by name, as in ``predict("enthalpy", "a.sdf", output="a.csv")``.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if an option is wrong.
        MolgiaeError: whatever else keeps the output from being written.
    """
    options = (options or Options()).for_a_run(**changes)
    _check(average, energy, energy_unit)
    check_temperature(temperature)
    names = listed(inputs)
    output = _output(names, options, average)
    predictor, workers = _opened(model, options)
    properties = Properties.in_unit(predictor.targets, unit)
    energies = Energies.choose(predictor.targets, energy, energy_unit) if average == "boltzmann" else None
    blocks = read(names, options, output, keep_text=average != "none")
    if average != "none":
        titles = Titles()
        blocks = named_by_file(blocks, energies)
        blocks = without(blocks, [titles.reason, *([energies.reason] if energies else [])])

    def compute(block: ConformerBlock) -> Result:
        prediction = predictor.predict(block)
        columns = properties.of(prediction)
        if energies is not None:
            columns["energy"] = energies.of(prediction.block, prediction.value)
        return Result(prediction.block, columns)

    in_use = _InUse(predictor.checkpoint, workers)
    sink = _sink(output, properties, energies, average, temperature, in_use, options)
    summary = run(blocks, compute, sink, in_use, options, verb="predict")
    if isinstance(sink, MoleculeSink):
        how = (
            f"Boltzmann weights at {temperature:g} K by {energies.described()}"
            if energies
            else "equal weights"
        )
        summary.notes.append(f"averaged over the conformers of {sink.molecules} molecules, {how}")
        summary.notes += filter(None, [sink.doubt()])
    return summary


def _check(average: str, energy: str | None, energy_unit: str | None) -> None:
    if average not in AVERAGES:
        raise ConfigError(f"average {average!r} is unknown; use one of {', '.join(AVERAGES)}")
    if energy is not None and average != "boltzmann":
        raise ConfigError("--energy weighs conformers; it needs --average boltzmann")
    if energy_unit is not None and energy is None:
        raise ConfigError("--energy-unit is that of a property of the records; name it with --energy")


def _output(names: list[str], options: Options, average: str) -> Path:
    if average == "none":
        return output_path(names, options, ENDING, tables=True)
    if options.output is not None and Path(options.output).suffix.lower() == ".json":
        return Path(options.output)
    return output_path(names, options, ENDING, structures=False, tables=True)


def _opened(model: str | os.PathLike[str] | Predicting, options: Options) -> tuple[Predicting, int]:
    """The model in use, and how many blocks are worth computing at a time."""
    if not isinstance(model, str | os.PathLike):
        return model, 1
    import torch  # noqa: PLC0415 - a model that is given in use may need none of it

    from molgiae.properties.predictor import Predictor  # noqa: PLC0415

    predictor = Predictor(model, device=options.device)
    return predictor, torch.get_num_threads() if predictor.device == "cpu" else 1


def _sink(
    output: Path,
    properties: Properties,
    energies: Energies | None,
    average: Average,
    temperature: float,
    in_use: _InUse,
    options: Options,
) -> Sink:
    targets, overwrite = properties.targets, options.overwrite
    if average != "none":
        about = {
            "model": in_use.checkpoint.name,
            "model_sha256": in_use.checkpoint.sha256,
            "command": options.command,
            "average": average,
        }
        if energies is not None:
            about |= {"energy": energies.name, "temperature": f"{temperature:g} K"}
        return MoleculeSink(output, targets, energies, temperature, about, overwrite=overwrite)
    if is_hdf5(output):
        columns = [column for target in targets for column in _columns_of(target)]
        return Hdf5Sink(
            output,
            ("in_domain", "domain_reason"),
            in_use,
            command=options.command,
            overwrite=overwrite,
            predictions=columns,
        )
    if is_table(output):
        return TableSink(output, _headings(targets), _Rows(properties).cells, overwrite=overwrite)
    return StructureSink(output, _Rows(properties).record, overwrite=overwrite)


def _columns_of(target: Target) -> tuple[Any, Any]:
    return prediction_columns(target.symbol, target.unit, target.description or target.name)


def _headings(targets: Sequence[Target]) -> tuple[str, ...]:
    pairs = [heading for target in targets for heading in (target.heading, _std_heading(target))]
    return ("source", "record", "title", *pairs, "in_domain", "domain_reason")


def _std_heading(target: Target) -> str:
    return f"{target.symbol}_std" + target.heading.removeprefix(target.symbol)


@dataclass(frozen=True)
class _Rows:
    """Results as text, a conformer at a time."""

    properties: Properties

    def cells(self, result: Result, m: int) -> dict[str, object]:
        """A row of the table."""
        block = result.block
        row: dict[str, object] = {
            "source": block.source[m],
            "record": int(block.record[m]),
            "title": block.title[m],
            "in_domain": int(result["in_domain"][m]),
            "domain_reason": result["domain_reason"][m],
        }
        for target, (value, std) in zip(self.properties.targets, self._texts(result, m), strict=True):
            row |= {target.heading: value, _std_heading(target): std}
        return row

    def record(self, writer: StructureWriter, result: Result, m: int) -> None:
        """The record as it was read, and the prediction."""
        found: dict[str, str] = {}
        for target, (value, std) in zip(self.properties.targets, self._texts(result, m), strict=True):
            key = f"molgiae_{target.symbol}"
            found |= {key: value, f"{key}_std": std, f"{key}_unit": target.unit}
        found["molgiae_in_domain"] = str(int(result["in_domain"][m]))
        if result["domain_reason"][m]:
            found["molgiae_domain_reason"] = result["domain_reason"][m]
        writer.annotate(result.block[m], found)

    def _texts(self, result: Result, m: int) -> list[tuple[str, str]]:
        """Values with ten significant digits: total energies of thousands of eV differ in the meV."""
        names = self.properties.columns
        return [
            (f"{result[value][m]:.10g}", f"{result[std][m]:.4g}")
            for value, std in zip(names[::2], names[1::2], strict=True)
        ]
