"""The loop of pretraining: steps, validations, weights kept; resumable to the step."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from molgiae import __version__
from molgiae.canonical.cloud import batches
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import CheckpointError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.domain import measure_domain
from molgiae.training.batches import by_size, shuffled
from molgiae.training.losses import squared_deviation
from molgiae.training.metrics import Reconstruction
from molgiae.training.run import Data, Metrics, Run, check_fit
from molgiae.training.stages import EVALUATE_BATCH, Stage, Task, stages_of
from molgiae.training.state import log, read_state, restoring, write_state


def train(
    data: Data,
    model_config: ModelConfig,
    config: TrainConfig,
    run: Run,
    resume: bool,
) -> Metrics:
    """Train an autoencoder and keep the weights that are best on validation.

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
        check_fit(block, model_config, name)
    torch.manual_seed(config.seed)
    run.directory.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(build(model_config).to(run.device), data, config, run)
    last = run.directory / "last.pt"
    if resume and last.exists():
        trainer.restore(last)
    return trainer.fit()


class Trainer:
    """The state of a run: model, running mean of its weights, optimizer, step.

    Args:
        model: on the device of the run.
        data: conformers.
        config: the recipe.
        run: where and how.
    """

    def __init__(
        self,
        model: ConformerAutoencoder,
        data: Data,
        config: TrainConfig,
        run: Run,
    ) -> None:
        self.model, self.data, self.config, self.run = model, data, config, run
        self.mean = AveragedModel(model, multi_avg_fn=self._average)
        self.stage = self.step = 0
        self.best = math.inf
        self.domain = measure_domain(data.train)
        self.optimizer_state: dict[str, Any] | None = None
        self.seconds = 0.0
        self.deadline = math.inf

    def fit(self) -> Metrics:
        """Run what is left of the stages."""
        started = time.monotonic() - self.seconds
        self.deadline = time.monotonic() + (math.inf if self.run.stop_after is None else self.run.stop_after)
        metrics: Metrics = {}
        task = Task(self.model, self.data, self.config, self.run)
        for number, make in enumerate(stages_of(self.model)):
            if number < self.stage:
                continue
            stage = make(task)
            metrics = self._fit_stage(stage, started)
            if self.step < stage.steps:
                return metrics | {"step": self.step, "complete": 0.0}
            self.stage, self.step, self.optimizer_state = number + 1, 0, None
        return metrics | {"complete": 1.0}

    def _fit_stage(self, stage: Stage, started: float) -> Metrics:
        """Steps until the stage or the time of the run ends; evaluates, logs and saves on the way."""
        optimizer = torch.optim.AdamW(
            stage.parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        if self.step == 0:
            stage.begin()
        metrics: Metrics = {}
        bar = tqdm(total=stage.steps, initial=self.step, desc=stage.name, disable=not self.run.progress)
        losses: list[Tensor] = []
        while self.step < stage.steps:
            losses.append(self._one_step(stage, optimizer))
            bar.update()
            if self.step % self.run.evaluate_every == 0 or self.step == stage.steps:
                self.seconds = time.monotonic() - started
                metrics = self._evaluate(stage, torch.stack(losses).mean().item())
                losses.clear()
                bar.set_postfix(
                    {key: f"{metrics[key]:.4g}" for key in ("loss", "rmsd_mean") if key in metrics}
                )
                self._save(optimizer)
            if time.monotonic() > self.deadline:
                break
        bar.close()
        self.seconds = time.monotonic() - started
        self._save(optimizer)
        if not metrics and stage.name == "autoencoder" and self.step >= stage.steps:  # it was complete before
            metrics = {"step": self.step} | reconstruct(self.averaged(), self.data.validation).summary()
        return metrics

    def _average(self, mean: Any, now: Any, count: Any) -> None:
        """Update the running mean of the weights; the first steps of a stage count less than the last ones."""
        decay = min(self.config.ema, self.step / (self.step + 9))
        get_ema_multi_avg_fn(decay)(mean, now, count)

    def _one_step(self, stage: Stage, optimizer: torch.optim.Optimizer) -> Tensor:
        config = self.config
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step, stage.steps)
        index, generator = self._draw(stage.size)
        with torch.autocast(self.run.device, torch.bfloat16, enabled=self.run.bf16 and stage.bf16):
            loss = stage.loss(index, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(stage.parameters, config.clip)
        optimizer.step()
        self.step += 1
        self.mean.update_parameters(self.model)
        return loss.detach()

    def _draw(self, size: int) -> tuple[Tensor, torch.Generator]:
        """The batch of this step and a source of noise for it, functions of seed and step alone."""
        per_epoch = max(size // self.config.batch_size, 1)
        epoch, place = divmod(self.step, per_epoch)
        start = place * self.config.batch_size
        index = shuffled(size, self.config.seed * 1_000_003 + epoch)[start : start + self.config.batch_size]
        noise = torch.Generator(self.run.device).manual_seed(
            self.config.seed * 1_000_003 + self.step + 500_009
        )
        return index.to(self.run.device), noise

    def _evaluate(self, stage: Stage, loss: float) -> Metrics:
        """Metrics of the running mean of the weights; logs them and keeps the model if it is the best yet."""
        row: Metrics = {"step": self.step, "seconds": self.seconds, "loss": loss}
        if stage.name == "autoencoder":
            model = self.averaged()
            row |= reconstruct(model, self.data.validation).summary()
            if row["rmsd_mean"] < self.best:
                self.best = row["rmsd_mean"]
                checkpoint.save(
                    self.run.directory / "model.safetensors", model, self.domain, self._provenance(row)
                )
        log(self.run.directory / "metrics.csv", {"stage": stage.name, **row})
        return row

    def averaged(self) -> ConformerAutoencoder:
        """The model with the running mean of the weights, on the CPU."""
        model = build(self.model.config)
        model.load_state_dict(self.mean.module.state_dict())
        return model.eval().requires_grad_(False)

    def _provenance(self, metrics: Metrics) -> dict[str, Any]:
        return {
            "molgiae": __version__,
            "torch": torch.__version__,
            "data": self.data.name,
            "data_sha256": self.data.sha256,
            "train_conformers": len(self.data.train),
            "rejected_records": len(self.data.rejected),
            "training": self.config.to_dict(),
            "step": self.step,
            "seconds": round(self.seconds),
            "device": self.run.device,
            "validation": metrics,
            "units": {"length": "angstrom"},
        }

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer_state = optimizer.state_dict()
        state = {
            "config": self.model.config.to_dict(),
            "training": self.config.to_dict(),
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer_state,
            "stage": self.stage,
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "data": self._data_id(),
        }
        write_state(self.run.directory / "last.pt", state)

    def _data_id(self) -> list[str]:
        """What tells these data from others."""
        return [str(len(self.data.train)), str(len(self.data.validation)), *sorted(self.data.sha256.values())]

    def restore(self, path: Path) -> None:
        """Continue from ``last.pt``.

        Raises:
            CheckpointError: if it is damaged or was written with other settings or data.
        """
        state = read_state(path, self.run.device)
        with restoring(path):
            theirs = replace(TrainConfig.from_dict(state["training"]), steps=self.config.steps)
            model = ModelConfig.from_dict(state["config"])
        if model != self.model.config or theirs != self.config:
            raise CheckpointError(f"{path}: written with other settings; use those or another directory")
        if state.get("data", self._data_id()) != self._data_id():
            raise CheckpointError(f"{path}: written with other data; use those or another directory")
        with restoring(path):
            self.model.load_state_dict(state["model"])
            self.mean.load_state_dict(state["mean"])
            self.optimizer_state = state["optimizer"]
            self.stage, self.step = int(state["stage"]), int(state["step"])
            self.best, self.seconds = float(state["best"]), float(state["seconds"])


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * warm * (0.505 + 0.495 * math.cos(math.pi * step / steps))


@torch.no_grad()
def reconstruct(model: ConformerAutoencoder, block: ConformerBlock) -> Reconstruction:
    """Reconstruct all conformers of a block as predicted, with hard permutations, and compare."""
    rmsd, types, formula = [], [], []
    block = by_size(block)
    for x in batches(block.atomic_number, block.position, block.offset, EVALUATE_BATCH):
        encoding = model.encode(x)
        canonical, decoded = model.undo(encoding.action, x), model.decode(encoding.embedding)
        z = nn.functional.pad(canonical.z, (0, decoded.z.shape[1] - canonical.z.shape[1]))
        rmsd.append(squared_deviation(decoded.pos, canonical).sqrt())
        types.append(((decoded.z == z) & (z > 0)).sum(dim=1))
        formula.append((decoded.z == z).all(dim=1))
    return Reconstruction(
        torch.cat(rmsd).double().numpy(), torch.cat(types).numpy(), torch.cat(formula).numpy(), block.n_atoms
    )
