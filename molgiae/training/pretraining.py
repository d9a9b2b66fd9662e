"""Pretraining of autoencoders: stages of one run, the weights that are best on validation, where they come from."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from molgiae import __version__
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.domain import measure_domain
from molgiae.training.loop import Metrics, Run, Stage, Trainer
from molgiae.training.metrics import reconstruct
from molgiae.training.stages import Data, Task, stages_of


def train(data: Data, model_config: ModelConfig, config: TrainConfig, run: Run, resume: bool) -> Metrics:
    """Train an autoencoder and keep the weights that are best on validation in ``model.safetensors``.

    Args:
        data: conformers, all within the elements and size of the model.
        model_config: the network.
        config: the recipe.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.

    Returns:
        validation metrics of the last evaluation, with "step" and "complete" (1.0 if all steps are done).

    Raises:
        ConfigError: if there are no conformers, or some do not fit the model.
        CheckpointError: if the run to resume was made with other settings.
    """
    for block, name in ((data.train, "training"), (data.validation, "validation")):
        _check_fit(block, model_config, name)
    torch.manual_seed(config.seed)
    trainer = pretrainer(build(model_config).to(run.device), data, config, run)
    if resume and trainer.last.exists():
        trainer.restore()
    return trainer.fit()


def pretrainer(model: ConformerAutoencoder, data: Data, config: TrainConfig, run: Run) -> Trainer:
    """Return the run that trains a model, which is on its device; the run may be resumed with more steps."""
    domain = measure_domain(data.train)

    def validate(mean: ConformerAutoencoder) -> Metrics:
        return reconstruct(on_cpu(mean), data.validation).summary()

    def keep(mean: ConformerAutoencoder, row: Metrics) -> None:
        origin = _provenance(data, config, run, row)
        checkpoint.save(run.directory / "model.safetensors", on_cpu(mean), domain, origin)

    def last_stage(task: Task) -> Stage:
        stage = last(task)
        stage.validate, stage.criterion, stage.keep = validate, "rmsd_mean", keep
        return stage

    *first, last = stages_of(model)
    task = Task(model, data, config, run)
    stages = [partial(make, task) for make in (*first, last_stage)]
    recipe = {key: value for key, value in config.to_dict().items() if key != "steps"}
    sizes = [len(data.train), len(data.validation)]
    identity = {
        "training": recipe,
        "config": model.config.to_dict(),
        "data": [*sizes, *sorted(data.sha256.values())],
    }
    return Trainer(model, stages, config, run, identity)


def on_cpu(model: ConformerAutoencoder) -> ConformerAutoencoder:
    """Return a copy for inference."""
    copy = build(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval().requires_grad_(False)


def _provenance(data: Data, config: TrainConfig, run: Run, row: Metrics) -> dict[str, Any]:
    return {
        "molgiae": __version__,
        "torch": torch.__version__,
        "data": data.name,
        "data_sha256": data.sha256,
        "train_conformers": len(data.train),
        "rejected_records": len(data.rejected),
        "training": config.to_dict(),
        "step": row["step"],
        "seconds": round(row["seconds"]),
        "device": run.device,
        "validation": row,
        "units": {"length": "angstrom"},
    }


def _check_fit(block: ConformerBlock, config: ModelConfig, name: str) -> None:
    """Raise a ConfigError if there are no conformers or some are outside of a model's elements and size."""
    if not len(block):
        raise ConfigError(f"no {name} conformers")
    if missing := sorted(set(np.unique(block.atomic_number).tolist()) - set(config.elements)):
        raise ConfigError(
            f"{name} conformers have elements {missing} that the model does not know: add them to elements"
        )
    if (largest := int(block.n_atoms.max())) > config.max_atoms:
        raise ConfigError(
            f"{name} conformers have up to {largest} atoms, the model takes {config.max_atoms}: raise max_atoms"
        )
