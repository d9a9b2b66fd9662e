"""molgiae interpolate: conformers on the way between two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Argument, Context, Option, echo

from molgiae.config import AUTO_MODEL

from .options import AllowRejected, Device, Format, Json, Model, Overwrite, Quiet, Threads, run_options
from .printing import columns, finish

if TYPE_CHECKING:
    from molgiae.commands.interpolate import Interpolation


def interpolate(
    context: Context,
    a: str = Argument(help="File whose first conformer is the start.", show_default=False),
    b: str = Argument(help="File whose first conformer is the end, of the same formula.", show_default=False),
    output: str | None = Option(
        None,
        "--output",
        "-o",
        help="SDF or XYZ of the conformers; - for SDF to standard output.",
        show_default="none",
    ),
    number: int = Option(10, "-n", "--number", min=2, help="Conformers, both ends among them."),
    model: Model = AUTO_MODEL,
    device: Device = "auto",
    format: Format = None,
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Decode conformers on the straight line between the embeddings of two conformers of one formula.

    A table says of each whether it can be believed: whether it has the right formula, bonds as at an end, and whether
    it embeds, by the part shape, within 0.125 angstrom of where it was decoded from (strayed), and its RMSD to both
    ends. Between unlike conformers most are no molecules; the guide has measured how far it works.

    \b
    molgiae interpolate a.sdf b.sdf -n 10 -o path.sdf
    molgiae interpolate a.xyz b.xyz --model qm9 --json
    """
    from molgiae.commands.interpolate import interpolate as run

    found = run(a, b, run_options(context), n=number)
    if output != "-" and not as_json:
        echo(_table(found))
    finish(context, found.to_dict(), _described(found))


def _table(found: Interpolation) -> str:
    heads = ("fraction", "formula", "bonds", "strayed", "rmsd_a", "rmsd_b", "holds")
    rows = [heads]
    for step in found.steps:
        values = (step.strayed, step.rmsd_a, step.rmsd_b)
        numbers = ("" if value is None else f"{value:.4f}" for value in values)
        rows.append(
            (f"{step.fraction:.3f}", _word(step.formula), _word(step.bonds), *numbers, _word(step.holds))
        )
    return columns(rows)


def _word(flag: bool) -> str:
    return "yes" if flag else "no"


def _described(found: Interpolation) -> list[str]:
    holding = sum(step.holds for step in found.steps)
    where = f" -> {found.output}" if found.output else ""
    return [
        f"{holding} of {len(found.steps)} conformers decoded with {found.model} hold{where}; at the ends of the way "
        "that is reconstruction, between them nothing promises it",
        *found.notes,
    ]
