"""molgiae info: what is in a file."""

from __future__ import annotations

import json
from typing import Any

from typer import Argument, echo

from .options import Json, model_names
from .printing import columns


def info(
    file: str = Argument(
        help="An HDF5 file, table or npz of molgiae, a directory of HDF5 parts, a checkpoint, or a shipped model.",
        show_default=False,
        autocompletion=model_names,
    ),
    as_json: Json = False,
) -> None:
    """Say what is in a file of molgiae or a checkpoint, parts of the embedding with columns, units and meanings too.

    \b
    molgiae info conformers.h5
    molgiae info hits.csv
    molgiae info features.npz
    molgiae info qm9
    """
    from molgiae.commands.info import describe

    content = describe(file)
    echo(json.dumps(content) if as_json else "\n".join(_lines(content)))


def _lines(content: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            table = columns([list(value[0]), *(list(map(str, row.values())) for row in value)])
            lines += [f"{indent}{key}:", *(f"{indent}  {line}" for line in table.splitlines())]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
