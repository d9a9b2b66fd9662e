"""molgiae search: the nearest conformers in a file of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from molgiae.config import BATCH_SIZE, parse_ignored

from .options import BatchSize, Device, Format, Ignore, Json, OnError, Overwrite, Quiet, run_options
from .printing import columns, finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.search import Hit, Search

SHOWN_TITLE = 40
"""Characters of a title that are shown."""


def search(
    context: typer.Context,
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
        Literal["bonds", "atoms"],
        typer.Option(help="RMSD with atoms matched by bonds, or any of one element."),
    ] = "bonds",
    ignore: Ignore = "",
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The model of the file, if it has moved.", show_default="as it says"
        ),
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the conformers of an embedding file that are nearest to each query, and their symmetry-corrected RMSD.

    Every embedding is compared, by Euclidean distance. The RMSD of hits of the same molecule is calculated from the
    stored coordinates.

    \b
    molgiae search query.sdf conformers.h5
    molgiae search query.xyz conformers.h5 -k 50 -o hits.csv
    """
    from molgiae.commands.search import search as run

    options = run_options(context)
    result = run(query, file, options, k=hits, model=model, match=match, ignore=parse_ignored(ignore))
    if output is None and not as_json:
        typer.echo(_table(result.hits))
    finish(context, result.to_dict(), _described(result), result.rejected)


def _table(hits: list[Hit]) -> str:
    rows = [("query", "rank", "row", "record", "title", "distance", "relation", "rmsd")]
    for hit in hits:
        unsure = "" if hit.proven is None or hit.proven else " or less"
        rmsd = "" if hit.rmsd is None else f"{hit.rmsd:.4f}{unsure}"
        query = f"{hit.query_record} {hit.query_title[:SHOWN_TITLE]}".strip()
        place = (str(hit.rank), str(hit.row), str(hit.record), hit.title[:SHOWN_TITLE])
        rows.append((query, *place, f"{hit.distance:.4f}", hit.relation, rmsd))
    return columns(rows)


def _described(result: Search) -> list[str]:
    where = f" -> {result.output}" if result.output else ""
    return [
        f"searched {result.conformers} conformers for {result.queries} of {result.read} queries "
        f"in {result.seconds:.1f} s{where}",
        *result.notes,
        *rejected_lines(result.reasons, ""),
    ]
