"""molgiae dedup: one of all copies of every conformer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import BadParameter, Context, Option

from molgiae.config import parse_ignored

from .options import (
    AllowRejected,
    Format,
    Heavy,
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
from .printing import finish, rejected_lines
from .shards import Scheduler, Shards, ShardSize, finish_shards, wants_parts

if TYPE_CHECKING:
    from molgiae.commands.dedup import Deduplication

SHARED = (
    *("threshold", "mirror", "match", "heavy", "energy", "energy_window", "keep"),
    *("format", "on_error"),
)
"""Options that hold for parts, too."""


def dedup(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    table: str | None = Option(
        None, help="CSV file, a row for every record.", show_default="OUTPUT_duplicates.csv"
    ),
    threshold: float = Option(
        0.125,
        "--threshold",
        "-t",
        min=0,
        help="Largest RMSD of copies, angstrom; over all atoms but with --heavy.",
    ),
    heavy: Heavy = False,
    mirror: Literal["distinct", "same"] = Option(
        "distinct", help="What mirror images are: other conformers or copies."
    ),
    match: MatchKnown = None,
    energy: str | None = Option(
        None,
        help="Property that holds the energy: SD data, extended XYZ, or energy=... in any XYZ comment. energy also "
        "finds what CREST, GOAT, xtb and ORCA write there (hartree), 'comment line' a number alone.",
        show_default="energy, if --keep lowest",
    ),
    energy_window: float | None = Option(
        None,
        help="Largest energy difference of copies, in the unit of the property; every record must have an energy.",
        show_default="any",
    ),
    keep: Literal["first", "lowest"] | None = Option(
        None,
        help="Keep the first of several copies, or the one of lowest energy; those without an energy come last.",
        show_default="lowest with --energy",
    ),
    ignore: Ignore = "",
    shards: Shards = None,
    shard_size: ShardSize = None,
    scheduler: Scheduler = None,
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Keep one of all copies of every conformer: many molecules in one pass, in any pose and atom order.

    Conformers are taken in the order of the input, or by energy. Each is kept unless its symmetry-corrected RMSD to
    one that is kept already is within the threshold. The search misses no copy. With --heavy, conformers that differ
    in their hydrogens alone, such as rotamers of methyl and hydroxyl groups, are copies. The table says of every
    record what became of it, and whether the RMSD is proven. Conformers that differ in isotopes, charge or
    multiplicity are no copies, unless --ignore names the difference.

    \b
    molgiae dedup ensemble.sdf -o unique.sdf
    molgiae dedup run1/ run2.xyz.gz -o unique.xyz --threshold 0.3 --mirror same
    molgiae dedup crest.sdf -o unique.sdf --energy energy --energy-window 0.1
    molgiae dedup crest_rotamers.xyz -o unique.xyz --match bonds --heavy --keep lowest
    """
    if wants_parts(context.params):
        if table is not None:
            raise BadParameter("each part has a table of its own beside it", param_hint="--table")
        distinctions = sorted(parse_ignored(ignore))
        finish_shards(context, "dedup", inputs, "kept", SHARED, ignore=distinctions)
        return
    from molgiae.commands.dedup import deduplicate

    result = deduplicate(
        inputs,
        run_options(context),
        threshold=threshold,
        mirror=mirror,
        match=match,
        heavy=heavy,
        energy=energy,
        energy_window=energy_window,
        keep=keep,
        ignore=parse_ignored(ignore),
        table=table,
    )
    finish(context, result.to_dict(), _described(result), result.rejected)


def _described(result: Deduplication) -> list[str]:
    rate = result.read / max(result.seconds, 1e-9)
    lines = [
        f"kept {result.kept} of {result.read} conformers, {result.merged} merged, {result.rejected} rejected, "
        f"in {result.seconds:.1f} s ({rate:.0f}/s) -> {result.output}, {result.table}"
    ]
    if result.unproven:
        lines.append(f"{result.unproven} kept ones are not proven to be no copies (proven is 0 in the table)")
    return [*lines, *result.notes, *rejected_lines(result.reasons, result.table)]
