"""The command that makes conformers."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from molgiae.config import FORCE_FIELDS, MAX_SEED, ConformerSearch

from .boundary import REJECTED, status_of
from .options import Json, Overwrite, Quiet

if TYPE_CHECKING:
    from molgiae.commands.conformers import GenerationSummary

SEARCH = ConformerSearch()
SHOWN_REASONS = 3

ForceFieldName = StrEnum("ForceFieldName", {name: name for name in FORCE_FIELDS})
FORCE_FIELD = ForceFieldName(SEARCH.force_field)


class MoleculeFormatName(StrEnum):
    """Format of the input."""

    smi = "smi"
    csv = "csv"
    sdf = "sdf"


def conformers(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="SMILES files (.smi), tables (.csv, .tsv), SDF (for its bonds), also .gz; - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write: .sdf, .xyz or .h5.")
    ] = "conformers.sdf",
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, help="Embeddings tried for a molecule.")
    ] = SEARCH.number,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Most conformers of a molecule, of lowest energy.", show_default="all"),
    ] = SEARCH.keep,
    prune: Annotated[
        float,
        typer.Option(
            min=0,
            help="RMSD over all atoms, angstrom, within which two are one; mirror images are two. 0 keeps all.",
        ),
    ] = SEARCH.prune,
    energy_window: Annotated[
        float | None,
        typer.Option(min=0, help="kcal/mol above the lowest that are kept.", show_default="all"),
    ] = SEARCH.energy_window,
    force_field: Annotated[
        ForceFieldName, typer.Option(help="To the next minimum; none keeps conformers as embedded.")
    ] = FORCE_FIELD,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the embeddings.")] = SEARCH.seed,
    time_limit: Annotated[
        float, typer.Option(help="Seconds after which a molecule is given up.")
    ] = SEARCH.time_limit,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes.", show_default="one for each core")
    ] = None,
    smiles_column: Annotated[
        str | None, typer.Option(help="Column of SMILES in a table.", show_default="by name")
    ] = None,
    title_column: Annotated[
        str | None, typer.Option(help="Column of titles in a table.", show_default="by name")
    ] = None,
    format: Annotated[
        MoleculeFormatName | None,
        typer.Option("--format", help="Format of the input.", show_default="by name"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run; begin if there is none.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make conformers of molecules: RDKit ETKDGv3 embeddings, minimised with MMFF94s.

    Distinct minima of one stereoisomer, lowest energy first, with bonds, formal charges and added hydrogens; SD
    properties smiles, mmff94s_energy (kcal/mol) and conformer. The same output whatever the number of processes.

    \b
    molgiae conformers molecules.smi -o conformers.sdf
    molgiae conformers library.csv.gz --number 50 --keep 10 --energy-window 10 -o library.sdf
    echo "CC(C)Cc1ccc(cc1)C(C)C(=O)O ibuprofen" | molgiae conformers - -o ibuprofen.sdf
    """
    from molgiae.commands.conformers import generate_conformers
    from molgiae.data.molecule_files import Columns

    search = ConformerSearch(
        number=number,
        keep=keep,
        prune=prune,
        energy_window=energy_window,
        force_field=force_field.value,
        seed=seed,
        time_limit=time_limit,
    )
    try:
        summary = generate_conformers(
            inputs,
            output,
            search,
            format=format.value if format else None,
            columns=Columns(smiles_column, title_column),
            jobs=jobs,
            resume=resume,
            overwrite=overwrite,
            progress=not quiet,
            command=shlex.join(["molgiae", *sys.argv[1:]]),
        )
    except KeyboardInterrupt as interruption:
        typer.echo("molgiae: interrupted; give the same command with --resume to continue", err=True)
        raise typer.Exit(status_of(interruption)) from None
    if as_json:
        typer.echo(json.dumps(summary.to_dict()))
    if not quiet:
        typer.echo("\n".join(_describe(summary)), err=True)
    if summary.rejected:
        raise typer.Exit(REJECTED)


COMMANDS = (conformers,)


def _describe(summary: GenerationSummary) -> list[str]:
    """The summary in words, a line each."""
    lines = [
        f"made {summary.conformers} conformers of {summary.written} of {summary.molecules} molecules "
        f"in {summary.seconds:.1f} s -> {summary.output}"
    ]
    if summary.resumed:
        lines.append(f"{summary.resumed} molecules were done by the run that was continued")
    if summary.extended:
        lines.append(
            f"{summary.extended} have a CXSMILES extension, read as RDKit does; coordinates and enhanced stereo groups "
            "in it play no part"
        )
    if summary.rejected:
        lines.append(f"{summary.rejected} rejected, listed in {summary.rejected_in}:")
        shown = list(summary.reasons.items())[:SHOWN_REASONS]
        lines += [f"  {count} x {'such as: ' if count > 1 else ''}{reason}" for reason, count in shown]
        if len(summary.reasons) > len(shown):
            lines.append(f"  and {len(summary.reasons) - len(shown)} other reasons")
    return lines
