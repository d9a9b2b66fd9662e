"""molgiae merge: the parts of a dataset into one HDF5 file."""

from __future__ import annotations

from typer import Argument, Context, Option

from .options import AllowRejected, Json, Output, Overwrite, Quiet, Threads, run_options
from .printing import finish_run


def merge(
    context: Context,
    directory: str = Argument(
        help="Directory of the parts, part-00001-of-00064.h5 and so on.", show_default=False
    ),
    output: Output = None,
    allow_missing: bool = Option(
        False, "--allow-missing", help="Merge the parts that are there though others are missing."
    ),
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Copy the parts of a dataset into one HDF5 file, with the sources and numbers of records of the input.

    Commands of molgiae take the directory as it is; one file is for programs that read single ones. There is no virtual
    file: HDF5 has them from 1.10 on, and files of molgiae are for 1.8.

    \b
    molgiae merge parts/ -o all.h5
    molgiae merge parts/ -o some.h5 --allow-missing
    """
    from molgiae.commands.merge import merge as run

    finish_run(context, run(directory, output, run_options(context), allow_missing=allow_missing), "merged")
