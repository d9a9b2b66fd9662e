"""molgiae report: a page of HTML about embedded conformers."""

from __future__ import annotations

from typer import Context, Option

from molgiae.config import AUTO_MODEL, BATCH_SIZE

from .options import (
    AllowRejected,
    BatchSize,
    Device,
    Format,
    Inputs,
    Json,
    Model,
    OnError,
    Output,
    Overwrite,
    Quiet,
    Threads,
    run_options,
)
from .printing import finish_run


def report(
    context: Context,
    inputs: Inputs,
    output: Output = None,
    tsne: bool = Option(
        False, "--tsne", help="Add maps by t-SNE of the principal components, which takes longer."
    ),
    part: str | None = Option(
        None, help="Part of the embedding that is clustered and mapped first.", show_default="features"
    ),
    colour: str = Option("atoms", help="What colours the maps at first, a name of their menu."),
    k: int | None = Option(None, "-k", min=1, help="So many clusters, by k-means.", show_default="HDBSCAN"),
    min_size: int | None = Option(
        None,
        min=2,
        help="Least members of a cluster of HDBSCAN.",
        show_default="5, or 0.5 % of the conformers",
    ),
    sample: int = Option(20_000, min=1, help="Conformers on the page at most, drawn at random of more."),
    seed: int = Option(0, min=0, help="Of what is drawn, of k-means and t-SNE."),
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
    """Make a page of HTML, one file to open without a network, that shows conformers and their embeddings.

    On it are maps of the embedding, coloured by any property, where a click shows the molecule; distributions; clusters
    and their representatives; the worst reconstructions; rejected records; model and provenance. One HDF5 file of
    molgiae embed or reconstruct is taken as it is; all else is embedded and reconstructed first.

    \b
    molgiae report conformers.sdf -o report.html
    molgiae report conformers.h5 --tsne --colour energy
    """
    from molgiae.commands.report import report as run

    result = run(
        inputs,
        run_options(context),
        part=part,
        tsne=tsne,
        k=k,
        min_size=min_size,
        colour=colour,
        sample=sample,
        seed=seed,
    )
    finish_run(context, result, "reported")
