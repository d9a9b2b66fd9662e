"""Overlays that the overlay and color parts learn from: what a file of them holds, and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from molgiae.data.npz import Expected, read_arrays
from molgiae.errors import ConfigError
from molgiae.model.cloud import Cloud
from molgiae.training.batches import padded_rows

RANKING = 0.1
"""Weight of one less the correlation within a group, beside errors of Tanimoto similarities."""

NEAR = 0.5, 0.02
"""Errors of a distance d, (1 - Tanimoto)^(1/2), count 1 + a / (d + b) times: displaced copies are to stay near."""

COLOR_WEIGHT = 1.0
"""Weight of the color part."""


ARRAYS: Expected = {
    "n_atoms": ("iu", ("M",)),
    "atomic_number": ("iu", ("N",)),
    "position": ("iuf", ("N", 3)),
    "index": ("iu", ("K", "G")),
    "mirrored": ("biu", ("K", "G")),
    "tanimoto": ("f", ("K", "G", "G", 2)),
    "color_volume": ("iuf", ("K", "G")),
}
"""Arrays of a file, see `benchmarks/overlay_labels.py`: kinds of numbers and shapes, as in `Overlays`."""


UNKNOWN = ("tanimoto", "color_volume")
"""Arrays that may hold NaN, for color that nobody looked at."""


@dataclass(frozen=True, eq=False)
class Overlays:
    """Groups of G conformers whose overlays are all known.

    Attributes:
        offset: (M + 1,) first atom of each conformer.
        atomic_number: (N,) int64.
        position: (N, 3) float32, angstrom.
        index: (K, G) conformers of each group.
        mirrored: (K, G) whether the mirror image is meant.
        tanimoto: (K, G, G, 2) of shape and color, that NaN where nobody looked at it.
        color_volume: (K, G) cubic angstrom, NaN in groups of unknown color.
    """

    offset: Tensor
    atomic_number: Tensor
    position: Tensor
    index: Tensor
    mirrored: Tensor
    tanimoto: Tensor
    color_volume: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def conformers(self, groups: Tensor) -> Cloud:
        """Return the conformers of groups (k,), centered: k G of them."""
        index, sign = self.index[groups].flatten(), 1.0 - 2.0 * self.mirrored[groups].flatten().float()
        atoms, there = padded_rows(self.offset, index)
        pos = self.position[atoms] * there[..., None] * sign[:, None, None]
        return Cloud(self.atomic_number[atoms] * there, pos).centered()

    def to(self, device: str) -> Overlays:
        """Return the same on another device."""
        return Overlays(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def read_overlays(paths: Sequence[Path]) -> Overlays:
    """Return the groups of several files, see `benchmarks/overlay_labels.py`.

    Raises:
        MolgiaeError: if one cannot be read, lacks an array, or its arrays do not fit each other.
        ConfigError: if groups are of different sizes, name conformers that are not there, or lack shapes.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in ARRAYS}
    before = 0
    for path in paths:
        arrays = read_arrays(path, ARRAYS, UNKNOWN)
        index, count = arrays["index"].astype(np.int64), len(arrays["n_atoms"])
        if parts["index"] and parts["index"][0].shape[1] != index.shape[1]:
            raise ConfigError(
                f"{path}: groups of {index.shape[1]} conformers, those of {paths[0]} are of another size"
            )
        if not index.size or index.min() < 0 or index.max() >= count:
            raise ConfigError(f"{path}: index needs groups of conformers from 0 to {count - 1}")
        if not np.isfinite(arrays["tanimoto"][..., 0]).all():
            raise ConfigError(f"{path}: tanimoto of shapes must be known of every pair")
        arrays["index"] = index + before
        before += count
        for name, array in arrays.items():
            parts[name].append(
                torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
            )
    joined = {name: torch.cat(tensors) for name, tensors in parts.items()}
    offset = torch.cat([torch.zeros(1, dtype=torch.int64), joined.pop("n_atoms").cumsum(0)])
    return Overlays(offset, **joined)


def tanimoto(vectors: Tensor) -> Tensor:
    """Return (k, G, G) Tanimoto similarities of vectors (k, G, D)."""
    both = vectors @ vectors.mT
    square = vectors.square().sum(dim=-1)
    return both / (square[:, :, None] + square[:, None] - both).clamp_min(1e-6)


def overlay_loss(parts: Sequence[Tensor], overlays: Overlays, groups: Tensor) -> Tensor:
    """How far similarities of vectors are from those of overlays, and how they rank the pairs of a group.

    Args:
        parts: vectors of the conformers of the groups, (k G, size) of the overlay and, if there is one, the color part.
        overlays: what is known.
        groups: (k,) places of the groups.
    """
    size = overlays.index.shape[1]
    pairs = ~torch.eye(size, dtype=torch.bool, device=groups.device)
    known = overlays.color_volume[groups].isfinite().all(dim=1)
    total = parts[0].new_zeros(())
    for of, (part, weight) in enumerate(zip(parts, (1.0, COLOR_WEIGHT), strict=False)):
        some = known | (of == 0)
        if not some.any():
            continue
        found = tanimoto(part.unflatten(0, (-1, size))[some])[:, pairs]
        wanted = overlays.tanimoto[groups[some]][:, pairs][..., of]
        distance = _distance(wanted)
        error = (_distance(found) - distance).abs() * (1 + NEAR[0] / (distance + NEAR[1]))
        total = total + weight * (error.mean() + RANKING * (1 - _correlation(found, wanted).mean()))
    if len(parts) == 2 and known.any():
        volume = overlays.color_volume[groups[known]].flatten()
        found = parts[1].unflatten(0, (-1, size))[known].flatten(0, 1).square().sum(dim=-1)
        total = total + (found.add(1).log() - volume.add(1).log()).abs().mean()
    return total


def _distance(similarity: Tensor) -> Tensor:
    """Return what grows as the distance of densities; smooth at a similarity of one."""
    return (1 - similarity + 1e-4).clamp_min(1e-4).sqrt()


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return (k,) correlations of rows (k, P)."""
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.square().sum(dim=1) * b.square().sum(dim=1) + 1e-8).sqrt()
