"""Pairs of conformers onto each other: grouped by molecule, each group searched at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer
from molgiae.errors import ConfigError
from molgiae.matching.assignment import principal_starts, superpose
from molgiae.matching.kabsch import kabsch
from molgiae.matching.molecules import molecules_of
from molgiae.matching.search import Search
from molgiae.matching.symmetry import symmetry_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MATCHES = ("bonds", "atoms")
EXACT = 1e-6
"""RMSD in angstrom that cannot be told from zero, the least there is."""


@dataclass(frozen=True)
class Matches:
    """P superpositions: ``probe[order] @ rotation.T + translation`` lies on the reference.

    Attributes:
        rmsd: (P,) angstrom; nan where there is no match.
        rotation: (P, 3, 3), determinant +1.
        translation: (P, 3) angstrom.
        order: of each pair (n,), atom ``order[k]`` of the probe is matched with atom k of the reference.
        proven: (P,) whether no other match of the kind asked for has a lesser RMSD.
        reflected: (P,) whether the probe is mirrored, every position x to -x, before it is turned.
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
) -> Matches:
    """The least RMSD of each pair over all rotations, translations and matchings of equivalent atoms.

    Args:
        reference: P conformers.
        probe: P conformers, in any order of their atoms.
        match: "bonds": atoms are matched so that bonds lie on bonds, whatever their order; they are taken from the
            records, or perceived from distances. "atoms": any matching within elements.
        allow_reflection: whether the probe may be mirrored.

    Raises:
        ConfigError: if `match` is unknown or the numbers of conformers differ.
    """
    if match not in MATCHES:
        raise ConfigError(f"match {match!r} is unknown; use one of {', '.join(MATCHES)}")
    if len(reference) != len(probe):
        raise ConfigError(f"{len(reference)} references and {len(probe)} probes; pairs need as many of each")
    found = _by_bonds(reference, probe, 1) if match == "bonds" else _by_atoms(reference, probe, 1)
    if not allow_reflection:
        return found
    mirrored = _by_bonds(reference, probe, -1) if match == "bonds" else _by_atoms(reference, probe, -1)
    return _better(found, mirrored)


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
    take = second.rmsd < first.rmsd
    for p in np.flatnonzero(take):
        first.order[p] = second.order[p]
        for name in ("rmsd", "rotation", "translation", "reflected"):
            getattr(first, name)[p] = getattr(second, name)[p]
    first.proven[:] &= second.proven
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
        x = np.stack([reference[k].position[order] for k, order in zip(members, first, strict=True)])
        y = np.stack([sign * probe[k].position[order] for k, order in zip(members, second, strict=True)])
        matcher = Search(symmetry_of(molecules.graph[molecule]))
        x0, y0 = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        chosen, proven = matcher(x0, y0)
        rotation, translation, distance = kabsch(x, np.take_along_axis(y, chosen[:, :, None], axis=1))
        result.rotation[members], result.translation[members] = rotation, translation
        result.rmsd[members], result.proven[members] = distance, proven
        for row, k in enumerate(members):
            order = np.empty(len(first[row]), np.int64)
            order[first[row]] = second[row][chosen[row]]
            result.order[k] = order
    return result


def _by_atoms(reference: Sequence[Conformer], probe: Sequence[Conformer], sign: int) -> Matches:
    result = _nothing(len(reference), sign)
    for k, (a, b) in enumerate(zip(reference, probe, strict=True)):
        if not np.array_equal(np.sort(a.atomic_number), np.sort(b.atomic_number)):
            result.reason[k] = "the formulas differ"
            continue
        z, z_probe = a.atomic_number.astype(np.int64), b.atomic_number.astype(np.int64)
        y = sign * b.position
        best = superpose(z, a.position, z_probe, y, principal_starts(a.position, y))
        result.rmsd[k], result.rotation[k], result.translation[k] = best.rmsd, best.rotation, best.translation
        result.order[k], result.proven[k] = best.order, best.rmsd < EXACT
    return result
