"""Options for large runs, which write a directory of parts in place of one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Context, Option

from .printing import finish_run, resumable

if TYPE_CHECKING:
    from molgiae.shards.drive import ShardedSummary

SHARDING = ("shards", "shard", "shard_size", "scheduler")
"""Options by name that ask for a directory of parts."""

Shards = Annotated[
    int | None,
    Option(min=1, help="Write a directory of so many parts.", show_default="as many as --shard-size says"),
]
Shard = Annotated[
    str | None,
    Option(
        help="Write this part alone, as 7/64, in arrays of jobs.",
        show_default="all, what is there left alone",
    ),
]
ShardSize = Annotated[
    int | None,
    Option(min=1, help="Conformers in a part, about.", show_default="100000; of conformers 1000 molecules"),
]
Scheduler = Annotated[
    str | None,
    Option(
        help="Who makes the parts: processes, by --threads or one a GPU; or a Dask scheduler by its address or file.",
        show_default="local",
    ),
]


def is_directory(output: str | None) -> bool:
    """Return whether the name of an output is that of a directory."""
    return output is not None and (output.endswith(("/", os.sep)) or os.path.isdir(output))


def wants_parts(given: dict[str, Any]) -> bool:
    """Return whether options ask for a directory of parts."""
    return "shards" in given and (
        is_directory(given.get("output")) or any(given.get(name) for name in SHARDING)
    )


def finish_shards(
    context: Context, command: str, inputs: Sequence[str], done: str, how: Sequence[str], **others: Any
) -> None:
    """Run a command in shards, print what became of it, and leave with its exit status.

    Args:
        context: the command with its options.
        command: its name.
        inputs: files and directories.
        done: what it did with conformers, as a participle.
        how: names of the options that it takes in shards, too.
        others: further arguments.
    """
    from molgiae.shards.drive import in_shards

    given = context.params
    if not is_directory(output := given["output"]) and (output is None or os.path.splitext(output)[1]):
        raise BadParameter("name a directory for the parts, as in -o results/", param_hint="--output")
    names = {name: given[name] for name in (*SHARDING, "overwrite") if given.get(name) is not None}
    if given.get("threads"):
        names["jobs"] = given["threads"]
    arguments = {name: given[name] for name in how if given[name] is not None} | others
    with resumable(""):
        summary = in_shards(command, inputs, output, **names, **arguments, progress=not given["quiet"])
    summary.notes.insert(0, _parts(summary, given.get("shard")))
    finish_run(context, summary, done)


def _parts(summary: ShardedSummary, shard: str | None) -> str:
    text = f"{summary.made + summary.kept} of {summary.shards} parts are there, {summary.made} made now"
    if shard:
        text = f"part {shard} {'is made' if summary.made else 'was there'}"
    text += f"; {summary.merged} copies left out of these" if summary.merged else ""
    return text + (f"; {summary.fatal} records killed their process and are listed" if summary.fatal else "")
