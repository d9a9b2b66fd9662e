"""What pretraining works on: conformers to learn from and to choose by, and a model with its recipe."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from molgiae import __version__
from molgiae.config import Domain, TrainConfig
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.model import checkpoint
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from molgiae.model.covered import measure_domain
from molgiae.training.batches import drawn, noise_of, whole
from molgiae.training.labels import Labels
from molgiae.training.loop import Metrics, Run, Stage
from molgiae.training.metrics import reconstruct
from molgiae.training.overlays import Overlays
from molgiae.training.stream import Made, Stream


@dataclass(frozen=True)
class Data:
    """Training and validation conformers.

    Attributes:
        train: conformers to learn from, or a sample where all are streamed.
        validation: conformers to choose weights by.
        name: what provenance calls them.
        sha256: of the files.
        rejected: records that could not be read.
        left_out: conformers of validation and test molecules that came with the training conformers.
        labels: what the network of atoms learns from in place of denoising, if anything.
        overlays: what the overlay part learns from, if there is one.
        learned: names of the files of these, and of the model to start from, by option of `molgiae pretrain`.
        stream: all training conformers, where memory does not hold them.
    """

    train: ConformerBlock
    validation: ConformerBlock
    name: str
    sha256: dict[str, str]
    rejected: tuple[Rejected, ...] = ()
    left_out: int = 0
    labels: Labels | None = None
    overlays: Overlays | None = None
    learned: dict[str, list[str]] = field(default_factory=dict)
    stream: Stream | None = None

    @property
    def count(self) -> int:
        """Training conformers."""
        return len(self.train) if self.stream is None else len(self.stream)


@dataclass(frozen=True)
class Task:
    """What the makers of stages need: a model on the device of the run, conformers, the recipe, where and how."""

    model: ConformerAutoencoder
    data: Data
    config: TrainConfig
    run: Run

    def stage(
        self,
        name: str,
        steps: int,
        size: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Tensor, torch.Generator], Tensor],
        **more: Any,
    ) -> Stage:
        """Return a stage with the schedule of the recipe; the loss is that of places (b,) below `size`."""
        config, run = self.config, self.run

        def loss_of_step(step: int) -> Tensor:
            return loss(*drawn(size, config.batch_size, config.seed, step, run.device))

        groups, every = [(parameters, 1.0)], run.evaluate_every
        return Stage(name, steps, groups, loss_of_step, config.warmup_steps, config.clip, every, **more)

    def conformers(self) -> Cloud:
        """Return all training conformers in one padded batch."""
        return whole(self.data.train, self.model.config.max_atoms)

    def last_stage(
        self,
        size: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Tensor, torch.Generator], Tensor],
        **more: Any,
    ) -> Stage:
        """Return the stage of the autoencoder, which is validated and keeps the best weights."""
        more |= {"bf16": True, "validate": self.validate, "criterion": "rmsd_mean", "keep": self.keep}
        return self.stage("autoencoder", self.config.steps, size, parameters, loss, **more)

    def streamed_stage(
        self,
        made: Callable[[int], Made],
        times: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Made, torch.Generator], Tensor],
        **more: Any,
    ) -> Stage:
        """Return the same for conformers that are streamed; the loss is that of what is `made` of them."""
        assert self.data.stream is not None, "asked before"
        config, device = self.config, self.run.device
        batch_of = self.data.stream.batches(config.batch_size, made, times)

        def loss_of_step(step: int) -> Tensor:
            return loss(
                tuple(part.to(device) for part in batch_of(step)), noise_of(config.seed, step, device)
            )

        stage = self.last_stage(1, parameters, lambda index, noise: index.sum(), **more)
        return replace(stage, loss=loss_of_step)

    def validate(self, mean: ConformerAutoencoder) -> Metrics:
        """Return how well validation conformers are reconstructed."""
        return reconstruct(on_cpu(mean), self.data.validation).summary()

    def keep(self, mean: ConformerAutoencoder, row: Metrics) -> None:
        """Write ``model.safetensors`` with its row of the log."""
        provenance = {
            "molgiae": __version__,
            "torch": torch.__version__,
            "data": self.data.name,
            "data_sha256": self.data.sha256,
            "learned": self.data.learned,
            "train_conformers": self.data.count,
            "rejected_records": len(self.data.rejected),
            "training": self.config.to_dict(),
            "step": row["step"],
            "seconds": round(row["seconds"]),
            "device": self.run.device,
            "validation": row,
            "units": {"length": "angstrom"},
        }
        checkpoint.save(self.run.directory / "model.safetensors", on_cpu(mean), self.domain, provenance)

    @cached_property
    def domain(self) -> Domain:
        """What the training conformers cover."""
        return measure_domain(self.data.train)


def on_cpu(model: ConformerAutoencoder) -> ConformerAutoencoder:
    """Return a copy for inference."""
    return deepcopy(model).cpu().eval().requires_grad_(False)
