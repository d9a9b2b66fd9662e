"""The options that commands share, each described once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from molgiae.config import parse_ignored
from molgiae.errors import ConfigError

Inputs = Annotated[
    list[str],
    typer.Argument(
        help="SDF or XYZ files, also .gz; directories of them; - for standard input; or HDF5 files of molgiae.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="File to write.", show_default="named after the input"),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="A shipped model (see molgiae models), the path of a checkpoint written by pretrain, or auto for the "
        "smallest shipped model whose domain covers the conformers.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        min=1, help="Conformers in a batch; changes speed, and the last bits: embeddings by about 1e-6."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")]
Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary to standard output.")]


class DeviceName(StrEnum):
    """Where the networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class OnErrorName(StrEnum):
    """What to do about a bad record."""

    skip = "skip"
    stop = "stop"


class FormatName(StrEnum):
    """Format of the input."""

    sdf = "sdf"
    xyz = "xyz"


Device = Annotated[DeviceName, typer.Option(help="auto takes a GPU if there is one.")]
OnError = Annotated[OnErrorName, typer.Option(help="List bad records and go on, or stop at the first.")]
Format = Annotated[
    FormatName | None,
    typer.Option("--format", help="Format of the input.", show_default="by name and content"),
]


def _known_distinctions(text: str) -> str:
    try:
        parse_ignored(text)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return text


Ignore = Annotated[
    str,
    typer.Option(
        "--ignore",
        callback=_known_distinctions,
        help="Differences that do not make two molecules distinct: any of isotopes, charge, multiplicity, "
        "with commas between them.",
        show_default="none",
    ),
]
