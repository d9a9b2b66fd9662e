"""molgiae finetune: properties learned from labelled conformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molgiae.config import AUTO_MODEL, FinetuneConfig
from molgiae.errors import ConfigError

from .options import Device, Format, Json, Minutes, Model, Quiet, Resume, given
from .printing import finish

if TYPE_CHECKING:
    from molgiae.commands.finetune import Outcome

RECIPE = FinetuneConfig()

Labelled = Annotated[
    list[str],
    typer.Argument(
        help="SDF or XYZ files with the values in SD data or comment lines, HDF5 of molgiae, or the QM9 npz file.",
        show_default=False,
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        help="Known property, by name or symbol: enthalpy, gap, mu ...; several times for several.",
        show_default=False,
    ),
]
TargetColumns = Annotated[
    list[str] | None,
    typer.Option(
        help="Any other property, by its column; NAME=COLUMN if the two differ.", show_default=False
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        help="Unit of the values; TARGET=UNIT for one of several.", show_default="that of the column or QM9"
    ),
]
ResultUnits = Annotated[
    list[str] | None,
    typer.Option(help="Unit of the predictions.", show_default="that of the values; eV for known energies"),
]
SplitBy = Annotated[
    Literal["molecule", "scaffold", "random", "column"] | None,
    typer.Option(
        help="How to split; by molecule the conformers of one stay together.",
        show_default="that of the data, else molecule",
    ),
]
References = Annotated[
    Literal["auto", "atoms", "composition", "mean", "none"],
    typer.Option(help="What is subtracted before learning; atoms: the energies of free atoms."),
]


def finetune(
    context: typer.Context,
    inputs: Labelled,
    target: Targets = None,
    target_column: TargetColumns = None,
    unit: Units = None,
    result_unit: ResultUnits = None,
    extensive: Annotated[
        bool, typer.Option("--extensive", help="Properties by column grow with the molecule, as energies do.")
    ] = False,
    table: Annotated[
        str | None, typer.Option(help="CSV file with the values, a row for each title.", show_default="none")
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
    split: SplitBy = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column that says train, validation or test.", show_default="none")
    ] = None,
    shares: Annotated[
        tuple[float, float, float], typer.Option(help="Parts for training, validation and test.")
    ] = (0.8, 0.1, 0.1),
    references: References = "auto",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Times every conformer is seen.", show_default="3000 / sqrt(conformers)"),
    ] = RECIPE.epochs,
    batch_size: Annotated[int, typer.Option(min=1, help="Conformers in a step.")] = RECIPE.batch_size,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = RECIPE.learning_rate,
    patience: Annotated[
        int, typer.Option(min=1, help="Validations without progress, of 25, that end the run.")
    ] = RECIPE.patience,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split and of training.")] = RECIPE.seed,
    minutes: Minutes = None,
    resume: Resume = False,
    format: Format = None,
    device: Device = "auto",
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

    outcome = run(
        inputs,
        output,
        target or (),
        config=given(
            FinetuneConfig, context, mode="frozen" if frozen else "scratch" if from_scratch else "full"
        ),
        model=model,
        by=split,
        shares=shares,
        references=references,
        device=device,
        stop_after=None if minutes is None else 60 * minutes,
        resume=resume,
        progress=not quiet,
        target_columns=target_column,
        **{name: context.params[name] for name in READING},
    )
    labelled = outcome.labelled
    finish(
        context, outcome.to_dict(), _described(outcome), len(labelled.missing) + len(labelled.block.rejected)
    )


READING = ("table", "title_column", "unit", "result_unit", "extensive", "split_column", "format")
"""Options of the same name in `molgiae.properties.labels.read_labelled`."""


def _described(outcome: Outcome) -> list[str]:
    lines = list(outcome.notes)
    missing, rejected = len(outcome.labelled.missing), len(outcome.labelled.block.rejected)
    if missing or rejected:
        where = outcome.directory / "missing.csv"
        lines.append(f"{missing} records without a value and {rejected} illegible ones are listed in {where}")
    if outcome.table is None:
        return [*lines, f"{outcome.directory}: ended by its time limit; continue with --resume"]
    lines += [outcome.table.text(), ""]
    lines += [
        f"{name}: {one:.1%} of the test values are within the uncertainty given, {two:.1%} within twice that "
        "(68 and 95 % are meant)"
        for name, (one, two) in outcome.coverage.items()
    ]
    return [*lines, f"-> {outcome.directory / 'model.safetensors'}"]
