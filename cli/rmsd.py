"""molgiae rmsd: symmetry-corrected RMSDs of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Argument, Context, Option

from molgiae.config import parse_ignored

from .options import (
    AllowReflection,
    AllowRejected,
    Format,
    Heavy,
    Ignore,
    Json,
    MatchKnown,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.rmsd import RmsdSummary


def rmsd(
    context: Context,
    ensemble: str = Argument(help="SDF, XYZ or HDF5 file, also .gz; a directory; - for standard input."),
    reference: str | None = Argument(
        None, help="The same: conformers to compare with.", show_default="all pairs of the ensemble"
    ),
    output: Output = None,
    condensed: bool = Option(
        False, "--condensed", help="Write each pair once, as scipy's squareform takes them; .npz and .h5."
    ),
    heavy: Heavy = False,
    match: MatchKnown = None,
    allow_reflection: AllowReflection = False,
    ignore: Ignore = "",
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure the least RMSD of all pairs of conformers of one molecule, whatever their atom order.

    The matrix has a row for each conformer of the ensemble, and a column for each of the reference or of the ensemble
    itself; pairs of different molecules have none (NaN). It says of each RMSD whether it is proven to be the least
    over all rotations and all matchings of equivalent atoms. The name of the output says the format: .npz (the
    default), .h5, or .csv, with the proven pairs in a second table.

    \b
    molgiae rmsd ensemble.sdf -o rmsd.npz
    molgiae rmsd ensemble.sdf -o rmsd.csv --heavy
    molgiae rmsd generated.sdf crystal.sdf -o rmsd.h5
    """
    from molgiae.commands.rmsd import write_rmsd_matrix

    result = write_rmsd_matrix(
        ensemble,
        run_options(context),
        reference=reference,
        condensed=condensed,
        match=match,
        heavy=heavy,
        allow_reflection=allow_reflection,
        ignore=parse_ignored(ignore),
    )
    finish(context, result.to_dict(), _described(result), result.rejected)


def _described(result: RmsdSummary) -> list[str]:
    files = ", ".join(name for name in (result.output, result.proven_table) if name)
    others = f" from {result.references} references" if result.references else ""
    lines = [
        f"{result.pairs} pairs of {result.conformers} conformers{others} of {result.molecules} "
        f"{'molecule' if result.molecules == 1 else 'molecules'} "
        f"in {result.seconds:.1f} s -> {files}"
    ]
    if result.pairs:
        lines.append(
            f"rmsd min {result.rmsd_min:.4f} A, median {result.rmsd_median:.4f} A, max {result.rmsd_max:.4f} A; "
            f"{result.proven} of {result.pairs} proven to be the least"
        )
    return [*lines, *result.notes, *rejected_lines(result.reasons, result.rejected_in)]
