"""Learning of properties: references, a start by least squares, the stage of the training loop, and calibration."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from molgiae.config import CANONICAL, AtomConfig, FinetuneConfig
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import CheckpointError
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud
from molgiae.nn.property_head import Found, PropertyNetwork
from molgiae.nn.tensor_messages import ODD
from molgiae.parallel import ranks
from molgiae.properties.kernel_part import MAX_ROWS, fitted, shares_of
from molgiae.properties.labels import Labelled
from molgiae.properties.predictor import LEVELS, PropertyModel, Scale, standardized
from molgiae.properties.reading import numbers_of
from molgiae.properties.references import Kind, fit_references
from molgiae.properties.sets import Sets
from molgiae.training.batches import drawn_by_size, whole
from molgiae.training.loop import Metrics, Run, Stage, Trainer

VALIDATIONS = 25
WARMUP = 0.04
"""Share of the steps."""
MAX_GRADIENT_NORM = 5.0
QUADRATIC = 0.1
"""Error, in standard deviations, beyond which the loss of a value grows linearly."""
MIN_SPREAD = 1e-9
"""Smallest spread and calibration, so that nothing is divided by zero."""
UNCERTAINTY_WEIGHT = 0.1
"""Weight of the likelihood beside the loss of the values."""
STRENGTHS = 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0
"""Strengths of the regularization that are tried for the start."""
MAX_START = 100.0
"""Largest length of the weights of the start, in standard deviations of the property over those of what is read.

Larger ones make of each small step of the network a large one of the value, and are found where it reads little that
the property hangs on. QM9 enthalpies take 20 to 55.
"""

Floats = NDArray[np.float64]


class Learned(NamedTuple):
    """A model of properties, and what it took."""

    model: PropertyModel
    step: int
    seconds: float


@dataclass(frozen=True)
class Task:
    """What the fit of each network needs: two sets of conformers with values, the recipe, where and how."""

    train: Labelled
    validation: Labelled
    scale: Scale
    config: FinetuneConfig
    run: Run
    identity: str


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

    Of several ranks the first alone has a model.

    `identity` tells these data from others; with `resume` the run in the directory goes on, if there is one.
    """
    rest = train.values - (0 if train.cheap is None else train.cheap)
    reference = fit_references(train.block, rest, train.targets, references)
    left = rest - reference.of(train.block)
    spread = np.array(
        [1.0 if t.binary else _size(v, t.odd) for t, v in zip(train.targets, left.T, strict=True)]
    )
    unit = np.ones((len(LEVELS), len(spread)))
    scale = Scale(train.targets, reference, spread, unit, train.baseline, config.pooling)
    started = time.monotonic()
    model = PropertyModel(replace(sizes_of(pretrained), members=config.ensemble), scale)
    members: Any = model.members
    trainers = []
    for k, member in enumerate(members):
        own = replace(config, seed=config.seed + k)
        place = run if config.ensemble == 1 else run.member(k)
        task = Task(train, validation, scale, own, place, identity)
        trainers.append(_fitter(member, pretrained, task, resume))
    found = fit_all(trainers)
    if not (all(metrics["complete"] for metrics in found) and ranks.is_first()):
        return None
    for member, trainer in zip(members, trainers, strict=True):
        member.load_state_dict(trainer.best_weights)
    model = model.to(run.device).eval().requires_grad_(False)
    if config.kernel and config.mode != "scratch":
        _mix_kernel(model, train, validation, pretrained, config)
    model.scale = replace(scale, calibration=calibrated(model, validation))
    step = sum(int(metrics["step"]) for metrics in found)
    return Learned(model, step, time.monotonic() - started)


def fit_all(trainers: Sequence[Trainer]) -> list[Metrics]:
    """Take the steps of several runs, one after the other, within the time that all of them have."""
    started, found = time.monotonic(), []
    for trainer in trainers:
        if trainer.run.stop_after is not None:
            left = trainer.run.stop_after - (time.monotonic() - started)
            trainer.run = replace(trainer.run, stop_after=max(left, 0))
        found.append(trainer.fit())
    return found


def _size(values: Floats, odd: bool) -> float:
    """Return the standard deviation of values, about zero if they are odd."""
    known = values[np.isfinite(values)]
    size = np.sqrt(np.mean(known**2)) if odd else known.std()
    return max(float(size), MIN_SPREAD)


def _mix_kernel(
    model: PropertyModel,
    train: Labelled,
    validation: Labelled,
    pretrained: Checkpoint,
    config: FinetuneConfig,
) -> None:
    """Give kernel ridge regression, fitted to the training values, the share that is best on validation, if any."""
    learned = np.array([not (target.odd or target.binary) for target in model.scale.targets])
    if len(train) > MAX_ROWS or not learned.any():
        return
    scale = model.scale
    sets, held = (Sets.of(part, scale.pooling) for part in (train, validation))
    taught = deepcopy(pretrained.model.encoder.properties).to(next(model.parameters()).device)
    values = sets.values(scale.standardized(train.block, train.values, train.cheap))[sets.owner]
    kernel = fitted(taught, train.block, values, learned, sets.owner, config.seed)
    found = model.standardized(validation.block)
    truth = held.values(scale.standardized(validation.block, validation.values, validation.cheap))
    network, own = (
        held.weighed(part, found.score) for part in (found.value, kernel.predict(validation.block))
    )
    kernel.share.copy_(torch.from_numpy(shares_of(network, own, truth, learned)))
    if kernel.share.any():
        model.mix(kernel)


def calibrated(model: PropertyModel, validation: Labelled) -> Floats:
    """Return (2, T) what widens uncertainties so that they hold `LEVELS` of the validation values.

    The quantiles are those of conformal prediction (Vovk, Gammerman and Shafer, 2005): with few values, a little wider.
    """
    scale, sets = model.scale, Sets.of(validation, model.scale.pooling)
    found = sets.pooled(model.standardized(validation.block))
    truth = sets.values(scale.standardized(validation.block, validation.values, validation.cheap))
    factor = np.empty((len(LEVELS), truth.shape[1]))
    for t, ratio in enumerate((np.abs(truth - found.value) / found.uncertainty).T):
        known = np.sort(ratio[np.isfinite(ratio)])
        ranks = [min(math.ceil((len(known) + 1) * level), len(known)) for level in LEVELS]
        factor[:, t] = known[[rank - 1 for rank in ranks]]
    return np.maximum(factor, MIN_SPREAD)


def sizes_of(pretrained: Checkpoint) -> AtomConfig:
    """Return the sizes of the network that a pretrained model has for properties.

    Raises:
        CheckpointError: it has none.
    """
    sizes = pretrained.model.config
    if not sizes.property_width or sizes.architecture not in CANONICAL:
        raise CheckpointError(
            f"{pretrained.name}: has no network of properties to start from; "
            "take another --model or pretrain one with --property-width"
        )
    return AtomConfig(sizes.property_width, sizes.property_layers, sizes.atom_rounds)


def initialize(member: PropertyNetwork, pretrained: Checkpoint, task: Task) -> None:
    """Set the weights from which a network learns: pretrained or random ones, and a head fitted to what they read."""
    torch.manual_seed(task.config.seed)
    fresh = PropertyModel(sizes_of(pretrained), task.scale).members[0]
    member.load_state_dict(fresh.state_dict())
    if task.config.mode != "scratch":
        taught = pretrained.model.encoder.properties
        member.atoms.load_state_dict(taught.atoms.state_dict())
        member.readout.load_state_dict(taught.readout.state_dict())
    member.to(task.run.device)
    start(member, task)


@torch.no_grad()
def start(member: PropertyNetwork, task: Task) -> None:
    """Set linear maps of the head to ridge regressions of the training values, the strength chosen on validation."""
    parts = (task.train, task.validation)
    read, goal = [], []
    for part in parts:
        sets = Sets.of(part, task.scale.pooling)
        read.append([sets.mean(numbers) for numbers in _read(member, part.block)])
        goal.append(sets.values(task.scale.standardized(part.block, part.values, part.cheap)))
    head = member.head
    for t, target in enumerate(task.scale.targets):
        layer = head.handed if target.odd else head.sums if target.extensive else head.all
        tables = [
            odd if target.odd else sums if target.extensive else np.hstack([sums, means])
            for sums, means, odd in read
        ]
        values = [(4 * column[:, t] - 2) if target.binary else column[:, t] for column in goal]
        weight, offset = _ridge(tables, values, with_offset=not target.odd)
        layer.weight[t] = torch.from_numpy(weight).to(layer.weight)
        if layer.bias is not None:
            layer.bias[t] = offset


def _read(member: PropertyNetwork, block: ConformerBlock) -> list[Floats]:
    """Return sums, means and odd numbers of conformers, (M, E), (M, I) and (M, ODD)."""
    grows, stays = member.readout.sizes
    found = numbers_of(
        member, lambda z, pos: torch.cat(member.read(z, pos), dim=1), grows + stays + ODD, block
    )
    return np.split(found, [grows, grows + stays], axis=1)


def _ridge(tables: list[Floats], values: list[Floats], with_offset: bool) -> tuple[Floats, float]:
    """Return weights (F,) and offset of the regression of training values that errs least on validation values."""
    (rows, held), (goal, wanted) = (
        [part[np.isfinite(column)] for part, column in zip(pair, values, strict=True)]
        for pair in (tables, values)
    )
    middle = rows.mean(axis=0) * with_offset
    spread = np.sqrt(((rows - middle) ** 2).mean(axis=0))
    spread[spread < MIN_SPREAD] = np.inf
    best, chosen = math.inf, (np.zeros(rows.shape[1]), 0.0)
    for strength in STRENGTHS:
        model = Ridge(alpha=strength, fit_intercept=with_offset).fit((rows - middle) / spread, goal)
        error = float(np.abs(model.predict((held - middle) / spread) - wanted).mean())
        weight = model.coef_ / spread
        if error < best and np.linalg.norm(weight) < MAX_START:
            best, chosen = error, (weight, float(model.intercept_ - middle @ weight))
    return chosen


def _fitter(member: PropertyNetwork, pretrained: Checkpoint, task: Task, resume: bool) -> Trainer:
    """Return the run that fits a network; its best weights have the least error on validation.

    That is the mean absolute error of standardized values, and the mean square error of probabilities.
    """
    config, run, scale, train = task.config, task.run, task.scale, task.train
    if ranks.is_first():
        initialize(member, pretrained, task)
    ranks.equalize(member.to(run.device))
    pretrained_parts = nn.ModuleList([member.atoms, member.readout])
    pretrained_parts.requires_grad_(config.mode != "frozen")
    ratio = config.learning_rate_ratio if config.mode == "full" else 1.0
    slow = [p for p in pretrained_parts.parameters() if p.requires_grad]
    conformers = whole(train.block, int(train.block.n_atoms.max())).to(run.device)
    n_atoms = torch.from_numpy(train.block.n_atoms)
    sets, held_sets = Sets.of(train, scale.pooling), Sets.of(task.validation, scale.pooling)
    sizes = torch.from_numpy(sets.largest(train.block.n_atoms))
    values, held = (
        part_sets.values(scale.standardized(part.block, part.values, part.cheap))
        for part_sets, part in ((sets, train), (held_sets, task.validation))
    )
    target = torch.from_numpy(values).float().to(run.device)
    binary = torch.from_numpy(scale.binary).to(run.device)
    steps = math.ceil(len(sizes) / config.batch_size) * config.passes(len(sizes))

    def loss(step: int) -> Tensor:
        index = drawn_by_size(sizes, config.batch_size, config.seed, step)
        rows, owner = sets.rows(index, step)
        x: Cloud = conformers[rows.to(run.device)].columns(int(n_atoms[rows].max()))
        found = sets.together(ranks.shared(member, x.z, x.pos), rows, owner.to(run.device), binary)
        return property_loss(found, target[index.to(run.device)], binary)

    def validate(mean: PropertyNetwork) -> Metrics:
        error = np.abs(held_sets.pooled(standardized(mean, task.validation.block, scale)).value - held)
        return {"validation": float(np.nanmean(np.where(scale.binary, error**2, error)))}

    def stage() -> Stage:
        return Stage(
            "",
            steps,
            [(slow, ratio), (list(member.head.parameters()), 1.0)],
            loss,
            warmup=WARMUP * steps,
            clip=MAX_GRADIENT_NORM,
            evaluate_every=max(steps // VALIDATIONS, 1),
            validate=validate,
            criterion="validation",
            patience=config.patience,
        )

    identity = {"training": config.to_dict(), "identity": task.identity}
    trainer = Trainer(member, [stage], config, run, identity)
    if resume:
        trainer.resume()
    return trainer


def property_loss(found: Found, target: Tensor, binary: Tensor) -> Tensor:
    """Smooth L1 of the values, and the negative log-likelihood of their errors under Laplace distributions.

    All are (B, T) and standardized; uncertainties are the scales of the distributions, targets NaN where there is none.
    Of targets that are `binary` (T,) values are probabilities, and their loss the cross-entropy.
    """
    there = target.isfinite()
    chance, number = there & binary, there & ~binary

    def mean(of: Tensor, where: Tensor) -> Tensor:
        """Without counting first, for which a GPU would be waited for."""
        return torch.where(where, of, 0).sum() / where.sum().clamp(min=1)

    probability, truth = (torch.where(chance, part, 0.5) for part in (found.value, target))
    entropy = nn.functional.binary_cross_entropy(probability, truth, reduction="none")
    value, goal = (torch.where(number, part, 0) for part in (found.value, target))
    error = nn.functional.smooth_l1_loss(value, goal, beta=QUADRATIC, reduction="none")
    unlikely = (value - goal).detach().abs() / found.uncertainty + found.uncertainty.log()
    return mean(entropy, chance) + mean(error, number) + UNCERTAINTY_WEIGHT * mean(unlikely, number)
