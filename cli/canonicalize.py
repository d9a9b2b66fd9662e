"""molgiae canonicalize: conformers in their canonical pose and atom order."""

from __future__ import annotations

from typer import Context

from .options import (
    AllowRejected,
    Format,
    Inputs,
    Json,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import finish_run
from .shards import Scheduler, Shard, Shards, ShardSize, finish_shards, wants_parts

SHARED = ("format", "on_error")
"""Options that hold for parts, too."""


def canonicalize(
    context: Context,
    inputs: Inputs,
    output: Output = None,
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
    """Write every conformer in its canonical pose and atom order, to HDF5, SDF or XYZ.

    This works for every element and size and needs no model: equal conformers get equal coordinates, whatever pose
    and order they had.

    Copies of an SDF record become one text, whatever the order and direction of their bond lines. Kekulé forms and
    the places of charges are not rewritten. Titles and properties are copied.

    \b
    molgiae canonicalize conformers.sdf -o canonical.sdf
    molgiae canonicalize trajectory.xyz -o canonical.h5
    """
    if wants_parts(context.params):
        finish_shards(context, "canonicalize", inputs, "canonicalized", SHARED)
        return
    from molgiae.commands.canonicalize import canonicalize as run

    finish_run(context, run(inputs, run_options(context)), "canonicalized")
