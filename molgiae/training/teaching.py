"""Teaching the network of properties of a model by further cheap labels; its embedding stays as it is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from molgiae import __version__
from molgiae.config import TrainConfig
from molgiae.errors import CheckpointError, ConfigError
from molgiae.model import checkpoint
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.checkpoint import Checkpoint
from molgiae.training.labels import Labels
from molgiae.training.loop import Metrics, Run, Trainer
from molgiae.training.property_stage import told_errors, told_stage, weighted

HELD_SHARE, MAX_HELD = 0.05, 2000
"""Share of the conformers that are validated by, and most of them."""
VALIDATION_BATCH = 100

UNITS = {
    "energy": "eV", "polarizability": "sd", "log_p": "sd", "refractivity": "sd", "solvation_water": "sd",
    "solvation_octanol": "sd", "gap": "eV", "dipole": "D", "charges": "e", "forces": "eV/A",
}  # fmt: skip
"""Of what is told; sd is the spread of what composition does not explain."""


def teach(
    origin: Checkpoint[ConformerAutoencoder],
    labels: Labels,
    config: TrainConfig,
    run: Run,
    resume: bool = False,
    learned: dict[str, Any] | None = None,
    times: Tensor | None = None,
) -> Metrics:
    """Train the network of properties on from where it stands and keep what is best on held-back conformers.

    Writes ``model.safetensors``, the model with the new network, from which `molgiae finetune` starts.

    Args:
        origin: the model.
        labels: of any conformers; a twentieth of them is held back, by the seed.
        config: the recipe, of which `property_steps`, `property_batch` and what every stage has are used.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.
        learned: what provenance says of the labels.
        times: (M,) how often each conformer comes in an epoch; None for once.

    Returns:
        mean absolute errors of the last validation, by the names and in the `UNITS` of labels; "step", "complete".

    Raises:
        CheckpointError: if the model has no such network, or the run to resume was made with other settings.
        ConfigError: if there are too few labels.
    """
    encoder: Any = origin.model.encoder
    if getattr(encoder, "properties", None) is None:
        raise CheckpointError(
            f"{origin.name}: has no network of properties; pretrain one with --property-width"
        )
    if len(labels) < 2:
        raise ConfigError("one label: teaching needs at least two, to keep one for validation")
    network: Any = deepcopy(encoder.properties).requires_grad_(True).to(run.device)
    known = labels.to(run.device)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(config.seed))
    count = max(1, min(MAX_HELD, round(HELD_SHARE * len(labels))))
    held, rows = order[:count], order[count:].sort().values
    if times is not None:
        rows = rows.repeat_interleave(times[rows])
    held = held[labels.sizes[held].argsort()]

    def keep(mean: Any, row: Metrics) -> None:
        model = deepcopy(origin.model)
        model.encoder.get_submodule("properties").load_state_dict(mean.state_dict())
        said = {"molgiae": __version__, "from": origin.sha256, "labels": len(rows), "validation": row}
        said |= {"training": config.to_dict(), "device": run.device, **(learned or {})}
        path = run.directory / "model.safetensors"
        checkpoint.save(path, model, origin.domain, origin.provenance | {"properties": said})

    def stage() -> Any:
        return told_stage(
            network, known, config, run, rows,
            validate=lambda mean: validated(mean, known, held), criterion="told", keep=keep,
        )  # fmt: skip

    identity = {
        "training": config.to_dict(),
        "taught": [origin.sha256, len(labels), float(labels.arrays["energy"].nansum())],
    }
    trainer = Trainer(network, [stage], config, run, identity)
    if resume:
        trainer.resume()
    return trainer.fit()


@torch.no_grad()
def validated(network: Any, labels: Labels, held: Tensor) -> Metrics:
    """Return mean absolute errors of the labels of conformers (M,), and "told", their sum as the loss weighs them."""
    network.eval()
    batches = [told_errors(network, labels, part) for part in held.split(VALIDATION_BATCH)]
    mean = {name: torch.stack([errors[name] for errors in batches]).mean() for name in UNITS}
    return {"told": float(weighted(mean)), **{name: float(error) for name, error in mean.items()}}
