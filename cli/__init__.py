"""The `molgiae` command: text to typed arguments, one library call, text. Starts without importing torch."""

from __future__ import annotations

from typing import Annotated

import typer

from molgiae import __version__

from . import experiments
from .align import align
from .boundary import ErrorBoundary
from .canonicalize import canonicalize
from .cluster import cluster
from .command import Command
from .compare import compare
from .conformers import conformers
from .convert import convert
from .dedup import dedup
from .embed import embed
from .evaluate import evaluate
from .finetune import finetune
from .info import info
from .interpolate import interpolate
from .label import label
from .merge import merge
from .models import models
from .predict import predict
from .pretrain import pretrain
from .reconstruct import reconstruct
from .report import report
from .rmsd import rmsd
from .search import search
from .select import select
from .warmup import warmup

app = typer.Typer(
    name="molgiae",
    cls=ErrorBoundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Invariant embeddings, canonical forms and exact group actions of 3D molecular conformers.",
    epilog="Exit status: 0 all well, 1 error, 2 usage, 3 finished but records were rejected (0 with --allow-rejected).",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"molgiae {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """What every command shares; `ErrorBoundary` reads --debug."""


for command in (
    embed,
    canonicalize,
    reconstruct,
    interpolate,
    align,
    dedup,
    rmsd,
    compare,
    search,
    select,
    cluster,
    report,
    convert,
    merge,
    conformers,
    label,
    pretrain,
    evaluate,
    info,
    finetune,
    predict,
):
    app.command(cls=Command, no_args_is_help=True)(command)
app.command(cls=Command)(models)
app.command(cls=Command)(warmup)
app.add_typer(experiments.app, name="experiments")


def main() -> None:
    """Entry point of the console script."""
    app()
