"""Learning of properties: references, the stage of the training loop, and its loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.config import FinetuneConfig
from molgiae.errors import CheckpointError
from molgiae.model.checkpoint import Checkpoint
from molgiae.properties.labels import Labelled
from molgiae.properties.predictor import PropertyModel, Scale
from molgiae.properties.references import Kind, fit_references
from molgiae.training.batches import shuffled, trimmed, whole
from molgiae.training.loop import Metrics, Run, Stage, Trainer

VALIDATIONS = 25
WARMUP = 0.04
"""Share of the steps."""
MAX_GRADIENT_NORM = 5.0
QUADRATIC = 0.1
"""Error, in standard deviations, beyond which the loss of a value grows linearly."""
ONE_SIGMA = 0.6827
"""Share of the values within one standard deviation of a normal distribution."""
MIN_SPREAD = 1e-9
"""Smallest spread and calibration, so that nothing is divided by zero."""
UNCERTAINTY_WEIGHT = 0.1
"""Weight of the likelihood beside the loss of the values."""
SORTED_BATCHES = 8
"""Batches whose conformers are sorted by size among themselves, so that little is padded."""

Floats = NDArray[np.float64]


class Learned(NamedTuple):
    """A model of properties, and what it took."""

    model: PropertyModel
    step: int
    seconds: float


def learn(
    train: Labelled,
    validation: Labelled,
    pretrained: Checkpoint,
    config: FinetuneConfig,
    run: Run,
    references: Kind = "auto",
    identity: str = "",
    resume: bool = False,
) -> Learned | None:
    """Fit references, weights (chosen on validation) and uncertainty (calibrated on it); None if time ran out before.

    `identity` tells these data from others; with `resume` the run in the directory goes on, if there is one.
    """
    reference = fit_references(train.block, train.values, train.targets, references)
    spread = np.nanstd(train.values - reference.of(train.block), axis=0)
    scale = Scale(train.targets, reference, np.maximum(spread, MIN_SPREAD), np.ones(len(spread)))
    torch.manual_seed(config.seed)
    network = initial(pretrained, scale, config).to(run.device)
    trainer = _fitter(network, train, validation, config, run, identity)
    if resume and trainer.last.exists():
        trainer.restore()
    metrics = trainer.fit()
    if not metrics["complete"]:
        return None
    network.load_state_dict(trainer.best_weights)
    value, uncertainty = network.eval().standardized(validation.block)
    ratio = np.abs(scale.standardized(validation.block, validation.values) - value) / uncertainty
    factor = np.array([np.quantile(column[np.isfinite(column)], ONE_SIGMA) for column in ratio.T])
    network.scale = replace(scale, calibration=np.maximum(factor, MIN_SPREAD))
    return Learned(network, int(metrics["step"]), trainer.seconds)


def initial(pretrained: Checkpoint, scale: Scale, config: FinetuneConfig) -> PropertyModel:
    """Return the network at the start: pretrained features of atoms, or random ones, and a random head.

    Raises:
        CheckpointError: the pretrained model has no network of atoms.
    """
    sizes = pretrained.model.config
    if not sizes.atom_width or sizes.architecture != "slots":
        raise CheckpointError(
            f"{pretrained.name}: has no network of atoms to start from; "
            "take another --model or pretrain one with --atom-width"
        )
    network = PropertyModel(sizes.atom_width, sizes.atom_layers, sizes.atom_rounds, scale)
    if config.mode != "scratch":
        network.atoms.load_state_dict(pretrained.model.encoder.atoms.state_dict())
    return network


def _fitter(
    model: PropertyModel,
    train: Labelled,
    validation: Labelled,
    config: FinetuneConfig,
    run: Run,
    identity: str,
) -> Trainer:
    """Return the run that fits a model; its best weights have the least mean absolute error on validation."""
    model.atoms.requires_grad_(config.mode != "frozen")
    ratio = config.learning_rate_ratio if config.mode == "full" else 1.0
    atoms = [p for p in model.atoms.parameters() if p.requires_grad]
    conformers = whole(train.block, int(train.block.n_atoms.max())).to(run.device)
    sizes = torch.from_numpy(train.block.n_atoms)
    values, held = (model.scale.standardized(part.block, part.values) for part in (train, validation))
    target = torch.from_numpy(values).float().to(run.device)
    steps = math.ceil(len(sizes) / config.batch_size) * config.passes(len(sizes))

    def loss(step: int) -> Tensor:
        index = _drawn(sizes, step, config).to(run.device)
        value, uncertainty = model(trimmed(conformers[index]))
        return property_loss(value, uncertainty, target[index])

    def validate(mean: PropertyModel) -> Metrics:
        error = np.abs(mean.standardized(validation.block)[0] - held)
        return {"validation": float(np.nanmean(error))}

    def stage() -> Stage:
        return Stage(
            "",
            steps,
            [(atoms, ratio), (list(model.head.parameters()), 1.0)],
            loss,
            warmup=WARMUP * steps,
            clip=MAX_GRADIENT_NORM,
            evaluate_every=max(steps // VALIDATIONS, 1),
            validate=validate,
            criterion="validation",
            patience=config.patience,
        )

    return Trainer(model, [stage], config, run, {"training": config.to_dict(), "identity": identity})


def _drawn(sizes: Tensor, step: int, config: FinetuneConfig) -> Tensor:
    """Return the places of the batch of a step, a function of seed and step alone; sizes (M,) are numbers of atoms."""
    batch = config.batch_size
    epoch, place = divmod(step, math.ceil(len(sizes) / batch))
    first = place - place % SORTED_BATCHES
    stretch = shuffled(len(sizes), config.seed, epoch)[first * batch : (first + SORTED_BATCHES) * batch]
    stretch = stretch[sizes[stretch].argsort(stable=True)]
    return stretch[(place - first) * batch :][:batch]


def property_loss(value: Tensor, uncertainty: Tensor, target: Tensor) -> Tensor:
    """Smooth L1 of the values, and the negative log-likelihood of their errors under Laplace distributions.

    All are (B, T) and standardized; uncertainties are the scales of the distributions, targets NaN where there is none.
    """
    there = target.isfinite()
    if not there.any():
        return 0 * value.sum()
    value, uncertainty, target = value[there], uncertainty[there], target[there]
    unlikely = (value - target).detach().abs() / uncertainty + uncertainty.log()
    return nn.functional.smooth_l1_loss(value, target, beta=QUADRATIC) + UNCERTAINTY_WEIGHT * unlikely.mean()
