"""Superposition of pairs of conformers: they are grouped by molecule, and each group is searched at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.errors import ConfigError
from molgiae.matching.atoms import EXACT, match_atoms
from molgiae.matching.automorphisms import cached_automorphisms
from molgiae.matching.branch_and_bound import Search
from molgiae.matching.kabsch import kabsch
from molgiae.matching.molecules import molecules_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Match = Literal["bonds", "atoms"]
MATCHES: tuple[Match, ...] = get_args(Match)


@dataclass(frozen=True)
class Matches:
    """P superpositions: ``probe[order] @ rotation.T + translation`` lies on the reference.

    Attributes:
        rmsd: (P,) angstrom; nan where there is no match.
        rotation: (P, 3, 3), determinant +1.
        translation: (P, 3) angstrom.
        order: of each pair (n,), atom ``order[k]`` of the probe is matched with atom k of the reference.
        proven: (P,) whether no other match of the kind asked for has a lesser RMSD.
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


def superpose_pairs(
    reference: Sequence[Conformer],
    probe: Sequence[Conformer],
    *,
    match: str | Sequence[str] = "bonds",
    allow_reflection: bool = False,
    starts: Floats | None = None,
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

    Raises:
        ConfigError: if `match` is unknown or the numbers of conformers differ.
    """
    wanted = [match] if isinstance(match, str) else list(match)
    for kind in wanted:
        if kind not in MATCHES:
            raise ConfigError(f"match {kind!r} is unknown; use one of {', '.join(MATCHES)}")
    if len(reference) != len(probe):
        raise ConfigError(f"{len(reference)} references and {len(probe)} probes; pairs need as many of each")
    kinds = wanted * len(reference) if isinstance(match, str) else wanted

    def superposed(sign: int, starts: Floats | None) -> Matches:
        pairs = _Pairs(reference, probe, sign)
        pairs.by_bonds([k for k, kind in enumerate(kinds) if kind == "bonds"])
        pairs.by_atoms([k for k, kind in enumerate(kinds) if kind == "atoms"], starts)
        return pairs.found

    found = superposed(1, starts)
    return _better(found, superposed(-1, None)) if allow_reflection else found


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
    """Pairs of conformers and what is found of them; with a `sign` of -1 the probes are mirrored."""

    def __init__(self, reference: Sequence[Conformer], probe: Sequence[Conformer], sign: int) -> None:
        p = len(reference)
        self.reference, self.probe, self.sign = reference, probe, sign
        self.found = Matches(
            rmsd=np.full(p, np.nan),
            rotation=np.broadcast_to(np.eye(3), (p, 3, 3)).copy(),
            translation=np.zeros((p, 3)),
            order=[np.empty(0, np.int64)] * p,
            proven=np.zeros(p, bool),
            reflected=np.full(p, sign < 0),
            reason=[""] * p,
        )

    def by_bonds(self, members: Sequence[int]) -> None:
        """Superpose some of the pairs so that bonds lie on bonds."""
        both = [side[k] for side in (self.reference, self.probe) for k in members]
        distinct = {id(c): c for c in both}
        labelled = molecules_of(list(distinct.values()))
        index = {key: m for m, key in enumerate(distinct)}
        groups: dict[int, list[int]] = defaultdict(list)
        for k in members:
            mine, theirs = (labelled.molecule[index[id(side[k])]] for side in (self.reference, self.probe))
            if mine == theirs:
                groups[mine].append(k)
            else:
                self.found.reason[k] = "the bond graphs differ"
        for molecule, pairs in groups.items():
            search = Search(cached_automorphisms(labelled.graph[molecule].key))
            self._fill(pairs, lambda c: labelled.order[index[id(c)]], search)

    def by_atoms(self, members: Sequence[int], starts: Floats | None) -> None:
        """Superpose some of the pairs within elements; a matching by bonds is one of the starts where there is one."""
        groups: dict[bytes, list[int]] = defaultdict(list)
        for k in members:
            formula, other = (np.sort(side[k].species).tobytes() for side in (self.reference, self.probe))
            if formula == other:
                groups[formula].append(k)
            else:
                self.found.reason[k] = "the formulas differ"
        for formula, pairs in groups.items():
            bonded = _Pairs([self.reference[k] for k in pairs], [self.probe[k] for k in pairs], self.sign)
            bonded.by_bonds(range(len(pairs)))
            rotations = [bonded.found.rotation] if starts is None else [bonded.found.rotation, starts[pairs]]
            search = partial(match_atoms, np.frombuffer(formula, np.int64), starts=rotations)
            self._fill(pairs, lambda c: np.argsort(c.species, kind="stable"), search)

    def _fill(
        self,
        pairs: list[int],
        order_of: Callable[[Conformer], Ints],
        search: Callable[[Floats, Floats], tuple[Ints, NDArray[np.bool_]]],
    ) -> None:
        """Search pairs of one molecule, whose atoms are brought into a common order first."""
        found = self.found
        first, second = ([order_of(side[k]) for k in pairs] for side in (self.reference, self.probe))
        x = np.stack([self.reference[k].position[order] for k, order in zip(pairs, first, strict=True)])
        y = self.sign * np.stack(
            [self.probe[k].position[order] for k, order in zip(pairs, second, strict=True)]
        )
        chosen, found.proven[pairs] = search(
            x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        )
        found.rotation[pairs], found.translation[pairs], found.rmsd[pairs] = kabsch(
            x, np.take_along_axis(y, chosen[:, :, None], axis=1)
        )
        for k, mine, theirs, row in zip(pairs, first, second, chosen, strict=True):
            found.order[k] = np.empty(len(mine), np.int64)
            found.order[k][mine] = theirs[row]
