"""Properties of conformers from file to file: predicted, with uncertainties, one by one or averaged over molecules."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.clustered import enumerated
from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, molecule_names, output_path, read, run, sink_for
from molgiae.config import TEMPERATURE
from molgiae.data.blocks import Columns, Result, rows_left
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.hdf5.decoded import DECODED_COLUMNS, DECODED_FORMULA, decoded_rmsd_in
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.hdf5.schema import Column, prediction_columns
from molgiae.data.inputs import is_stored, listed
from molgiae.data.readers import Inputs
from molgiae.data.text import shown
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.output.files import ModelInUse, Sink
from molgiae.parallel.threads import cores
from molgiae.properties.averaging import BOLTZMANN, LEARNED, Energies, MoleculeSink, check_temperature
from molgiae.properties.columns import ENERGY
from molgiae.properties.predictor import Predictor
from molgiae.properties.targets import Target
from molgiae.properties.units import conversion, dimension_of

Average = Literal["auto", "none", "mean", "attention", "boltzmann"]

ENDING = "_predicted.csv"
"""End of the name that is derived from that of the input."""

ENDINGS = "", "_std", "_95"
"""Of the symbol of a property: its value, and half-widths that hold it in 68 and 95 % of cases."""


def predict(
    model: str | os.PathLike[str] | Predictor,
    inputs: Inputs,
    options: Options | None = None,
    *,
    average: Average = "auto",
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

    A network of properties has no decoder; its own measure is the calibrated uncertainty. What files of embeddings say
    of theirs, ``decoded_rmsd`` and ``decoded_formula``, stands beside the predictions of their conformers.

    Args:
        model: directory or file that `molgiae finetune` wrote, or a model in use.
        inputs: files, directories, ``-`` for standard input; one or several.
        options: of the command.
        average: "none", "mean", "boltzmann", or "attention" for models that have learned how to weigh conformers;
            "auto" for what the model was trained to do, which is "none" if it was trained on single conformers.
        temperature: of Boltzmann weights, kelvin.
        energy: property of the records that holds energies for Boltzmann weights; None for the property that the model
            was trained with if it was with Boltzmann weights, else for energies that it predicts.
        energy_unit: of that property; None for what its name or its values say, else kcal/mol, but hartree for what
            CREST, GOAT, xtb and ORCA write into the comment lines of XYZ.
        unit: of the results of its dimension; None for the units of the model.
        **changes: fields of `Options` by name, as in ``predict("enthalpy", "a.sdf", output="a.csv")``.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if an option is wrong.
        MolgiaeError: whatever else keeps the output from being written.

    Examples:
        >>> molgiae.predict("energy", "measured.xyz", output="predicted.csv").rejected
        0
    """
    options = (options or Options()).for_a_run(**changes)
    predictor, workers = _opened(model, options)
    pooling = predictor.pooling
    average = pooling if average == "auto" else average
    if average == pooling == "boltzmann" and energy is None:
        # conformers are weighed as those were that the model has learned from
        known = predictor.checkpoint.provenance.get("weighed_by", {})
        energy, energy_unit = known.get("energy"), energy_unit or known.get("energy_unit")
    _check(average, pooling, temperature, energy, energy_unit)
    if average != "none" and options.share is not None:
        raise ConfigError(
            "conformers of one molecule may be in several parts; with --shards use --average none, and average the "
            "predictions, or predict without --shards"
        )
    names = listed(inputs)
    output = _output(names, options, average)
    targets = _in_unit(predictor.targets, unit)
    factor = [
        conversion(own.unit, target.unit) for own, target in zip(predictor.targets, targets, strict=True)
    ]
    energies = Energies.choose(predictor.targets, energy, energy_unit) if average == "boltzmann" else None
    energies = LEARNED if average == "attention" else energies
    # parts of a directory are made of pieces of files
    decoded = _decoded_in(names) if average == "none" and options.share is None else {}
    blocks = read(names, options, output, keep_text=average != "none" or bool(predictor.baseline))
    if average != "none":
        blocks = _of_molecules(blocks, None if energies is LEARNED else energies)

    def compute(numbered: tuple[int, ConformerBlock]) -> Result:
        first, block = numbered
        found = predictor.predict(block)
        numbers = np.stack([found.value, found.std, found.wide], axis=2) * np.array(factor)[:, None]
        # a block may have lost all its conformers
        table = numbers.reshape(-1, len(ENDINGS) * len(targets)).T
        columns: dict[str, Any] = {
            **{column.name: values for column, values in zip(_columns(targets), table, strict=True)},
            "in_domain": (found.domain_reason == "").astype(np.uint8),
            "domain_reason": found.domain_reason,
        }
        if decoded:
            rows = first + rows_left(found.block, block)
            columns |= {name: values[rows] for name, values in decoded.items()}
        if energies is LEARNED:
            columns["energy"] = -BOLTZMANN * temperature * found.score
        elif energies is not None:
            columns["energy"] = energies.of(found.block, found.value)
        return Result(found.block, columns)

    in_use = ModelInUse(predictor.checkpoint.name, predictor.checkpoint.sha256, workers=workers)
    if average == "none":
        sink = _sink(output, targets, in_use, options, tuple(decoded))
    else:
        about = {
            "model": in_use.name,
            "model_sha256": in_use.sha256,
            "command": options.command,
            "average": average,
        }
        if energies is not None:
            about |= {"energy": energies.name, "temperature": f"{temperature:g} K"}
        sink = MoleculeSink(output, targets, energies, temperature, about, overwrite=options.overwrite)
    return run(enumerated(blocks), compute, sink, options, "predict", in_use)


def _decoded_in(names: Sequence[str]) -> Columns:
    """Return what files say of the decoder, for all of their conformers; nothing unless all of them do."""
    found: list[tuple[NDArray[np.float32], NDArray[np.uint8]]] = []
    for name in names if all(map(is_stored, names)) else ():
        with open_stored(name) as file:
            if (rmsd := decoded_rmsd_in(file.columns)) is None:
                return {}
            found.append((file.column(rmsd).astype(np.float32), file.column(DECODED_FORMULA)))
    return dict(zip(DECODED_COLUMNS, map(np.concatenate, zip(*found, strict=True)), strict=False))


def _check(
    average: str, pooling: str, temperature: float, energy: str | None, energy_unit: str | None
) -> None:
    if average not in get_args(Average):
        raise ConfigError(f"average {average!r} is unknown; use one of {', '.join(get_args(Average))}")
    if average == "attention" and pooling != "attention":
        raise ConfigError(
            "the model has not learned to weigh conformers; take --average mean or boltzmann, "
            "or train one with molgiae finetune --pooling attention"
        )
    if energy is not None and average != "boltzmann":
        raise ConfigError("--energy weighs conformers; it needs --average boltzmann")
    if energy_unit is not None and energy is None:
        raise ConfigError("--energy-unit is that of a property of the records; name it with --energy")
    check_temperature(temperature)


def _output(names: list[str], options: Options, average: str) -> Path:
    if average == "none":
        return output_path(names, options, ENDING, ("HDF5", "tables", "structures"))
    if options.output is not None and Path(options.output).suffix.lower() == ".json":
        return Path(options.output)
    return output_path(names, options, ENDING, ("HDF5", "tables"))


def _opened(model: str | os.PathLike[str] | Predictor, options: Options) -> tuple[Predictor, int]:
    """Return the model in use, and how many blocks are worth computing at a time."""
    if not isinstance(model, str | os.PathLike):
        return model, 1
    predictor = Predictor(model, device=options.device)
    return predictor, cores() if predictor.device == "cpu" else 1


def _in_unit(targets: Sequence[Target], unit: str | None) -> list[Target]:
    """Return the targets, those of the same dimension in this unit; a ConfigError if it fits none of them."""
    dimension = unit and dimension_of(unit)
    fits = [t.unit == unit or (dimension and dimension == dimension_of(t.unit)) for t in targets]
    if unit is not None and not any(fits):
        found = ", ".join(f"{target.name} in {target.unit}" for target in targets)
        raise ConfigError(f"unit {unit!r} fits no property of the model: {found}")
    return [t.to(unit) if unit and fit else t for t, fit in zip(targets, fits, strict=True)]


def _of_molecules(blocks: Iterable[ConformerBlock], energies: Energies | None) -> Iterator[ConformerBlock]:
    """Yield the blocks without conformers that cannot be averaged over, for want of a molecule or of an energy.

    Frames whose comment line tells but an energy are of the molecule that their file is named after.
    """
    name = ENERGY if energies is None or energies.target is not None else energies.name
    formulas: dict[str, bytes] = {}
    asked = energies if energies is not None and energies.target is None else None

    def fault(conformer: Conformer) -> str:
        title, formula = conformer.title, np.sort(conformer.atomic_number).tobytes()
        if not title:
            return "no title by which it could be averaged with others of its molecule"
        if formulas.setdefault(title, formula) != formula:
            return f"its formula is not that of the first conformer titled {shown(title)}"
        return energies.fault(conformer) if energies else ""

    for block in blocks:
        named = replace(block, title=molecule_names(block, name))
        faults = {m: fault(conformer) for m, conformer in enumerate(named)}
        if asked and len(block):
            asked.require(block)
            asked = None
        yield named.reject({m: reason for m, reason in faults.items() if reason})


def _sink(
    output: Path, targets: Sequence[Target], in_use: ModelInUse, options: Options, decoded: tuple[str, ...]
) -> Sink:
    """Return where predictions of conformers go, by the name of the output, with columns of the decoder."""
    columns = _columns(targets)

    def texts(result: Result, m: int) -> list[tuple[Target, str, str, str]]:
        """Values with ten significant digits: total energies of thousands of eV differ in the meV."""
        numbers = [result[column.name][m] for column in columns]
        rows = zip(targets, *(numbers[k :: len(ENDINGS)] for k in range(len(ENDINGS))), strict=True)
        return [(target, f"{value:.10g}", f"{std:.4g}", f"{wide:.4g}") for target, value, std, wide in rows]

    def cells(result: Result, m: int) -> dict[str, object]:
        block = result.block
        row: dict[str, object] = {"source": block.source[m], "record": int(block.record[m])}
        row["title"] = block.title[m]
        for target, *numbers in texts(result, m):
            row |= dict(zip(_headings(target), numbers, strict=True))
        row |= {"in_domain": int(result["in_domain"][m]), "domain_reason": result["domain_reason"][m]}
        return row | said(result, m)

    def said(result: Result, m: int) -> dict[str, str]:
        return {name: f"{result[name][m]:.4g}" for name in decoded}

    def record(writer: StructureWriter, result: Result, m: int) -> None:
        """Write the record as it was read, and the prediction."""
        found: dict[str, str] = {}
        for target, *numbers in texts(result, m):
            key = f"molgiae_{target.symbol}"
            found |= {f"{key}{ending}": number for ending, number in zip(ENDINGS, numbers, strict=True)}
            found[f"{key}_unit"] = target.unit
        found["molgiae_in_domain"] = str(int(result["in_domain"][m]))
        if result["domain_reason"][m]:
            found["molgiae_domain_reason"] = result["domain_reason"][m]
        found |= {f"molgiae_{name}": value for name, value in said(result, m).items()}
        writer.annotate(result.block[m], found)

    own = ("in_domain", "domain_reason", *decoded)
    headings = [heading for target in targets for heading in _headings(target)]
    table = (("source", "record", "title", *headings, *own), cells)
    return sink_for(output, options, own, record, table=table, predictions=columns, model=in_use)


def _columns(targets: Sequence[Target]) -> list[Column]:
    """Return the 3 T columns of results: each property, then its uncertainties."""
    return [
        column
        for target in targets
        for column in prediction_columns(target.symbol, target.unit, target.description or target.name)
    ]


def _headings(target: Target) -> list[str]:
    unit = target.heading.removeprefix(target.symbol)
    return [f"{target.symbol}{ending}{unit}" for ending in ENDINGS]
