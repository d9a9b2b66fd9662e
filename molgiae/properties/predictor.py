"""Models of properties: features of atoms, a head, and what turns its numbers into values; on disk and in use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from molgiae.config import AtomConfig, Domain, Pooling
from molgiae.data.conformer import ConformerBlock
from molgiae.data.given import Given, conformers_of
from molgiae.errors import ConfigError, check_shape
from molgiae.model.architectures import property_network
from molgiae.model.checkpoint import Checkpoint, with_weights, write
from molgiae.model.domain import domain_reasons
from molgiae.model.embedder import choose_device
from molgiae.model.header import Kind, building_from, damaged, read_header, sha256_of
from molgiae.model.shipped import locate
from molgiae.nn.property_head import PropertyNetwork
from molgiae.nn.taught import TaughtNetwork
from molgiae.nn.tensor_messages import Readout
from molgiae.properties.delta import quantity_of, with_cheap_values
from molgiae.properties.kernel_part import KernelPart
from molgiae.properties.reading import numbers_of
from molgiae.properties.references import References
from molgiae.properties.targets import Target

FILE = "model.safetensors"
LEVELS = 0.6827, 0.95
"""Shares of the values that lie within the two half-widths of uncertainty."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scale:
    """From standardized values to values in the units of the targets.

    Attributes:
        targets: T properties.
        references: what elements and sizes explain of what the baseline leaves, which is taken off before learning.
        spread: (T,) standard deviation of what is left, over the training conformers.
        calibration: (2, T) half-widths that hold `LEVELS` of the validation values, over what the network says.
        baseline: cheap method of which the difference is learned, see `molgiae.properties.delta`; empty for none.
        pooling: how conformers of a molecule share a value.
    """

    targets: tuple[Target, ...]
    references: References
    spread: Floats
    calibration: Floats
    baseline: str = ""
    pooling: Pooling = "none"

    def explained(self, block: ConformerBlock, cheap: Floats | None) -> Floats:
        """Return (M, T) what is known without learning; cheap values (M, T) are those of the baseline, if any."""
        return self.references.of(block) + (0 if cheap is None else cheap)

    def standardized(self, block: ConformerBlock, values: Floats, cheap: Floats | None) -> Floats:
        """Return what the network learns of values (M, T) in the units of the targets."""
        return (values - self.explained(block, cheap)) / self.spread

    @property
    def binary(self) -> NDArray[np.bool_]:
        """(T,) whether a target is a probability."""
        return np.array([target.binary for target in self.targets])


class Standardized(NamedTuple):
    """What is predicted of M conformers, as `molgiae.nn.property_head.Found` has it, but with probabilities."""

    value: Floats
    uncertainty: Floats
    score: Floats


class PropertyModel(nn.Module):
    """Conformers to values of T properties and their uncertainties, by one network or several.

    Args:
        config: sizes of the networks.
        scale: what turns the numbers of the networks into values with units.
    """

    def __init__(self, config: AtomConfig, scale: Scale) -> None:
        super().__init__()
        self.scale, self.config = scale, config
        behaviour = [target.behaviour for target in scale.targets]
        self.members = nn.ModuleList(
            PropertyNetwork(
                property_network(config.width, config.layers, config.rounds),
                Readout(config.width),
                behaviour,
            )
            for _ in range(config.members)
        )
        self.kernel: KernelPart | None = None
        if config.kernel_rows:
            taught = TaughtNetwork(property_network(config.width, config.layers, config.rounds))
            self.kernel = KernelPart(taught, config.kernel_rows, len(behaviour))

    def mix(self, kernel: KernelPart) -> None:
        """Let a kernel have its share in what is predicted."""
        self.kernel, self.config = kernel, replace(self.config, kernel_rows=len(kernel.weight))

    @torch.no_grad()
    def standardized(self, block: ConformerBlock) -> Standardized:
        """Return the mean of what all networks say, and a kernel, if any; where they differ adds to the uncertainty."""
        members: Any = self.members
        found = together([standardized(member, block, self.scale) for member in members])
        if self.kernel is None:
            return found
        value, own, share = found.value, self.kernel.predict(block), self.kernel.shares()
        mixed = value + share * (own - value)
        return found._replace(
            value=mixed, uncertainty=np.sqrt(found.uncertainty**2 + share * (1 - share) * (own - value) ** 2)
        )

    def predict(self, block: ConformerBlock, cheap: Floats | None = None) -> Predicted:
        """Return values and half-widths of uncertainty in the units of the targets."""
        (value, uncertainty, score), scale = self.standardized(block), self.scale
        width = scale.calibration[:, None] * uncertainty * scale.spread
        chance = value[:, scale.binary]
        width[:, :, scale.binary] = np.sqrt(chance * (1 - chance))
        return Predicted(value * scale.spread + scale.explained(block, cheap), width[0], width[1], score)


class Predicted(NamedTuple):
    """Values (M, T), half-widths that hold them in 68 and 95 % of cases, and scores (M,) that weigh conformers."""

    value: Floats
    std: Floats
    wide: Floats
    score: Floats


def standardized(member: PropertyNetwork, block: ConformerBlock, scale: Scale) -> Standardized:
    """Return what one network says of conformers."""
    size = len(scale.targets)
    found = numbers_of(member, lambda z, pos: torch.column_stack([*member(z, pos)]), 2 * size + 1, block)
    value, uncertainty, score = np.split(found, [size, 2 * size], axis=1)
    return Standardized(np.where(scale.binary, expit(value), value), uncertainty, score[:, 0])


def together(found: Sequence[Standardized]) -> Standardized:
    """Return the means of what several networks say, with the mean square of uncertainties and deviations."""
    value, uncertainty, score = (np.stack(part) for part in zip(*found, strict=True))
    width = np.sqrt((uncertainty**2).mean(axis=0) + value.var(axis=0))
    return Standardized(value.mean(axis=0), width, score.mean(axis=0))


def save(path: Path, model: PropertyModel, domain: Domain, provenance: dict[str, Any]) -> None:
    """Write a model of properties, under a temporary name until it is complete."""
    scale = model.scale
    header = {
        "config": model.config.to_dict(),
        "targets": [target.to_dict() for target in scale.targets],
        "references": scale.references.to_dict(),
        "spread": scale.spread.tolist(),
        "calibration": scale.calibration.tolist(),
        "baseline": scale.baseline,
        "pooling": scale.pooling,
        "domain": domain.to_dict(),
        "provenance": provenance,
    }
    write(path, model, Kind.PROPERTY, header)


def load(name: str) -> Checkpoint[PropertyModel]:
    """Load a model of properties, a file or the directory that finetune wrote.

    Raises:
        CheckpointError: if it is missing, damaged, too new, or of another kind.
    """
    path = locate(name, Kind.PROPERTY)
    header = read_header(path, Kind.PROPERTY)
    with building_from(path):
        targets = tuple(Target.from_dict(target) for target in header["targets"])
        if not targets:
            raise ConfigError("the list of targets is empty")
        config = AtomConfig.from_dict(header["config"])
        spread, calibration = (np.array(header[part], np.float64) for part in ("spread", "calibration"))
        references = References.from_dict(header["references"])
        scale = Scale(targets, references, spread, calibration, header["baseline"], header["pooling"])
        _check(scale)
        model = with_weights(path, lambda: PropertyModel(config, scale))
        domain = Domain.from_dict(header["domain"])
    return Checkpoint(name, model, domain, header["provenance"], sha256_of(path))


def _check(scale: Scale) -> None:
    """Raise a ShapeError or ConfigError if arrays do not fit the targets, or something is not what it can be."""
    size, references = len(scale.targets), scale.references
    for part, values, shape in (
        ("spread", scale.spread, (size,)),
        ("calibration", scale.calibration, (len(LEVELS), size)),
        ("offset of the references", references.offset, (size,)),
        ("coefficient of the references", references.coefficient, (len(references.elements), size)),
    ):
        check_shape(part, values.shape, shape)
        if not np.isfinite(values).all():
            raise ConfigError(f"{part} is not finite everywhere")
    if scale.pooling not in get_args(Pooling):
        raise ConfigError(f"pooling {scale.pooling!r:.60}: expected one of {', '.join(get_args(Pooling))}")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of M conformers.

    Attributes:
        block: the conformers it took; those it rejected are in ``block.rejected``.
        value: (M, T) in the units of the targets.
        std: (M, T) half-widths, in the same units, of intervals that hold the value in about 68 % of cases; learned
            on the training set and calibrated on the validation set, so of no meaning out of domain. Of probabilities p
            they are the root of p (1 - p).
        wide: (M, T) likewise, in about 95 % of cases.
        domain_reason: (M,) text, why elements, size, charge or bonds are not within those of the training set, see
            `molgiae.model.domain.domain_reasons`; empty where they are.
        score: (M,) by which a model that was trained to do so weighs conformers of a molecule: shares are softmax.
    """

    block: ConformerBlock
    value: Floats
    std: Floats
    wide: Floats
    domain_reason: NDArray[np.object_]
    score: Floats

    @property
    def in_domain(self) -> NDArray[np.bool_]:
        """(M,) whether conformers are within what the model was trained on."""
        return np.asarray(self.domain_reason == "")


class Predictor:
    """A model of properties in use.

    Args:
        model: directory or file that `molgiae finetune` wrote.
        device: "auto" takes CUDA if it is there.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if the device cannot be, or what computes the baseline of the model is not installed.

    Examples:
        >>> predictor = molgiae.Predictor("energy")
        >>> predictor.targets[0].name, predictor.predict(mol).value.shape
        ('energy', (3, 1))
    """

    def __init__(self, model: str | os.PathLike[str], *, device: str = "auto") -> None:
        self.checkpoint = load(os.fspath(model))
        self.device = choose_device(device)
        self.model = self.checkpoint.model.to(self.device)
        for target in self.targets if self.model.scale.baseline else ():
            quantity_of(target, self.model.scale.baseline)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The T properties, with units."""
        return self.model.scale.targets

    @property
    def pooling(self) -> Pooling:
        """How it was trained to join conformers of a molecule."""
        return self.model.scale.pooling

    @property
    def baseline(self) -> str:
        """The cheap method to which it adds a difference; empty for none."""
        return self.model.scale.baseline

    def predict(self, conformers: Given) -> Prediction:
        """Return the values of conformers in any pose and order of their atoms.

        They are files, RDKit molecules with all of theirs, ASE atoms, conformers, one or several; or a block.

        Raises:
            CheckpointError: if values are not finite: the weights are damaged.
        """
        block = conformers_of(conformers)
        scale = self.model.scale
        cheap = None
        if scale.baseline:
            block, cheap = with_cheap_values(block, scale.targets, scale.baseline)
        found = self.model.predict(block, cheap)
        if not all(np.isfinite(part).all() for part in found):
            raise damaged(Path(self.checkpoint.name), "its predictions are not finite numbers")
        reasons = domain_reasons(self.checkpoint.domain, block)
        unseen = scale.references.unseen(block) & (reasons == "")
        reasons[unseen] = "element: one was in no training conformer"
        return Prediction(block, found.value, found.std, found.wide, reasons, found.score)
