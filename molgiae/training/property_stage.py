"""The stage of pretraining that makes what fine-tuning starts from: by labels if there are any, else by denoising."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from molgiae.config import TrainConfig
from molgiae.nn.taught import OF_SUMS, Told
from molgiae.parallel import ranks
from molgiae.training.batches import drawn_by_size, mean_over_pieces, trimmed
from molgiae.training.labels import LARGEST, Labels, mean_error, middle_and_spread, shares_of_elements
from molgiae.training.loop import Run, Stage
from molgiae.training.losses import denoising_loss
from molgiae.training.task import Task

PIECES = 4
"""Of a batch that is denoised, conformers of similar size in each."""

WEIGHTS = {
    "energy": 2.0, "polarizability": 0.3, "log_p": 0.3, "refractivity": 0.3, "solvation_water": 0.5,
    "solvation_octanol": 0.5, "gap": 0.5, "dipole": 0.5, "charges": 10.0, "forces": 1.0,
}  # fmt: skip
"""Of the mean absolute errors in the loss: of energies, gaps, dipoles, charges and forces in eV, debye, elementary
charges and eV/angstrom, of others in standard deviations."""


def property_stage(task: Task) -> Stage:
    """Make the stage of the network that properties are learned by."""
    encoder: Any = task.model.encoder
    network, config, device = encoder.properties, task.config, task.run.device
    if task.data.labels is not None:
        return told_stage(network, task.data.labels.to(device), config, task.run)
    conformers = task.conformers().to(device)
    sizes = conformers.mask.sum(dim=1)

    def denoise(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            return denoising_loss(network, trimmed(conformers[piece]), config.atom_noise, generator)

        return mean_over_pieces(of_piece, index[: config.property_batch], sizes, PIECES)

    parameters = list(network.parameters())
    return task.stage("properties", config.property_steps, len(sizes), parameters, loss=denoise)


def told_stage(
    network: Any, labels: Labels, config: TrainConfig, run: Run, rows: Tensor | None = None, **more: Any
) -> Stage:
    """Make the stage in which a `TaughtNetwork` learns from labels on its device.

    Args:
        network: on the device of the run.
        labels: there, too.
        config: the recipe.
        run: where and how.
        rows: (M,) the conformers to learn from, on the CPU; None for all.
        **more: fields of the stage.
    """
    rows = torch.arange(len(labels)) if rows is None else rows
    sizes = labels.sizes[rows]

    def loss(step: int) -> Tensor:
        index = rows[drawn_by_size(sizes, config.property_batch, config.seed, step)]
        return weighted(told_errors(network, labels, index))

    return Stage(
        "properties",
        config.property_steps,
        [(list(network.parameters()), 1.0)],
        loss,
        config.warmup_steps,
        config.clip,
        run.evaluate_every,
        begin=partial(standardize_sums, network, labels),
        **more,
    )


def weighted(errors: dict[str, Tensor]) -> Tensor:
    """Return the sum of errors by `WEIGHTS`."""
    return torch.stack([WEIGHTS[name] * error for name, error in errors.items()]).sum()


def told_errors(network: Any, labels: Labels, index: Tensor) -> dict[str, Tensor]:
    """Return mean absolute errors of labels of conformers (b,), in the units of `WEIGHTS`; unknown ones are skipped."""
    x = labels.conformers(index)
    found: Told = ranks.shared(network, x.z, x.pos)
    explained = (network.composition.double()[x.z] * x.mask[..., None]).sum(dim=1)
    sums = ((_sums(labels, index) - explained) / network.scale).float()
    arrays = labels.arrays
    errors = {name: mean_error(found.sums[:, k], sums[:, k], LARGEST) for k, name in enumerate(OF_SUMS)}
    return errors | {
        "gap": mean_error(found.gap, arrays["gap"][index] - network.center, LARGEST),
        "dipole": mean_error(found.dipole, arrays["dipole"][index], LARGEST),
        "charges": mean_error(found.charges, labels.of_atoms("charges", index), there=x.mask),
        "forces": mean_error(found.forces, labels.of_atoms("forces", index), LARGEST, x.mask),
    }


def _sums(labels: Labels, index: Tensor) -> Tensor:
    """Return (b, 6) labels of `OF_SUMS`, float64."""
    shares = labels.of_atoms("chemistry", index)[..., :2].double().sum(dim=1)
    energy, polarizability, *solvated = (
        labels.arrays[name][index].double() for name in OF_SUMS if name in labels.arrays
    )
    return torch.column_stack([energy, polarizability, shares, *solvated])


@torch.no_grad()
def standardize_sums(network: Any, labels: Labels) -> None:
    """Set what the network keeps of the labels: shares of the elements, spreads of what is left, the median of the gap.

    Energies stay in eV. What earlier labels have set stays, and elements that they lacked get their shares of what is
    left, so that a network that is taught goes on from what it knows.
    """
    every = torch.arange(len(labels))
    sums = torch.cat([_sums(labels, part) for part in every.split(10_000)])
    z, owner = labels.arrays["atomic_number"], torch.repeat_interleave(labels.sizes).to(labels.device)
    for k, (name, column) in enumerate(zip(OF_SUMS, sums.T, strict=True)):
        if column.isfinite().sum() < len(OF_SUMS):
            continue
        shares = network.composition[:, k].double()
        is_new = not shares.any()
        unknown = torch.ones_like(shares) if is_new else (shares == 0).double()
        # molecules of known elements say nothing of the others
        tells = _added(unknown[z], owner, column) > 0
        left = (column - _added(shares[z], owner, column)).where(tells, torch.nan)
        if left.isfinite().any():
            shares = shares + shares_of_elements(labels, left, unknown > 0)
            network.composition[:, k] = shares.to(network.composition)
        if is_new and name != "energy":
            network.scale[k] = middle_and_spread(column - _added(shares[z], owner, column))[1]
    gaps = labels.arrays["gap"]
    if gaps.isfinite().any() and not network.center.any():
        network.center.fill_(middle_and_spread(gaps)[0])


def _added(of_atoms: Tensor, owner: Tensor, values: Tensor) -> Tensor:
    """Return sums over the atoms (N,) of each of the conformers (M,)."""
    return torch.zeros_like(values).index_add(0, owner, of_atoms.to(values))
