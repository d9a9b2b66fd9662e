"""The options that several commands share, each stated once."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from typer import Argument, BadParameter, Context, Option

from molgiae.config import AUTO_MODEL, parse_ignored
from molgiae.errors import ConfigError

if TYPE_CHECKING:
    from molgiae.commands.run import Options

Kind = TypeVar("Kind")


def given(kind: type[Kind], context: Context, **others: Any) -> Kind:
    """Return a dataclass whose fields have the values of the options of the same names, where these were given.

    Args:
        kind: the dataclass.
        context: the command with its options.
        others: fields that are no options; they win over options of their name.
    """
    if context.params.get("as_json") and context.params.get("output") == "-":
        raise BadParameter("goes to standard output, as --output - does; name a file", param_hint="--json")
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in context.params.items() if name in names and value is not None}
    return kind(**{**values, **others})


def run_options(context: Context, **others: Any) -> Options:
    """Return what the options of a command say to `molgiae.commands.run`; arguments are those of `given`."""
    from molgiae.commands.run import Options

    return given(Options, context, progress=not context.params["quiet"], command=command_line(), **others)


def command_line() -> str:
    """Return the command as it was typed, for provenance."""
    return shlex.join(["molgiae", *sys.argv[1:]])


def model_names() -> list[str]:
    """Return what the shell completes a model with."""
    from molgiae.model.shipped import shipped_names

    return [AUTO_MODEL, *shipped_names()]


Inputs = Annotated[
    list[str],
    Argument(
        help="SDF or XYZ files, also .gz; directories of them; - for standard input; or HDF5 files of molgiae, "
        "directories of HDF5 parts, npz, ASE databases (.db), Parquet.",
        show_default=False,
    ),
]
Output = Annotated[
    str | None, Option("--output", "-o", help="File to write.", show_default="named after the input")
]
Model = Annotated[
    str,
    Option(
        "--model",
        "-m",
        help="A shipped model (see molgiae models), the path of a checkpoint written by pretrain, or auto for the "
        "shipped model of the widest domain, whatever the conformers.",
        autocompletion=model_names,
    ),
]
BatchSize = Annotated[
    int,
    Option(min=1, help="Conformers in a batch; changes speed, and the last bits: embeddings by about 1e-6."),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"], Option(help="Where the networks run; auto takes a GPU if there is one.")
]
Format = Annotated[
    Literal["sdf", "xyz"] | None,
    Option("--format", help="Format of the input.", show_default="by name and content"),
]
OnError = Annotated[Literal["skip", "stop"], Option(help="List bad records and go on, or stop at the first.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an existing output.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="No progress bar and no summary.")]
Json = Annotated[bool, Option("--json", help="Print a machine-readable summary to standard output.")]
Minutes = Annotated[
    float | None, Option(help="Save and end after so many minutes, to be resumed.", show_default="no limit")
]
Jobs = Annotated[
    int | None,
    Option("--jobs", "-j", "--threads", min=1, help="Processes.", show_default="one for each free core"),
]


def _use_threads(context: Context, number: int | None) -> int | None:
    from molgiae.parallel.threads import threads_used

    context.with_resource(threads_used(number))
    return number


Threads = Annotated[
    int | None,
    Option(
        "--threads",
        min=1,
        callback=_use_threads,
        help="Threads that conformers, or in training each operation, are shared among.",
        show_default="one for each free core, in training one",
    ),
]
AllowRejected = Annotated[
    bool,
    Option("--allow-rejected", help="Exit with status 0 although records were rejected; they are listed."),
]
ResumeFile = Annotated[
    bool,
    Option(
        "--resume",
        help="Continue an interrupted run; begin if there is none, and leave alone what it has finished.",
    ),
]
Resume = Annotated[bool, Option("--resume", help="Continue the run in the directory.")]


Match = Annotated[
    Literal["bonds", "atoms"],
    Option(
        "--match",
        help="Match atoms by bonds, perceived from distances where records have none, or any of one element.",
    ),
]
MatchKnown = Annotated[
    Literal["bonds", "atoms"] | None,
    Option(
        "--match",
        help="Match atoms by bonds, or any of one element.",
        show_default="bonds where they are known",
    ),
]
AllowReflection = Annotated[
    bool, Option("--allow-reflection", help="Mirror a conformer where that lowers the RMSD.")
]
Heavy = Annotated[bool, Option("--heavy", help="Leave hydrogens out of the RMSD.")]


Temperature = Annotated[float, Option(help="Temperature of the Boltzmann weights, K.")]
EnergyUnit = Annotated[
    str | None,
    Option(
        help="Unit of that property: eV, Ha, kJ/mol ...",
        show_default="by its name or values; Ha for numbers in XYZ comments; else kcal/mol",
    ),
]


def _known_distinctions(text: str) -> str:
    try:
        parse_ignored(text)
    except ConfigError as error:
        raise BadParameter(str(error)) from error
    return text


Ignore = Annotated[
    str,
    Option(
        "--ignore",
        callback=_known_distinctions,
        help="Differences that do not make two molecules distinct: any of isotopes, charge, multiplicity, "
        "with commas between them.",
    ),
]
