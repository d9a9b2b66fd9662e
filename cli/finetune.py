"""molgiae finetune: properties learned from labelled conformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Argument, Context, Option, echo

from molgiae.config import AUTO_MODEL, FinetuneConfig, Pooling
from molgiae.errors import ConfigError

from .options import AllowRejected, Device, Format, Json, Minutes, Model, Quiet, Resume, Threads, given
from .printing import finish

if TYPE_CHECKING:
    from molgiae.commands.finetune import Outcome

RECIPE = FinetuneConfig()

READING = (
    "table", "title_column", "unit", "result_unit", "extensive", "odd", "classify", "split_column", "format",
)  # fmt: skip
"""Options of the same name in `molgiae.properties.labels.read_labelled`."""


def finetune(
    context: Context,
    inputs: list[str] = Argument(
        help="SDF or XYZ files with the values in SD data or comment lines, HDF5 of molgiae, or the QM9 npz file.",
        show_default=False,
    ),
    target: list[str] | None = Option(
        None,
        "--target",
        "-t",
        help="Known property, by name or symbol: enthalpy, gap, mu ...; several times for several.",
        show_default=False,
    ),
    target_column: list[str] | None = Option(
        None, help="Any other property, by its column; NAME=COLUMN if the two differ.", show_default=False
    ),
    unit: list[str] | None = Option(
        None,
        help="Unit of the values; TARGET=UNIT for one of several.",
        show_default="as in the column or QM9",
    ),
    result_unit: list[str] | None = Option(
        None, help="Unit of the predictions.", show_default="that of the values; eV for known energies"
    ),
    extensive: bool = Option(
        False, "--extensive", help="Properties by column grow with the molecule, as energies do."
    ),
    odd: bool = Option(
        False, "--odd", help="Properties by column change their sign in the mirror, as optical rotation does."
    ),
    classify: bool | None = Option(
        None,
        "--classify/--no-classify",
        help="Learn the probability of properties by column that are 0 or 1.",
        show_default="where all values are",
    ),
    table: str | None = Option(None, help="CSV file of values, a row for each title."),
    title_column: str | None = Option(None, help="Column of titles in the table.", show_default="by name"),
    output: str = Option("finetuned", "--output", "-o", help="Directory of the run."),
    model: Model = AUTO_MODEL,
    frozen: bool = Option(False, "--frozen", help="Hold the pretrained weights, train the head alone."),
    from_scratch: bool = Option(False, "--from-scratch", help="Start from random weights, for comparison."),
    split: Literal["molecule", "scaffold", "random", "column"] | None = Option(
        None,
        help="How to split; by molecule the conformers of one stay together.",
        show_default="that of the data, else molecule",
    ),
    split_column: str | None = Option(None, help="Column that says train, validation or test."),
    shares: tuple[float, float, float] = Option(
        (0.8, 0.1, 0.1), help="Shares of training, validation and test."
    ),
    references: Literal["auto", "atoms", "composition", "mean", "none"] = Option(
        "auto", help="What is subtracted before learning; atoms: the energies of free atoms."
    ),
    baseline: Literal["composition", "gfn2", "gfn1", "mmff94s"] = Option(
        "composition",
        help="Cheap method of which the difference is learned; it is computed where records do not hold it.",
    ),
    ensemble: int = Option(RECIPE.ensemble, min=1, help="Networks whose mean is taken."),
    pooling: Pooling = Option(
        RECIPE.pooling,
        help="How conformers of a molecule share one value: each has it, or their mean, with equal, learned or "
        "Boltzmann weights.",
    ),
    energy: str | None = Option(None, help="Property of the records that holds energies for these weights."),
    energy_unit: str | None = Option(
        None, help="Unit of that property: eV, Ha, kJ/mol ...", show_default="by its name or values"
    ),
    kernel: bool = Option(
        RECIPE.kernel,
        "--kernel/--no-kernel",
        help="Of up to 2 000 conformers, take the mean with kernel ridge regression on what the pretrained network "
        "reads, by a share chosen on validation.",
    ),
    epochs: int | None = Option(
        RECIPE.epochs,
        min=1,
        help="Times every conformer is seen.",
        show_default="40, more of fewer than 1 000",
    ),
    batch_size: int = Option(RECIPE.batch_size, min=1, help="Conformers in a step."),
    learning_rate: float = Option(RECIPE.learning_rate, "--lr", help="Peak learning rate."),
    patience: int = Option(
        RECIPE.patience, min=1, help="Validations without progress, of 25, that end the run."
    ),
    seed: int = Option(RECIPE.seed, min=0, help="Seed of the split and of training."),
    minutes: Minutes = None,
    resume: Resume = False,
    format: Format = None,
    device: Device = "auto",
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Learn properties of conformers, and say whether that was worth it.

    Starts from pretrained weights. Writes model.safetensors (for molgiae predict), report.json, test.csv and
    parity.png (classes.png of classes), and prints what the mean, composition and kernel ridge regression on the
    embedding reach on the same test set.

    \b
    molgiae finetune qm9.npz --target enthalpy -o enthalpy
    molgiae finetune library.sdf --target-column pIC50 --split scaffold -o activity
    molgiae finetune conformers.xyz --table dft.csv -t gap -t mu --unit gap=eV
    molgiae finetune qm9.npz -t enthalpy --baseline gfn2 --ensemble 3 -o delta
    molgiae finetune ensembles.sdf --table measured.csv --target-column logS --pooling attention -o logS
    """
    if frozen and from_scratch:
        raise ConfigError(
            "--frozen and --from-scratch exclude each other: random weights are worth no holding"
        )
    from molgiae.commands.finetune import finetune as run

    mode = "frozen" if frozen else "scratch" if from_scratch else "full"
    outcome = run(
        inputs,
        output,
        target or (),
        config=given(FinetuneConfig, context, mode=mode),
        model=model,
        by=split,
        shares=shares,
        references=references,
        baseline=baseline,
        energy=energy,
        energy_unit=energy_unit,
        device=device,
        stop_after=None if minutes is None else 60 * minutes,
        resume=resume,
        progress=not quiet,
        target_columns=target_column,
        **{name: context.params[name] for name in READING},
    )
    unused = len(outcome.labelled.missing) + len(outcome.labelled.block.rejected)
    if outcome.table is not None and not (as_json or quiet):
        echo(outcome.table.text())
    finish(context, outcome.to_dict(), _described(outcome), unused)


def _described(outcome: Outcome) -> list[str]:
    lines = list(outcome.notes)
    missing, rejected = len(outcome.labelled.missing), len(outcome.labelled.block.rejected)
    if missing or rejected:
        where = outcome.directory / "missing.csv"
        lines.append(f"{missing} records without a value and {rejected} illegible ones are listed in {where}")
    if outcome.table is None:
        return [*lines, f"{outcome.directory}: ended by its time limit; continue with --resume"]
    lines += [
        f"{name}: {one:.1%} of the test values are within the uncertainty given, {two:.1%} within the wider one "
        "(68 and 95 % are meant)"
        for name, (one, two) in outcome.coverage.items()
    ]
    return [*lines, f"-> {outcome.directory / 'model.safetensors'}"]
