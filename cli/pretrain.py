"""molgiae pretrain: autoencoders trained on conformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer import Argument, Context, Option

from molgiae.config import ModelConfig, TrainConfig

from .options import AllowRejected, Device, Json, Minutes, Quiet, Resume, Threads, given
from .printing import finish

if TYPE_CHECKING:
    from molgiae.training import Metrics

MODEL, TRAIN = ModelConfig(), TrainConfig()


def pretrain(
    context: Context,
    inputs: list[str] = Argument(help="A QM9 npz file, or SDF, XYZ and HDF5 files.", show_default=False),
    output: str = Option("run", "--output", "-o", help="Directory of the run."),
    architecture: str = Option(
        MODEL.architecture,
        help="slots, nested, learned or appendix-d; docs/pages/guides/pretrain.md says what they are.",
    ),
    embedding_dim: int = Option(MODEL.embedding_dim, "--dim", min=1, help="Dimensions of the embedding."),
    features_dim: int = Option(
        MODEL.features_dim, min=0, help="Dimensions of its features part; 0 for none."
    ),
    overlay_dim: int = Option(
        MODEL.overlay_dim, min=0, help="Dimensions of its overlay part; needs --overlays."
    ),
    color_dim: int = Option(
        MODEL.color_dim, min=0, help="Dimensions of its color part; goes with the overlay part."
    ),
    shape_dim: int = Option(MODEL.shape_dim, min=0, help="Dimensions of its shape part; 0 for none."),
    width: int = Option(MODEL.width, min=1, help="Features of a hidden layer."),
    layers: int = Option(MODEL.layers, min=1, help="Residual blocks of the encoder, and of the decoder."),
    max_atoms: int = Option(MODEL.max_atoms, min=1, help="Atoms of the largest conformer."),
    atom_width: int = Option(
        MODEL.atom_width, min=0, help="Features of an atom in the network of atoms; 0 for none."
    ),
    property_width: int = Option(
        MODEL.property_width,
        min=0,
        help="Features of an atom in the network that finetune starts from; 0 for none.",
    ),
    property_layers: int = Option(
        MODEL.property_layers, min=1, help="Its rounds of messages between all atoms."
    ),
    labels: list[str] = Option(
        [], help="npz file of cheap labels (molgiae label) that the network of atoms learns from, too."
    ),
    overlays: list[str] = Option([], help="npz file of overlays that the overlay part learns from."),
    start_from: str | None = Option(
        None, help="Model whose smooth parts are taken as they are; only detail and decoder are trained."
    ),
    again: list[str] = Option(
        [], help="Part of the model of --start-from that is trained further: shape or overlay; repeatable."
    ),
    teach: str | None = Option(
        None,
        help="Model whose network that finetune starts from is trained on, by inputs that are npz files of molgiae "
        "label; its embedding stays.",
    ),
    property_steps: int = Option(
        TRAIN.property_steps, min=1, help="Steps of the network that finetune starts from."
    ),
    property_batch: int = Option(
        TRAIN.property_batch, "--property-batch-size", min=1, help="Conformers in one of them."
    ),
    atom_steps: int = Option(
        TRAIN.atom_steps, min=1, help="Steps of the network of atoms and the features part."
    ),
    overlay_steps: int = Option(
        TRAIN.overlay_steps, min=1, help="Steps of the overlay and color parts, after these."
    ),
    shape_steps: int = Option(TRAIN.shape_steps, min=1, help="Steps of the shape part, after these."),
    steps: int = Option(TRAIN.steps, min=1, help="Steps of the autoencoder."),
    batch_size: int = Option(TRAIN.batch_size, min=1, help="Conformers in a step."),
    learning_rate: float = Option(TRAIN.learning_rate, "--lr", help="Peak learning rate."),
    distortion: float = Option(TRAIN.distortion, min=0, help="Largest random displacement, angstrom."),
    type_weight: float = Option(TRAIN.type_weight, min=0, help="Weight of the atom types in the loss."),
    mirror: bool = Option(
        TRAIN.mirror, "--mirror/--no-mirror", help="Learn canonical forms of mirror images, too."
    ),
    seed: int = Option(TRAIN.seed, help="Seed of everything random."),
    device: Device = "auto",
    evaluate_every: int = Option(1000, min=1, help="Steps between validations."),
    minutes: Minutes = None,
    resume: Resume = False,
    threads: Threads = None,
    allow_rejected: AllowRejected = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an autoencoder on conformers; keeps the weights that are best on validation.

    Writes model.safetensors, metrics.csv, curve.png and last.pt, from which a run is resumed to the step.

    \b
    molgiae pretrain qm9.npz conformers.sdf -o qm9 --steps 40000
    molgiae pretrain conformers.sdf more.xyz.gz -o mine --dim 128
    molgiae pretrain qm9.npz -o qm9 --steps 40000 --resume
    molgiae pretrain mine.sdf --start-from drug -o mine --architecture nested --dim 812 --max-atoms 128
    molgiae pretrain mine.sdf --start-from drug -o mine --dim 640
    molgiae pretrain mine.sdf --start-from drug --again shape -o mine --dim 640 --shape-steps 2000
    molgiae pretrain labels.npz more.npz --teach drug -o taught --property-steps 5000
    molgiae pretrain zinc.sdf --labels labels.npz --overlays overlays.npz --overlay-dim 48 --dim 384
    """
    from molgiae.commands.pretrain import pretrain as run
    from molgiae.commands.pretrain import teach as run_teaching

    where: dict[str, Any] = {
        "device": device,
        "evaluate_every": evaluate_every,
        "stop_after": None if minutes is None else 60 * minutes,
        "resume": resume,
        "progress": not quiet,
    }
    if teach is not None:
        metrics = run_teaching(inputs, output, teach, given(TrainConfig, context), **where)
        finish(context, metrics, _taught(metrics, Path(output)), 0)
        return
    metrics = run(
        inputs,
        output,
        given(ModelConfig, context),
        given(TrainConfig, context),
        **where,
        labels=labels,
        overlays=overlays,
        start_from=start_from,
        again=again,
    )
    finish(context, metrics, _described(metrics, Path(output)), int(metrics["rejected"]))


def _taught(metrics: Metrics, directory: Path) -> list[str]:
    from molgiae.training.teaching import UNITS

    if not metrics.get("complete"):
        return [f"stopped at step {metrics.get('step', 0):.0f}; continue with --resume"]
    errors = ", ".join(f"{name} {metrics[name]:.3g} {unit}" for name, unit in UNITS.items())
    return [f"validation, mean absolute errors: {errors} -> {directory / 'model.safetensors'}"]


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
