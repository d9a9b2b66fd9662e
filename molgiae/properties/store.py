"""Models of properties on disk: weights, and as JSON in the header everything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.config import AtomConfig, Domain
from molgiae.errors import ConfigError, check_shape
from molgiae.model.checkpoint import with_weights, write
from molgiae.model.header import Kind, building_from, read_header, sha256_of
from molgiae.model.shipped import locate
from molgiae.properties.model import PropertyModel, Scale
from molgiae.properties.references import References
from molgiae.properties.targets import Target

FILE = "model.safetensors"


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
    sha256: str = ""


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
        scale = Scale(
            targets,
            References.from_dict(header["references"]),
            np.array(header["spread"], np.float64),
            np.array(header["calibration"], np.float64),
        )
        _check(scale)
        domain = Domain.from_dict(header["domain"])
    return PropertyCheckpoint(name, model, scale, domain, header["provenance"], sha256_of(path))


def _check(scale: Scale) -> None:
    """Raise an error unless there is a finite number for every target."""
    size, references = len(scale.targets), scale.references
    for name, values, shape in (
        ("spread", scale.spread, (size,)),
        ("calibration", scale.calibration, (size,)),
        ("offset of the references", references.offset, (size,)),
        ("coefficient of the references", references.coefficient, (len(references.elements), size)),
    ):
        check_shape(name, values.shape, shape)
        if not np.isfinite(values).all():
            raise ConfigError(f"{name} is not finite everywhere")
