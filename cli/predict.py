"""molgiae predict: learned properties of conformers."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Context, Option

from molgiae.config import TEMPERATURE

from .options import (
    AllowRejected,
    Device,
    EnergyUnit,
    Format,
    Inputs,
    Json,
    OnError,
    Overwrite,
    Quiet,
    Temperature,
    Threads,
    run_options,
)
from .printing import finish_run
from .shards import Scheduler, Shard, Shards, ShardSize, finish_shards, wants_parts

FineTuned = Annotated[
    str, Argument(help="Directory or file that molgiae finetune wrote.", show_default=False)
]


SHARED = ("model", "device", "format", "unit", "average", "on_error")
"""Options that hold for parts, too."""


def predict(
    context: Context,
    model: FineTuned,
    inputs: Inputs,
    output: str | None = Option(
        None,
        "--output",
        "-o",
        help="File to write: .csv, .tsv, .h5, .sdf or .xyz; of averages .csv, .tsv, .json or .h5.",
        show_default="INPUT_predicted.csv",
    ),
    average: Literal["auto", "none", "mean", "attention", "boltzmann"] = Option(
        "auto",
        help="Each conformer by itself, or the mean or weighted average over those of one title.",
        show_default="as the model was trained",
    ),
    temperature: Temperature = TEMPERATURE,
    energy: str | None = Option(
        None,
        help="Property of the records that holds the energies for Boltzmann weights. energy also finds what CREST, "
        "GOAT, xtb and ORCA write into XYZ comments; frames with such a comment and no title are of the molecule that "
        "their file is named after.",
        show_default="the energy that the model predicts",
    ),
    energy_unit: EnergyUnit = None,
    unit: str | None = Option(None, help="Unit of the results.", show_default="that of the model"),
    device: Device = "auto",
    format: Format = None,
    shards: Shards = None,
    shard: Shard = None,
    shard_size: ShardSize = None,
    scheduler: Scheduler = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict properties of conformers with a fine-tuned model: values with units, uncertainties, in_domain flags.

    The uncertainties (_std, _95) are half-widths of intervals that hold the value in about 68 and 95 % of cases; where
    in_domain is 0 they mean nothing. They are the model's own measure: a network of properties has no decoder that
    could say what it knows. Where the input is a file of embeddings that were checked, its decoded_rmsd and
    decoded_formula stand beside the predictions. SDF and XYZ keep their records, and get molgiae_H, molgiae_H_std ...
    as further properties.

    \b
    molgiae predict enthalpy conformers.sdf
    molgiae predict enthalpy conformers.sdf -o predicted.sdf --unit kcal/mol
    molgiae predict gap ensembles.sdf -o gaps.csv --average boltzmann --energy energy_kcal_per_mol
    """
    if wants_parts(context.params):
        finish_shards(context, "predict", inputs, "predicted", SHARED)
        return
    from molgiae.commands.predict import predict as run

    summary = run(
        model,
        inputs,
        run_options(context),
        average=average,
        temperature=temperature,
        energy=energy,
        energy_unit=energy_unit,
        unit=unit,
    )
    finish_run(context, summary, "predicted")
