"""How well one ensemble covers another: for each conformer the nearest of the other, and how many are near enough.

COV-R is the share of the references that have a generated conformer within a threshold, MAT-R the mean RMSD of the
references to the nearest generated one; COV-P and MAT-P are the same with the parts exchanged (Xu, Luo, Bengio,
Peng, Tang, ICLR 2021; Ganea et al., NeurIPS 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.matrix import Advance, Pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest conformer of another ensemble, of each of M.

    Attributes:
        which: (M,) its number; -1 where the other ensemble has none of the molecule.
        rmsd: (M,) angstrom; NaN where there is none.
        proven: (M,) whether it is proven that none is nearer; true where the other ensemble has none of the molecule.
    """

    which: Ints
    rmsd: Floats
    proven: Bools

    @classmethod
    def none_yet(cls, size: int) -> Nearest:
        """Return the start of a search."""
        return cls(np.full(size, -1), np.full(size, np.nan), np.ones(size, bool))

    def take(self, mine: Ints, other: Ints, rmsd: Floats, proven: Bools) -> None:
        """Take the nearest of some pairs (p,) where they are nearer than those before."""
        np.logical_and.at(self.proven, mine, proven)
        order = np.lexsort((rmsd, mine))  # NaN is last
        first = order[np.flatnonzero(np.diff(mine[order], prepend=-1))]
        first = first[~(rmsd[first] >= self.rmsd[mine[first]]) & np.isfinite(rmsd[first])]
        self.which[mine[first]], self.rmsd[mine[first]] = other[first], rmsd[first]

    def within(self, threshold: float) -> Bools:
        """Return (M,) whether the nearest is within a threshold in angstrom."""
        return self.rmsd <= threshold


@dataclass(frozen=True, slots=True)
class Coverage:
    """How well generated conformers and references of one molecule cover each other.

    Attributes:
        generated: conformers.
        references: conformers of the other ensemble.
        covered_generated: conformers with a reference within the threshold.
        covered_references: references with a conformer within the threshold.
        cov_r, mat_r: recall, the second in angstrom; None where there are no references, of MAT-R also where nothing
            was generated.
        cov_p, mat_p: precision, the same with the parts exchanged.
        proven: whether all RMSDs are proven to be the least.
    """

    generated: int
    references: int
    covered_generated: int
    covered_references: int
    cov_r: float | None
    mat_r: float | None
    cov_p: float | None
    mat_p: float | None
    proven: bool


def nearest_of_each(
    pairs: Pairs, workers: int = 1, advance: Advance = lambda done: None
) -> tuple[Nearest, Nearest]:
    """Return the nearest reference of each conformer, and the nearest conformer of each reference."""
    rows, columns = (Nearest.none_yet(len(side)) for side in pairs.sides)
    for found in pairs.superposed(workers, advance):
        rows.take(found.row, found.column, found.rmsd, found.proven)
        columns.take(found.column, found.row, found.rmsd, found.proven)
    return rows, columns


def coverage_of(nearest: tuple[Nearest, Nearest], chosen: tuple[Ints, Ints], threshold: float) -> Coverage:
    """Return the coverage of one molecule.

    Args:
        nearest: of generated conformers and references.
        chosen: those of the molecule, of each.
        threshold: angstrom.
    """
    (generated, found), (references, recalled) = (
        (len(rows), int(side.within(threshold)[rows].sum()))
        for side, rows in zip(nearest, chosen, strict=True)
    )
    mat_p, mat_r = (_mean(side.rmsd[rows]) for side, rows in zip(nearest, chosen, strict=True))
    return Coverage(
        generated=generated,
        references=references,
        covered_generated=found,
        covered_references=recalled,
        cov_r=recalled / references if references else None,
        mat_r=mat_r,
        cov_p=found / generated if generated else None,
        mat_p=mat_p,
        proven=all(bool(side.proven[rows].all()) for side, rows in zip(nearest, chosen, strict=True)),
    )


def total_of(several: list[Coverage]) -> Coverage:
    """Return sums of numbers, and means over molecules of what is known of them."""
    values: dict[str, Any] = {name: sum(getattr(c, name) for c in several) for name in COUNTS}
    values |= {name: _mean([getattr(c, name) for c in several]) for name in MEANS}
    return Coverage(**values, proven=all(c.proven for c in several))


COUNTS = ("generated", "references", "covered_generated", "covered_references")
MEANS = ("cov_r", "mat_r", "cov_p", "mat_p")


def _mean(values: Floats | list[float | None]) -> float | None:
    """Return the mean of what is known; None of nothing."""
    known = np.array(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None
