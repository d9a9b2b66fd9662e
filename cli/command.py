"""Commands that look at their arguments before torch is loaded, and whose help has options in groups."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from molgiae.errors import ConfigError

from .shards import wants_parts

WORDS = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER"}
"""What types of Python are called."""
GROUPS = {
    "Files": "output table representatives poses format on_error drop_rejected overwrite resume",
    "Large runs": "shards shard shard_size scheduler",
    "Computing": "model device batch_size threads jobs seed time_limit minutes",
    "Messages and status": "quiet as_json allow_rejected help",
}
"""Options by name that stand together in the help of every command; all others come before them."""
_GROUP = {name: group for group, names in GROUPS.items() for name in names.split()}
_TYPE = re.compile(r"<(?:list\[)?((?:str|int|float)\b[^<>|\]]*)\]?>(?:\.\.\.)?")


def record_of(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Return how the help shows a parameter, and what it says of it."""
    if (record := parameter.get_help_record(context)) is None:
        return None
    is_argument = parameter.param_type_name == "argument"
    left = _TYPE.sub(lambda found: "" if is_argument else _words(found[1]), record[0])
    return left.rstrip(), record[1]


def _words(types: str) -> str:
    return " ".join(WORDS[name] for name in re.findall(r"str|int|float", types))


INPUTS = ("inputs", "ensemble", "reference", "a", "b", "query", "file", "seed_with")
"""Arguments that name what readers of conformers take."""
OUTPUTS = ("output", "poses", "representatives")
DERIVED = {"embed": ".h5", "reconstruct": "_reconstructed.h5", "report": "_report.html"}
"""Ends of the names that outputs of commands with torch have where none is given."""
OWN_READERS = ("conformers", "run")
"""Commands that take other files."""


def check(name: str | None, given: dict[str, Any]) -> None:
    """Raise an error for inputs that are not there or are not read, unknown models, and outputs that exist.

    Imports nothing that takes long.
    """
    from molgiae.data.partial import PartialFile
    from molgiae.data.sources import advice_for, is_there

    if name == "info":  # takes names of models, too, and writes nothing
        return
    values = [given.get(argument) or () for argument in INPUTS]
    named = [[value] if isinstance(value, str) else value for value in values if not isinstance(value, int)]
    for file in chain.from_iterable(named):  # `finetune --ensemble` is a number
        if not is_there(file):
            raise ConfigError(f"{file}: no such file or directory")
        advice = "" if name in OWN_READERS or given.get("format") else advice_for(file)
        if advice and not Path(file).is_dir():
            raise ConfigError(f"{file}: {advice}")
    if given.get("model") and name not in ("predict", "search"):
        from molgiae.model.shipped import locate

        locate(given["model"])
    if "overwrite" in given and not wants_parts(given) and name not in OWN_READERS:
        for file in _outputs(name, given):
            PartialFile(file, overwrite=given["overwrite"] or bool(given.get("resume")))


def _outputs(name: str | None, given: dict[str, Any]) -> list[Path]:
    """Return the files that a command is going to write, as far as that is known."""
    from molgiae.data.partial import is_stdout

    named = [Path(file) for file in map(given.get, OUTPUTS) if file and not is_stdout(file)]
    is_npz = given.get("npz") or given.get("format") == "npz"
    if name not in DERIVED or given.get("output") or is_npz:
        return named
    from molgiae.commands.run import stem_of

    return [*named, Path(stem_of(given["inputs"]) + DERIVED[name])]


class Command(TyperCommand):
    """A command that looks at its arguments first, and whose help has options in groups."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command, if its arguments can be right."""
        from molgiae.parallel.announcements import unannounced

        check(self.name, ctx.params)
        with unannounced(bool(ctx.params.get("quiet"))):
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, the options of the command, and those of `GROUPS`."""
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", "Options", *GROUPS)}
        for parameter in self.get_params(ctx):
            is_argument = parameter.param_type_name == "argument"
            group = "Arguments" if is_argument else _GROUP.get(str(parameter.name), "Options")
            if record := record_of(parameter, ctx):
                found[group].append(record)
        for group, records in found.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)
