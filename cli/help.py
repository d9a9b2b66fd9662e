"""Commands whose help has options in groups, and plain words for what they take."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

WORDS = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER"}
"""What types of Python are called."""
GROUPS = {
    "Files": "output table representatives poses format on_error drop_rejected overwrite resume",
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


class Command(TyperCommand):
    """A command whose help has options in groups."""

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
