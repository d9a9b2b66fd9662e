"""The training loop: stages of steps, validations, an early end; resumable to the step."""

from __future__ import annotations

import csv
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from molgiae.config import FinetuneConfig, TrainConfig
from molgiae.data.partial import PartialFile
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model.header import FAULTS
from molgiae.parallel import ranks
from molgiae.parallel.progress import progress_bar

Metrics = dict[str, float]

COUNTERS = {"stage": int, "step": int, "stale": int, "best": float, "seconds": float}
"""What says where a run stands, as its state keeps it."""


@dataclass(frozen=True)
class Run:
    """Where a run writes and how often.

    Attributes:
        directory: gets ``metrics.csv`` and ``last.pt`` (to resume from); made if it is not there.
        device: "cpu" or "cuda".
        evaluate_every: steps between validations of pretraining; each also writes ``last.pt``.
        stop_after: seconds after which the run saves and ends, to be resumed; None for never.
        progress: whether to show a bar on stderr.
    """

    directory: Path
    device: str = "cpu"
    evaluate_every: int = 1000
    stop_after: float | None = None
    progress: bool = False

    def check_free(self, resume: bool, *files: str) -> None:
        """Raise a ConfigError if the directory, or that of a member, holds a run, and it is not to be resumed."""
        if not resume and ranks.of_first(lambda: self._is_taken(files)):
            raise ConfigError(
                f"{self.directory} holds a run already; continue it with --resume or name another directory"
            )

    def _is_taken(self, files: tuple[str, ...]) -> bool:
        found = [*self.directory.glob("member-*/last.pt")]
        return bool(found) or any((self.directory / name).exists() for name in ("last.pt", *files))

    def member(self, number: int) -> Run:
        """Return the run of one of several networks."""
        return replace(self, directory=self.directory / f"member-{number + 1}")

    @property
    def bf16(self) -> bool:
        """Whether the device multiplies bfloat16 matrices faster than float32."""
        if self.device == "cuda":
            return torch.cuda.is_bf16_supported()
        return bool(torch.cpu._is_avx512_bf16_supported())


@dataclass
class Stage:
    """A stretch of training with its own parameters and loss.

    Attributes:
        name: in the log; empty for the only stage of a run.
        steps: how many.
        groups: parameters that are trained, and their learning rate over that of the recipe.
        loss: of the batch of a step; what is random in it is a function of seed and step alone.
        warmup: steps until the learning rate is at its peak.
        clip: largest gradient norm.
        evaluate_every: steps between validations.
        bf16: whether matrix products may run in bfloat16.
        begin: what comes before the first step.
        validate: metrics of a model; None where a stage is not validated.
        criterion: the metric that is smallest for the best weights.
        keep: called with the best model yet and its row in the log.
        patience: validations without improvement that end the stage.
    """

    name: str
    steps: int
    groups: Sequence[tuple[list[nn.Parameter], float]]
    loss: Callable[[int], Tensor]
    warmup: float
    clip: float
    evaluate_every: int
    bf16: bool = False
    begin: Callable[[], None] = lambda: None
    validate: Callable[[Any], Metrics] | None = None
    criterion: str = ""
    keep: Callable[[Any, Metrics], None] = lambda model, row: None
    patience: float = math.inf


class Trainer:
    """The state of a run: model (on its device), running mean of its weights, optimizer, stage and step.

    Stages are made one after the other; the last one is validated. What identifies settings and data of the run is
    kept with its state.
    """

    def __init__(
        self,
        model: nn.Module,
        stages: Sequence[Callable[[], Stage]],
        config: TrainConfig | FinetuneConfig,
        run: Run,
        identity: Mapping[str, Any],
    ) -> None:
        self.model, self.stages, self.config, self.run, self.identity = model, stages, config, run, identity
        ranks.of_first(lambda: run.directory.mkdir(parents=True, exist_ok=True))
        self.mean = AveragedModel(model, multi_avg_fn=self._average)
        self.stage = self.step = self.stale = 0
        self.best, self.seconds = math.inf, 0.0
        self.best_weights: dict[str, Tensor] = {}
        self.optimizer_state: dict[str, Any] | None = None
        self._started = 0.0
        self._deadline = math.inf

    @property
    def last(self) -> Path:
        """What the run is resumed from."""
        return self.run.directory / "last.pt"

    def fit(self) -> Metrics:
        """Take the steps that are left.

        Returns:
            metrics of the last validation, with "step" and "complete" (1.0, or 0.0 if time ran out before).
        """
        now = time.monotonic()
        self._started = now - self.seconds
        self._deadline = math.inf if self.run.stop_after is None else now + self.run.stop_after
        metrics: Metrics = {}
        while self.stage < len(self.stages):
            stage = self.stages[self.stage]()
            metrics = self._fit_stage(stage)
            if not self._is_over(stage):
                return metrics | {"step": self.step, "complete": 0.0}
            self.stage, self.step, self.optimizer_state = self.stage + 1, 0, None
        return metrics | {"complete": 1.0}

    def _is_over(self, stage: Stage) -> bool:
        return self.step >= stage.steps or self.stale >= stage.patience

    def _fit_stage(self, stage: Stage) -> Metrics:
        """Steps until the stage or the time of the run ends; validates, logs and saves on the way."""
        optimizer = torch.optim.AdamW(
            [{"params": parameters} for parameters, _ in stage.groups],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
        if self.step == 0:
            stage.begin()
        ranks.equalize(self.model)
        metrics: Metrics = {} if stage.steps or not stage.validate else self._validate(stage, math.nan)
        name = stage.name or "learning"
        show = self.run.progress
        bar = progress_bar(total=stage.steps, initial=self.step, desc=name, unit=" steps", show=show)
        losses: list[Tensor] = []
        while not self._is_over(stage):
            losses.append(self._one_step(stage, optimizer))
            bar.update()
            if self.step % stage.evaluate_every == 0 or self.step == stage.steps:
                self.seconds = time.monotonic() - self._started
                metrics = self._validate(stage, torch.stack(losses).mean().item())
                losses.clear()
                shown = (key for key in ("loss", stage.criterion) if key in metrics)
                bar.set_postfix({key: f"{metrics[key]:.4g}" for key in shown})
                self._save(optimizer)
            if self._deadline < math.inf and ranks.is_said(time.monotonic() > self._deadline):
                break
        bar.close()
        self.seconds = time.monotonic() - self._started
        self._save(optimizer)
        if not metrics and stage.validate and self._is_over(stage):  # it was complete before
            metrics = {"step": self.step, **self._judge(stage.validate)}
        return metrics

    def _one_step(self, stage: Stage, optimizer: torch.optim.Optimizer) -> Tensor:
        rate = learning_rate(self.config.learning_rate, self.step, stage.steps, stage.warmup)
        for group, (_, ratio) in zip(optimizer.param_groups, stage.groups, strict=True):
            group["lr"] = ratio * rate
        with torch.autocast(self.run.device, torch.bfloat16, enabled=self.run.bf16 and stage.bf16):
            loss = stage.loss(self.step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        trained = [p for group, _ in stage.groups for p in group]
        ranks.add_gradients(trained)
        nn.utils.clip_grad_norm_(trained, stage.clip)
        optimizer.step()
        self.step += 1
        self.mean.update_parameters(self.model)
        return loss.detach()

    def _average(self, mean: Any, now: Any, count: Any) -> None:
        """Update the running mean of the weights; the first steps of a stage count less than the last ones."""
        get_ema_multi_avg_fn(min(self.config.ema, self.step / (self.step + 9)))(mean, now, count)

    def _judge(self, validate: Callable[[Any], Metrics]) -> Metrics:
        return ranks.of_first(lambda: validate(self.mean.module))

    def _validate(self, stage: Stage, loss: float) -> Metrics:
        """Metrics of the running mean of the weights; logs them and keeps the weights if they are the best yet."""
        row: Metrics = {"step": self.step, "seconds": round(self.seconds, 1), "loss": loss}
        if stage.validate:
            row |= self._judge(stage.validate)
            self.stale += 1
            if row[stage.criterion] < self.best:
                self.best, self.stale = row[stage.criterion], 0
                weights = self.mean.module.state_dict()
                self.best_weights = {name: value.clone() for name, value in weights.items()}
                if ranks.is_first():
                    stage.keep(self.mean.module, row)
        if ranks.is_first():
            log(self.run.directory / "metrics.csv", {"stage": stage.name, **row} if stage.name else row)
        return row

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer_state = optimizer.state_dict()
        state = {
            **self.identity,
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer_state,
            "best_weights": self.best_weights,
            **{name: getattr(self, name) for name in COUNTERS},
        }
        if ranks.is_first():
            write_state(self.last, state)

    def resume(self) -> None:
        """Continue from ``last.pt`` if it is there, whatever the number of ranks that wrote it."""
        if ranks.of_first(self.last.exists):
            self.restore()

    def restore(self) -> None:
        """Continue from ``last.pt``.

        Raises:
            CheckpointError: if it is damaged or was written with other settings or data.
        """
        state = ranks.of_first(lambda: read_state(self.last, self.run.device))
        if any(state.get(key) != value for key, value in self.identity.items()):
            raise CheckpointError(
                f"{self.last}: written with other data or settings; use those or another directory"
            )
        with restoring(self.last):
            self.model.load_state_dict(state["model"])
            self.mean.load_state_dict(state["mean"])
            self.optimizer_state = state["optimizer"]
            self.best_weights = dict(state["best_weights"])
            for name, kind in COUNTERS.items():
                setattr(self, name, kind(state[name]))


def learning_rate(peak: float, step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    warm = min(1.0, (step + 1) / max(warmup, 1))
    return peak * warm * (0.505 + 0.495 * math.cos(math.pi * step / steps))


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Save under a temporary name until it is complete."""
    with PartialFile(path, overwrite=True).writing() as temporary:
        torch.save(state, temporary)


def read_state(path: Path, device: str) -> dict[str, Any]:
    """Return what a run saved to be resumed from.

    Raises:
        CheckpointError: if it is damaged or something else.
    """
    with restoring(path):
        state = torch.load(path, map_location=device, weights_only=True) if is_zipfile(path) else None
        if not isinstance(state, dict) or "training" not in state:
            raise ValueError("no state of a run")
    return state


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Raise a CheckpointError that names the file in place of what damaged files raise while they are read."""
    try:
        yield
    except (ConfigError, EOFError, IndexError, OSError, pickle.UnpicklingError, *FAULTS) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CheckpointError(
            f"{path}: is damaged or not from a run ({reason}); start again in another directory"
        ) from error


def log(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV file; columns are those of the longest row, empty where a row lacks them."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    rows.append(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, max(map(list, rows), key=len), restval="")
        writer.writeheader()
        writer.writerows(rows)
