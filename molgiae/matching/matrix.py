"""The least RMSDs of all pairs of conformers of one molecule, from many molecules at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

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
Advance = Callable[[int], object]

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


class Pairs:
    """All pairs of conformers and references of one molecule, or of conformers with each other; len() of them.

    Args:
        conformers: M of any molecules.
        references: N others; None for the conformers themselves, whose pairs are then superposed once.
        pairing: what is compared.

    Attributes:
        sides: conformers and references, the same object twice where there are none of these.
        molecule: as of `RmsdMatrix`.
    """

    def __init__(
        self,
        conformers: ConformerBlock,
        references: ConformerBlock | None = None,
        pairing: Pairing | None = None,
    ) -> None:
        self._pairing, m = pairing or Pairing(), len(conformers)
        self.sides = conformers, conformers if references is None else references
        self._start = None if references is None else m
        everything = [ignoring(c, self._pairing.ignore) for c in chain(conformers, references or ())]
        self._groups = list(molecules(everything, self._pairing.match))
        number = np.empty(len(everything), np.int64)
        for k, group in enumerate(self._groups):
            number[group.rows] = k
        self.molecule = number[:m], number[self._start or 0 :]

    def __len__(self) -> int:
        first, second = (np.bincount(side, minlength=len(self._groups)) for side in self.molecule)
        return int((first * (first - 1) // 2 if self._start is None else first * second).sum())

    def matrix(self, workers: int = 1, advance: Advance = lambda pairs: None) -> RmsdMatrix:
        """Return the RMSDs of all pairs; arguments are those of `superposed`."""
        rows, columns = self.sides
        rmsd = np.full((len(rows), len(columns)), np.nan)
        proven = np.zeros(rmsd.shape, bool)
        if rows is columns:
            np.fill_diagonal(rmsd, 0.0)
            np.fill_diagonal(proven, True)
        for found in self.superposed(workers, advance):
            rmsd[found.row, found.column], proven[found.row, found.column] = found.rmsd, found.proven
            if rows is columns:
                rmsd[found.column, found.row], proven[found.column, found.row] = found.rmsd, found.proven
        return RmsdMatrix(rmsd, proven, rows, columns, self.molecule)

    def superposed(self, workers: int = 1, advance: Advance = lambda pairs: None) -> Iterator[Superposed]:
        """Yield the least RMSDs of some pairs after another.

        Args:
            workers: threads.
            advance: called with numbers of pairs that were done, for a progress bar.
        """
        heavy, allow_reflection = self._pairing.heavy, self._pairing.allow_reflection
        tiles = (
            tile
            for group in self._groups
            for tile in _tiles(group.without_hydrogens() if heavy else group, self._start)
        )

        def superposed(tile: _Tile) -> Superposed:
            rows, columns = tile.group.rows[tile.first], tile.group.rows[tile.second] - (self._start or 0)
            return Superposed(rows, columns, *tile.superposed(allow_reflection=allow_reflection))

        for found in ordered_map(superposed, tiles, workers):
            yield found
            advance(len(found.row))


class Superposed(NamedTuple):
    """Conformer, reference, RMSD in angstrom and whether it is proven, of pairs (p,); NaN as of `RmsdMatrix`."""

    row: Ints
    column: Ints
    rmsd: Floats
    proven: Bools


def all_pairs(
    conformers: ConformerBlock,
    references: ConformerBlock | None = None,
    pairing: Pairing | None = None,
    *,
    workers: int = 1,
    advance: Advance = lambda pairs: None,
) -> RmsdMatrix:
    """Superpose conformers on the references of their molecule, or all on each other.

    Arguments are those of `Pairs` and its `superposed`.
    """
    return Pairs(conformers, references, pairing).matrix(workers, advance)


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
