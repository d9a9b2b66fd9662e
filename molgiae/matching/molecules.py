"""Which conformers are of one molecule: by nuclides, charge and spin, and by bond graph.

Conformers of one bond graph get an order of their atoms in which their bonds agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Distinction
from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import NATURAL, Conformer
from molgiae.data.elements import hill_of
from molgiae.matching.graphs import Graph, canonical_order, graph_of, isomorphism, refine, reordered

Ints = NDArray[np.int64]

Formula = tuple[bytes, tuple[int, int]]
"""Sorted elements and isotopes; charge and multiplicity."""


def formula_of(conformer: Conformer) -> Formula:
    """Return what two conformers must have in common before their bonds are compared."""
    return np.sort(conformer.species).tobytes(), conformer.state


def ignoring(conformer: Conformer, ignored: Collection[Distinction]) -> Conformer:
    """Return the conformer as it looks when some distinctions are not made."""
    if not ignored:
        return conformer
    return replace(
        conformer,
        isotope=NATURAL if "isotopes" in ignored else conformer.isotope,
        charge=0 if "charge" in ignored else conformer.charge,
        multiplicity=1 if "multiplicity" in ignored else conformer.state[1],
    )


def difference(conformer: Conformer, reference: Conformer, ignored: Collection[Distinction] = ()) -> str:
    """Return why a conformer cannot be of the molecule of a reference; empty if its formula is the same."""
    first, second = ignoring(conformer, ignored), ignoring(reference, ignored)
    if formula_of(first) == formula_of(second):
        return ""
    if not np.array_equal(np.sort(first.atomic_number), np.sort(second.atomic_number)):
        return f"formula {hill(conformer)} differs from that of the reference, {hill(reference)}"
    if not np.array_equal(np.sort(first.species), np.sort(second.species)):
        return "isotopes differ from those of the reference; --ignore isotopes takes them for the same"
    name, k = ("charge", 0) if first.charge != second.charge else ("multiplicity", 1)
    return (
        f"{name} {first.state[k]} differs from that of the reference, {second.state[k]}; "
        f"--ignore {name} takes them for the same"
    )


def hill(conformer: Conformer) -> str:
    """Return the molecular formula in Hill order."""
    return hill_of(conformer.atomic_number.tolist())


@dataclass(frozen=True, slots=True)
class Molecules:
    """Conformers by bond graph; elements and isotopes colour its atoms.

    Attributes:
        graph: of each molecule, atoms in the common order.
        molecule: of each conformer, its molecule.
        order: of each conformer (n,), its atoms in the common order.
    """

    graph: list[Graph]
    molecule: list[int]
    order: list[Ints]


def molecules_of(conformers: Sequence[Conformer]) -> Molecules:
    """Label the bond graphs of conformers; bonds are perceived where a record has none."""
    labels, seen = _Labels(), dict[tuple[bytes, bytes], tuple[int, Ints]]()
    found = []
    for conformer in conformers:
        species, bonds = conformer.species, known_bonds(conformer)
        key = species.tobytes(), bonds.tobytes()
        if key not in seen:
            seen[key] = labels.of(graph_of(species, bonds))
        found.append(seen[key])
    return Molecules(labels.graph, [molecule for molecule, _ in found], [order for _, order in found])


def key_of(graph: Graph) -> bytes:
    """Return bytes that are equal for equal graphs, and no others."""
    return b"".join(part.tobytes() for part in graph)


class _Labels:
    """Molecules by the graphs seen so far.

    Attributes:
        graph: of each molecule, atoms in its order.
    """

    def __init__(self) -> None:
        self.graph: list[Graph] = []
        self._known: dict[bytes, tuple[int, Ints]] = {}
        self._alike: dict[bytes, list[int]] = defaultdict(list)

    def of(self, graph: Graph) -> tuple[int, Ints]:
        """Return the molecule of a graph and its atoms in the order of the molecule."""
        order = canonical_order(graph)
        ordered = reordered(graph, order)
        key = key_of(ordered)
        if key not in self._known:
            self._known[key] = self._new(ordered)
        molecule, place = self._known[key]
        return molecule, order[place]

    def _new(self, graph: Graph) -> tuple[int, Ints]:
        """Return the molecule of a key seen for the first time, and where its atoms are in the order of the key."""
        colour = refine(graph)
        alike = self._alike[np.sort(colour).tobytes()]
        for molecule in alike:
            other = self.graph[molecule]
            mapping = isomorphism(other, graph, refine(other), colour)
            if len(mapping):
                return molecule, mapping
        alike.append(len(self.graph))
        self.graph.append(graph)
        return alike[-1], np.arange(len(colour))
