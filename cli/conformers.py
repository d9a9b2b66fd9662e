"""molgiae conformers: conformers of molecules, made by RDKit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Argument, Context, Option

from molgiae.config import FOUND_FINISHED, MAX_SEED, ConformerSearch, ForceField

from .options import AllowRejected, Jobs, Json, Overwrite, Quiet, ResumeFile, command_line, given
from .printing import finish, rejected_lines, resumable
from .shards import Scheduler, Shard, Shards, ShardSize, finish_shards, wants_parts

if TYPE_CHECKING:
    from molgiae.commands.conformers import GenerationSummary

SEARCH = ConformerSearch()

SHARED = (
    *("number", "keep", "prune", "energy_window", "force_field", "seed", "time_limit"),
    *("smiles_column", "title_column", "format"),
)
"""Options that hold for parts, too."""


def conformers(
    context: Context,
    inputs: list[str] = Argument(
        help="SMILES files (.smi), tables (.csv, .tsv), SDF (for its bonds), also .gz; - for standard input.",
        show_default=False,
    ),
    output: str = Option("conformers.sdf", "--output", "-o", help="File to write: .sdf, .xyz or .h5."),
    number: int = Option(SEARCH.number, "--number", "-n", min=1, help="Embeddings tried for each molecule."),
    keep: int | None = Option(
        SEARCH.keep, min=1, help="Most conformers of a molecule, of lowest energy.", show_default="all"
    ),
    prune: float = Option(
        SEARCH.prune,
        min=0,
        help="Conformers within this RMSD over all atoms, angstrom, are one; mirror images are two. 0 keeps all.",
    ),
    energy_window: float | None = Option(
        SEARCH.energy_window, min=0, help="Largest energy above the lowest, kcal/mol.", show_default="all"
    ),
    force_field: ForceField = Option(SEARCH.force_field, help="Force field to minimise with, if any."),
    seed: int = Option(SEARCH.seed, min=0, max=MAX_SEED, help="Seed of the embeddings."),
    time_limit: float = Option(SEARCH.time_limit, help="Seconds after which a molecule is given up."),
    jobs: Jobs = None,
    smiles_column: str | None = Option(None, help="Column of SMILES in a table.", show_default="by name"),
    title_column: str | None = Option(None, help="Column of titles in a table.", show_default="by name"),
    shards: Shards = None,
    shard: Shard = None,
    shard_size: ShardSize = None,
    scheduler: Scheduler = None,
    format: Literal["smi", "csv", "sdf"] | None = Option(
        None, help="Format of the input.", show_default="by name"
    ),
    resume: ResumeFile = False,
    overwrite: Overwrite = False,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make conformers of molecules: RDKit ETKDGv3 embeddings, minimised with MMFF94s.

    Written are the distinct minima of one stereoisomer, lowest energy first, with bonds, formal charges and added
    hydrogens, and with the SD properties smiles, mmff94s_energy (kcal/mol) and conformer. The output is the same
    whatever the number of processes.

    \b
    molgiae conformers molecules.smi -o conformers.sdf
    molgiae conformers library.csv.gz --number 50 --keep 10 --energy-window 10 -o library.sdf
    echo "CC(C)Cc1ccc(cc1)C(C)C(=O)O ibuprofen" | molgiae conformers - -o ibuprofen.sdf
    """
    if wants_parts(context.params):
        finish_shards(context, "conformers", inputs, "made", SHARED)
        return
    from molgiae.commands.conformers import generate_conformers
    from molgiae.data.molecule_files import Columns

    with resumable():
        summary = generate_conformers(
            inputs,
            output,
            given(ConformerSearch, context),
            format=format,
            columns=Columns(smiles_column, title_column),
            jobs=jobs,
            resume=resume,
            overwrite=overwrite,
            progress=not quiet,
            command=command_line(),
        )
    finish(context, summary.to_dict(), _described(summary), summary.rejected)


def _described(summary: GenerationSummary) -> list[str]:
    lines = [
        f"made {summary.conformers} conformers of {summary.written} of {summary.molecules} molecules "
        f"in {summary.seconds:.1f} s -> {summary.output}"
    ]
    if summary.found_finished:
        lines.append(FOUND_FINISHED)
    elif summary.resumed:
        lines.append(f"{summary.resumed} molecules were done by the run that was continued")
    if summary.extended:
        lines.append(
            f"{summary.extended} have a CXSMILES extension, read as RDKit does; coordinates and enhanced stereo groups "
            "in it play no part"
        )
    return [*lines, *rejected_lines(summary.reasons, summary.rejected_in)]
