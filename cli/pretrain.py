"""molgiae pretrain: autoencoders trained on conformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from molgiae.config import ModelConfig, TrainConfig

from .options import Device, Json, Minutes, Quiet, Resume, given
from .printing import finish

if TYPE_CHECKING:
    from molgiae.training import Metrics

MODEL, TRAIN = ModelConfig(), TrainConfig()


def pretrain(
    context: typer.Context,
    inputs: Annotated[
        list[str], typer.Argument(help="A QM9 npz file, or SDF, XYZ and HDF5 files.", show_default=False)
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Directory of the run.")] = "run",
    architecture: Annotated[
        str, typer.Option(help="slots, or appendix-d for the network of the paper.")
    ] = MODEL.architecture,
    embedding_dim: Annotated[
        int, typer.Option("--dim", min=1, help="Dimensions of the embedding.")
    ] = MODEL.embedding_dim,
    shape_dim: Annotated[
        int, typer.Option(min=0, help="Dimensions of its smooth shape part; 0 for none.")
    ] = MODEL.shape_dim,
    frame_width: Annotated[
        int,
        typer.Option(min=0, help="Features of the network that learns a frame; 0 to span it by the bonds."),
    ] = MODEL.frame_width,
    width: Annotated[int, typer.Option(min=1, help="Features of a hidden layer.")] = MODEL.width,
    layers: Annotated[
        int, typer.Option(min=1, help="Residual blocks of the encoder, and of the decoder.")
    ] = MODEL.layers,
    max_atoms: Annotated[int, typer.Option(min=1, help="Atoms of the largest conformer.")] = MODEL.max_atoms,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the autoencoder.")] = TRAIN.steps,
    frame_steps: Annotated[
        int, typer.Option(min=1, help="Steps of a learned frame, before.")
    ] = TRAIN.frame_steps,
    shape_steps: Annotated[
        int, typer.Option(min=1, help="Steps of the shape part, afterwards.")
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
    type_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the atom types in the loss.")
    ] = TRAIN.type_weight,
    mirror: Annotated[
        bool, typer.Option("--mirror/--no-mirror", help="Learn canonical forms of mirror images, too.")
    ] = TRAIN.mirror,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = TRAIN.seed,
    device: Device = "auto",
    evaluate_every: Annotated[int, typer.Option(min=1, help="Steps between validations.")] = 1000,
    minutes: Minutes = None,
    resume: Resume = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an autoencoder on conformers; keeps the weights that are best on validation.

    Writes model.safetensors, metrics.csv, curve.png and last.pt, from which a run is resumed to the step.

    \b
    molgiae pretrain qm9.npz conformers.sdf -o qm9 --steps 40000
    molgiae pretrain conformers.sdf more.xyz.gz -o mine --dim 128
    molgiae pretrain qm9.npz -o qm9 --steps 40000 --resume
    """
    from molgiae.commands.pretrain import pretrain as run

    metrics = run(
        inputs,
        output,
        given(ModelConfig, context),
        given(TrainConfig, context),
        device=device,
        evaluate_every=evaluate_every,
        stop_after=None if minutes is None else 60 * minutes,
        resume=resume,
        progress=not quiet,
    )
    finish(context, metrics, _described(metrics, Path(output)), int(metrics["rejected"]))


def _described(metrics: Metrics, directory: Path) -> list[str]:
    lines = [f"stopped at step {metrics.get('step', 0):.0f}; continue with --resume"]
    if metrics.get("complete"):
        rmsd, types = metrics["rmsd_mean"], 100 * metrics["type_accuracy"]
        model = directory / "model.safetensors"
        lines = [f"validation: mean RMSD {rmsd:.4f} A, atom types {types:.3f} % -> {model}"]
    if left_out := int(metrics["left_out"]):
        lines.append(f"{left_out} conformers of validation and test molecules were left out")
    if rejected := int(metrics["rejected"]):
        lines.append(f"{rejected} records rejected, listed in {directory / 'rejected.csv'}")
    return lines
