"""molgiae select: a diverse subset of conformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Context, Option

from molgiae.config import AUTO_MODEL, BATCH_SIZE

from .options import (
    AllowRejected,
    BatchSize,
    Device,
    Format,
    Inputs,
    Json,
    Model,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.select import Selection


def select(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    number: int = Option(100, "-k", "--number", min=1, help="Conformers to pick."),
    by: Literal["features", "shape", "overlay", "all"] = Option(
        "features", help="Part of the embedding that is compared; all: every part but detail."
    ),
    seed_with: list[str] | None = Option(
        None, help="File of conformers chosen already, from which new ones are far, too; may be repeated."
    ),
    per_molecule: bool = Option(False, "--per-molecule", help="Pick at most one conformer of each title."),
    seed: int | None = Option(
        None, min=0, help="Draw the first pick at random.", show_default="the one nearest to the mean"
    ),
    model: Model = AUTO_MODEL,
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pick a diverse subset of conformers: by MaxMin, each the farthest from its nearest among those picked before.

    Learn properties from features; compare any two molecules by overlay and color; compare conformers of one molecule
    by shape, whose distances are RMSDs. Between different formulas distances of shape are no RMSDs, and distances of
    detail, and so of whole embeddings, mean nothing anywhere.

    Distances are those of one of these parts, of overlay 1 - Tanimoto, or of all but detail. HDF5 files of molgiae
    embed are taken as they are; they have to be of one model. Records are written as they were read, in the order of
    picking, to SDF, XYZ, CSV or HDF5, with the distance at which each was picked.

    \b
    molgiae select library.sdf -k 100 -o picked.sdf
    molgiae select conformers.h5 -k 50 --by overlay --per-molecule -o picked.csv
    molgiae select pool.sdf -k 20 --seed-with labelled.sdf -o next.sdf
    """
    from molgiae.commands.select import select as run

    options = run_options(context)
    result = run(
        inputs, options, k=number, by=by, seed_with=seed_with or None, per_molecule=per_molecule, seed=seed
    )
    finish(context, result.to_dict(), _described(result), result.rejected)


def _described(result: Selection) -> list[str]:
    beside = f", beside {result.chosen_before} chosen before" if result.chosen_before else ""
    apart = [pick.distance for pick in result.picks if pick.distance is not None]
    lines = [
        f"picked {result.written} of {result.conformers} conformers{beside}, in {result.seconds:.1f} s "
        f"-> {result.output}"
    ]
    if apart:
        lines.append(f"distances by {result.by}: {apart[0]:.4g} at first, {apart[-1]:.4g} at last")
    if result.out_of_domain:
        lines.append(
            f"{result.out_of_domain} of those picked are outside of what model {result.model} was trained on"
        )
    return [*lines, *result.notes, *rejected_lines(result.reasons, result.rejected_in)]
