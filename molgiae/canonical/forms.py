"""Canonical forms of blocks of conformers, as columns of the HDF5 schema; they need no model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.bond_graph import Bools, Floats, Ints
from molgiae.canonical.completion import Diagnosis, complete
from molgiae.data.blocks import Columns, Result, as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock, rows_of
from molgiae.data.hdf5.schema import CANONICAL_COLUMNS, allocated
from molgiae.errors import ConfigError

MAX_PAIRS = 1 << 20
"""Pairs of atoms in a batch, whose distances are held at once; large conformers go in smaller batches."""


@dataclass(frozen=True, eq=False)
class Padded:
    """B conformers of up to n atoms in padded arrays.

    Attributes:
        z: (B, n) atomic numbers; 0 marks padding, at the end of a row.
        pos: (B, n, 3) angstrom, 0 where padded.
        isotope: (B, n) mass numbers, 0 for natural atoms and padding; None where all atoms are natural.
    """

    z: Ints
    pos: Floats
    isotope: Ints | None

    @property
    def mask(self) -> Bools:
        """(B, n) true for atoms."""
        return self.z > 0


def padded(
    atomic_number: NDArray[np.uint8],
    position: Floats,
    offset: Ints,
    isotope: NDArray[np.uint16] | None = None,
) -> Padded:
    """Return compressed sparse rows as padded arrays.

    Args:
        atomic_number: (N,).
        position: (N, 3) angstrom.
        offset: (B + 1,) atoms of conformer b are ``offset[b]:offset[b + 1]``.
        isotope: (N,) mass numbers, 0 for natural atoms; None for natural atoms alone.
    """
    sizes = np.diff(offset)
    mask = np.arange(sizes.max(initial=0)) < sizes[:, None]
    z, pos = np.zeros(mask.shape, dtype=np.int64), np.zeros((*mask.shape, 3))
    atoms = slice(offset[0], offset[-1])
    z[mask], pos[mask] = atomic_number[atoms], position[atoms]
    if isotope is None or not isotope[atoms].any():
        return Padded(z, pos, None)
    mass = np.zeros(mask.shape, dtype=np.int64)
    mass[mask] = isotope[atoms]
    return Padded(z, pos, mass)


def batches_by_size(sizes: Ints, batch_size: int) -> Iterator[Ints]:
    """Yield indices of conformers of similar size; no batch of two or more has more than `MAX_PAIRS` pairs of atoms.

    Args:
        sizes: (M,) atoms of each conformer.
        batch_size: most conformers in a batch.

    Raises:
        ConfigError: if the batch size is below 1.
    """
    if batch_size < 1:
        raise ConfigError(f"batch size {batch_size}: must be at least 1")
    by_size = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(sizes):
        stop = min(start + batch_size, len(sizes))
        while stop > start + 1 and (stop - start) * int(sizes[by_size[stop - 1]]) ** 2 > MAX_PAIRS:
            stop = start + (stop - start) // 2
        yield by_size[start:stop]
        start = stop


def canonical_forms(conformers: ConformerBlock | Iterable[Conformer], workers: int = 1) -> Result:
    """Return group action and canonical form of every conformer, of any elements and size.

    They are those of a shipped model (`molgiae.model.autoencoder`), found without one.

    Args:
        conformers: a block, or any iterable of conformers.
        workers: threads that share them.
    """
    block = reject_meaningless(as_block(conformers))
    if not len(block):
        return Result(block, FormColumns(block).columns)
    offset, owner = block.offset, block.owner
    origin = np.add.reduceat(block.position, offset[:-1]) / block.n_atoms[:, None]
    pos = block.position - origin[owner]
    found = complete(block.atomic_number, pos, offset, isotope=block.isotope, workers=workers)
    first, second = found.vectors[:, 0], found.vectors[:, 1]
    rotation = np.stack([first, second, np.cross(first, second)], axis=2)
    start = offset[:-1][owner]
    order = np.empty(len(owner), np.int64)
    order[start + found.place] = np.arange(len(owner)) - start
    canonical = np.einsum("ni,nij->nj", pos[start + order], rotation[owner])
    forms = FormColumns(block)
    forms.fill(np.arange(len(block)), rotation, origin, order, canonical, found.diagnosis)
    return Result(block, forms.columns)


class FormColumns:
    """The columns of group actions and canonical forms, filled batch by batch.

    Args:
        block: the conformers.
    """

    def __init__(self, block: ConformerBlock) -> None:
        self._block = block
        self.columns: Columns = allocated(CANONICAL_COLUMNS, len(block), len(block.atomic_number))

    def fill(
        self,
        chosen: Ints,
        rotation: Floats,
        translation: Floats,
        order: Ints,
        canonical: Floats,
        diagnosis: Diagnosis,
    ) -> None:
        """Write a batch to its rows.

        Args:
            chosen: (B,) indices of the conformers, of N atoms.
            rotation: (B, 3, 3) from the canonical form to the conformer.
            translation: (B, 3) angstrom.
            order: (N,) atom of the conformer at each place of the canonical form.
            canonical: (N, 3) angstrom, the canonical form.
            diagnosis: of the batch.
        """
        rows = self.rows(chosen)
        self.columns["rotation"][chosen] = rotation
        self.columns["translation"][chosen] = translation
        self.columns["permutation"][rows] = order
        self.columns["canonical_position"][rows] = canonical
        for name in ("pose_defined", "order_defined", "symmetry_number", "point_group", "stability"):
            self.columns[name][chosen] = getattr(diagnosis, name)

    def rows(self, chosen: Ints) -> Ints:
        """Return the rows of the atoms of these conformers."""
        return rows_of(self._block.offset[chosen], self._block.n_atoms[chosen])
