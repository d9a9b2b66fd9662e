"""Models of properties: features of atoms, a head, and what turns its numbers into values; on disk and in use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.config import AtomConfig, Domain
from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError, check_shape
from molgiae.model.architectures import atom_network
from molgiae.model.checkpoint import Checkpoint, with_weights, write
from molgiae.model.cloud import Cloud, batches, batches_by_size
from molgiae.model.domain import domain_reasons
from molgiae.model.embedder import choose_device
from molgiae.model.header import Kind, building_from, damaged, read_header, sha256_of
from molgiae.model.shipped import locate
from molgiae.nn.property_head import PropertyHead
from molgiae.properties.references import References
from molgiae.properties.targets import Target

FILE = "model.safetensors"
EVALUATE_BATCH = 256
"""Conformers predicted at once."""

Floats = NDArray[np.float64]


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


class PropertyModel(nn.Module):
    """Conformers to values of T properties and their uncertainties.

    Args:
        width: F, features of an atom.
        layers: rounds of messages between all atoms.
        rounds: rounds of messages between bonded atoms.
        scale: what turns the numbers of the network into values with units.
    """

    def __init__(self, width: int, layers: int, rounds: int, scale: Scale) -> None:
        super().__init__()
        self.scale = scale
        self.atoms = atom_network(width, layers, rounds)
        self.head = PropertyHead(width, [target.extensive for target in scale.targets])

    def forward(self, x: Cloud) -> tuple[Tensor, Tensor]:
        """Return standardized values and uncertainties, both (B, T)."""
        value, uncertainty = self.head(self.atoms(x.z, x.pos), x.mask)
        return value.float(), uncertainty.float()

    @torch.no_grad()
    def standardized(self, block: ConformerBlock) -> tuple[Floats, Floats]:
        """Return what `forward` does of all conformers, both (M, T), in batches of similar size."""
        weight = next(self.parameters())
        found = np.empty((2, len(block), len(self.scale.targets)))
        for chosen in batches_by_size(block.n_atoms, EVALUATE_BATCH):
            part = block.take(chosen)
            (x,) = batches(part.atomic_number, part.position, part.offset, len(part))
            pair = self(x.centered().to(weight.device, weight.dtype))
            found[:, chosen] = torch.stack(pair).double().cpu().numpy()
        return found[0], found[1]

    def predict(self, block: ConformerBlock) -> tuple[Floats, Floats]:
        """Return values and half-widths of uncertainty, both (M, T), in the units of the targets."""
        (value, uncertainty), scale = self.standardized(block), self.scale
        return value * scale.spread + scale.references.of(
            block
        ), uncertainty * scale.spread * scale.calibration


def save(path: Path, model: PropertyModel, domain: Domain, provenance: dict[str, Any]) -> None:
    """Write a model of properties, under a temporary name until it is complete."""
    scale = model.scale
    header = {
        "config": AtomConfig(*model.atoms.sizes).to_dict(),
        "targets": [target.to_dict() for target in scale.targets],
        "references": scale.references.to_dict(),
        "spread": scale.spread.tolist(),
        "calibration": scale.calibration.tolist(),
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
        scale = Scale(targets, References.from_dict(header["references"]), spread, calibration)
        _check(scale)
        model = with_weights(path, lambda: PropertyModel(config.width, config.layers, config.rounds, scale))
        domain = Domain.from_dict(header["domain"])
    return Checkpoint(name, model, domain, header["provenance"], sha256_of(path))


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
        return self.model.scale.targets

    def predict(self, conformers: ConformerBlock | Iterable[Conformer]) -> Prediction:
        """Return the values of conformers in any pose and order of their atoms.

        Raises:
            CheckpointError: if values are not finite: the weights are damaged.
        """
        block = reject_meaningless(as_block(conformers))
        value, std = self.model.predict(block)
        if not (np.isfinite(value).all() and np.isfinite(std).all()):
            raise damaged(Path(self.checkpoint.name), "its predictions are not finite numbers")
        reasons = domain_reasons(self.checkpoint.domain, block)
        unseen = self.model.scale.references.unseen(block) & (reasons == "")
        reasons[unseen] = "element: one was in no training conformer"
        return Prediction(block, value, std, reasons)
