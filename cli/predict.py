"""The command that uses learned properties."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from typing import Annotated

import typer

from molgiae.config import TEMPERATURE

from .conformers import finish
from .options import (
    Device,
    DeviceName,
    Format,
    Inputs,
    Json,
    OnError,
    OnErrorName,
    Overwrite,
    Quiet,
)


class AverageName(StrEnum):
    """What becomes of the conformers of a molecule."""

    none = "none"
    mean = "mean"
    boltzmann = "boltzmann"


def predict(
    model: Annotated[
        str,
        typer.Argument(help="Directory or file that molgiae finetune wrote.", show_default=False),
    ],
    inputs: Inputs,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .csv, .tsv, .h5, .sdf or .xyz; of averages .csv, .tsv, .json or .h5.",
            show_default="INPUT_predicted.csv",
        ),
    ] = None,
    average: Annotated[
        AverageName,
        typer.Option(
            help="Each conformer by itself, or the mean or Boltzmann average over those of one title."
        ),
    ] = AverageName.none,
    temperature: Annotated[float, typer.Option(help="Of Boltzmann weights, K.")] = TEMPERATURE,
    energy: Annotated[
        str | None,
        typer.Option(
            help="Property of the records that holds the energies for Boltzmann weights. energy also finds what CREST, "
            "GOAT, xtb and ORCA write into XYZ comments; frames without another title are of the molecule that their "
            "file is named after.",
            show_default="the energy that the model predicts",
        ),
    ] = None,
    energy_unit: Annotated[
        str | None,
        typer.Option(
            help="Unit of that property: eV, Ha, kJ/mol ...",
            show_default="by its name or values; Ha for numbers in XYZ comments; else kcal/mol",
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of the results.", show_default="that of the model")
    ] = None,
    device: Device = DeviceName.auto,
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict properties of conformers with a fine-tuned model: values with units, uncertainties, in_domain flags.

    The uncertainty (_std) is the half-width of an interval that holds the value in about 68 % of cases; where
    in_domain is 0 it means nothing. SDF and XYZ keep their records, and get molgiae_H, molgiae_H_std ... as further
    properties.

    \b
    molgiae predict enthalpy conformers.sdf
    molgiae predict enthalpy conformers.sdf -o predicted.sdf --unit kcal/mol
    molgiae predict gap ensembles.sdf -o gaps.csv --average boltzmann --energy energy_kcal_per_mol
    """
    from molgiae.commands.predict import predict as run
    from molgiae.commands.run import Options

    options = Options(
        output=output,
        device=device.value,
        format=None if format is None else format.value,
        on_error=on_error.value,
        overwrite=overwrite,
        progress=not quiet,
        command=shlex.join(["molgiae", *sys.argv[1:]]),
    )
    summary = run(
        model,
        inputs,
        options,
        average=average.value,
        temperature=temperature,
        energy=energy,
        energy_unit=energy_unit,
        unit=unit,
    )
    finish(summary, "predicted", quiet, as_json)


COMMANDS = (predict,)
