"""The command that learns properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molgiae.config import AUTO_MODEL, MODES, FinetuneConfig
from molgiae.errors import ConfigError

from .boundary import REJECTED
from .options import Device, DeviceName, Format, Json, Model, Quiet

if TYPE_CHECKING:
    from molgiae.commands.finetune import Outcome

RECIPE = FinetuneConfig()
UNFINISHED = "ended by its time limit; continue with --resume"


def finetune(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="SDF or XYZ files with the values in SD data or comment lines, HDF5 of molgiae, or the QM9 npz file.",
            show_default=False,
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            help="Known property, by name or symbol: enthalpy, gap, mu ...; several times for several.",
            show_default=False,
        ),
    ] = None,
    target_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Any other property, by its column; NAME=COLUMN if the two differ.", show_default=False
        ),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(
            help="Unit of the values; TARGET=UNIT for one of several.",
            show_default="that of the column or QM9",
        ),
    ] = None,
    result_unit: Annotated[
        list[str] | None,
        typer.Option(
            help="Unit of the predictions.", show_default="that of the values; eV for known energies"
        ),
    ] = None,
    extensive: Annotated[
        bool, typer.Option("--extensive", help="Properties by column grow with the molecule, as energies do.")
    ] = False,
    table: Annotated[
        str | None,
        typer.Option(help="CSV file with the values, a row for each title.", show_default="none"),
    ] = None,
    title_column: Annotated[
        str | None, typer.Option(help="Column of titles in the table.", show_default="by name")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Directory of the run.")] = "finetuned",
    model: Model = AUTO_MODEL,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Hold the pretrained weights, train the head alone.")
    ] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Start from random weights, for comparison.")
    ] = False,
    split: Annotated[
        str | None,
        typer.Option(
            help="molecule (its conformers stay together), scaffold, random, or column.",
            show_default="that of the data, else molecule",
        ),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column that says train, validation or test.", show_default="none")
    ] = None,
    shares: Annotated[
        tuple[float, float, float], typer.Option(help="Parts for training, validation and test.")
    ] = (0.8, 0.1, 0.1),
    references: Annotated[
        str,
        typer.Option(
            help="What is taken off before learning: atoms (energies of free atoms), composition, mean, none, auto."
        ),
    ] = "auto",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Times every conformer is seen.", show_default="3000 / sqrt(conformers)"),
    ] = RECIPE.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Conformers in a step.")] = RECIPE.batch_size,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = RECIPE.learning_rate,
    patience: Annotated[
        int, typer.Option(min=1, help="Of 25 validations, how many without progress end the run.")
    ] = RECIPE.patience,
    seed: Annotated[int, typer.Option(min=0, help="Of split and training.")] = RECIPE.seed,
    minutes: Annotated[
        float | None,
        typer.Option(help="Save and end after this time, to be resumed.", show_default="no limit"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the directory.")] = False,
    format: Format = None,
    device: Device = DeviceName.auto,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn properties of conformers, and say whether that was worth it.

    Starts from pretrained weights. Writes model.safetensors (for molgiae predict), report.json, test.csv and
    parity.png, and prints what the mean, composition and kernel ridge regression on the embedding reach on the same
    test set.

    \b
    molgiae finetune qm9.npz --target enthalpy -o enthalpy
    molgiae finetune library.sdf --target-column pIC50 --split scaffold -o activity
    molgiae finetune conformers.xyz --table dft.csv -t gap -t mu --unit gap=eV
    """
    if frozen and from_scratch:
        raise ConfigError(
            "--frozen and --from-scratch exclude each other: random weights are worth no holding"
        )
    from molgiae.commands.finetune import finetune as run

    full, held, scratch = MODES
    config = FinetuneConfig(
        mode=held if frozen else scratch if from_scratch else full,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        patience=patience,
        seed=seed,
    )
    outcome = run(
        inputs,
        output,
        target or (),
        config=config,
        model=model,
        by=split,  # type: ignore[arg-type]
        shares=shares,
        references=references,  # type: ignore[arg-type]
        device=device.value,
        stop_after=None if minutes is None else 60 * minutes,
        resume=resume,
        progress=not quiet,
        table=table,
        title_column=title_column,
        target_columns=target_column,
        unit=unit,
        result_unit=result_unit,
        extensive=extensive,
        split_column=split_column,
        format=None if format is None else format.value,
    )
    if as_json:
        typer.echo(json.dumps(outcome.to_dict()))
    if not quiet:
        typer.echo("\n".join(_said(outcome)), err=True)
    if outcome.labelled.missing or outcome.labelled.block.rejected:
        raise typer.Exit(REJECTED)


def _said(outcome: Outcome) -> list[str]:
    lines = list(outcome.notes)
    left = len(outcome.labelled.missing), len(outcome.labelled.block.rejected)
    if any(left):
        where = Path(outcome.directory) / "missing.csv"
        lines.append(f"{left[0]} records without a value and {left[1]} illegible ones are listed in {where}")
    if outcome.table is None:
        return [*lines, f"{outcome.directory}: {UNFINISHED}"]
    lines += [outcome.table.text(), ""]
    lines += [
        f"{name}: {one:.1%} of the test values are within the uncertainty given, {two:.1%} within twice that "
        "(68 and 95 % are meant)"
        for name, (one, two) in outcome.coverage.items()
    ]
    return [*lines, f"-> {Path(outcome.directory) / 'model.safetensors'}"]


COMMANDS = (finetune,)
