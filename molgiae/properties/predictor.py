"""Models of properties: features of atoms, a head, and what turns its numbers into values; on disk and in use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.canonical.forms import batches_by_size
from molgiae.config import AtomConfig, Domain
from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError, check_shape
from molgiae.model.checkpoint import with_weights, write
from molgiae.model.cloud import Cloud, batches
from molgiae.model.domain import domain_reasons
from molgiae.model.embedder import choose_device
from molgiae.model.header import Kind, building_from, damaged, read_header, sha256_of
from molgiae.model.shipped import locate
from molgiae.nn.atoms import AtomNetwork
from molgiae.nn.property_head import PropertyHead
from molgiae.properties.references import References
from molgiae.properties.targets import Target

FILE = "model.safetensors"
EVALUATE_BATCH = 256
"""Conformers predicted at once."""

Floats = NDArray[np.float64]


class PropertyModel(nn.Module):
    """Conformers to standardized values of T properties and their uncertainties.

    Args:
        width: F, features of an atom.
        layers: rounds of messages.
        extensive: (T,) whether each property grows with the molecule.
    """

    def __init__(self, width: int, layers: int, extensive: Sequence[bool]) -> None:
        super().__init__()
        self.atoms = AtomNetwork(width, layers)
        self.head = PropertyHead(width, extensive)

    def forward(self, x: Cloud) -> tuple[Tensor, Tensor]:
        """Return values and uncertainties, both (B, T)."""
        value, uncertainty = self.head(self.atoms(x.z, x.pos), x.mask)
        return value.float(), uncertainty.float()


@dataclass(frozen=True, eq=False)
class Scale:
    """From standardized values to values in the units of the targets.

    Attributes:
        targets: T properties.
        references: what elements and sizes explain, which is taken off before learning.
        spread: (T,) standard deviation of what is left, over the training conformers.
        calibration: (T,) half-widths that hold 68.3 % of the validation values, over the uncertainties of the network.
    """

    targets: tuple[Target, ...]
    references: References
    spread: Floats
    calibration: Floats

    def standardized(self, block: ConformerBlock, values: Floats) -> Floats:
        """Return what the network learns of values (M, T) in the units of the targets."""
        return (values - self.references.of(block)) / self.spread

    def value(self, block: ConformerBlock, standardized: Floats) -> Floats:
        """Return the inverse of `standardized`."""
        return standardized * self.spread + self.references.of(block)

    def std(self, uncertainty: Floats) -> Floats:
        """Return (M, T) half-widths of intervals that hold the value in about 68 % of cases."""
        return uncertainty * self.spread * self.calibration


@torch.no_grad()
def predict_standardized(model: PropertyModel, block: ConformerBlock) -> tuple[Floats, Floats]:
    """Return standardized values and uncertainties of all conformers, both (M, T), in batches of similar size."""
    weight = next(model.parameters())
    found = np.empty((2, len(block), len(model.head.extensive)))
    for chosen in batches_by_size(block.n_atoms, EVALUATE_BATCH):
        part = block.take(chosen)
        (x,) = batches(part.atomic_number, part.position, part.offset, len(part))
        pair = model(x.centered().to(weight.device, weight.dtype))
        found[:, chosen] = torch.stack(pair).double().cpu().numpy()
    return found[0], found[1]


def predict(model: PropertyModel, scale: Scale, block: ConformerBlock) -> tuple[Floats, Floats]:
    """Return values and half-widths of uncertainty, both (M, T), in the units of the targets."""
    value, uncertainty = predict_standardized(model, block)
    return scale.value(block, value), scale.std(uncertainty)


@dataclass(frozen=True, eq=False)
class PropertyCheckpoint:
    """A model of properties with its origin.

    Attributes:
        name: path it was asked for by.
        model: ready for inference, on the CPU.
        scale: its targets, references and units.
        domain: what it was trained on.
        provenance: data with sha256, pretrained weights, recipe, scores on the test split.
        sha256: of the file.
    """

    name: str
    model: PropertyModel
    scale: Scale
    domain: Domain
    provenance: dict[str, Any]
    sha256: str


def save(path: Path, model: PropertyModel, scale: Scale, domain: Domain, provenance: dict[str, Any]) -> None:
    """Write a model of properties, under a temporary name until it is complete."""
    header = {
        "config": AtomConfig(model.atoms.element.embedding_dim, len(model.atoms.layers)).to_dict(),
        "targets": [target.to_dict() for target in scale.targets],
        "references": scale.references.to_dict(),
        "spread": scale.spread.tolist(),
        "calibration": scale.calibration.tolist(),
        "domain": domain.to_dict(),
        "provenance": provenance,
    }
    write(path, model, Kind.PROPERTY, header)


def load(name: str) -> PropertyCheckpoint:
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
        extensive = [target.extensive for target in targets]
        model = with_weights(path, lambda: PropertyModel(config.width, config.layers, extensive))
        spread, calibration = (np.array(header[part], np.float64) for part in ("spread", "calibration"))
        scale = Scale(targets, References.from_dict(header["references"]), spread, calibration)
        _check(scale)
        domain = Domain.from_dict(header["domain"])
    return PropertyCheckpoint(name, model, scale, domain, header["provenance"], sha256_of(path))


def _check(scale: Scale) -> None:
    """Raise a ShapeError or ConfigError if arrays do not fit the targets, or are not finite."""
    size, references = len(scale.targets), scale.references
    for part, values, shape in (
        ("spread", scale.spread, (size,)),
        ("calibration", scale.calibration, (size,)),
        ("offset of the references", references.offset, (size,)),
        ("coefficient of the references", references.coefficient, (len(references.elements), size)),
    ):
        check_shape(part, values.shape, shape)
        if not np.isfinite(values).all():
            raise ConfigError(f"{part} is not finite everywhere")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of M conformers.

    Attributes:
        block: the conformers it took; those it rejected are in ``block.rejected``.
        value: (M, T) in the units of the targets.
        std: (M, T) half-widths, in the same units, of intervals that hold the value in about 68 % of cases; learned
            on the training set and calibrated on the validation set, so of no meaning out of domain.
        domain_reason: (M,) text, why elements, size, charge or bonds are not within those of the training set, see
            `molgiae.model.domain.domain_reasons`; empty where they are.
    """

    block: ConformerBlock
    value: Floats
    std: Floats
    domain_reason: NDArray[np.object_]

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
        ConfigError: if the device cannot be.
    """

    def __init__(self, model: str | os.PathLike[str], *, device: str = "auto") -> None:
        self.checkpoint = load(os.fspath(model))
        self.device = choose_device(device)
        self.model = self.checkpoint.model.to(self.device)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The T properties, with units."""
        return self.checkpoint.scale.targets

    def predict(self, conformers: ConformerBlock | Iterable[Conformer]) -> Prediction:
        """Return the values of conformers in any pose and order of their atoms.

        Raises:
            CheckpointError: if values are not finite: the weights are damaged.
        """
        block, scale = reject_meaningless(as_block(conformers)), self.checkpoint.scale
        value, std = predict(self.model, scale, block)
        if not (np.isfinite(value).all() and np.isfinite(std).all()):
            raise damaged(Path(self.checkpoint.name), "its predictions are not finite numbers")
        reasons = domain_reasons(self.checkpoint.domain, block)
        unseen = scale.references.unseen(block) & (reasons == "")
        reasons[unseen] = "element: one was in no training conformer"
        return Prediction(block, value, std, reasons)
