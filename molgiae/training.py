"""Pretraining: a canonical frame and order that hold still, then the autoencoder; resumable to the step."""

from __future__ import annotations

import csv
import functools
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from molgiae import __version__, checkpoint
from molgiae.autoencoder import ConformerAutoencoder
from molgiae.clouds import Cloud, batches, pack
from molgiae.config import ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.domain import measure_domain
from molgiae.errors import CheckpointError, ConfigError
from molgiae.losses import conditioning_loss, frame_loss, order_loss, reconstruction_loss, squared_deviation
from molgiae.metrics import Reconstruction
from molgiae.models import build

EVALUATE_BATCH = 1024
FRAME_CONFORMERS = 50_000
"""Training conformers the frame is trained on; its few weights need no more."""

FRAME_BATCH = 128

Metrics = dict[str, float]


@dataclass(frozen=True)
class Data:
    """Training and validation conformers.

    Attributes:
        train: conformers to learn from.
        validation: conformers to choose weights by.
        name: what provenance calls them.
        sha256: of the files.
        rejected: records that could not be read.
    """

    train: ConformerBlock
    validation: ConformerBlock
    name: str
    sha256: dict[str, str]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Run:
    """Where a run writes and how often.

    Attributes:
        directory: ``metrics.csv``, ``model.safetensors`` (best on validation), ``last.pt`` (to resume from).
        device: "cpu" or "cuda".
        bf16: whether matrix products of the hidden layers run in bfloat16.
        evaluate_every: steps between validations; each also writes ``last.pt``.
        stop_after: seconds after which the run saves and ends, to be resumed; None for never.
        progress: whether to show a bar on stderr.
    """

    directory: Path
    device: str = "cpu"
    bf16: bool = False
    evaluate_every: int = 1000
    stop_after: float | None = None
    progress: bool = True


def train(data: Data, model_config: ModelConfig, config: TrainConfig, run: Run, resume: bool) -> Metrics:
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


def check_fit(block: ConformerBlock, config: ModelConfig, name: str) -> None:
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


def whole(block: ConformerBlock, slots: int) -> Cloud:
    """All conformers in one padded batch of a fixed number of slots, centred, float32."""
    cloud = pack(block.atomic_number, block.position, block.offset).centered()
    width = slots - cloud.z.shape[1]
    pad = nn.functional.pad
    return Cloud(pad(cloud.z, (0, width)), pad(cloud.pos, (0, 0, 0, width))).to(dtype=torch.float32)


def trimmed(x: Cloud) -> Cloud:
    """The same batch without columns that are all padding."""
    n = int(x.mask.sum(dim=1).max())
    return Cloud(x.z[:, :n], x.pos[:, :n])


@dataclass
class Stage:
    """A stretch of training with its own parameters and loss.

    Attributes:
        name: "frame", "order" or "autoencoder"; only the last follows bfloat16.
        steps: how many.
        conformers: what batches are drawn from.
        parameters: what is trained.
        loss: of a batch.
    """

    name: str
    steps: int
    conformers: Cloud
    parameters: list[nn.Parameter]
    loss: Callable[[Cloud, torch.Generator], Tensor]


class Trainer:
    """The state of a run: model, running mean of its weights, optimizer, step.

    Args:
        model: on the device of the run.
        data: conformers.
        config: the recipe.
        run: where and how.
    """

    def __init__(self, model: ConformerAutoencoder, data: Data, config: TrainConfig, run: Run) -> None:
        self.model, self.data, self.config, self.run = model, data, config, run
        self.mean = AveragedModel(model, multi_avg_fn=self._average)
        self.stage = self.step = 0
        self.best = math.inf
        self.domain = measure_domain(data.train)
        self.optimizer_state: dict[str, Any] | None = None
        self.seconds = 0.0
        self.deadline = math.inf
        self.fixes_action = bool(getattr(model.encoder, "fixes_action", False))

    def fit(self) -> Metrics:
        """Run what is left of the stages."""
        started = time.monotonic() - self.seconds
        self.deadline = time.monotonic() + (math.inf if self.run.stop_after is None else self.run.stop_after)
        metrics: Metrics = {}
        makers = [self._autoencoder_stage]
        if self.fixes_action:
            orders = [] if self.model.encoder.order is None else [self._order_stage]
            makers = [self._frame_stage, *orders, *makers]
        for number, make in enumerate(makers):
            if number < self.stage:
                continue
            stage = make()
            metrics = self._fit_stage(stage, started)
            if self.step < stage.steps:
                return metrics | {"step": self.step, "complete": 0.0}
            self.stage, self.step, self.optimizer_state = number + 1, 0, None
        return metrics | {"complete": 1.0}

    def _some(self) -> ConformerBlock:
        some = np.random.default_rng(self.config.seed).permutation(len(self.data.train))[:FRAME_CONFORMERS]
        return self.data.train.take(np.sort(some))

    def _frame_stage(self) -> Stage:
        frame: Any = self.model.encoder.frame
        return Stage(
            "frame",
            self.config.frame_steps,
            whole(self._some(), self.model.config.max_atoms).to(self.run.device),
            list(frame.parameters()),
            lambda x, generator: frame_loss(
                frame, trimmed(x[:FRAME_BATCH]), self.config.frame_noise, generator
            ),
        )

    def _order_stage(self) -> Stage:
        encoder: Any = self.model.encoder
        # ordered by coordinates, so that a run that is resumed sees the atoms in the same order
        order, encoder.order = encoder.order, None
        conformers = self._canonical(self._some()).to(self.run.device)
        encoder.order = order
        noise = self.config.frame_noise
        return Stage(
            "order",
            self.config.order_steps,
            conformers,
            list(order.parameters()),
            lambda x, generator: order_loss(order, trimmed(x[:FRAME_BATCH]), noise, generator),
        )

    def _autoencoder_stage(self) -> Stage:
        if not self.fixes_action:
            conformers = whole(self.data.train, self.model.config.max_atoms)
            trained = list(self.model.parameters())
            return Stage(
                "autoencoder", self.config.steps, conformers.to(self.run.device), trained, self._loss
            )
        for network in (self.model.encoder.frame, self.model.encoder.order):
            if network is not None:
                network.requires_grad_(False)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        canonical = self._canonical(self.data.train).to(self.run.device)
        return Stage("autoencoder", self.config.steps, canonical, trained, self._canonical_loss)

    @torch.no_grad()
    def _canonical(self, block: ConformerBlock) -> Cloud:
        """Canonical forms of all conformers, float32, padded to the slots of the model."""
        bar = tqdm(total=len(block), desc="canonical forms", unit="conformer", disable=not self.run.progress)
        parts = []
        self.model.cpu()
        for cloud in batches(block.atomic_number, block.position, block.offset, EVALUATE_BATCH):
            part = self.model.canonical(cloud)
            width = self.model.config.max_atoms - part.z.shape[1]
            pad = nn.functional.pad
            parts.append((pad(part.z, (0, width)), pad(part.pos.float(), (0, 0, 0, width))))
            bar.update(len(cloud))
        bar.close()
        self.model.to(self.run.device)
        return Cloud(torch.cat([z for z, _ in parts]), torch.cat([pos for _, pos in parts]))

    def _canonical_loss(self, x: Cloud, generator: torch.Generator) -> Tensor:
        """Loss of conformers that are in canonical form already."""
        x = distort(x, self.config.distortion, generator)
        prediction = self.model.decoder(self.model.encoder.invariant(None, x))
        return reconstruction_loss(prediction, x, self.model.element, self.config.type_weight)

    def _loss(self, x: Cloud, generator: torch.Generator) -> Tensor:
        """Loss of conformers in any pose and order."""
        x = distort(x, self.config.distortion, generator)
        prediction, target, vectors = self.model.prediction_and_target(trimmed(x), self.config.tau)
        loss = reconstruction_loss(prediction, target, self.model.element, self.config.type_weight)
        return loss + self.config.frame_weight * conditioning_loss(vectors)

    def _fit_stage(self, stage: Stage, started: float) -> Metrics:
        """Steps until the stage or the time of the run ends; evaluates, logs and saves on the way."""
        optimizer = torch.optim.AdamW(
            stage.parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
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
        index, generator = self._draw(len(stage.conformers), stage.conformers.z.device)
        with torch.autocast(
            self.run.device, torch.bfloat16, enabled=self.run.bf16 and stage.name == "autoencoder"
        ):
            loss = stage.loss(stage.conformers[index], generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(stage.parameters, config.clip)
        optimizer.step()
        self.step += 1
        self.mean.update_parameters(self.model)
        return loss.detach()

    def _draw(self, size: int, device: torch.device) -> tuple[Tensor, torch.Generator]:
        """The batch of this step and a source of noise for it, functions of seed and step alone."""
        per_epoch = max(size // self.config.batch_size, 1)
        epoch, place = divmod(self.step, per_epoch)
        start = place * self.config.batch_size
        index = shuffled(size, self.config.seed * 1_000_003 + epoch)[start : start + self.config.batch_size]
        noise = torch.Generator(device).manual_seed(self.config.seed * 1_000_003 + self.step + 500_009)
        return index.to(device), noise

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
        partial = self.run.directory / ".last.pt.part"
        torch.save(state, partial)
        partial.replace(self.run.directory / "last.pt")

    def _data_id(self) -> list[str]:
        """What tells these data from others."""
        return [str(len(self.data.train)), str(len(self.data.validation)), *sorted(self.data.sha256.values())]

    def restore(self, path: Path) -> None:
        """Continue from ``last.pt``.

        Raises:
            CheckpointError: if it is damaged or was written with other settings or data.
        """
        state = read_state(path, self.run.device)
        theirs = replace(TrainConfig.from_dict(state["training"]), steps=self.config.steps)
        if ModelConfig.from_dict(state["config"]) != self.model.config or theirs != self.config:
            raise CheckpointError(f"{path}: written with other settings; use those or another directory")
        if state.get("data", self._data_id()) != self._data_id():
            raise CheckpointError(f"{path}: written with other data; use those or another directory")
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        self.optimizer_state = state["optimizer"]
        self.stage, self.step = state["stage"], state["step"]
        self.best, self.seconds = state["best"], state["seconds"]


def read_state(path: Path, device: str) -> dict[str, Any]:
    """What a run saved to be resumed from.

    Raises:
        CheckpointError: if it is damaged or something else.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True) if is_zipfile(path) else None
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
        state = None
    if not isinstance(state, dict) or "training" not in state:
        raise CheckpointError(f"{path}: is damaged or not from a run; start again in another directory")
    return state


@functools.lru_cache(maxsize=1)
def shuffled(size: int, seed: int) -> Tensor:
    """(size,) a permutation that the seed fixes."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return config.learning_rate * warm * (0.505 + 0.495 * math.cos(math.pi * step / steps))


def distort(x: Cloud, largest: float, generator: torch.Generator) -> Cloud:
    """Displace atoms at random: each conformer by its own standard deviation up to the largest, angstrom."""
    if largest == 0:
        return x
    device, dtype = x.pos.device, x.pos.dtype
    scale = largest * torch.rand(len(x), 1, 1, generator=generator, device=device, dtype=dtype)
    noise = torch.randn(x.pos.shape, generator=generator, device=device, dtype=dtype)
    return Cloud(x.z, x.pos + scale * noise * x.mask[..., None])


@torch.no_grad()
def reconstruct(model: ConformerAutoencoder, block: ConformerBlock) -> Reconstruction:
    """Reconstruct all conformers of a block as predicted, with hard permutations, and compare."""
    rmsd, types, formula = [], [], []
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


def log(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV file; columns are those of the longest row, empty where a row lacks them."""
    rows = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append({key: str(value) for key, value in row.items()})
    columns = max((list(row) for row in rows), key=len)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
