"""molgiae embed: embeddings, group actions and canonical forms to HDF5."""

from __future__ import annotations

from typing import Literal

from typer import BadParameter, Context, Option

from molgiae.config import AUTO_MODEL, BATCH_SIZE

from .options import (
    AllowRejected,
    BatchSize,
    Device,
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
from .printing import finish_run
from .shards import Scheduler, Shard, Shards, ShardSize, finish_shards, wants_parts

Projection = Literal["norms", "angles", "norms-angles", "gram", "max-filter", "voronoi"]


SHARED = (
    "model",
    "device",
    "batch_size",
    "format",
    "parts",
    "check",
    "projection",
    "columns",
    "float16",
    "on_error",
)
"""Options that hold for parts, too."""


def embed(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    model: Model = AUTO_MODEL,
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    npz: bool = Option(False, "--npz", help="Write npz, named after the input; -o NAME.npz does so, too."),
    format: Literal["sdf", "xyz", "npz"] | None = Option(
        None,
        "--format",
        metavar="[sdf|xyz]",
        help="Format of the input.",
        show_default="by name and content",
    ),
    drop_rejected: bool = Option(
        False, "--drop-rejected", help="With npz: leave rejected records out, and list them."
    ),
    parts: str | None = Option(
        None,
        help="Write these parts of the embedding alone, with commas between them; molgiae models lists them.",
        show_default="all",
    ),
    check: bool = Option(
        True,
        "--check/--no-check",
        help="Decode whole embeddings, too, and say in decoded_rmsd, decoded_formula and in_domain what comes back.",
    ),
    projection: Projection | None = Option(
        None, help="Add this invariant projection of the model's equivariant latent, as dataset projection."
    ),
    shards: Shards = None,
    shard: Shard = None,
    shard_size: ShardSize = None,
    scheduler: Scheduler = None,
    columns: str | None = Option(
        None,
        help="Write these columns per conformer alone, with source and record: embedding,title for small files "
        "without atoms.",
        show_default="all, those of atoms, too",
    ),
    float16: bool = Option(False, "--float16", help="Keep the embedding in half precision."),
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the invariant embedding, group action and canonical form of every conformer to HDF5.

    Learn properties from features; compare any two molecules by overlay and color; compare conformers of one molecule
    by shape, whose distances are RMSDs. Between different formulas distances of shape are no RMSDs, and distances of
    detail, and so of whole embeddings, mean nothing anywhere.

    A conformer is in the domain of the model, in_domain = 1, if it is within the ranges of the training data and the
    decoder gives it back from its embedding: every element, and all atoms to an RMSD of at most 0.1 angstrom.
    domain_reason says what is not so, decoded_rmsd and decoded_formula what came back. With --no-check or --parts
    nothing is decoded, and in_domain tells of the ranges alone.

    To .csv, .tsv and .parquet, and as CSV to standard output (-o -), go the embeddings alone: source, record, title,
    in_domain and domain_reason, and columns named after the parts, shape_0, shape_1 and so on.

    With npz only the embeddings are written, a row for each record of the input, as chemprop --descriptors-path reads
    them. The table beside it, NAME.npz.rows.csv, says what the rows are. A rejected record would shift the rows: it
    is an error, or with --drop-rejected it is left out of both.

    HDF5 files of embeddings of one model are joined as they are, unless --model names another.

    \b
    molgiae embed conformers.sdf
    molgiae embed run1/ run2.xyz.gz -o all.h5
    molgiae embed part1.h5 part2.h5 -o all.h5
    zcat big.sdf.gz | molgiae embed - -o big.h5 --json
    molgiae embed conformers.sdf -o features.parquet --parts features
    molgiae embed conformers.sdf -o - --parts shape --quiet | head
    molgiae embed conformers.sdf --npz
    molgiae embed conformers.sdf --parts features,overlay
    molgiae embed conformers.sdf --npz --parts features
    molgiae embed conformers.sdf --projection gram
    molgiae embed big.sdf --parts features --columns embedding,title --float16
    """
    if wants_parts(context.params):
        if format == "npz" or npz or drop_rejected:
            raise BadParameter("parts are HDF5; write an npz of them with molgiae embed", param_hint="--npz")
        finish_shards(context, "embed", inputs, "embedded", SHARED)
        return
    from molgiae.commands.embed import embed as run

    asked = format == "npz"  # what --npz was before
    options = run_options(context, format=None if asked else format)
    summary = run(
        inputs,
        options,
        npz=npz or asked,
        drop_rejected=drop_rejected,
        projection=projection,
        parts=parts,
        check=check,
        columns=columns,
        float16=float16,
    )
    finish_run(context, summary, "embedded")
