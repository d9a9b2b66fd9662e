"""The loop that learns properties: steps, validations, an early end; resumable to the step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from molgiae.canonical.cloud import batches
from molgiae.config import FinetuneConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import CheckpointError
from molgiae.model.embedder import batches_by_size
from molgiae.properties.model import PropertyModel
from molgiae.training.batches import shuffled, trimmed, whole
from molgiae.training.state import log, read_state, restoring, write_state

EVALUATE_BATCH = 256
VALIDATIONS = 25
WARMUP = 0.04
"""Of all steps."""
CLIP = 5.0
LINEAR = 0.1
"""Error, in standard deviations, beyond which the loss of a value grows linearly."""
DOUBT_WEIGHT = 0.1
SORTED = 8
"""Batches whose conformers are sorted by size among themselves, so that little is padded."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Conformers and (M, T) standardised values, NaN where there is none."""

    block: ConformerBlock
    values: Floats


@dataclass(frozen=True)
class Fitting:
    """Where and how a fit runs.

    Attributes:
        directory: gets ``metrics.csv`` and ``last.pt``; made if it is not there.
        device: "cpu" or "cuda".
        stop_after: seconds after which the fit saves and ends, to be resumed; None for never.
        progress: show a bar on stderr.
        identity: tells these data and settings from others.
    """

    directory: Path
    device: str = "cpu"
    stop_after: float | None = None
    progress: bool = False
    identity: str = ""


class Fit:
    """The state of a fit.

    Args:
        model: on the device of the fit; its weights at the start.
        train: examples to learn from.
        validation: examples to choose weights by.
        config: the recipe.
        fitting: where and how.
    """

    def __init__(
        self,
        model: PropertyModel,
        train: Examples,
        validation: Examples,
        config: FinetuneConfig,
        fitting: Fitting,
    ) -> None:
        self.model, self.validation, self.config, self.fitting = model, validation, config, fitting
        fitting.directory.mkdir(parents=True, exist_ok=True)
        model.atoms.requires_grad_(config.mode != "frozen")
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        slow = config.learning_rate_ratio if config.mode == "full" else 1.0
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(model.head.parameters()), "pace": 1.0},
                {"params": [p for p in model.atoms.parameters() if p.requires_grad], "pace": slow},
            ],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self.mean = AveragedModel(model, multi_avg_fn=self._average)
        self.conformers = whole(train.block, int(train.block.n_atoms.max())).to(fitting.device)
        self.sizes = torch.from_numpy(train.block.n_atoms)
        self.values = torch.from_numpy(train.values).float().to(fitting.device)
        self.per_epoch = math.ceil(len(train.block) / config.batch_size)
        self.steps = self.per_epoch * config.passes(len(train.block))
        self.step = self.stale = 0
        self.best, self.seconds = math.inf, 0.0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def last(self) -> Path:
        """What the fit is resumed from."""
        return self.fitting.directory / "last.pt"

    @property
    def complete(self) -> bool:
        """Whether it has ended, by its steps or because validation got no better."""
        return self.step >= self.steps or self.stale >= self.config.patience

    def run(self) -> PropertyModel | None:
        """Take the steps that are left; the model with the best weights, or None if time ran out before."""
        start, before = time.monotonic(), self.seconds
        every = max(self.steps // VALIDATIONS, 1)
        bar = tqdm(total=self.steps, initial=self.step, desc="learning", disable=not self.fitting.progress)
        losses: list[Tensor] = []
        while not self.complete:
            losses.append(self._one_step())
            bar.update()
            if self.step % every == 0 or self.step == self.steps:
                self.seconds = before + time.monotonic() - start
                error = self._validate(torch.stack(losses).mean().item())
                losses.clear()
                bar.set_postfix(validation=f"{error:.4g}")
                self._save()
            if self.fitting.stop_after is not None and time.monotonic() - start > self.fitting.stop_after:
                break
        bar.close()
        self.seconds = before + time.monotonic() - start
        self._save()
        if not self.complete:
            return None
        self.model.load_state_dict(self.best_weights)
        return self.model.eval()

    def _one_step(self) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * self._learning_rate()
        index = self._draw()
        x, target = trimmed(self.conformers[index]), self.values[index]
        value, doubt = self.model(x)
        loss = property_loss(value, doubt, target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.step += 1
        self.mean.update_parameters(self.model)
        return loss.detach()

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(WARMUP * self.steps, 1))
        return self.config.learning_rate * warm * (0.505 + 0.495 * math.cos(math.pi * self.step / self.steps))

    def _draw(self) -> Tensor:
        """The batch of this step, a function of seed and step alone."""
        size = self.config.batch_size
        epoch, place = divmod(self.step, self.per_epoch)
        order = shuffled(len(self.sizes), self.config.seed * 1_000_003 + epoch)
        first = place - place % SORTED
        stretch = order[first * size : (first + SORTED) * size]
        stretch = stretch[self.sizes[stretch].argsort(stable=True)]
        start = (place - first) * size
        return stretch[start : start + size].to(self.fitting.device)

    def _average(self, mean: Any, now: Any, count: Any) -> None:
        """Update the running mean of the weights; the first steps count less."""
        get_ema_multi_avg_fn(min(self.config.ema, self.step / (self.step + 9)))(mean, now, count)

    def _validate(self, loss: float) -> float:
        """Mean absolute error in standard deviations; keeps the weights if it is the least yet."""
        model = cast(PropertyModel, self.mean.module)
        error = float(np.nanmean(np.abs(run(model, self.validation.block)[0] - self.validation.values)))
        log(
            self.fitting.directory / "metrics.csv",
            {"step": self.step, "seconds": round(self.seconds, 1), "loss": loss, "validation": error},
        )
        if error < self.best:
            self.best, self.stale = error, 0
            self.best_weights = {key: value.clone() for key, value in model.state_dict().items()}
        else:
            self.stale += 1
        return error

    def _save(self) -> None:
        state = {
            "training": self.config.to_dict(),
            "identity": self.fitting.identity,
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_weights": self.best_weights,
            "step": self.step,
            "stale": self.stale,
            "best": self.best,
            "seconds": self.seconds,
        }
        write_state(self.last, state)

    def restore(self) -> None:
        """Continue from ``last.pt``.

        Raises:
            CheckpointError: if it is damaged or was written with other settings or data.
        """
        state = read_state(self.last, self.fitting.device)
        if state.get("identity") != self.fitting.identity or state["training"] != self.config.to_dict():
            raise CheckpointError(
                f"{self.last}: written with other data or settings; use those or another directory"
            )
        with restoring(self.last):
            self.model.load_state_dict(state["model"])
            self.mean.load_state_dict(state["mean"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.best_weights = dict(state["best_weights"])
            self.step, self.stale = int(state["step"]), int(state["stale"])
            self.best, self.seconds = float(state["best"]), float(state["seconds"])


def property_loss(value: Tensor, doubt: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 of the values, and the negative log-likelihood of their errors under Laplace distributions.

    Args:
        value: (B, T) standardised.
        doubt: (B, T) positive.
        target: (B, T) standardised, NaN where there is none.
    """
    there = target.isfinite()
    if not there.any():
        return 0 * value.sum()
    value, doubt, target = value[there], doubt[there], target[there]
    unlikely = (value - target).detach().abs() / doubt + doubt.log()
    return nn.functional.smooth_l1_loss(value, target, beta=LINEAR) + DOUBT_WEIGHT * unlikely.mean()


@torch.no_grad()
def run(model: PropertyModel, block: ConformerBlock) -> tuple[Floats, Floats]:
    """Standardised values and doubts of all conformers, both (M, T), in batches of similar size."""
    where = next(model.parameters())
    shape = (len(block), len(model.head.extensive))
    values, doubts = np.empty(shape), np.empty(shape)
    for chosen in batches_by_size(block.n_atoms, EVALUATE_BATCH):
        part = block.take(chosen)
        (x,) = batches(part.atomic_number, part.position, part.offset, len(part))
        value, doubt = model(x.centered().to(where.device, where.dtype))
        values[chosen], doubts[chosen] = value.double().cpu().numpy(), doubt.double().cpu().numpy()
    return values, doubts
