"""molgiae evaluate: what a model is worth."""

from __future__ import annotations

import json

from typer import Argument, Option, echo

from molgiae.config import AUTO_MODEL, BATCH_SIZE
from molgiae.plots import FigureFormat

from .options import BatchSize, Device, Json, Model, Overwrite, Quiet, Threads


def evaluate(
    data: str = Argument(help="A QM9 npz file, or an SDF, XYZ or HDF5 file.", show_default=False),
    model: Model = AUTO_MODEL,
    split: str = Option("test", help="Split of a QM9 npz file: train, validation or test."),
    output: str | None = Option(None, "--output", "-o", help="JSON file for the report."),
    conformers: str | None = Option(
        None,
        help="File with several conformers of each title, for distance fidelity and neighbours.",
        show_default="those of the data",
    ),
    plots: str | None = Option(None, help="Directory for figures; needs matplotlib."),
    figure_format: FigureFormat = Option("png", help="Of the figures: png, svg or pdf."),
    colour: str | None = Option(
        None,
        help="Property that colours the map of embeddings: a target of finetune, or a column of the data.",
        show_default="enthalpy of npz files",
    ),
    target: list[str] | None = Option(
        None,
        "--target",
        "-t",
        help="Property to learn from the embedding with few labels: a target of finetune, or a column; repeatable.",
        show_default=False,
    ),
    table: str | None = Option(None, help="CSV file of its values, a row for each title."),
    labels: list[int] | None = Option(
        None, min=10, help="Training labels, of data with a split; repeatable.", show_default="1000, 1725"
    ),
    pairs: int = Option(1000, min=2, help="Random pairs of conformers for exact overlays."),
    top: bool = Option(
        False, "--top", help="Look for the best exact overlays among thousands; takes minutes."
    ),
    device: Device = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a model: reconstruction, invariance, chirality, smoothness, fidelity and speed, beside baselines.

    Prints a table in markdown, or the whole report with --json.

    \b
    molgiae evaluate qm9.npz --split test -o report.json --plots figures
    molgiae evaluate conformers.sdf --model mine/model.safetensors
    molgiae evaluate conformers.sdf --plots figures --colour energy
    molgiae evaluate qm9.npz --target H --target gap --pairs 20000 --top
    """
    from molgiae.commands.evaluate import evaluate as run
    from molgiae.data.partial import PartialFile
    from molgiae.evaluation.plots import plots as draw
    from molgiae.evaluation.sections import Settings
    from molgiae.plots import blank

    if plots:
        blank()  # not after minutes of measuring

    file = PartialFile(output, overwrite=overwrite) if output else None
    report = run(
        data,
        model,
        split=split,
        conformers=conformers,
        colour=colour,
        targets=target or (),
        table=table,
        settings=Settings(overlay_pairs=pairs, search=top, **({"labels": tuple(labels)} if labels else {})),
        device=device,
        batch_size=batch_size,
        progress=not quiet,
    )
    if file:
        with file.writing() as temporary:
            report.save(temporary)
    if plots:
        draw(report, plots, figure_format)
    if as_json:
        echo(json.dumps(report.to_dict()))
    elif not quiet:
        echo(report.table())
