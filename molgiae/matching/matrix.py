"""The least RMSDs of all pairs of conformers of one molecule, from many molecules at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Distinction
from molgiae.data.conformer import ConformerBlock
from molgiae.errors import ConfigError
from molgiae.matching.ensembles import Molecule, molecules
from molgiae.matching.molecules import ignoring
from molgiae.matching.pairs import Match, superpose_pairs
from molgiae.parallel.threads import ordered_map

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TILE = 32
"""Conformers on each side of the pairs that are superposed in one go."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What is compared of two conformers.

    Attributes:
        match: as in `molgiae.matching.copies.Rule`.
        allow_reflection: whether one may be mirrored.
        heavy: hydrogens are left out of the RMSD, where there are other atoms; they still say which of those are
            equivalent.
        ignore: differences that do not make two molecules distinct.
    """

    match: Match | None = None
    allow_reflection: bool = False
    heavy: bool = False
    ignore: Collection[Distinction] = ()


@dataclass(frozen=True, slots=True)
class RmsdMatrix:
    """Symmetry-corrected RMSDs of M conformers from N references, or of all pairs of M, where N = M.

    Attributes:
        rmsd: (M, N) angstrom; NaN for pairs of different molecules.
        proven: (M, N) whether no other matching of the atoms has a lesser one; false where there is none.
        rows: the M conformers.
        columns: the N references, the same object as `rows` where these are compared with each other.
        molecule: (M,) and (N,) numbers from 0, the same for conformers of one molecule.
    """

    rmsd: Floats
    proven: Bools
    rows: ConformerBlock
    columns: ConformerBlock
    molecule: tuple[Ints, Ints]

    @property
    def is_square(self) -> bool:
        """Whether conformers were compared with each other."""
        return self.rows is self.columns

    def condensed(self) -> tuple[Floats, Bools]:
        """Return `rmsd` and `proven` of M (M - 1) / 2 pairs, in the order of `scipy.spatial.distance.squareform`.

        Raises:
            ConfigError: if there are references.
        """
        if not self.is_square:
            raise ConfigError("a matrix with references has no condensed form")
        pairs = np.triu_indices(len(self.rows), 1)
        return self.rmsd[pairs], self.proven[pairs]

    def compared(self) -> tuple[Floats, Bools]:
        """Return `rmsd` and `proven` of the pairs that have an RMSD, of conformers with themselves left out."""
        rmsd, proven = self.condensed() if self.is_square else (self.rmsd, self.proven)
        known = np.isfinite(rmsd)
        return rmsd[known], proven[known]


def all_pairs(
    conformers: ConformerBlock,
    references: ConformerBlock | None = None,
    pairing: Pairing | None = None,
    *,
    workers: int = 1,
    advance: Callable[[int], object] = lambda pairs: None,
) -> RmsdMatrix:
    """Superpose conformers on the references of their molecule, or all on each other.

    Args:
        conformers: M of any molecules.
        references: N others; None for the conformers themselves, whose pairs are then superposed once.
        pairing: what is compared.
        workers: threads.
        advance: called with numbers of pairs that were done, for a progress bar.
    """
    pairing, m = pairing or Pairing(), len(conformers)
    columns = conformers if references is None else references
    start = None if references is None else m
    everything = [ignoring(c, pairing.ignore) for c in chain(conformers, references or ())]
    number = np.empty(len(everything), np.int64)
    rmsd, proven = np.full((m, len(columns)), np.nan), np.zeros((m, len(columns)), bool)
    if start is None:
        np.fill_diagonal(rmsd, 0.0)
        np.fill_diagonal(proven, True)

    def tiles() -> Iterator[_Tile]:
        for k, group in enumerate(molecules(everything, pairing.match)):
            number[group.rows] = k
            yield from _tiles(group.without_hydrogens() if pairing.heavy else group, start)

    def superposed(tile: _Tile) -> tuple[_Tile, Floats, Bools]:
        return tile, *tile.superposed(allow_reflection=pairing.allow_reflection)

    for tile, values, known in ordered_map(superposed, tiles(), workers):
        first, second = tile.group.rows[tile.first], tile.group.rows[tile.second] - (start or 0)
        rmsd[first, second], proven[first, second] = values, known
        if start is None:
            rmsd[second, first], proven[second, first] = values, known
        advance(len(values))
    return RmsdMatrix(rmsd, proven, conformers, columns, (number[:m], number[start or 0 :]))


@dataclass(frozen=True, slots=True)
class _Tile:
    """Pairs (p,) of conformers of one molecule, by their places in it."""

    group: Molecule
    first: Ints
    second: Ints

    def superposed(self, *, allow_reflection: bool) -> tuple[Floats, Bools]:
        """Return RMSD and whether it is proven (p,)."""
        chosen = np.unique([self.first, self.second])
        made = dict(zip(chosen.tolist(), self.group.conformers(chosen), strict=True))
        sides = [[made[k] for k in side.tolist()] for side in (self.first, self.second)]
        found = superpose_pairs(sides[1], sides[0], match=self.group.match, allow_reflection=allow_reflection)
        return found.rmsd, found.proven


def _tiles(group: Molecule, start: int | None) -> Iterator[_Tile]:
    """Yield the pairs of a molecule, with the references that begin at a row, or of all with each other."""
    is_row = np.ones(len(group), bool) if start is None else group.rows < start
    rows = np.flatnonzero(is_row)
    columns = rows if start is None else np.flatnonzero(~is_row)
    for a in range(0, len(rows), TILE):
        for b in range(a if start is None else 0, len(columns), TILE):
            grid = np.meshgrid(rows[a : a + TILE], columns[b : b + TILE], indexing="ij")
            first, second = (side.ravel() for side in grid)
            wanted = first < second if start is None else np.ones(len(first), bool)
            if wanted.any():
                yield _Tile(group, first[wanted], second[wanted])
