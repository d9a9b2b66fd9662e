"""Canonical forms of blocks of conformers, as columns of the HDF5 schema; they need no model."""

from __future__ import annotations

import numpy as np

from molgiae.canonical.bond_graph import Floats, Ints
from molgiae.canonical.completion import Diagnosis, complete
from molgiae.data.blocks import Columns, Result
from molgiae.data.conformer import ConformerBlock, rows_of
from molgiae.data.given import Given, conformers_of
from molgiae.data.hdf5.schema import CANONICAL_COLUMNS, allocated


def canonical_forms(conformers: Given, workers: int = 1) -> Result:
    """Return group action and canonical form of every conformer, of any elements and size.

    They are those of a shipped model (`molgiae.model.autoencoder`), found without one.

    Args:
        conformers: files, RDKit molecules with all of theirs, ASE atoms, conformers, one or several; or a block.
        workers: threads that share them.

    Examples:
        >>> forms = molgiae.canonical_forms(mol)
        >>> forms["canonical_position"].shape, forms["point_group"].tolist()
        ((27, 3), ['C1', 'C1', 'C1'])
    """
    block = conformers_of(conformers)
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
