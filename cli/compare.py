"""molgiae compare: two ensembles of the same molecules beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer import Argument, Context, Option, echo

from molgiae.config import parse_ignored

from .options import (
    AllowReflection,
    AllowRejected,
    Format,
    Heavy,
    Ignore,
    Json,
    Match,
    OnError,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import columns, finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.compare_files import ComparisonSummary

SHOWN_TITLE, SHOWN_NAMES = 24, 5
SHOWN = ("title", "formula", "a", "b", "only_a", "only_b", "cov_r", "mat_r", "cov_p", "mat_p")
"""Columns that are printed."""


def compare(
    context: Context,
    a: str = Argument(help="SDF, XYZ or HDF5 file, also .gz; a directory; - for standard input."),
    b: str = Argument(help="The same; the reference of recall."),
    output: str | None = Option(
        None,
        "--output",
        "-o",
        help="Table of molecules to write, .csv, .tsv, .json or .h5; OUTPUT_conformers beside it says what became of "
        "each conformer.",
        show_default="a table on the screen",
    ),
    threshold: float = Option(
        0.125, "--threshold", "-t", min=0, help="Largest RMSD of two conformers that are the same, angstrom."
    ),
    heavy: Heavy = False,
    match: Match = "bonds",
    allow_reflection: AllowReflection = False,
    ignore: Ignore = "",
    energy: str | None = Option(
        None,
        help="Property that holds the energy, as of dedup, to be put beside that of the nearest.",
        show_default="energy, where records have it",
    ),
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare two ensembles of the same molecules: which conformers of A are in B, and of B in A.

    Molecules are told by formula and bonds, whatever titles, poses and orders of atoms two programs give them. For
    each molecule: cov_r, the share of B that is in A within the threshold (recall), mat_r, the mean RMSD of B to the
    nearest of A, and cov_p and mat_p, the same of A in B (precision); in total the means over molecules. The table of
    conformers has the nearest of each in the other ensemble, and both energies.

    \b
    molgiae compare generated.sdf reference.sdf
    molgiae compare crest.xyz rdkit.sdf -o compared.csv --ignore charge,multiplicity
    molgiae compare generated.sdf reference.sdf --heavy --threshold 0.75 -o compared.json
    """
    from molgiae.commands.compare_files import compare_files

    result = compare_files(
        a,
        b,
        run_options(context),
        threshold=threshold,
        match=match,
        heavy=heavy,
        allow_reflection=allow_reflection,
        ignore=parse_ignored(ignore),
        energy=energy,
    )
    if output is None and not as_json:
        echo(_table(result))
    finish(context, result.to_dict(), _described(result), result.rejected)


def _table(result: ComparisonSummary) -> str:
    rows = [[_cell(row[name]) for name in SHOWN] for row in (*result.molecules, result.total)]
    return columns([SHOWN, *rows])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)[:SHOWN_TITLE]


def _described(result: ComparisonSummary) -> list[str]:
    total, files = result.total, ", ".join(name for name in (result.output, result.table) if name)
    alone = (
        f", {result.only_a} in A alone, {result.only_b} in B alone" if result.only_a + result.only_b else ""
    )
    lines = [
        f"compared {total['a']} conformers of A with {total['b']} of B, {result.shared} "
        f"{'molecule' if result.shared == 1 else 'molecules'} in both{alone}, "
        f"in {result.seconds:.1f} s{f' -> {files}' if files else ''}",
        f"within {result.threshold:g} A: {total['a'] - total['only_a']} of A are in B, "
        f"{total['b'] - total['only_b']} of B are in A",
    ]
    for side, other in (("A", "B"), ("B", "A")):
        rows = [row for row in result.conformers if row["ensemble"] == side and not row["in_other"]]
        names = [f"{row['record']} {row['title'][:SHOWN_TITLE]}".strip() for row in rows[:SHOWN_NAMES]]
        more = f" and {len(rows) - SHOWN_NAMES} more" if len(rows) > SHOWN_NAMES else ""
        lines += [f"not in {other}, records of {side}: {', '.join(names)}{more}"] if rows else []
    if not total["proven"]:
        lines.append("not all RMSDs are proven to be the least (proven is 0 in the tables)")
    return [*lines, *result.notes, *rejected_lines(result.reasons, result.rejected_in)]
