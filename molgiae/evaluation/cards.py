"""What a model card says was measured: the inverse of `Report.table`, so that no figure is kept twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from molgiae.evaluation.report import ROWS

HEADING = re.compile(
    r"^Model (?P<model>.+) \(sha256 (?P<sha256>\w+), \d+ dimensions\) on (?P<data>.+): (?P<conformers>\d+) conformers, "
    r"(?P<refused>\d+) refused, (?P<out_of_domain>\d+) out of domain\.$"
)


@dataclass(frozen=True)
class Measured:
    """One table of a card.

    Attributes:
        sha256: first digits of that of the weights.
        data: name of the file.
        conformers: of it that were used.
        refused: by the model.
        out_of_domain: of the model.
        figures: of the model, as written; section and path of a row of `ROWS` joined by slashes to text.
    """

    sha256: str
    data: str
    conformers: int
    refused: int
    out_of_domain: int
    figures: dict[str, str]


def read_card(text: str) -> list[Measured]:
    """The tables of a card, in their order; none if there is none.

    Args:
        text: markdown with what `Report.table` gave.
    """
    lines = text.splitlines()
    found = []
    for k, line in enumerate(lines):
        if match := HEADING.match(line):
            found.append(
                Measured(
                    sha256=match["sha256"],
                    data=match["data"],
                    conformers=int(match["conformers"]),
                    refused=int(match["refused"]),
                    out_of_domain=int(match["out_of_domain"]),
                    figures=dict(_figures(lines[k + 1 :])),
                )
            )
    return found


def _figures(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Labels repeat ("... median"), so rows are recognised in the order in which a table has them."""
    rows = iter(ROWS)
    for line in lines:
        if HEADING.match(line):
            return
        cells = [cell.strip() for cell in line.strip("| ").split(" |")]
        if not line.startswith("|") or len(cells) < 2:
            continue
        ahead = list(rows)
        place = next((k for k, row in enumerate(ahead) if row.label == cells[0]), None)
        rows = iter(ahead if place is None else ahead[place + 1 :])
        if place is not None and cells[1]:
            yield "/".join((ahead[place].section, *ahead[place].path)), cells[1]
