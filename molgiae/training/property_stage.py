"""The stage of pretraining that makes what fine-tuning starts from: by labels if there are any, else by denoising."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from molgiae.nn.taught import OF_SUMS, Told
from molgiae.training.batches import mean_over_pieces, trimmed
from molgiae.training.labels import LARGEST, Labels, mean_error, middle_and_spread, shares_of_elements
from molgiae.training.loop import Stage
from molgiae.training.losses import denoising_loss
from molgiae.training.task import Task

BATCH, PIECES = 64, 4
"""Most conformers in a batch, and pieces of it, of similar size."""

WEIGHTS = {
    "energy": 2.0, "polarizability": 0.3, "log_p": 0.3, "refractivity": 0.3,
    "gap": 0.5, "dipole": 0.5, "charges": 10.0, "forces": 1.0,
}  # fmt: skip
"""Of the mean absolute errors in the loss: of energies, gaps, dipoles, charges and forces in eV, debye, elementary
charges and eV/angstrom, of others in standard deviations."""


def property_stage(task: Task) -> Stage:
    """Make the stage of the network that properties are learned by."""
    encoder: Any = task.model.encoder
    network, config, device = encoder.properties, task.config, task.run.device
    make = partial(task.stage, "properties", config.property_steps, parameters=list(network.parameters()))
    if task.data.labels is None:
        conformers = task.conformers().to(device)
        sizes = conformers.mask.sum(dim=1)

        def denoise(index: Tensor, generator: torch.Generator) -> Tensor:
            def of_piece(piece: Tensor) -> Tensor:
                return denoising_loss(network, trimmed(conformers[piece]), config.atom_noise, generator)

            return mean_over_pieces(of_piece, index[:BATCH], sizes, PIECES)

        return make(len(sizes), loss=denoise)
    labels = task.data.labels.to(device)

    def taught(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            x = labels.conformers(piece)
            return told_loss(network, network(x.z, x.pos), labels, piece)

        return mean_over_pieces(of_piece, index[:BATCH], labels.sizes, PIECES)

    return make(len(labels), loss=taught, begin=partial(standardize_sums, network, labels))


def told_loss(network: Any, found: Told, labels: Labels, index: Tensor) -> Tensor:
    """Return the sum of mean absolute errors of labels of conformers (b,), by `WEIGHTS`; unknown ones are skipped."""
    z = labels.of_atoms("atomic_number", index)
    there, arrays = z > 0, labels.arrays
    explained = (network.composition.double()[z] * there[..., None]).sum(dim=1)
    sums = ((_sums(labels, index) - explained) / network.scale).float()
    errors = {name: mean_error(found.sums[:, k], sums[:, k], LARGEST) for k, name in enumerate(OF_SUMS)}
    errors |= {
        "gap": mean_error(found.gap, arrays["gap"][index] - network.center, LARGEST),
        "dipole": mean_error(found.dipole, arrays["dipole"][index], LARGEST),
        "charges": mean_error(found.charges[there], labels.of_atoms("charges", index)[there]),
        "forces": mean_error(found.forces[there], labels.of_atoms("forces", index)[there], LARGEST),
    }
    return torch.stack([WEIGHTS[name] * error for name, error in errors.items()]).sum()


def _sums(labels: Labels, index: Tensor) -> Tensor:
    """Return (b, 4) labels of `OF_SUMS`, float64."""
    shares = labels.of_atoms("chemistry", index)[..., :2].double().sum(dim=1)
    whole = [labels.arrays[name][index].double() for name in OF_SUMS[:2]]
    return torch.column_stack([*whole, shares])


@torch.no_grad()
def standardize_sums(network: Any, labels: Labels) -> None:
    """Set what the network keeps of the labels: shares of the elements, spreads of what is left, the median of the gap.

    Energies stay in eV.
    """
    every = torch.arange(len(labels), device=labels.offset.device)
    sums = torch.cat([_sums(labels, part) for part in every.split(10_000)])
    for k, (name, values) in enumerate(zip(OF_SUMS, sums.T, strict=True)):
        if values.isfinite().sum() < len(OF_SUMS):
            continue
        shares = shares_of_elements(labels, values)
        network.composition[:, k] = shares.to(network.composition)
        if name != "energy":
            of_atoms = shares[labels.arrays["atomic_number"]]
            owner = torch.repeat_interleave(every, labels.sizes)
            network.scale[k] = middle_and_spread(
                values - values.new_zeros(len(values)).index_add(0, owner, of_atoms)
            )[1]
    gaps = labels.arrays["gap"]
    if gaps.isfinite().any():
        network.center.fill_(middle_and_spread(gaps)[0])
