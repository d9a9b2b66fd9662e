"""What a run learns from, and where it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from molgiae.config import ModelConfig
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.errors import ConfigError

Metrics = dict[str, float]


@dataclass(frozen=True)
class Data:
    """Training and validation conformers.

    Attributes:
        train: conformers to learn from.
        validation: conformers to choose weights by.
        name: what provenance calls them.
        sha256: of the files.
        rejected: records that could not be read.
        left_out: conformers of validation and test molecules that came with the training conformers.
    """

    train: ConformerBlock
    validation: ConformerBlock
    name: str
    sha256: dict[str, str]
    rejected: tuple[Rejected, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Run:
    """Where a run writes and how often.

    Attributes:
        directory: ``metrics.csv``, ``model.safetensors`` (best on validation), ``last.pt`` (to resume from).
        device: "cpu" or "cuda".
        bf16: whether matrix products of the hidden layers run in bfloat16.
        evaluate_every: steps between validations; each also writes ``last.pt``.
        stop_after: seconds after which the run saves and ends, to be resumed; None for never.
        progress: whether to show a bar on stderr.
    """

    directory: Path
    device: str = "cpu"
    bf16: bool = False
    evaluate_every: int = 1000
    stop_after: float | None = None
    progress: bool = True


def check_fit(block: ConformerBlock, config: ModelConfig, name: str) -> None:
    """Raise a ConfigError if there are no conformers or some are outside of a model's elements and size."""
    if not len(block):
        raise ConfigError(f"no {name} conformers")
    if missing := sorted(set(np.unique(block.atomic_number).tolist()) - set(config.elements)):
        raise ConfigError(
            f"{name} conformers have elements {missing} that the model does not know: add them to elements"
        )
    if (largest := int(block.n_atoms.max())) > config.max_atoms:
        raise ConfigError(
            f"{name} conformers have up to {largest} atoms, the model takes {config.max_atoms}: raise max_atoms"
        )
