"""Which conformers are copies of which: a search that cannot miss one, then exact superposition of what is left.

Conformers are compared within one molecule only: the same atoms and, where bonds are known, the same bond graph.
The refined colours of the graph (Weisfeiler and Leman 1968) name atoms that no isomorphism can exchange;
without bonds the elements do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.matching import superpose_pairs
from molgiae.matching.ensembles import Molecule, molecules
from molgiae.matching.neighbours import ROUND_OFF, Neighbours
from molgiae.matching.pairs import Match

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

THRESHOLD = 0.125
"""Angstrom; RTHR of CREGEN (Pracht, Bohle, Grimme, Phys. Chem. Chem. Phys. 2020, 22, 7169)."""
MIN_BLOCK, MAX_BLOCK = 1024, 16384
"""Conformers that are compared with those kept and with each other in one go."""
KEPT, UNDECIDED = -1, -2
"""What stands in place of the conformer that one is merged into."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a conformer is a duplicate of one that is kept.

    Attributes:
        threshold: largest symmetry-corrected RMSD, angstrom, of all atoms but for `heavy`.
        match: "bonds" matches atoms by isomorphisms of the bond graph, "atoms" within elements, None by bonds
            where all conformers of a formula have them.
        mirror_same: whether a conformer and its mirror image are the same.
        window: largest difference of the energies; None if these do not matter.
        heavy: as of `molgiae.matching.matrix.Pairing`.
    """

    threshold: float = THRESHOLD
    match: Match | None = None
    mirror_same: bool = False
    window: float | None = None
    heavy: bool = False


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was decided of M conformers.

    Attributes:
        into: (M,) the kept conformer that each is a duplicate of; -1 for those kept.
        rmsd: (M,) symmetry-corrected RMSD to it, angstrom; NaN for those kept.
        proven: (M,) of a duplicate, whether this RMSD is proven to be the least; of a kept one, whether
            it is proven that none of those kept before it is within the threshold.
        mirror: (M,) whether it was superposed as a mirror image.
        by_bonds: (M,) whether atoms were matched by bonds.
    """

    into: Ints
    rmsd: Floats
    proven: Bools
    mirror: Bools
    by_bonds: Bools

    @property
    def copies(self) -> Ints:
        """Number of conformers that were merged into each (M,)."""
        return np.bincount(self.into[self.into >= 0], minlength=len(self.into))


def find_duplicates(
    conformers: SupportsLenAndGetItem[Conformer],
    rule: Rule | None = None,
    *,
    order: Ints | None = None,
    energy: Floats | None = None,
    advance: Callable[[int], object] = lambda done: None,
) -> Verdicts:
    """Go through the conformers; each is kept unless it is within the threshold of one kept before.

    Rule and order alone determine which are kept: no two of them are within the threshold, and every other
    conformer is within the threshold of one of them, of which it is called a duplicate. Where several are
    near enough it is one of these, as a rule the nearest.

    Args:
        conformers: M of them, of any molecules; each is asked for several times.
        rule: what counts as the same.
        order: (M,) in which they are gone through; as given by default.
        energy: (M,) needed if the rule has a window.
        advance: called with numbers of conformers that were decided, for a progress bar.
    """
    size, no = len(conformers), np.zeros(len(conformers), bool)
    rule = rule or Rule()
    verdicts = Verdicts(np.full(size, -1), np.full(size, np.nan), ~no, no, no.copy())
    for molecule in molecules(conformers, rule.match, order):
        compared = molecule.without_hydrogens() if rule.heavy else molecule
        _Walk(compared, rule, energy, verdicts).run(advance)
    return verdicts


def place_in_run(values: Ints) -> Ints:
    """Return the place of each in its stretch of equal, adjacent values, none of which is -1, from 0."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))


class _Walk:
    """The walk through the conformers of one molecule, which writes its decisions to the verdicts."""

    def __init__(self, molecule: Molecule, rule: Rule, energy: Floats | None, verdicts: Verdicts) -> None:
        self._molecule, self._rule, self._verdicts = molecule, rule, verdicts
        self._energy = energy[molecule.rows] if energy is not None else np.zeros(len(molecule))
        self._into = np.full(len(molecule), UNDECIDED)
        verdicts.by_bonds[molecule.rows] = molecule.match == "bonds"

    def run(self, advance: Callable[[int], object]) -> None:
        """Decide block by block, so that the copies of a copy are never looked at."""
        size = len(self._molecule)
        if size == 1:
            advance(1)
            return
        neighbours = Neighbours(self._molecule.position, self._molecule.colour, self._rule.threshold)
        start = 0
        while start < size:
            kept = np.flatnonzero(self._into[:start] == KEPT)
            stop = min(start + min(max(MIN_BLOCK, len(kept) // 4), MAX_BLOCK), size)
            later, earlier, _ = neighbours.before(start, stop, kept)
            self._decide(later, earlier, start, stop)
            advance(stop - start)
            start = stop

    def _decide(self, later: Ints, earlier: Ints, start: int, stop: int) -> None:
        """Decide a block: in each round the nearest kept candidates of every undecided conformer are tried.

        One is kept when no candidate is left that is kept or may yet be.
        """
        if self._rule.window is not None:
            near = np.abs(self._energy[later] - self._energy[earlier]) <= self._rule.window
            later, earlier = later[near], earlier[near]
        into, width = self._into, 1
        while True:
            waiting = np.bincount(later - start, minlength=stop - start) > 0
            into[start:stop][(into[start:stop] == UNDECIDED) & ~waiting] = KEPT
            if not len(later):
                return
            ready = np.flatnonzero(into[earlier] == KEPT)
            tried = ready[place_in_run(later[ready]) < width]
            self._compare(later[tried], earlier[tried])
            is_open = (into[later] == UNDECIDED) & (into[earlier] < 0)
            is_open[tried] = False
            later, earlier = later[is_open], earlier[is_open]
            width *= 2

    def _compare(self, later: Ints, earlier: Ints) -> None:
        """Superpose pairs, sorted by the later conformer, and merge those that are near enough."""
        rows = self._molecule.rows
        matches = superpose_pairs(
            self._molecule.conformers(earlier),
            self._molecule.conformers(later),
            match=self._molecule.match,
            allow_reflection=self._rule.mirror_same,
            within=self._rule.threshold + ROUND_OFF,
        )
        verdicts = self._verdicts
        same = np.flatnonzero(matches.rmsd <= self._rule.threshold)
        same = same[np.lexsort((matches.rmsd[same], later[same]))]
        same = same[place_in_run(later[same]) == 0]
        self._into[later[same]] = earlier[same]
        merged = rows[later[same]]
        verdicts.into[merged] = rows[earlier[same]]
        verdicts.rmsd[merged] = matches.rmsd[same]
        verdicts.mirror[merged] = matches.reflected[same]
        unproven = ~matches.proven & (self._into[later] == UNDECIDED)
        verdicts.proven[rows[later[unproven]]] = False
        verdicts.proven[merged] = matches.proven[same]
