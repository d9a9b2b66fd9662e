"""Commands that compare the conformers of a file with each other or with those of another."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from molgiae.config import BATCH_SIZE, parse_ignored

from .boundary import REJECTED
from .options import (
    BatchSize,
    Device,
    DeviceName,
    Format,
    Ignore,
    Inputs,
    Json,
    OnError,
    OnErrorName,
    Output,
    Overwrite,
    Quiet,
)

if TYPE_CHECKING:
    from molgiae.commands.dedup import Deduplication
    from molgiae.commands.search import Hit, Search

SHOWN_REASONS, SHOWN_TITLE = 3, 40


class MirrorName(StrEnum):
    """What mirror images are to each other."""

    distinct = "distinct"
    same = "same"


class KeepName(StrEnum):
    """Which of several copies is kept."""

    first = "first"
    lowest = "lowest"


class MatchName(StrEnum):
    """Which atoms may be matched."""

    bonds = "bonds"
    atoms = "atoms"


def dedup(
    inputs: Inputs,
    output: Output = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table", help="CSV with a row for every record.", show_default="OUTPUT_duplicates.csv"
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", "-t", min=0, help="Largest RMSD of copies, all atoms, angstrom.")
    ] = 0.125,
    mirror: Annotated[MirrorName, typer.Option(help="Mirror images are distinct or copies.")] = (
        MirrorName.distinct
    ),
    match: Annotated[
        MatchName | None,
        typer.Option(
            help="Match atoms by bonds, or any of one element.", show_default="bonds where they are known"
        ),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option(
            "--energy",
            help="Property that holds the energy: SD data, extended XYZ, or energy=... in any XYZ comment. energy also "
            "finds what CREST, GOAT, xtb and ORCA write there (hartree), 'comment line' a number alone.",
            show_default="none",
        ),
    ] = None,
    energy_window: Annotated[
        float | None,
        typer.Option(help="Copies differ by at most this, in the unit of the property.", show_default="any"),
    ] = None,
    keep: Annotated[
        KeepName | None,
        typer.Option(
            help="Of copies, the first or the lowest in energy.", show_default="lowest with --energy"
        ),
    ] = None,
    ignore: Ignore = "",
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Keep one of all copies of every conformer: many molecules in one pass, in any pose and atom order.

    Each conformer, in the order of the input or by energy, is kept unless its symmetric RMSD to one that is
    kept is within the threshold. No copy can be missed by the search; the table says of every record what
    became of it, and whether the RMSD is proven. Conformers that differ in isotopes, charge or multiplicity are
    no copies, unless --ignore names the difference.

    \b
    molgiae dedup ensemble.sdf -o unique.sdf
    molgiae dedup run1/ run2.xyz.gz -o unique.xyz --threshold 0.3 --mirror same
    molgiae dedup crest.sdf -o unique.sdf --energy energy --energy-window 0.1
    """
    from molgiae.commands.dedup import deduplicate
    from molgiae.commands.run import Options

    result = deduplicate(
        inputs,
        Options(
            output=output,
            format=format,
            on_error=on_error.value,
            overwrite=overwrite,
            progress=not quiet,
            command=shlex.join(["molgiae", *sys.argv[1:]]),
        ),
        threshold=threshold,
        mirror=mirror.value,
        match=match.value if match else None,
        energy=energy,
        energy_window=energy_window,
        keep=keep.value if keep else None,
        ignore=parse_ignored(ignore),
        table=table,
    )
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    if not quiet:
        typer.echo("\n".join(describe_deduplication(result)), err=True)
    if result.rejected:
        raise typer.Exit(REJECTED)


def describe_deduplication(result: Deduplication) -> list[str]:
    """The result in words, a line each."""
    rate = result.read / max(result.seconds, 1e-9)
    lines = [
        f"kept {result.kept} of {result.read} conformers, {result.merged} merged, {result.rejected} rejected, "
        f"in {result.seconds:.1f} s ({rate:.0f}/s) -> {result.output}, {result.table}"
    ]
    if result.unproven:
        lines.append(f"{result.unproven} kept ones are not proven to be no copies (proven is 0 in the table)")
    return lines + result.notes + describe_rejected(result.reasons)


def search(
    query: Annotated[
        str,
        typer.Argument(
            help="SDF, XYZ or HDF5 file whose conformers are searched for; - for standard input.",
            show_default=False,
        ),
    ],
    file: Annotated[str, typer.Argument(help="HDF5 file written by molgiae embed.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="CSV, JSON or HDF5 table.", show_default="text on standard output"
        ),
    ] = None,
    hits: Annotated[int, typer.Option("-k", "--hits", min=1, help="Hits for each query.")] = 10,
    match: Annotated[
        MatchName, typer.Option(help="RMSD with atoms matched by bonds, or any of one element.")
    ] = MatchName.bonds,
    ignore: Ignore = "",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The model of the file, if it has moved.", show_default="as it says"
        ),
    ] = None,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = OnErrorName.skip,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the conformers of an embedding file that are nearest to each query, and their symmetric RMSD.

    Embeddings are compared by Euclidean distance, all of them; the RMSD of hits of the same molecule is
    calculated from the stored coordinates.

    \b
    molgiae search query.sdf conformers.h5
    molgiae search query.xyz conformers.h5 -k 50 -o hits.csv
    """
    from molgiae.commands.run import Options
    from molgiae.commands.search import search as run

    result = run(
        query,
        file,
        Options(
            output=output,
            device=device.value,
            batch_size=batch_size,
            format=format,
            on_error=on_error.value,
            overwrite=overwrite,
            progress=not quiet,
            command=shlex.join(["molgiae", *sys.argv[1:]]),
        ),
        k=hits,
        model=model,
        match=match.value,
        ignore=parse_ignored(ignore),
    )
    if as_json:
        typer.echo(json.dumps(result.to_dict()))
    elif output is None:
        typer.echo("\n".join(table_of_hits(result.hits)))
    if not quiet:
        typer.echo("\n".join(describe_search(result)), err=True)
    if result.rejected:
        raise typer.Exit(REJECTED)


def table_of_hits(hits: list[Hit]) -> list[str]:
    """The hits in columns, under a header."""
    rows = [("query", "rank", "row", "record", "title", "distance", "relation", "rmsd")]
    for hit in hits:
        unsure = "" if hit.proven is None or hit.proven else " or less"
        rmsd = "" if hit.rmsd is None else f"{hit.rmsd:.4f}{unsure}"
        query = f"{hit.query_record} {hit.query_title[:SHOWN_TITLE]}".strip()
        place = (str(hit.rank), str(hit.row), str(hit.record), hit.title[:SHOWN_TITLE])
        rows.append((query, *place, f"{hit.distance:.4f}", hit.relation, rmsd))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def describe_search(result: Search) -> list[str]:
    """The result in words, a line each."""
    where = f" -> {result.output}" if result.output else ""
    return [
        f"searched {result.conformers} conformers for {result.queries} of {result.read} queries "
        f"in {result.seconds:.1f} s{where}",
        *result.notes,
        *describe_rejected(result.reasons),
    ]


def describe_rejected(reasons: dict[str, int]) -> list[str]:
    """Why records were refused, a line each."""
    shown = list(reasons.items())[:SHOWN_REASONS]
    lines = [f"  {count} x rejected: {reason}" for reason, count in shown]
    return lines + ([f"  and {len(reasons) - len(shown)} other reasons"] if len(reasons) > len(shown) else [])


COMMANDS = (dedup, search)
