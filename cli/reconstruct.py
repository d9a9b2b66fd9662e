"""molgiae reconstruct: what embeddings remember of conformers."""

from __future__ import annotations

from typing import Annotated

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
from .printing import finish_run
from .shards import Scheduler, Shard, Shards, ShardSize, finish_shards, wants_parts

SHARED = ("model", "device", "batch_size", "refine", "format", "on_error")
"""Options that hold for parts, too."""


def reconstruct(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    model: Model = AUTO_MODEL,
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    refine: Annotated[
        bool,
        Option(
            "--refine",
            help="Search near what is decoded for positions that have the embedding, with bonds and angles as in QM9; "
            "for models of architecture slots.",
        ),
    ] = False,
    format: Format = None,
    shards: Shards = None,
    shard: Shard = None,
    shard_size: ShardSize = None,
    scheduler: Scheduler = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write what the embedding remembers of every conformer, in the pose and order of the input.

    \b
    molgiae reconstruct conformers.sdf -o reconstructed.sdf
    molgiae reconstruct conformers.sdf -o reconstructed.h5
    molgiae reconstruct conformers.sdf --model qm9-64 --refine -o refined.sdf
    """
    if wants_parts(context.params):
        finish_shards(context, "reconstruct", inputs, "reconstructed", SHARED)
        return
    from molgiae.commands.reconstruct import reconstruct as run

    finish_run(context, run(inputs, run_options(context), refine=refine), "reconstructed")
