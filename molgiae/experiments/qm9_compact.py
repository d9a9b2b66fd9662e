"""Few numbers for a molecule: searches for what embeds to them, begun where a denoising network says.

Thirty-two numbers leave so much open that what is decoded from them is a mean of many molecules, with bonds too long
and too short; a search for what embeds to them (`molgiae.model.refined`) that begins there ends, for every second one,
at another molecule. A network that learned to remove noise from canonical forms, given the embedding
(`molgiae.nn.denoiser`), draws molecules instead: in steps from noise to none, each of which is corrected by the encoder
so that what is expected embeds to the given numbers (guidance by the measurement, as of Chung et al., ICLR 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.config import TrainConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.experiments import Setting, both, sized
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud, squared_deviation
from molgiae.model.embedder import Embedder
from molgiae.model.refined import refined, toward
from molgiae.nn.denoiser import SPREAD, Denoiser
from molgiae.tensors import Embedding, Positions
from molgiae.training.batches import EVALUATE_BATCH, distort, drawn, trimmed, whole
from molgiae.training.loop import Run, Stage, Trainer
from molgiae.training.pretraining import canonical_forms
from molgiae.training.task import Data, Task

CENTRE, WIDTH = -0.6, 1.0
"""Of the logarithm of the noise in training, over `SPREAD`: mean and standard deviation."""

FIRST, LAST, STEPS = 1.0, 0.05, 10
"""Noise of a sample, over `SPREAD`, from the first to the last of its steps."""

TOLERANCE = 0.1
"""Square of how far an embedding may be off for every angstrom that an atom is moved, where a step is corrected."""


@dataclass(frozen=True)
class Config:
    """Sizes of the denoising network and of its training."""

    steps: int = sized(8000, fast=20)
    batch_size: int = sized(128, fast=16)  # canonical forms in a step
    learning_rate: float = 2e-3  # its peak
    width: int = sized(128, fast=16)  # features of an atom
    layers: int = sized(3, fast=1)  # rounds of attention


CONFIG, FAST = both(Config)


def denoiser(checkpoint: Path, data: Data, recipe: TrainConfig, config: Config, setting: Setting) -> Denoiser:
    """Train a denoising network for an autoencoder, or go on with it if it was cut off.

    Args:
        checkpoint: of the autoencoder, of architecture "slots" without smooth parts.
        data: what that has learned from.
        recipe: how it has.
        config: sizes.
        setting: where and how.
    """
    embedder = Embedder(str(checkpoint), device="cpu")
    model = embedder.model
    task = Task(model, data, recipe, Run(checkpoint.parent, progress=setting.progress))
    torch.manual_seed(setting.seed)
    sizes = model.config.elements, model.config.max_atoms, model.config.embedding_dim
    network = Denoiser(*sizes, config.width, config.layers).to(setting.device)
    run = Run(checkpoint.parent / "denoiser", device=setting.device, progress=setting.progress)
    settings = TrainConfig(
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        steps=config.steps,
        distortion=recipe.distortion,
        ema=0.998,
        seed=setting.seed,
    )
    identity = {
        "training": settings.to_dict(),
        "sizes": [config.width, config.layers],
        "autoencoder": embedder.checkpoint.sha256,
    }
    trainer = Trainer(network, [partial(_stage, network, task, settings, run)], settings, run, identity)
    trainer.resume()
    trainer.fit()
    found = trainer.mean.module
    assert isinstance(found, Denoiser), "a copy of the network"
    return found.cpu().eval().requires_grad_(False)


def _stage(network: Denoiser, task: Task, config: TrainConfig, run: Run) -> Stage:
    """Return the only stage: canonical forms, distorted anew in every step, with noise on top."""
    forms, model = canonical_forms(task, task.data.train).to(run.device), task.model.to(run.device)
    encoder = model.encoder.slots

    def loss(step: int) -> Tensor:
        index, generator = drawn(len(forms), config.batch_size, config.seed, step, run.device)
        x = trimmed(distort(forms[index], config.distortion, generator))
        with torch.no_grad():
            code = encoder(x.z, x.pos)
            decoded = model.decode(code).pos[:, : x.z.shape[1]] * x.mask[..., None]
        scale = torch.randn(len(x), generator=generator, device=run.device)
        noise = torch.exp(CENTRE + WIDTH * scale)
        random = torch.randn(x.pos.shape, generator=generator, device=run.device) * x.mask[..., None]
        found = network(x.z, x.pos + SPREAD * noise[:, None, None] * random, decoded, code, noise)
        weight = (1 + noise**-2)[:, None, None] / SPREAD**2
        return (weight * (found - x.pos).square()).sum() / (3 * x.mask.sum())

    steps, every = config.steps, max(config.steps // 40, 1)
    return Stage("denoiser", steps, [(list(network.parameters()), 1.0)], loss, steps / 20, config.clip, every)


def sample(
    model: ConformerAutoencoder, network: Denoiser, decoded: Cloud, code: Embedding, seed: int
) -> Positions:
    """Draw positions (B, S, 3) that embed about as asked; conformers of a batch do not depend on one another.

    Args:
        model: the autoencoder.
        network: the denoising network for it.
        decoded: (B, S) of the embeddings, what a search would begin at otherwise.
        code: (B, D) embeddings.
        seed: of the noise.
    """
    x = trimmed(decoded)
    z, slots, count = x.z, decoded.z.shape[1], x.z.shape[1]
    start = x.pos * x.mask[..., None]
    random = torch.randn(slots, 3, generator=torch.Generator().manual_seed(seed))[:count]
    levels = torch.exp(torch.linspace(math.log(FIRST), math.log(LAST), STEPS)).tolist()
    pos = start + SPREAD * FIRST * random.to(start) * x.mask[..., None]
    for level, then in zip(levels, [*levels[1:], 0.0], strict=True):
        expected = network(z, pos, start, code, start.new_full((len(z),), level))
        expected = toward(model.encoder.slots, z, expected, code, TOLERANCE)
        pos = expected + (pos - expected) * (then / level)
    return torch.nn.functional.pad(pos, (0, 0, 0, slots - count))


@torch.no_grad()
def errors(checkpoint: Path, network: Denoiser, block: ConformerBlock) -> NDArray[np.float64]:
    """Return the RMSD as predicted, angstrom, of conformers that are searched for from samples."""
    model = Embedder(str(checkpoint), device="cpu").model
    found = []
    for start in range(0, len(block), EVALUATE_BATCH):
        part = np.arange(start, min(start + EVALUATE_BATCH, len(block)))
        x = whole(block.take(part), model.config.max_atoms)
        form = model.canonical(x).to(dtype=torch.float32)
        code = model.encoder.slots(form.z, form.pos)
        found.append(squared_deviation(searched(model, network, code).pos, form).sqrt())
    rmsd: NDArray[np.float64] = torch.cat(found).double().numpy()
    return rmsd


def searched(model: ConformerAutoencoder, network: Denoiser, code: Embedding) -> Cloud:
    """Return canonical forms that embed to (B, D) numbers, from searches that begin at samples."""
    decoded = model.decode(code)

    def starts(which: Tensor, attempt: int) -> Positions:
        return sample(model, network, Cloud(decoded.z[which], decoded.pos[which]), code[which], attempt)

    return refined(model, decoded, code, starts)
