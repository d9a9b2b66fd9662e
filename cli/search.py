"""molgiae search: the nearest conformers in a file of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Argument, Context, Option, echo

from molgiae.config import BATCH_SIZE, parse_ignored

from .options import BatchSize, Device, Format, Ignore, Json, OnError, Overwrite, Quiet, run_options
from .printing import columns, finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.search import Hit, Search

SHOWN_TITLE = 40
"""Characters of a title that are shown."""


def search(
    context: Context,
    query: str = Argument(
        help="SDF, XYZ or HDF5 file whose conformers are searched for; - for standard input.",
        show_default=False,
    ),
    file: str = Argument(help="HDF5 file written by molgiae embed.", show_default=False),
    output: str | None = Option(
        None, "--output", "-o", help="CSV, JSON or HDF5 table.", show_default="text on stdout"
    ),
    hits: int = Option(10, "-k", "--hits", min=1, help="Hits for each query."),
    match: Literal["bonds", "atoms"] = Option("bonds", help="Match atoms by bonds, or any of one element."),
    ignore: Ignore = "",
    model: str | None = Option(
        None, "--model", "-m", help="Model of the file, if that has moved.", show_default="as it says"
    ),
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
        echo(_table(result.hits))
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
