"""Models of properties on disk: weights, and as JSON in the header everything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from molgiae.checkpoint import PROPERTY, locate, read_header, sha256_of, shipped, write
from molgiae.config import Domain
from molgiae.errors import CheckpointError
from molgiae.properties.model import PropertyModel, Scale
from molgiae.properties.references import References
from molgiae.targets import Target

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
        "config": {"width": model.atoms.element.embedding_dim, "layers": len(model.atoms.layers)},
        "targets": [target.to_dict() for target in scale.targets],
        "references": scale.references.to_dict(),
        "spread": scale.spread.tolist(),
        "calibration": scale.calibration.tolist(),
        "domain": domain.to_dict(),
        "provenance": provenance,
    }
    write(path, model, PROPERTY, header, torch.float32)


def load(name: str) -> PropertyCheckpoint:
    """Load a model of properties, a file or the directory that finetune wrote.

    Raises:
        CheckpointError: if it is missing, damaged, too new, or of another kind.
    """
    path = Path(name) / FILE if Path(name).is_dir() else Path(name)
    if name in shipped():
        path = locate(name)  # an autoencoder, as the header says
    if not path.is_file():
        raise CheckpointError(
            f"{name}: no such model; give a directory or a .safetensors file written by molgiae finetune"
        )
    header = read_header(path, PROPERTY)
    try:
        targets = tuple(Target.from_dict(target) for target in header["targets"])
        model = PropertyModel(**header["config"], extensive=[target.extensive for target in targets])
        with safe_open(path, framework="pt") as file:
            model.load_state_dict({key: file.get_tensor(key).float() for key in file.keys()})  # noqa: SIM118
        scale = Scale(
            targets,
            References.from_dict(header["references"]),
            np.array(header["spread"], np.float64),
            np.array(header["calibration"], np.float64),
        )
        domain, provenance = Domain.from_dict(dict(header["domain"])), dict(header["provenance"])
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path}: weights and header do not fit ({reason})") from error
    model.eval().requires_grad_(False)
    return PropertyCheckpoint(name, model, scale, domain, provenance, sha256_of(path))
