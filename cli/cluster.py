"""molgiae cluster: clusters of conformers, their representatives and populations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from typer import Context, Option, echo

from molgiae.config import AUTO_MODEL, BATCH_SIZE, TEMPERATURE, parse_ignored

from .options import (
    AllowReflection,
    AllowRejected,
    BatchSize,
    Device,
    EnergyUnit,
    Format,
    Heavy,
    Ignore,
    Inputs,
    Json,
    MatchKnown,
    Model,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Temperature,
    Threads,
    run_options,
)
from .printing import columns, finish, rejected_lines

if TYPE_CHECKING:
    from molgiae.commands.clustered import Clustering

SHOWN_CLUSTERS, SHOWN_TITLE = 10, 40
"""Clusters that are shown, and characters of their titles."""


def cluster(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    table: str | None = Option(
        None, help="CSV, JSON or HDF5 table of clusters.", show_default="OUTPUT_clusters.csv"
    ),
    representatives: str | None = Option(
        None, help="File of the representatives alone: SDF, XYZ, CSV or HDF5.", show_default=False
    ),
    by: Literal["rmsd", "shape", "overlay", "features"] = Option(
        "rmsd", help="RMSD, within each molecule, or a part of the embedding, over all conformers."
    ),
    threshold: float | None = Option(
        None,
        "--threshold",
        "-t",
        min=0,
        help="By rmsd: radius of clusters (Butina), angstrom.",
        show_default="1.0",
    ),
    k: int | None = Option(
        None, "-k", min=1, help="By embeddings: so many clusters, by k-means.", show_default="HDBSCAN"
    ),
    min_size: int | None = Option(
        None, min=2, help="By embeddings: least members of a cluster of HDBSCAN.", show_default="5"
    ),
    seed: int = Option(0, min=0, help="Of k-means."),
    heavy: Heavy = False,
    match: MatchKnown = None,
    allow_reflection: AllowReflection = False,
    ignore: Ignore = "",
    energy: str | None = Option(
        None,
        help="Property of the records that holds the energies, for populations and representatives. energy also finds "
        "what CREST, GOAT, xtb and ORCA write into XYZ comments.",
        show_default="shares of conformers, and medoids",
    ),
    energy_unit: EnergyUnit = None,
    temperature: Temperature = TEMPERATURE,
    model: Model = AUTO_MODEL,
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    format: Format = None,
    on_error: OnError = "skip",
    overwrite: Overwrite = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Cluster conformers, and tell the population and the representative of every cluster.

    Learn properties from features; compare any two molecules by overlay and color; compare conformers of one molecule
    by shape, whose distances are RMSDs. Between different formulas distances of shape are no RMSDs, and distances of
    detail, and so of whole embeddings, mean nothing anywhere.

    By rmsd the conformers of each molecule are clustered by symmetry-corrected RMSD (Butina); by a part of their
    embeddings all conformers are, by density (HDBSCAN) or into -k clusters (k-means). Records are written as they were
    read, with the number of their cluster, 0 for none, and whether they represent it: the one of lowest energy, or the
    medoid. HDF5 files of molgiae embed are taken as they are.

    \b
    molgiae cluster ensemble.sdf -o clustered.sdf --representatives few.sdf
    molgiae cluster crest_conformers.xyz --threshold 0.5 --energy energy
    molgiae cluster library.h5 --by features -k 20 -o clustered.csv
    """
    from molgiae.commands.cluster import cluster as run

    result = run(
        inputs,
        run_options(context),
        by=by,
        threshold=threshold,
        k=k,
        min_size=min_size,
        seed=seed,
        heavy=heavy,
        match=match,
        allow_reflection=allow_reflection,
        ignore=parse_ignored(ignore),
        energy=energy,
        energy_unit=energy_unit,
        temperature=temperature,
        table=table,
        representatives=representatives,
    )
    if not (as_json or quiet):
        echo(_table(result))
    finish(context, result.to_dict(), _described(result), result.rejected)


def _table(result: Clustering) -> str:
    energies = any(row.relative_energy is not None for row in result.clusters)
    rows = [
        ("cluster", "size", "population", "radius", "record", "title", *(["kcal/mol"] if energies else []))
    ]
    for row in result.clusters[:SHOWN_CLUSTERS]:
        shown = (f"{row.population:.4f}", f"{row.radius:.4g}", str(row.record), row.title[:SHOWN_TITLE])
        energy = [] if row.relative_energy is None else [f"{row.relative_energy:.3f}"]
        rows.append((str(row.cluster), str(row.size), *shown, *energy))
    others = len(result.clusters) - SHOWN_CLUSTERS
    return columns(rows) + (f"\n... and {others} more" if others > 0 else "")


def _described(result: Clustering) -> list[str]:
    files = ", ".join(name for name in (result.output, result.table, result.representatives) if name)
    of = f" of {result.molecules} molecules" if result.molecules > 1 else ""
    lines = [
        f"{len(result.clusters)} clusters of {result.written} conformers{of}, in {result.seconds:.1f} s -> {files}"
    ]
    if result.out_of_domain:
        lines.append(f"{result.out_of_domain} are outside of what model {result.model} was trained on")
    return [*lines, *result.notes, *rejected_lines(result.reasons, result.rejected_in)]
