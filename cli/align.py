"""molgiae align: conformers superposed on a reference."""

from __future__ import annotations

from typing import Literal

from typer import Context, Option

from molgiae.config import parse_ignored

from .options import (
    AllowReflection,
    AllowRejected,
    Format,
    Ignore,
    Inputs,
    Json,
    MatchKnown,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import finish_run


def align(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    reference: str | None = Option(
        None,
        "--reference",
        "-r",
        help="File to take the reference from, or with --to title the references.",
        show_default="the input",
    ),
    to: Literal["first", "title"] = Option(
        "first", help="Align all onto the first conformer, or each onto the first of its title."
    ),
    match: MatchKnown = None,
    allow_reflection: AllowReflection = False,
    ignore: Ignore = "",
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Superpose conformers on a reference of the same molecule, whatever their atom order.

    The result is the least RMSD over all rotations and all matchings of equivalent atoms, and says for each
    conformer whether this is proven. It is written as SDF, XYZ, HDF5 or CSV, by the name of the output. A conformer
    with other isotopes, charge or multiplicity than the reference is rejected, unless --ignore names the difference.

    \b
    molgiae align ensemble.sdf -o aligned.sdf
    molgiae align poses.xyz --reference crystal.sdf -o aligned.xyz
    molgiae align run2.sdf --reference run1.sdf --to title -o rmsd.csv
    """
    from molgiae.commands.align import align as run

    summary = run(
        inputs,
        run_options(context),
        reference=reference,
        to=to,
        match=match,
        allow_reflection=allow_reflection,
        ignore=parse_ignored(ignore),
    )
    finish_run(context, summary, "aligned")
