"""Pretraining of autoencoders: its stages in turn, and the last one, the autoencoder itself.

An encoder that fixes the group action goes through all of them: those of its smooth parts (`smooth_stages`) and, with
all of that frozen and all canonical forms made once, the autoencoder. Others are trained whole, in the last stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from shutil import rmtree
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.data.partial import PartialFile
from molgiae.errors import ConfigError
from molgiae.model.architectures import CanonicalEncoder, build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud, pack
from molgiae.nn.nested import NestedEncoder, lossless
from molgiae.nn.slots import SlotPrediction
from molgiae.parallel import ranks
from molgiae.parallel.progress import progress_bar
from molgiae.training.batches import (
    EVALUATE_BATCH,
    SEED_STRIDE,
    by_size,
    distort,
    mean_over_pieces,
    padded,
    trimmed,
    whole,
)
from molgiae.training.components import start_from_components
from molgiae.training.loop import Metrics, Run, Stage, Trainer
from molgiae.training.losses import conditioning_loss, reconstruction_loss
from molgiae.training.property_stage import property_stage
from molgiae.training.smooth_stages import (
    SMOOTH_BATCH,
    atom_stage,
    features_stage,
    overlay_stage,
    shape_stage,
)
from molgiae.training.stream import Made
from molgiae.training.task import Data, Task, on_cpu

FORMS = "forms"
"""Directory in that of a run that keeps canonical forms of streamed conformers."""
PIECES = 8
"""Of a batch of the autoencoder, conformers of similar size in each."""
SMOOTH = (
    "features_dim", "overlay_dim", "color_dim", "shape_dim", "atom_width", "atom_layers", "atom_rounds",
    "property_width", "property_layers",
)  # fmt: skip
"""Fields of `ModelConfig` that smooth parts depend on."""


AGAIN = {"overlay": overlay_stage, "shape": shape_stage}
"""Smooth parts that no other part hangs on, by name, and what trains them."""


def train(
    data: Data,
    model_config: ModelConfig,
    config: TrainConfig,
    run: Run,
    resume: bool,
    start_from: Checkpoint[ConformerAutoencoder] | None = None,
    again: Sequence[str] = (),
) -> Metrics:
    """Train an autoencoder and keep the weights that are best on validation in ``model.safetensors``.

    Args:
        data: conformers.
        model_config: the network, which is enlarged to the elements and the largest conformer of the data.
        config: the recipe.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.
        start_from: a model whose smooth parts are taken as they are, so that detail and decoder alone are trained.
        again: of `AGAIN`, the smooth parts of that model that are trained on.

    Returns:
        validation metrics of the last evaluation, with "step" and "complete" (1.0 if all steps are done).

    Raises:
        ConfigError: if there are no conformers, or what is to be trained again is no such part.
        CheckpointError: if the run to resume was made with other settings.
    """
    for block, name in ((data.train, "training"), (data.validation, "validation")):
        if not len(block):
            raise ConfigError(f"no {name} conformers")
    torch.manual_seed(config.seed)
    if start_from is not None:
        smooth = {name: getattr(start_from.model.config, name) for name in SMOOTH}
        model_config = replace(model_config, **smooth)
    model = build(fitted(model_config, data)).to(run.device)
    if start_from is not None:
        take_smooth_parts(model, start_from.model)
    trainer = pretrainer(model, data, config, run, "" if start_from is None else start_from.sha256, again)
    if resume:
        trainer.resume()
    return trainer.fit()


def fitted(model: ModelConfig, data: Data) -> ModelConfig:
    """Return the configuration with room for every element and the largest conformer of the data.

    A nested code gets no more numbers than give all of these back.
    """
    blocks = data.train, data.validation
    elements = set(model.elements).union(*(np.unique(block.atomic_number).tolist() for block in blocks))
    largest = max(int(block.n_atoms.max()) for block in blocks)
    if data.stream is not None:
        elements, largest = elements.union(data.stream.elements), max(largest, data.stream.max_atoms)
    model = replace(model, elements=tuple(sorted(elements)), max_atoms=max(model.max_atoms, largest))
    if model.architecture != "nested":
        return model
    smooth = model.embedding_dim - model.parts[-1].size
    return replace(
        model, embedding_dim=min(model.embedding_dim, smooth + lossless(len(model.elements), model.max_atoms))
    )


def take_smooth_parts(model: ConformerAutoencoder, origin: ConformerAutoencoder) -> None:
    """Give a model the smooth parts of another.

    Raises:
        ConfigError: if the other has none, or the architecture of one knows none.
    """
    ours: Any
    theirs: Any
    ours, theirs = model.encoder, origin.encoder
    if len(origin.config.parts) == 1:
        raise ConfigError("the model to start from has no smooth parts")
    if len(model.config.parts) == 1:
        raise ConfigError(f"architecture {model.config.architecture} has no smooth parts to start from")
    for name in ("atoms", "features", "overlay", "shape", "labels", "properties"):
        if getattr(ours, name) is not None:
            getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())


def pretrainer(
    model: ConformerAutoencoder,
    data: Data,
    config: TrainConfig,
    run: Run,
    start_from: str = "",
    again: Sequence[str] = (),
) -> Trainer:
    """Return the run that trains a model, which is on its device; the run may be resumed with more steps.

    With the sha256 of a model whose smooth parts it has, `start_from`, only its last stage is run, and before it
    those of the parts to train `again`.

    Raises:
        ConfigError: if one of its stages has nothing to learn from.
    """
    stages = stages_of(model)
    if start_from:
        stages = [*(AGAIN[part] for part in AGAIN if part in again), stages[-1]]
    if unknown := set(again) - set(AGAIN if start_from else ()):
        raise ConfigError(
            f"{', '.join(sorted(unknown))} cannot be trained again; {', '.join(AGAIN)} of a model to start from can"
        )
    if overlay_stage in stages and data.overlays is None:
        raise ConfigError(
            "the overlay part learns from overlays: give --overlays, or --overlay-dim 0 and --color-dim 0"
        )
    task = Task(model, data, config, run)
    identity = {
        "training": {key: value for key, value in config.to_dict().items() if key != "steps"},
        "config": model.config.to_dict(),
        "data": [data.count, len(data.validation), *sorted(data.sha256.values())],
        "start_from": start_from,
    } | ({"again": sorted(again)} if again else {})
    return Trainer(model, [partial(make, task) for make in stages], config, run, identity)


def stages_of(model: ConformerAutoencoder) -> list[Callable[[Task], Stage]]:
    """Return what makes the stages that a model goes through, in turn."""
    encoder: Any = model.encoder
    if not getattr(encoder, "fixes_action", False):
        return [joint_stage]
    first = {
        "properties": property_stage,
        "atoms": atom_stage,
        "features": features_stage,
        "overlay": overlay_stage,
        "shape": shape_stage,
    }
    last = closing_stage if isinstance(encoder.slots, NestedEncoder) else canonical_stage
    return [*(make for part, make in first.items() if getattr(encoder, part) is not None), last]


def canonical_stage(task: Task) -> Stage:
    """Eta's detail and delta, on canonical forms that are made, distorted and given their smooth parts once."""
    model, config = task.model, task.config
    encoder: Any = model.encoder
    encoder.requires_grad_(False)
    encoder.slots.requires_grad_(True)
    forms = canonical_forms(task, task.data.train).to(task.run.device)
    noise = torch.Generator(task.run.device).manual_seed(config.seed)
    conformers = distort(forms, config.distortion, noise)
    smooth = smooth_parts(encoder, conformers, task.run.progress)
    sizes = conformers.mask.sum(dim=1)

    def decoded(z: Tensor, pos: Tensor, smooth: Tensor) -> tuple[Tensor, Tensor]:
        found = model.decoder(torch.cat([smooth, encoder.slots(z, pos)], dim=-1))
        return found.logits, found.pos

    def error_of(x: Cloud, smooth: Tensor) -> Tensor:
        found = SlotPrediction(*ranks.shared(decoded, x.z, x.pos, smooth))
        return reconstruction_loss(found, x, model.element, config.type_weight)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            return error_of(trimmed(conformers[piece]), smooth[piece])

        return mean_over_pieces(of_piece, index, sizes, PIECES)

    def begin() -> None:
        if task.data.stream is not None:  # those that another run may have left
            ranks.of_first(lambda: rmtree(task.run.directory / FORMS, ignore_errors=True))
        if config.components:
            start_from_components(encoder.slots, model.decoder, conformers)

    def streamed_loss(made: Made, generator: torch.Generator) -> Tensor:
        z, pos, parts = made

        def of_piece(piece: Tensor) -> Tensor:
            return error_of(trimmed(Cloud(z[piece], pos[piece])), parts[piece])

        return mean_over_pieces(of_piece, torch.arange(len(z), device=z.device), (z > 0).sum(dim=1), PIECES)

    parameters = [p for p in model.parameters() if p.requires_grad]
    if task.data.stream is not None:
        return task.streamed_stage(
            kept_forms(task), 1 + config.mirror, parameters, streamed_loss, begin=begin
        )
    return task.last_stage(len(conformers), parameters, loss, begin=begin)


def closing_stage(task: Task) -> Stage:
    """No steps: a nested code has no weights, so that the model is complete and only has to be validated and kept."""
    stage = task.last_stage(1, [], lambda index, noise: index.sum())
    return replace(stage, steps=0)


def kept_forms(task: Task) -> Callable[[int], Made]:
    """Return what makes canonical forms and smooth parts of a streamed chunk, once: a file of the run keeps them."""
    stream, config = task.data.stream, task.config
    assert stream is not None, "asked before"
    apart = replace(task, model=on_cpu(task.model), run=replace(task.run, device="cpu", progress=False))
    folder = task.run.directory / FORMS

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)  # a step asks for chunks when it needs them
    def made(k: int) -> Made:
        file = folder / f"{k}.pt"
        if file.exists():
            z, pos, smooth = torch.load(file, weights_only=True)
            return z.long(), pos, smooth
        noise = torch.Generator().manual_seed(config.seed * SEED_STRIDE + k)
        conformers = distort(canonical_forms(apart, stream.train(k), alone=True), config.distortion, noise)
        smooth = smooth_parts(apart.model.encoder, conformers, False, alone=True)
        if ranks.is_first():
            folder.mkdir(exist_ok=True)
            with PartialFile(file, overwrite=True).writing() as temporary:
                torch.save((conformers.z.to(torch.uint8), conformers.pos, smooth), temporary)
        return conformers.z, conformers.pos, smooth

    return made


@torch.no_grad()
def smooth_parts(encoder: CanonicalEncoder, conformers: Cloud, progress: bool, alone: bool = False) -> Tensor:
    """Return the smooth parts of many conformers, which come by size, side by side: (M, S).

    Ranks divide the work, unless each of them does it `alone`.
    """

    def of_batch(start: int) -> Tensor:
        x = trimmed(conformers[slice(start, start + SMOOTH_BATCH)])
        bar.update()
        return torch.cat([x.pos.new_empty(len(x), 0), *encoder.smooth(x.z, x.pos)], dim=-1).cpu()

    starts = range(0, len(conformers), SMOOTH_BATCH)
    with progress_bar(total=len(starts), desc="smooth parts", show=progress) as bar:
        return torch.cat(ranks.divided(of_batch, starts, alone)).to(conformers.pos.device)


def joint_stage(task: Task) -> Stage:
    """Everything at once, from conformers in any pose and order."""
    model, config = task.model, task.config
    conformers = task.conformers().to(task.run.device)

    def compared(z: Tensor, pos: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        prediction, target, vectors = model.prediction_and_target(Cloud(z, pos), config.tau)
        return prediction.logits, prediction.pos, target.z, target.pos, vectors

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        return error_of(conformers[index], generator)

    def error_of(conformers: Cloud, generator: torch.Generator) -> Tensor:
        x = trimmed(distort(conformers, config.distortion, generator))
        logits, pos, z, position, vectors = ranks.shared(compared, x.z, x.pos)
        prediction, target = SlotPrediction(logits, pos), Cloud(z, position)
        error = reconstruction_loss(prediction, target, model.element, config.type_weight)
        return error if vectors is None else error + config.frame_weight * conditioning_loss(vectors)

    if (stream := task.data.stream) is not None:

        def made(k: int) -> Made:
            x = whole(stream.train(k), model.config.max_atoms)
            return x.z, x.pos

        return task.streamed_stage(
            made, 1, list(model.parameters()), lambda made, noise: error_of(Cloud(*made), noise)
        )
    return task.last_stage(len(conformers), list(model.parameters()), loss)


@torch.no_grad()
def canonical_forms(task: Task, block: ConformerBlock, alone: bool = False) -> Cloud:
    """Return canonical forms of conformers, float32, padded to the slots; `alone` as of `smooth_parts`.

    They come by size. Mirror images of conformers are conformers as well, so if asked those are there, too.
    """
    block = by_size(block)
    signs = [1.0, -1.0] if task.config.mirror else [1.0]
    count = len(signs) * len(block)
    slots = task.model.config.max_atoms

    def of_batch(place: tuple[float, int]) -> Cloud:
        sign, start = place
        offset = block.offset[start : start + EVALUATE_BATCH + 1]
        atoms = slice(offset[0], offset[-1])
        x = pack(block.atomic_number[atoms], sign * block.position[atoms], offset - offset[0])
        bar.update(len(x))
        return padded(task.model.canonical(x), slots).to(dtype=torch.float32)

    places = [(sign, start) for sign in signs for start in range(0, len(block), EVALUATE_BATCH)]
    task.model.cpu()
    with progress_bar(total=count, desc="canonical forms", unit="conformer", show=task.run.progress) as bar:
        parts = ranks.divided(of_batch, places, alone)
    task.model.to(task.run.device)
    return Cloud(torch.cat([x.z for x in parts]), torch.cat([x.pos for x in parts]))
