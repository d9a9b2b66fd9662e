"""The stages of pretraining: what each draws its batches from, what it trains, and by which loss.

An encoder that fixes the group action goes through all of them: a frame that holds still, a shape part whose
distances are symmetric RMSDs, and, with both frozen and all canonical forms made once, the autoencoder. Other
encoders are trained whole, in the last stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from molgiae.autoencoder import ConformerAutoencoder
from molgiae.clouds import Cloud, batches
from molgiae.config import TrainConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.losses import conditioning_loss, frame_loss, reconstruction_loss, shape_loss
from molgiae.training.batches import distort, padded, trimmed, whole
from molgiae.training.pairs import conformer_pairs
from molgiae.training.run import Data, Run

EVALUATE_BATCH = 1024
FRAME_CONFORMERS = 50_000
"""Training conformers the frame is trained on; its few weights need no more."""

FRAME_BATCH = 128

Loss = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class Stage:
    """A stretch of training with its own parameters and loss.

    Attributes:
        name: "frame", "shape" or "autoencoder"; only the last follows bfloat16.
        steps: how many.
        size: of what batches are drawn from.
        parameters: what is trained.
        loss: of a batch, given places (b,) on the device of the run.
    """

    name: str
    steps: int
    size: int
    parameters: list[nn.Parameter]
    loss: Loss


@dataclass(frozen=True)
class Task:
    """What the makers of stages need.

    Attributes:
        model: on the device of the run.
        data: conformers.
        config: the recipe.
        run: where and how.
    """

    model: ConformerAutoencoder
    data: Data
    config: TrainConfig
    run: Run


def stages_of(model: ConformerAutoencoder, reused: bool) -> list[Callable[[Task], Stage]]:
    """What makes the stages that a model goes through, in turn.

    Args:
        model: to be trained.
        reused: whether frame and shape part are trained already.
    """
    if not getattr(model.encoder, "fixes_action", False):
        return [joint_stage]
    first = {"frame": frame_stage, "shape": shape_stage}
    learned = (
        [] if reused else [stage for part, stage in first.items() if getattr(model.encoder, part) is not None]
    )
    return [*learned, canonical_stage]


def reuse(model: ConformerAutoencoder, other: ConformerAutoencoder) -> None:
    """Take over frame and shape part of a trained model, so that shape parts of both can be compared.

    Raises:
        ConfigError: if one of the two has no such parts, or of another size.
    """
    for part in ("frame", "shape"):
        mine, theirs = getattr(model.encoder, part, None), getattr(other.encoder, part, None)
        try:
            if mine is not None:
                mine.load_state_dict(nn.Module().state_dict() if theirs is None else theirs.state_dict())
        except RuntimeError:
            raise ConfigError(
                f"the model to reuse has no {part} part of this size; give it the same shape_dim, "
                "shape_width and frame_width"
            ) from None


def frame_stage(task: Task) -> Stage:
    """Mu of SO(3), see `molgiae.losses.frame_loss`."""
    frame: Any = task.model.encoder.frame
    train = task.data.train
    some = np.random.default_rng(task.config.seed).permutation(len(train))[:FRAME_CONFORMERS]
    conformers = whole(train.take(np.sort(some)), task.model.config.max_atoms).to(task.run.device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        return frame_loss(frame, trimmed(conformers[index[:FRAME_BATCH]]), task.config.frame_noise, generator)

    return Stage("frame", task.config.frame_steps, len(conformers), list(frame.parameters()), loss)


def shape_stage(task: Task) -> Stage:
    """The shape part of eta, see `molgiae.losses.shape_loss`: two pairs for each conformer that is distorted."""
    shape: Any = task.model.encoder.shape
    pairs, rmsd = conformer_pairs(
        task.data.train, task.config.seed, task.run.directory / "pairs.npz", task.run.progress
    )
    conformers = whole(task.data.train, task.model.config.max_atoms).to(task.run.device)
    ends = torch.from_numpy(pairs).to(task.run.device)
    target = torch.from_numpy(rmsd).float().to(task.run.device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        alone = trimmed(conformers[index[: max(len(index) // 8, 1)]])
        if not len(ends):
            return shape_loss(shape, alone, None, target, generator)
        size = (max(len(index) // 4, 1),)
        chosen = torch.randint(len(ends), size, generator=generator, device=task.run.device)
        together = trimmed(conformers[ends[chosen].flatten()])
        return shape_loss(shape, alone, together, target[chosen], generator)

    return Stage("shape", task.config.shape_steps, len(conformers), list(shape.parameters()), loss)


def canonical_stage(task: Task) -> Stage:
    """Eta's detail and delta, on canonical forms that are made once."""
    model, config = task.model, task.config
    for network in (model.encoder.frame, model.encoder.shape):
        if network is not None:
            network.requires_grad_(False)
    conformers = canonical_forms(task).to(task.run.device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        x = distort(conformers[index], config.distortion, generator)
        prediction = model.decoder(model.encoder.invariant(None, x))
        return reconstruction_loss(prediction, x, model.element, config.type_weight)

    parameters = [p for p in model.parameters() if p.requires_grad]
    return Stage("autoencoder", config.steps, len(conformers), parameters, loss)


def joint_stage(task: Task) -> Stage:
    """Everything at once, from conformers in any pose and order."""
    model, config = task.model, task.config
    conformers = whole(task.data.train, model.config.max_atoms).to(task.run.device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        x = trimmed(distort(conformers[index], config.distortion, generator))
        prediction, target, vectors = model.prediction_and_target(x, config.tau)
        error = reconstruction_loss(prediction, target, model.element, config.type_weight)
        return error + config.frame_weight * conditioning_loss(vectors)

    return Stage("autoencoder", config.steps, len(conformers), list(model.parameters()), loss)


@torch.no_grad()
def canonical_forms(task: Task) -> Cloud:
    """Canonical forms of all training conformers, float32, padded to the slots of the model."""
    block: ConformerBlock = task.data.train
    bar = tqdm(total=len(block), desc="canonical forms", unit="conformer", disable=not task.run.progress)
    parts = []
    task.model.cpu()
    for cloud in batches(block.atomic_number, block.position, block.offset, EVALUATE_BATCH):
        part = padded(task.model.canonical(cloud), task.model.config.max_atoms)
        parts.append((part.z, part.pos.float()))
        bar.update(len(cloud))
    bar.close()
    task.model.to(task.run.device)
    return Cloud(torch.cat([z for z, _ in parts]), torch.cat([pos for _, pos in parts]))
