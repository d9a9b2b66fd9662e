"""Pairs of conformers onto each other: grouped by molecule, each group searched at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.errors import ConfigError
from molgiae.matching.atoms import EXACT, match_atoms
from molgiae.matching.kabsch import kabsch
from molgiae.matching.molecules import molecules_of
from molgiae.matching.search import Search
from molgiae.matching.symmetry import cached_symmetry

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MATCHES = ("bonds", "atoms")


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
    match: str = "bonds",
    allow_reflection: bool = False,
    starts: Floats | None = None,
) -> Matches:
    """The least RMSD of each pair over all rotations, translations and matchings of equivalent atoms.

    Args:
        reference: P conformers.
        probe: P conformers, in any order of their atoms.
        match: "bonds": atoms are matched so that bonds lie on bonds, whatever their order; they are taken from the
            records, or perceived from distances. "atoms": any matching within elements. Isotopes are never exchanged.
        allow_reflection: whether the probe may be mirrored.
        starts: (P, 3, 3) rotations of the probes onto the references to start from, beside others; only the search
            by atoms needs any.

    Raises:
        ConfigError: if `match` is unknown or the numbers of conformers differ.
    """
    if match not in MATCHES:
        raise ConfigError(f"match {match!r} is unknown; use one of {', '.join(MATCHES)}")
    if len(reference) != len(probe):
        raise ConfigError(f"{len(reference)} references and {len(probe)} probes; pairs need as many of each")
    found = _either(match, reference, probe, 1, starts)
    if not allow_reflection:
        return found
    return _better(found, _either(match, reference, probe, -1, None))


def _either(
    match: str, reference: Sequence[Conformer], probe: Sequence[Conformer], sign: int, starts: Floats | None
) -> Matches:
    if match == "bonds":
        return _by_bonds(reference, probe, sign)
    return _by_atoms(reference, probe, sign, starts)


def _nothing(p: int, sign: int) -> Matches:
    return Matches(
        rmsd=np.full(p, np.nan),
        rotation=np.broadcast_to(np.eye(3), (p, 3, 3)).copy(),
        translation=np.zeros((p, 3)),
        order=[np.empty(0, np.int64)] * p,
        proven=np.zeros(p, bool),
        reflected=np.full(p, sign < 0),
        reason=[""] * p,
    )


def _better(first: Matches, second: Matches) -> Matches:
    """The second where it is better by more than round-off: nothing planar is called reflected."""
    take = second.rmsd < first.rmsd - EXACT
    for p in np.flatnonzero(take):
        first.order[p] = second.order[p]
        for name in ("rmsd", "rotation", "translation", "reflected"):
            getattr(first, name)[p] = getattr(second, name)[p]
    first.proven[:] = first.proven & second.proven | (first.rmsd <= EXACT)  # nothing is nearer than zero
    return first


def _by_bonds(reference: Sequence[Conformer], probe: Sequence[Conformer], sign: int) -> Matches:
    p = len(reference)
    result = _nothing(p, sign)
    distinct = {id(c): c for c in (*reference, *probe)}
    index = {key: k for k, key in enumerate(distinct)}
    molecules = molecules_of(list(distinct.values()))
    groups: dict[int, list[int]] = defaultdict(list)
    for k, (a, b) in enumerate(zip(reference, probe, strict=True)):
        mine, theirs = molecules.molecule[index[id(a)]], molecules.molecule[index[id(b)]]
        if mine == theirs:
            groups[mine].append(k)
        else:
            result.reason[k] = "the bond graphs differ"
    for molecule, members in groups.items():
        first = [molecules.order[index[id(reference[k])]] for k in members]
        second = [molecules.order[index[id(probe[k])]] for k in members]
        search = Search(cached_symmetry(molecules.graph[molecule].key))
        _search(result, members, reference, probe, first, second, sign, search)
    return result


def _by_atoms(
    reference: Sequence[Conformer], probe: Sequence[Conformer], sign: int, starts: Floats | None
) -> Matches:
    """Pairs of one formula; a matching by bonds is one of the starts where there is one."""
    result = _nothing(len(reference), sign)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for k, (a, b) in enumerate(zip(reference, probe, strict=True)):
        formula = np.sort(a.species).tobytes()
        if formula == np.sort(b.species).tobytes():
            groups[formula].append(k)
        else:
            result.reason[k] = "the formulas differ"
    for formula, members in groups.items():
        mine, theirs = [reference[k] for k in members], [probe[k] for k in members]
        bonded = _by_bonds(mine, theirs, sign)
        rotations = [bonded.rotation] if starts is None else [bonded.rotation, starts[members]]
        first, second = ([np.argsort(c.species, kind="stable") for c in side] for side in (mine, theirs))
        _search(
            result, members, reference, probe, first, second, sign,
            partial(match_atoms, np.frombuffer(formula, np.int64), starts=rotations),
        )  # fmt: skip
    return result


def _search(
    result: Matches,
    members: list[int],
    reference: Sequence[Conformer],
    probe: Sequence[Conformer],
    first: list[Ints],
    second: list[Ints],
    sign: int,
    search: Callable[[Floats, Floats], tuple[Ints, NDArray[np.bool_]]],
) -> None:
    """Fill in pairs of one molecule, whose atoms are brought into a common order first."""
    x = np.stack([reference[k].position[order] for k, order in zip(members, first, strict=True)])
    y = sign * np.stack([probe[k].position[order] for k, order in zip(members, second, strict=True)])
    chosen, result.proven[members] = search(
        x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    )
    found = kabsch(x, np.take_along_axis(y, chosen[:, :, None], axis=1))
    result.rotation[members], result.translation[members], result.rmsd[members] = found
    for k, mine, theirs, row in zip(members, first, second, chosen, strict=True):
        result.order[k] = np.empty(len(mine), np.int64)
        result.order[k][mine] = theirs[row]
