"""A model of properties in use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.model.domain import domain_reasons
from molgiae.model.embedder import choose_device
from molgiae.model.header import damaged
from molgiae.properties.fitting import predict_standardized
from molgiae.properties.store import PropertyCheckpoint, load
from molgiae.properties.targets import Target

Floats = NDArray[np.float64]


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
        model: directory or file that `molgiae finetune` wrote, or a loaded one.
        device: "auto" takes CUDA if it is there.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if the device cannot be.
    """

    def __init__(self, model: str | os.PathLike[str] | PropertyCheckpoint, *, device: str = "auto") -> None:
        self.checkpoint = model if isinstance(model, PropertyCheckpoint) else load(os.fspath(model))
        self.device = choose_device(device)
        self.model = self.checkpoint.model.to(self.device)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The T properties, with units."""
        return self.checkpoint.scale.targets

    @property
    def embedding_model(self) -> dict[str, str]:
        """Name and sha256 of the autoencoder it was fine-tuned from; empty if it was trained from scratch."""
        pretrained: dict[str, Any] = self.checkpoint.provenance.get("pretrained") or {}
        return {str(key): str(value) for key, value in pretrained.items()}

    def predict(self, conformers: ConformerBlock | Iterable[Conformer]) -> Prediction:
        """Return the values of conformers in any pose and order of their atoms.

        Raises:
            CheckpointError: if values are not finite: the weights are damaged.
        """
        block = reject_meaningless(as_block(conformers))
        scale = self.checkpoint.scale
        value, uncertainty = predict_standardized(self.model, block)
        value, std = scale.value(block, value), scale.std(uncertainty)
        if not (np.isfinite(value).all() and np.isfinite(std).all()):
            raise damaged(Path(self.checkpoint.name), "its predictions are not finite numbers")
        reasons = domain_reasons(self.checkpoint.domain, block)
        unseen = scale.references.unseen(block) & (reasons == "")
        reasons[unseen] = "element: one was in no training conformer"
        return Prediction(block, value, std, reasons)
