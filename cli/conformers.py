"""Commands that read conformers and write a file."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from molgiae.config import AUTO_MODEL, BATCH_SIZE, parse_ignored

from .boundary import REJECTED
from .options import (
    BatchSize,
    Device,
    DeviceName,
    Format,
    Ignore,
    Inputs,
    Json,
    Model,
    OnError,
    OnErrorName,
    Output,
    Overwrite,
    Quiet,
)

if TYPE_CHECKING:
    from molgiae.commands.run import Options, Summary

SHOWN_REASONS = 3


class To(StrEnum):
    """Which reference a conformer is brought onto."""

    first = "first"
    title = "title"


class Match(StrEnum):
    """Which matchings of atoms are allowed."""

    bonds = "bonds"
    atoms = "atoms"


class EmbedFormatName(StrEnum):
    """Format of the input, or npz for the output."""

    sdf = "sdf"
    xyz = "xyz"
    npz = "npz"


class ProjectionName(StrEnum):
    """Invariant projections of vectors in space."""

    norms = "norms"
    angles = "angles"
    norms_angles = "norms-angles"
    gram = "gram"
    max_filter = "max-filter"
    voronoi = "voronoi"


EmbedFormat = Annotated[
    EmbedFormatName | None,
    typer.Option(
        "--format",
        help="sdf or xyz: of the input; npz: of the output, as with -o NAME.npz.",
        show_default="by name and content",
    ),
]


def embed(
    inputs: Inputs,
    output: Output = None,
    model: Model = AUTO_MODEL,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    format: EmbedFormat = None,
    drop_rejected: Annotated[
        bool, typer.Option("--drop-rejected", help="npz: leave refused records out of it, and list them.")
    ] = False,
    projection: Annotated[
        ProjectionName | None,
        typer.Option(
            help="Add this invariant projection of the model's equivariant latent, as dataset projection.",
            show_default="none",
        ),
    ] = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the invariant embedding, group action and canonical form of every conformer to HDF5.

    As npz the embeddings alone, a row for each record of the input, which chemprop --descriptors-path reads; the
    table beside it, NAME.npz.rows.csv, says what the rows are. A refused record would shift the rows: it is an
    error, or with --drop-rejected left out of both.

    \b
    molgiae embed conformers.sdf
    molgiae embed run1/ run2.xyz.gz -o all.h5
    zcat big.sdf.gz | molgiae embed - -o big.h5 --json
    molgiae embed conformers.sdf --format npz
    molgiae embed conformers.sdf --projection gram
    """
    from molgiae.commands.embed import embed as run

    npz = format is EmbedFormatName.npz
    read_as = None if npz else format
    options = _options(output, model, device, batch_size, read_as, on_error, overwrite, quiet)
    name = None if projection is None else projection.value
    summary = run(inputs, options, npz=npz, drop_rejected=drop_rejected, projection=name)
    finish(summary, "embedded", quiet, as_json)


def canonicalize(
    inputs: Inputs,
    output: Output = None,
    model: Model = AUTO_MODEL,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write every conformer in its canonical pose and atom order, to HDF5, SDF or XYZ.

    Works for every element and size: equal conformers get equal coordinates whatever pose and order they had.

    Copies of an SDF record become one text, whatever the order and direction of their bond lines. Kekulé forms and the
    places of charges are not rewritten; titles and properties are copied.

    \b
    molgiae canonicalize conformers.sdf -o canonical.sdf
    molgiae canonicalize trajectory.xyz -o canonical.h5
    """
    from molgiae.commands.canonicalize import canonicalize as run

    options = _options(output, model, device, batch_size, format, on_error, overwrite, quiet)
    finish(run(inputs, options), "canonicalized", quiet, as_json)


def reconstruct(
    inputs: Inputs,
    output: Output = None,
    model: Model = AUTO_MODEL,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write what the embedding remembers of every conformer, in the pose and order of the input.

    \b
    molgiae reconstruct conformers.sdf -o reconstructed.sdf
    molgiae reconstruct conformers.sdf -o reconstructed.h5
    """
    from molgiae.commands.reconstruct import reconstruct as run

    options = _options(output, model, device, batch_size, format, on_error, overwrite, quiet)
    finish(run(inputs, options), "reconstructed", quiet, as_json)


def align(
    inputs: Inputs,
    output: Output = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            "-r",
            help="File to take the reference from, or with --to title the references.",
            show_default="the input",
        ),
    ] = None,
    to: Annotated[
        To, typer.Option(help="All onto the first conformer, or each onto the first of its title.")
    ] = To.first,
    match: Annotated[
        Match | None,
        typer.Option(
            help="Which atoms may be matched: those that put bonds on bonds, or all of one element.",
            show_default="bonds where the records have them, else atoms",
        ),
    ] = None,
    allow_reflection: Annotated[
        bool, typer.Option("--allow-reflection", help="Mirror a conformer where that lowers the RMSD.")
    ] = False,
    ignore: Ignore = "",
    model: Model = AUTO_MODEL,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Superpose conformers on a reference of the same molecule, whatever their atom order.

    The result is the least RMSD over all rotations and all matchings of equivalent atoms, and says for each
    conformer whether this is proven. Written as SDF, XYZ, HDF5 or CSV, by the name of the output. A conformer
    with other isotopes, charge or multiplicity than the reference is refused, unless --ignore names the difference.

    \b
    molgiae align ensemble.sdf -o aligned.sdf
    molgiae align poses.xyz --reference crystal.sdf -o aligned.xyz
    molgiae align run2.sdf --reference run1.sdf --to title -o rmsd.csv
    """
    from molgiae.commands.align import align as run

    options = _options(output, model, device, batch_size, format, on_error, overwrite, quiet)
    summary = run(
        inputs,
        options,
        reference=reference,
        to=to.value,
        match=None if match is None else match.value,
        allow_reflection=allow_reflection,
        ignore=parse_ignored(ignore),
    )
    finish(summary, "aligned", quiet, as_json)


COMMANDS = (embed, canonicalize, reconstruct, align)


def finish(summary: Summary, done: str, quiet: bool, as_json: bool) -> None:
    """Report on stderr, and on stdout if JSON was asked for; leave with status 3 if records were rejected."""
    if as_json:
        typer.echo(json.dumps(summary.to_dict()))
    if not quiet:
        typer.echo("\n".join(describe(summary, done)), err=True)
    if summary.rejected:
        raise typer.Exit(REJECTED)


def describe(summary: Summary, done: str) -> list[str]:
    """The summary in words, a line each."""
    rate = summary.read / max(summary.seconds, 1e-9)
    lines = [
        f"{done} {summary.written} of {summary.read} conformers in {summary.seconds:.1f} s ({rate:.0f}/s) "
        f"-> {summary.output}"
    ]
    if summary.metrics:
        lines.append(", ".join(f"{name} {value:.4f} A" for name, value in summary.metrics.items()))
    lines += summary.notes
    if summary.out_of_domain:
        lines.append(
            f"{summary.out_of_domain} are outside of what model {summary.model} was trained on (in_domain is 0):"
        )
        lines += _counted(summary.domain_reasons)
    if summary.rejected:
        lines.append(f"{summary.rejected} rejected, listed in {summary.rejected_in}:")
        lines += _counted(summary.reasons)
    return lines


def _counted(reasons: dict[str, int]) -> list[str]:
    """The most frequent reasons, a line each."""
    shown = list(reasons.items())[:SHOWN_REASONS]
    lines = [f"  {count} x {'such as: ' if count > 1 else ''}{reason}" for reason, count in shown]
    if len(reasons) > len(shown):
        lines.append(f"  and {len(reasons) - len(shown)} other reasons")
    return lines


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _options(
    output: str | None,
    model: str,
    device: DeviceName,
    batch_size: int,
    format: str | None,
    on_error: OnErrorName,
    overwrite: bool,
    quiet: bool,
) -> Options:
    from molgiae.commands.run import Options

    return Options(
        output=output,
        model=model,
        device=device.value,
        batch_size=batch_size,
        format=format,
        on_error=on_error.value,
        overwrite=overwrite,
        progress=not quiet,
        tell=None if quiet else _tell,
        command=shlex.join(["molgiae", *sys.argv[1:]]),
    )
