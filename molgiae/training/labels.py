"""Cheap labels that the network of atoms learns from in place of denoising: what a file of them holds, and the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.data.npz import Expected, read_arrays
from molgiae.model.cloud import Cloud
from molgiae.nn.labels import CHEMISTRY, LabelHeads, Taught
from molgiae.training.batches import padded_rows

ARRAYS: Expected = {
    "n_atoms": ("iu", ("M",)),
    "energy": ("iuf", ("M",)),
    "gap": ("iuf", ("M",)),
    "formal_charge": ("iu", ("M",)),
    "dipole": ("iuf", ("M", 3)),
    "polarizability": ("iuf", ("M",)),
    "atomic_number": ("iu", ("N",)),
    "position": ("iuf", ("N", 3)),
    "forces": ("iuf", ("N", 3)),
    "charges": ("iuf", ("N",)),
    "chemistry": ("iuf", ("N", CHEMISTRY)),
}
"""Arrays of a file, as `molgiae label` writes it: kinds of numbers, and shapes for M conformers with N atoms."""

OPTIONAL: Expected = {"solvation_water": ("iuf", ("M",)), "solvation_octanol": ("iuf", ("M",))}
"""Further arrays that a file may have."""

MAY_LACK = ("energy", "gap", "dipole", "polarizability", "forces", "charges", "chemistry", *OPTIONAL)
"""Those where NaN says that a label is not known."""

EXACT = {"atomic_number": np.int64, "formal_charge": np.int64, "energy": np.float64}
"""Types of what float32 is not enough for: total energies of thousands of eV differ in the meV."""

WEIGHTS = {"conformer": 1.0, "forces": 1.0, "charges": 10.0, "chemistry": 0.5, "direction": 0.5}
"""Of the mean errors in the loss, in standard deviations, eV/angstrom, elementary charges, nats and debye."""

LARGEST = 6.0
"""Errors beyond this many eV, eV/angstrom and so on count by their logarithm: colliding atoms would rule the loss.

They are not cut off: what errs that far at first, as all cations do, would never be learned.
"""


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of M conformers with N atoms in all.

    Attributes:
        offset: (M + 1,) first atom of each conformer, on the CPU: what hangs on it is known without waiting for a GPU.
        arrays: what `ARRAYS` and `OPTIONAL` name, without n_atoms, as tensors; labels that are not known are NaN.
    """

    offset: Tensor
    arrays: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def sizes(self) -> Tensor:
        """(M,) numbers of atoms, on the CPU."""
        return self.offset.diff()

    @property
    def device(self) -> torch.device:
        """Where the arrays are."""
        return self.arrays["atomic_number"].device

    def of_atoms(self, name: str, index: Tensor) -> Tensor:
        """Return what an array says of the atoms of conformers (b,), padded: (b, n, ...)."""
        rows, there = padded_rows(self.offset, index.cpu())
        found = self.arrays[name][rows.to(self.device)]
        # not a product: what is not known of the first atom, NaN, would be in all padding
        there = there.view(*there.shape, *[1] * (found.dim() - 2))
        return found.masked_fill(~there.to(self.device), 0)

    def conformers(self, index: Tensor) -> Cloud:
        """Return conformers (b,), centered."""
        return Cloud(self.of_atoms("atomic_number", index), self.of_atoms("position", index)).centered()

    @classmethod
    def joined(cls, parts: Sequence[Labels]) -> Labels:
        """Return the conformers of several, one after the other."""
        sizes = torch.cat([part.sizes for part in parts])
        arrays = {name: torch.cat([part.arrays[name] for part in parts]) for name in parts[0].arrays}
        return cls(torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]), arrays)

    def to(self, device: str) -> Labels:
        """Return the same on another device."""
        return Labels(self.offset, {name: array.to(device) for name, array in self.arrays.items()})


def read_labels(paths: Sequence[Path]) -> Labels:
    """Return the labels of several files.

    Raises:
        MolgiaeError: if one cannot be read, lacks an array, or its arrays do not fit each other.
    """
    return Labels.joined([_read(path) for path in paths])


def _read(path: Path) -> Labels:
    arrays = read_arrays(path, ARRAYS, MAY_LACK, OPTIONAL)
    sizes = arrays.pop("n_atoms")
    arrays |= {name: np.full(len(sizes), np.nan) for name in OPTIONAL if name not in arrays}
    offset = torch.from_numpy(np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))
    return Labels(
        offset,
        {name: torch.from_numpy(a.astype(EXACT.get(name, np.float32))) for name, a in arrays.items()},
    )


@torch.no_grad()
def standardize(heads: LabelHeads, labels: Labels) -> None:
    """Set what the heads keep of the labels: the energies of elements, means and standard deviations."""
    every = torch.arange(len(labels), device=labels.device)
    heads.composition.copy_(shares_of_elements(labels, labels.arrays["energy"].double()))
    for k, values in enumerate(_of_conformers(heads, labels, every).T):
        if values.isfinite().sum() > 1:
            heads.center[k], heads.scale[k] = middle_and_spread(values)


def shares_of_elements(labels: Labels, values: Tensor, elements: Tensor | None = None) -> Tensor:
    """Return (119,) what an atom of each element adds to values (M,) by least squares; unknown ones are left out.

    Where `elements` (119,) is false, they add nothing.
    """
    z, known = labels.arrays["atomic_number"], values.isfinite()
    conformer = torch.repeat_interleave(labels.sizes).to(z.device)
    counts = values.new_zeros(len(labels), MAX_ATOMIC_NUMBER + 1)
    counts = counts.index_put_((conformer, z), values.new_ones(1), accumulate=True)[known]
    present = counts.sum(dim=0) > 0
    if elements is not None:
        present = present & elements
    shares = values.new_zeros(MAX_ATOMIC_NUMBER + 1)
    # of minimum norm, where numbers of atoms depend on each other; GPUs know no such driver
    found = torch.linalg.lstsq(counts[:, present].cpu(), values[known, None].cpu(), driver="gelsd").solution
    shares[present] = found[:, 0].to(shares)
    return shares


def middle_and_spread(values: Tensor) -> tuple[float, float]:
    """Return the median of what is known, and its spread by quartiles, as a few broken geometries are far off."""
    known = values[values.isfinite()]
    low, middle, high = known.quantile(known.new_tensor([0.25, 0.5, 0.75])).tolist()
    return middle, max((high - low) / 1.35, 1e-3)


def _of_conformers(heads: LabelHeads, labels: Labels, index: Tensor) -> Tensor:
    """Return (b, 6) labels of conformers (b,), as they are but for the energy without its composition."""
    arrays, z = labels.arrays, labels.of_atoms("atomic_number", index)
    energy = (arrays["energy"][index] - (heads.composition.double()[z] * (z > 0)).sum(dim=1)).float()
    shares = labels.of_atoms("chemistry", index)[..., :2].sum(dim=1)
    columns = [
        energy,
        arrays["gap"][index],
        arrays["dipole"][index].norm(dim=-1),
        arrays["polarizability"][index],
        *shares.T,
    ]
    return torch.stack(columns, dim=1)


def label_loss(heads: LabelHeads, found: Taught, direction: Tensor, labels: Labels, index: Tensor) -> Tensor:
    """Mean absolute errors of all labels that are known, weighted by `WEIGHTS`.

    Args:
        heads: with the scales of the labels.
        found: what is predicted of conformers (b,).
        direction: (b, 3) their dipole moments, debye.
        labels: of all conformers.
        index: places of the conformers among the labels.
    """
    wanted = (_of_conformers(heads, labels, index) - heads.center) / heads.scale
    there = labels.of_atoms("atomic_number", index) > 0
    chemistry, taught = labels.of_atoms("chemistry", index)[there], found.chemistry[there]
    known = chemistry[:, 0].isfinite()
    errors = {
        "conformer": limited((found.conformer - wanted)[wanted.isfinite()].abs(), LARGEST).sum()
        / index.numel(),
        "forces": mean_error(found.forces, labels.of_atoms("forces", index), LARGEST, there),
        "charges": mean_error(found.charges, labels.of_atoms("charges", index), there=there),
        "chemistry": (taught[known, :2] - chemistry[known, :2]).abs().sum() / max(2 * int(known.sum()), 1)
        + torch.nn.functional.binary_cross_entropy_with_logits(
            taught[known, 2:], chemistry[known, 2:], reduction="sum"
        )
        / max(int(known.sum()), 1),
        "direction": mean_error(direction, labels.arrays["dipole"][index]),
    }
    total = found.conformer.new_zeros(())
    for name, error in errors.items():
        total = total + WEIGHTS[name] * error
    return total


def mean_error(
    found: Tensor, wanted: Tensor, largest: float = math.inf, there: Tensor | None = None
) -> Tensor:
    """Return the mean absolute error, `limited`, of what is known and `there`; 0 where nothing is.

    Nothing has to be counted first, for which a GPU would be waited for. The mask (B, n) is of atoms.
    """
    known = wanted.isfinite()
    if there is not None:
        known = known & there.view(*there.shape, *[1] * (wanted.dim() - there.dim()))
    error = limited(torch.where(known, found - wanted, 0).abs(), largest)
    return error.sum() / known.sum().clamp(min=1)


def limited(error: Tensor, largest: float) -> Tensor:
    """Return errors, those beyond the largest by their logarithm: their slope falls, and is never 0."""
    if math.isinf(largest):
        return error
    return error.clamp(max=largest) + largest * (error / largest).clamp(min=1).log()
