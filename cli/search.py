"""molgiae search: the nearest conformers in a file of embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Argument, Context, Option, echo

from molgiae.config import BATCH_SIZE, parse_ignored

from .options import (
    AllowRejected,
    BatchSize,
    Device,
    Format,
    Ignore,
    Json,
    Match,
    OnError,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import columns, finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.search import Search

MEASURED = {"overlay": ("estimate", "combination", "shape_tanimoto", "color_tanimoto")}
HEADS = {"shape_tanimoto": "shape", "color_tanimoto": "color"}
"""Figures of a hit that are shown where others than its distance are, and their heads."""
SMALL = 0.01
"""Distances below which more than four decimals are shown."""
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
        None,
        "--output",
        "-o",
        help="CSV, JSON or HDF5 table; SDF or XYZ of the hits, - for SDF to standard output.",
        show_default="text on stdout",
    ),
    hits: int = Option(10, "-k", "--hits", min=1, help="Hits for each query."),
    by: Literal["shape", "overlay", "features", "all"] | None = Option(
        None,
        help="Part of the embedding that is compared; all: every part but detail.",
        show_default="shape, if the model has it, else the whole embedding",
    ),
    per_molecule: bool = Option(
        False, "--per-molecule", help="The best hit of each molecule alone, of each title of the file."
    ),
    poses: str | None = Option(
        None, help="SDF or XYZ of each query and its hits, superposed on it.", show_default=False
    ),
    match: Match = "bonds",
    ignore: Ignore = "",
    model: str | None = Option(
        None, "--model", "-m", help="Model of the file, if that has moved.", show_default="as it says"
    ),
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
    """Find the conformers of an embedding file that are nearest to each query.

    Learn properties from features; compare any two molecules by overlay and color; compare conformers of one molecule
    by shape, whose distances are RMSDs. Between different formulas distances of shape are no RMSDs, and distances of
    detail, and so of whole embeddings, mean nothing anywhere.

    Tables of hits say in_domain, decoded_rmsd and decoded_formula as the file does; the text says in_domain where it
    is 0 for some.

    Every embedding is compared, by one of these parts or by all but detail. By shape and by overlay, 50 hits more
    than five times those asked for are then compared exactly, and ranked by their symmetry-corrected RMSD, or by the
    Tanimoto of their overlay.

    \b
    molgiae search query.sdf conformers.h5
    molgiae search query.xyz conformers.h5 -k 50 -o hits.csv
    molgiae search query.sdf conformers.h5 --by overlay -o hits.sdf
    molgiae search query.sdf conformers.h5 --by overlay --per-molecule --poses poses.sdf
    """
    from molgiae.commands.search import search as run

    options = run_options(context)
    how = {"by": by, "poses": poses, "model": model, "match": match, "ignore": parse_ignored(ignore)}
    result = run(query, file, options, k=hits, per_molecule=per_molecule, **how)
    if output is None and poses != "-" and not as_json:
        echo(_table(result))
    finish(context, result.to_dict(), _described(result), result.rejected)


def _table(result: Search) -> str:
    measured = MEASURED.get(result.by, ("distance",))
    from_many = len({hit.source for hit in result.hits}) > 1
    some_outside = any(hit.in_domain is False for hit in result.hits)
    rows = [
        (
            "query",
            "rank",
            "row",
            *(("source",) if from_many else ()),
            "record",
            "title",
            *(HEADS.get(name, name) for name in measured),
            "relation",
            "rmsd",
            *(("in_domain",) if some_outside else ()),
        )
    ]
    for hit in result.hits:
        unsure = "" if hit.proven is None or hit.proven else " or less"
        rmsd = "" if hit.rmsd is None else f"{hit.rmsd:.4f}{unsure}"
        query = f"{hit.query_record} {hit.query_title[:SHOWN_TITLE]}".strip()
        source = (hit.source,) if from_many else ()
        place = (str(hit.rank), str(hit.row), *source, str(hit.record), hit.title[:SHOWN_TITLE])
        values = (getattr(hit, name) for name in measured)
        shown = ("" if value is None else _number(value) for value in values)
        inside = (str(int(bool(hit.in_domain))),) if some_outside else ()
        rows.append((query, *place, *shown, hit.relation, rmsd, *inside))
    return columns(rows)


def _number(value: float) -> str:
    """Return four decimals, and more of what is small: features of conformers of one molecule differ by little."""
    return f"{value:.4f}" if value >= SMALL or not value else f"{value:.2g}"


def _described(result: Search) -> list[str]:
    files = [name for name in (result.output, result.poses) if name]
    where = f" -> {', '.join(files)}" if files else ""
    return [
        f"searched {result.conformers} conformers for {result.queries} of {result.read} queries "
        f"in {result.seconds:.1f} s{where}",
        *result.notes,
        *rejected_lines(result.reasons, ""),
    ]
