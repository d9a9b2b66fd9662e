"""Pretraining of autoencoders: stages of one run, the weights that are best on validation, where they come from."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from molgiae import __version__
from molgiae.config import ModelConfig, TrainConfig
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
        data: conformers.
        model_config: the network, which is enlarged to the elements and the largest conformer of the data.
        config: the recipe.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.

    Returns:
        validation metrics of the last evaluation, with "step" and "complete" (1.0 if all steps are done).

    Raises:
        ConfigError: if there are no conformers.
        CheckpointError: if the run to resume was made with other settings.
    """
    for block, name in ((data.train, "training"), (data.validation, "validation")):
        if not len(block):
            raise ConfigError(f"no {name} conformers")
    torch.manual_seed(config.seed)
    trainer = pretrainer(build(fitted(model_config, data)).to(run.device), data, config, run)
    if resume and trainer.last.exists():
        trainer.restore()
    return trainer.fit()


def fitted(model: ModelConfig, data: Data) -> ModelConfig:
    """Return the configuration with room for every element and the largest conformer of the data."""
    blocks = data.train, data.validation
    elements = set(model.elements).union(*(block.atomic_number.tolist() for block in blocks))
    largest = max(int(block.n_atoms.max()) for block in blocks)
    return replace(model, elements=tuple(sorted(elements)), max_atoms=max(model.max_atoms, largest))


def pretrainer(model: ConformerAutoencoder, data: Data, config: TrainConfig, run: Run) -> Trainer:
    """Return the run that trains a model, which is on its device; the run may be resumed with more steps."""
    domain = measure_domain(data.train)

    def validate(mean: ConformerAutoencoder) -> Metrics:
        return reconstruct(on_cpu(mean), data.validation).summary()

    def keep(mean: ConformerAutoencoder, row: Metrics) -> None:
        provenance = {
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
        checkpoint.save(run.directory / "model.safetensors", on_cpu(mean), domain, provenance)

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
