"""molgiae convert: conformers in another format."""

from __future__ import annotations

from typer import Context, Option

from .options import AllowRejected, Format, Inputs, Json, OnError, Overwrite, Quiet, Threads, run_options
from .printing import finish_run


def convert(
    context: Context,
    inputs: Inputs,
    output: str | None = Option(
        None,
        "--output",
        "-o",
        help="File to write: .sdf, .xyz, .extxyz (these also .gz), .h5, .npz, .db of ASE, or .parquet.",
        show_default="SDF named after the input",
    ),
    bonds: bool = Option(
        False,
        "--bonds",
        help="Perceive the bonds of records that have none from distances, in SDF with orders.",
    ),
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write conformers in another format, with their titles, charges and properties.

    Several files become one. Records that keep their format stand to the letter as they were read. SDF has four
    decimals, XYZ ten, all others what the computer has. Orders of bonds are kept from SDF to SDF alone; elsewhere RDKit
    finds them anew.

    \b
    molgiae convert ensemble.sdf -o ensemble.xyz
    molgiae convert crest_conformers.xyz -o crest.sdf --bonds
    molgiae convert run1/ run2.sdf.gz -o all.parquet
    molgiae convert dataset.db -o dataset.h5
    """
    from molgiae.commands.convert import convert as run

    finish_run(context, run(inputs, output, run_options(context), bonds=bonds), "converted")
