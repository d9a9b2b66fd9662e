"""Commands about models: train, evaluate, inspect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molgiae.config import AUTO_MODEL, BATCH_SIZE, ModelConfig, TrainConfig

from .boundary import REJECTED
from .options import BatchSize, Device, DeviceName, Json, Model, Overwrite, Quiet

if TYPE_CHECKING:
    from molgiae.training import Metrics

MODEL, TRAIN = ModelConfig(), TrainConfig()


def pretrain(
    inputs: Annotated[
        list[str], typer.Argument(help="A QM9 npz file, or SDF, XYZ and HDF5 files.", show_default=False)
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Directory of the run.")] = "run",
    architecture: Annotated[
        str, typer.Option(help="slots, or appendix-d for the network of the paper.")
    ] = MODEL.architecture,
    embedding_dim: Annotated[
        int, typer.Option("--dim", min=1, help="Size of the embedding.")
    ] = MODEL.embedding_dim,
    shape_dim: Annotated[
        int, typer.Option(min=0, help="Numbers of its smooth shape part; 0 for none.")
    ] = MODEL.shape_dim,
    frame_width: Annotated[
        int,
        typer.Option(min=0, help="Features of the network of a learned frame; 0 for that of the bond graph."),
    ] = MODEL.frame_width,
    width: Annotated[int, typer.Option(min=1, help="Features of a hidden layer.")] = MODEL.width,
    layers: Annotated[
        int, typer.Option(min=1, help="Residual blocks of encoder and decoder.")
    ] = MODEL.layers,
    max_atoms: Annotated[int, typer.Option(min=1, help="Largest conformer.")] = MODEL.max_atoms,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the autoencoder.")] = TRAIN.steps,
    frame_steps: Annotated[
        int, typer.Option(min=1, help="Steps of the canonical frame.")
    ] = TRAIN.frame_steps,
    shape_steps: Annotated[
        int, typer.Option(min=1, help="Steps of the shape part, after those.")
    ] = TRAIN.shape_steps,
    atom_width: Annotated[
        int, typer.Option(min=0, help="Features of an atom in the network for properties; 0 for none.")
    ] = MODEL.atom_width,
    atom_steps: Annotated[int, typer.Option(min=1, help="Steps of that network.")] = TRAIN.atom_steps,
    batch_size: Annotated[int, typer.Option(min=1, help="Conformers in a step.")] = TRAIN.batch_size,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak learning rate.")] = TRAIN.learning_rate,
    distortion: Annotated[
        float, typer.Option(min=0, help="Largest random displacement of training atoms, angstrom.")
    ] = TRAIN.distortion,
    type_weight: Annotated[float, typer.Option(min=0, help="Weight of the atom types.")] = TRAIN.type_weight,
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="Learn canonical forms of mirror images, too.")
    ] = TRAIN.mirror,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = TRAIN.seed,
    device: Device = DeviceName.auto,
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 1000,
    minutes: Annotated[
        float | None,
        typer.Option(help="Save and end after this time, to be resumed.", show_default="no limit"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the directory.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an autoencoder on conformers; keeps the weights that are best on validation.

    Writes model.safetensors, metrics.csv, curve.png and last.pt (to resume from, to the step).

    \b
    molgiae pretrain qm9.npz conformers.sdf -o qm9 --steps 40000
    molgiae pretrain conformers.sdf more.xyz.gz -o mine --dim 128
    molgiae pretrain qm9.npz -o qm9 --steps 40000 --resume
    """
    from molgiae.commands.pretrain import pretrain as run

    model = ModelConfig(
        architecture=architecture,
        embedding_dim=embedding_dim,
        shape_dim=shape_dim,
        atom_width=atom_width,
        frame_width=frame_width,
        width=width,
        layers=layers,
        max_atoms=max_atoms,
    )
    config = TrainConfig(
        steps=steps,
        frame_steps=frame_steps,
        shape_steps=shape_steps,
        atom_steps=atom_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        distortion=distortion,
        type_weight=type_weight,
        mirror=mirror,
        seed=seed,
    )
    metrics = run(
        inputs,
        output,
        model,
        config,
        device=device.value,
        evaluate_every=evaluate_every,
        stop_after=None if minutes is None else 60 * minutes,
        resume=resume,
        progress=not quiet,
    )
    if as_json:
        typer.echo(json.dumps(metrics))
    rejected = int(metrics["rejected"])
    if not quiet:
        typer.echo(_outcome(metrics, output), err=True)
        if left_out := int(metrics["left_out"]):
            typer.echo(f"{left_out} conformers of validation and test molecules were left out", err=True)
        if rejected:
            typer.echo(f"{rejected} records rejected, listed in {Path(output) / 'rejected.csv'}", err=True)
    if rejected:
        raise typer.Exit(REJECTED)


def evaluate(
    data: Annotated[
        str, typer.Argument(help="A QM9 npz file, or an SDF, XYZ or HDF5 file.", show_default=False)
    ],
    model: Model = AUTO_MODEL,
    split: Annotated[str, typer.Option(help="Split of a QM9 npz file: train, validation or test.")] = "test",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="JSON file for the report.", show_default="none"),
    ] = None,
    conformers: Annotated[
        str | None,
        typer.Option(
            help="File with several conformers of each title, for distance fidelity and neighbours.",
            show_default="those of the data",
        ),
    ] = None,
    plots: Annotated[str | None, typer.Option(help="Directory for figures.", show_default="none")] = None,
    colour: Annotated[
        str | None,
        typer.Option(
            help="Property that colours the map of embeddings: a target of finetune, or a column of the data.",
            show_default="enthalpy of npz files",
        ),
    ] = None,
    device: Device = DeviceName.auto,
    batch_size: BatchSize = BATCH_SIZE,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a model: reconstruction, invariance, chirality, smoothness, fidelity, speed, beside dummies.

    Prints a table in markdown, or the whole report with --json.

    \b
    molgiae evaluate qm9.npz --split test -o report.json --plots figures
    molgiae evaluate conformers.sdf --model mine/model.safetensors
    molgiae evaluate conformers.sdf --plots figures --colour energy
    """
    from molgiae.commands.evaluate import evaluate as run
    from molgiae.data.partial import PartialFile
    from molgiae.evaluation.plots import plots as draw

    file = PartialFile(output, overwrite=overwrite) if output else None
    report = run(
        data,
        model,
        split=split,
        conformers=conformers,
        colour=colour,
        device=device.value,
        batch_size=batch_size,
        progress=not quiet,
    )
    if file:
        with file.writing() as temporary:
            report.save(temporary)
    if plots:
        draw(report, plots)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    elif not quiet:
        typer.echo(report.table())


def info(
    file: Annotated[
        str,
        typer.Argument(help="An HDF5 file of molgiae, a checkpoint, or a shipped model.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Say what is in an HDF5 file or a checkpoint.

    \b
    molgiae info conformers.h5
    molgiae info qm9
    """
    from molgiae.commands.info import describe

    content = describe(file)
    typer.echo(json.dumps(content) if as_json else "\n".join(_lines(content)))


COMMANDS = (pretrain, evaluate, info)


def _outcome(metrics: Metrics, directory: str) -> str:
    if not metrics.get("complete"):
        return f"stopped at step {metrics.get('step', 0):.0f}; continue with --resume"
    rmsd, types = metrics["rmsd_mean"], metrics["type_accuracy"]
    model = Path(directory) / "model.safetensors"
    return f"validation: mean RMSD {rmsd:.4f} A, atom types {100 * types:.3f} % -> {model}"


def _lines(content: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines
