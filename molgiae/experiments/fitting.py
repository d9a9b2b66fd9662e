"""The training loop of all experiments."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from tqdm import tqdm

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""


def fit(
    model: nn.Module,
    loss: Callable[[], Tensor],
    steps: int,
    learning_rate: float,
    *,
    name: str,
    progress: bool,
) -> None:
    """Train by Adam under one cycle of the learning rate (Smith and Topin 2019); leave the model in evaluation mode.

    Args:
        model: whose parameters are trained.
        loss: of the next batch.
        steps: to take.
        learning_rate: its peak.
        name: beside the bar.
        progress: show the bar on stderr.
    """
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=WARM_UP
    )
    model.train()
    for _ in tqdm(range(steps), desc=name, disable=not progress, leave=False):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
