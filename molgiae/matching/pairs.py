"""Superposition of pairs of conformers, by bonds or within elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.errors import ConfigError
from molgiae.matching.assignment import nothing_yet
from molgiae.matching.atoms import BUDGET, EXACT, blocks_of, match_atoms
from molgiae.matching.automorphisms import Symmetry, symmetry_of
from molgiae.matching.chain import MAX_WORK, search_chain
from molgiae.matching.graphs import Graph
from molgiae.matching.kabsch import posed
from molgiae.matching.molecules import key_of, molecules_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pose = tuple[Ints, Floats, Floats, float, bool]
"""Order (n,), rotation (3, 3), translation (3,) and RMSD in angstrom, as of `Matches`, and whether it is proven."""

Match = Literal["bonds", "atoms"]
MATCHES: tuple[Match, ...] = get_args(Match)

NO_POSE = np.empty(0, np.int64), np.eye(3), np.zeros(3), np.inf
"""Of a pair without a match within what was asked for."""
MAX_REMEMBERED = 256
"""Molecules whose automorphisms are remembered."""


@dataclass(frozen=True)
class Matches:
    """P superpositions: ``probe[order] @ rotation.T + translation`` lies on the reference.

    Attributes:
        rmsd: (P,) angstrom; nan where there is no match, infinite where none within what was asked for was found.
        rotation: (P, 3, 3), determinant +1.
        translation: (P, 3) angstrom.
        order: of each pair (n,), atom ``order[k]`` of the probe is matched with atom k of the reference.
        proven: (P,) whether no other match of the kind asked for has a lesser RMSD, or is within.
        reflected: (P,) whether the probe is mirrored, every position x to -x, before it is turned; never where
            this gains no more than round-off.
        reason: why there is no match; empty where there is one.
    """

    rmsd: Floats
    rotation: Floats
    translation: Floats
    order: list[Ints]
    proven: NDArray[np.bool_]
    reflected: NDArray[np.bool_]
    reason: list[str]

    def __len__(self) -> int:
        return len(self.rmsd)

    def put(self, k: int, pose: Pose) -> None:
        """Write the match of a pair."""
        self.order[k], self.rotation[k], self.translation[k], self.rmsd[k], self.proven[k] = pose


def superpose_pairs(
    reference: Sequence[Conformer],
    probe: Sequence[Conformer],
    *,
    match: str | Sequence[str] = "bonds",
    allow_reflection: bool = False,
    starts: Floats | None = None,
    within: float = np.inf,
) -> Matches:
    """Find the least RMSD of each pair over all rotations, translations and matchings of equivalent atoms.

    Args:
        reference: P conformers.
        probe: P conformers, in any order of their atoms.
        match: "bonds": atoms are matched so that bonds lie on bonds, whatever their order; they are taken from the
            records, or perceived from distances. "atoms": any matching within elements. Isotopes are never exchanged.
            One for all pairs, or one for each.
        allow_reflection: whether the probe may be mirrored.
        starts: (P, 3, 3) rotations of the probes onto the references to start from, beside others; only the search
            by atoms needs any.
        within: RMSD below which matches are looked for, angstrom: to show that there is none takes a fraction of the
            time.

    Raises:
        ConfigError: if `match` is unknown or the numbers of conformers differ.
    """
    wanted = [match] if isinstance(match, str) else list(match)
    for kind in wanted:
        if kind not in MATCHES:
            raise ConfigError(f"match {kind!r} is unknown; use one of {', '.join(MATCHES)}")
    if len(reference) != len(probe):
        raise ConfigError(f"{len(reference)} references and {len(probe)} probes; pairs need as many of each")
    pairs = _Pairs(reference, probe, wanted * len(reference) if isinstance(match, str) else wanted, within)
    found = pairs.superposed(1, starts)
    return _better(found, pairs.superposed(-1, None)) if allow_reflection else found


def _better(first: Matches, second: Matches) -> Matches:
    """Take the second where it is better by more than round-off: nothing planar is called reflected."""
    take = second.rmsd < first.rmsd - EXACT
    for p in np.flatnonzero(take):
        first.order[p] = second.order[p]
    for name in ("rmsd", "rotation", "translation", "reflected"):
        getattr(first, name)[take] = getattr(second, name)[take]
    first.proven[:] = first.proven & second.proven | (first.rmsd <= EXACT)  # nothing is nearer than zero
    return first


class _Pairs:
    """Pairs of conformers, to be matched in ways of their own, with what is known of each conformer."""

    def __init__(
        self, reference: Sequence[Conformer], probe: Sequence[Conformer], kinds: list[str], within: float
    ) -> None:
        self.kinds, self.within = kinds, within
        distinct = {id(c): c for side in (reference, probe) for c in side}
        row = {key: m for m, key in enumerate(distinct)}
        self.conformers = list(distinct.values())
        self.pairs = [(row[id(x)], row[id(y)]) for x, y in zip(reference, probe, strict=True)]
        self.labelled = molecules_of(self.conformers)
        self.centroid = [c.position.sum(axis=0) / len(c) for c in self.conformers]
        self.by_element: dict[int, tuple[Ints, Ints]] = {}

    def superposed(self, sign: int, starts: Floats | None) -> Matches:
        """Superpose all pairs; with a sign of -1 the probes are mirrored."""
        p = len(self.pairs)
        found = Matches(
            rmsd=np.full(p, np.nan),
            rotation=np.repeat(np.eye(3)[None], p, axis=0),
            translation=np.zeros((p, 3)),
            order=[np.empty(0, np.int64)] * p,
            proven=np.zeros(p, bool),
            reflected=np.full(p, sign < 0),
            reason=[""] * p,
        )
        for k, kind in enumerate(self.kinds):
            known = None if starts is None else starts[k]
            pose = self._by_bonds(k, sign) if kind == "bonds" else self._by_atoms(k, sign, known)
            if isinstance(pose, str):
                found.reason[k] = pose
            else:
                found.put(k, pose)
        return found

    def _by_bonds(self, k: int, sign: int) -> Pose | str:
        """Return the match of a pair that puts bonds on bonds; why there is none."""
        (first, second), known = self.pairs[k], self.labelled
        if known.molecule[first] != known.molecule[second]:
            return "the bond graphs differ"
        symmetry = remembered(known.graph[known.molecule[first]])
        mine, theirs = known.order[first], known.order[second]
        x, y = self._centered(first, mine), sign * self._centered(second, theirs)
        best = nothing_yet(x, y, MAX_WORK, self.within)
        before = best.overlap[0]
        proven = search_chain(symmetry, x, y, best) and symmetry.complete
        if best.overlap[0] == before:
            return *NO_POSE, proven
        return self._pose(k, sign, x, y, mine, theirs, best.order, proven)

    def _by_atoms(self, k: int, sign: int, start: Floats | None) -> Pose | str:
        """Return the match of a pair within elements; why there is none."""
        first, second = self.pairs[k]
        (mine, z), (theirs, other) = self._elements(first), self._elements(second)
        if not np.array_equal(z, other):
            return "the formulas differ"
        bonded = self._by_bonds(k, sign)
        starts = [] if isinstance(bonded, str) or bonded[3] == np.inf else [bonded[1]]
        starts += [] if start is None else [start]
        x, y = self._centered(first, mine), sign * self._centered(second, theirs)
        best = nothing_yet(x, y, BUDGET, self.within)
        before = best.overlap[0]
        proven = match_atoms(blocks_of(z), x, y, np.array(starts).reshape(-1, 3, 3), best)
        if best.overlap[0] == before:
            return *NO_POSE, proven
        return self._pose(k, sign, x, y, mine, theirs, best.order, proven)

    def _centered(self, m: int, order: Ints) -> Floats:
        """Return the positions (n, 3) of a conformer from its centroid, in an order (n,)."""
        return self.conformers[m].position[order] - self.centroid[m]

    def _elements(self, m: int) -> tuple[Ints, Ints]:
        """Return the atoms (n,) of a conformer by element and isotope, and these, sorted."""
        if m not in self.by_element:
            species = self.conformers[m].species
            order = np.argsort(species, kind="stable")
            self.by_element[m] = order, species[order]
        return self.by_element[m]

    def _pose(
        self, k: int, sign: int, x: Floats, y: Floats, mine: Ints, theirs: Ints, matched: Ints, proven: bool
    ) -> Pose:
        """Return the pose of a pair by its positions in common orders and their match; zero cannot be improved on."""
        (first, second), order = self.pairs[k], np.empty_like(mine)
        rotation, distance = posed(x, y, matched)
        order[mine] = theirs[matched]
        translation = self.centroid[first] - sign * rotation @ self.centroid[second]
        return order, rotation, translation, distance, proven or distance <= EXACT


_symmetries: dict[bytes, Symmetry] = {}


def remembered(graph: Graph) -> Symmetry:
    """Return the automorphisms of a graph, those of graphs asked for lately from memory."""
    key = key_of(graph)
    found = _symmetries.get(key)  # another thread may clear them at any time
    if found is None:
        if len(_symmetries) >= MAX_REMEMBERED:
            _symmetries.clear()
        found = _symmetries[key] = symmetry_of(graph)
    return found
