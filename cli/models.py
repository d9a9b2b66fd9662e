"""molgiae models: the shipped models and their measured figures."""

from __future__ import annotations

import json
from typing import Any

from typer import echo

from .options import Json
from .printing import columns

SHOWN_DIGITS = 12
FIGURES = {
    "reconstruction/rmsd_mean": "RMSD (A)",
    "reconstruction/type_accuracy": "types right",
    "reconstruction/formula_accuracy": "formula exact",
}
"""Figures of the model card that are shown, with the heads of their columns."""
HEAD = ("model", "auto", "dimensions", "elements", "atoms", "charge", "MB", "sha256")


def models(as_json: Json = False) -> None:
    """List the shipped models: domain, dimensions, size, and what was measured of them on test data.

    The one marked in the column "auto" is what --model auto, the default, stands for. Figures are
    those of the model card; --json prints all of them. A second table tells the parts of each embedding: columns,
    counted from 0, unit of the numbers, and what is read from them.

    \b
    molgiae models
    molgiae models --json | jq '.[].name'
    molgiae info qm9
    """
    from molgiae.commands.info import shipped_models

    found = shipped_models()
    echo(json.dumps(found) if as_json else f"{_table(found)}\n\n{_parts(found)}")


def _table(models: list[dict[str, Any]]) -> str:
    rows = [[*HEAD, "measured on", "conformers", *FIGURES.values()]]
    for model in models:
        first, *others = model["measured"] or [{"data": model["card"], "figures": {}}]
        rows.append([*_described(model), *_measured(first)])
        rows += [[*[""] * len(HEAD), *_measured(other)] for other in others]
    return columns(rows)


def _parts(models: list[dict[str, Any]]) -> str:
    rows = [["model", "part", "columns", "unit", "meaning"]]
    for model in models:
        for k, part in enumerate(model["parts"]):
            place = f"{part['start']}:{part['stop']}"
            rows.append(["" if k else model["name"], part["name"], place, part["unit"], part["meaning"]])
    return columns(rows)


def _described(model: dict[str, Any]) -> list[str]:
    low, high = model["charge"]
    return [
        model["name"],
        "yes" if model["auto"] else "",
        f"{model['dimension']}",
        " ".join(model["elements"]),
        "{} to {}".format(*model["n_atoms"]),
        f"{low}" if low == high else f"{low} to {high}",
        f"{model['bytes'] / 1e6:.1f}",
        model["sha256"][:SHOWN_DIGITS],
    ]


def _measured(table: dict[str, Any]) -> list[str]:
    return [
        table["data"],
        str(table.get("conformers", "")),
        *(table["figures"].get(key, "") for key in FIGURES),
    ]
