"""Models of properties on disk and in use: weights, and as JSON in the header everything else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.config import AtomConfig, Domain
from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError, check_shape
from molgiae.model.checkpoint import with_weights, write
from molgiae.model.domain import domain_reasons
from molgiae.model.embedder import choose_device
from molgiae.model.header import Kind, building_from, damaged, read_header, sha256_of
from molgiae.model.shipped import locate
from molgiae.properties.fitting import predict
from molgiae.properties.model import PropertyModel, Scale
from molgiae.properties.references import References
from molgiae.properties.targets import Target

FILE = "model.safetensors"

Floats = NDArray[np.float64]


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
        config, references = (
            AtomConfig.from_dict(header["config"]),
            References.from_dict(header["references"]),
        )
        extensive = [target.extensive for target in targets]
        model = with_weights(path, lambda: PropertyModel(config.width, config.layers, extensive))
        spread, calibration = (np.array(header[part], np.float64) for part in ("spread", "calibration"))
        for part, values, shape in (
            ("spread", spread, (len(targets),)),
            ("calibration", calibration, (len(targets),)),
            ("offset of the references", references.offset, (len(targets),)),
            (
                "coefficient of the references",
                references.coefficient,
                (len(references.elements), len(targets)),
            ),
        ):
            check_shape(part, values.shape, shape)
            if not np.isfinite(values).all():
                raise ConfigError(f"{part} is not finite everywhere")
        domain = Domain.from_dict(header["domain"])
    scale = Scale(targets, references, spread, calibration)
    return PropertyCheckpoint(name, model, scale, domain, header["provenance"], sha256_of(path))


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
