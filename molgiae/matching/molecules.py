"""Which conformers are of one molecule: by nuclides, charge and spin, and by bond graph.

Conformers of one bond graph get an order of their atoms in which their bonds agree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from molgiae.config import Distinction
from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import NATURAL, Conformer
from molgiae.data.elements import SYMBOLS
from molgiae.matching.graphs import (
    Graphs,
    adjacency_keys,
    canonical_orders,
    graphs_of,
    isomorphism,
    refine,
)

Ints = NDArray[np.int64]

BATCH = 2048
"""Graphs labelled at once."""

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
    """Return the molecular formula in Hill order: carbon, hydrogen, the others by the alphabet."""
    count = Counter(SYMBOLS[z] for z in conformer.atomic_number.tolist())
    first = [s for s in ("C", "H") if "C" in count and s in count]
    rest = sorted(set(count) - set(first))
    return "".join(s + (str(count[s]) if count[s] > 1 else "") for s in [*first, *rest])


@dataclass(frozen=True, slots=True)
class Molecules:
    """Conformers by bond graph; elements and isotopes colour its atoms.

    Attributes:
        graph: of each molecule, atoms in the common order.
        molecule: of each conformer, its molecule.
        order: of each conformer (n,), its atoms in the common order.
    """

    graph: list[Graphs]
    molecule: list[int]
    order: list[Ints]


def molecules_of(conformers: Sequence[Conformer]) -> Molecules:
    """Label the bond graphs of conformers; bonds are perceived where a record has none."""
    first: dict[tuple[bytes, bytes], int] = {}
    bonds: dict[int, Ints] = {}
    like_first, by_size = [], defaultdict(list)
    for m, conformer in enumerate(conformers):
        pairs = known_bonds(conformer)
        like_first.append(first.setdefault((conformer.species.tobytes(), pairs.tobytes()), m))
        if like_first[m] == m:
            bonds[m] = pairs
            by_size[len(conformer)].append(m)
    labels = _Labels()
    label: dict[int, tuple[int, Ints]] = {}
    for members in by_size.values():
        for start in range(0, len(members), BATCH):
            part = members[start : start + BATCH]
            species = np.stack([conformers[m].species for m in part])
            found = labels.of(graphs_of(species, [bonds[m] for m in part]))
            label.update(zip(part, found, strict=True))
    return Molecules(labels.graph, [label[m][0] for m in like_first], [label[m][1] for m in like_first])


class _Labels:
    """Molecules by the graphs seen so far.

    Attributes:
        graph: of each molecule, atoms in its order.
    """

    def __init__(self) -> None:
        self.graph: list[Graphs] = []
        self._known: dict[bytes, tuple[int, Ints]] = {}
        self._alike: dict[bytes, list[int]] = defaultdict(list)

    def of(self, graphs: Graphs) -> Iterator[tuple[int, Ints]]:
        """Yield the molecule of each graph and its atoms in the order of the molecule."""
        orders = canonical_orders(graphs)
        for k, key in enumerate(adjacency_keys(graphs, orders)):
            if key not in self._known:
                self._known[key] = self._new(reordered(graphs.take(np.array([k])), orders[k]))
            molecule, place = self._known[key]
            yield molecule, orders[k][place]

    def _new(self, graph: Graphs) -> tuple[int, Ints]:
        """Return the molecule of a key seen for the first time, and where its atoms are in the order of the key."""
        alike = self._alike[np.sort(refine(graph), axis=1).tobytes()]
        for molecule in alike:
            mapping = isomorphism(self.graph[molecule], graph)
            if mapping is not None:
                return molecule, mapping
        alike.append(len(self.graph))
        self.graph.append(graph)
        return alike[-1], np.arange(graph.colour.shape[1])


def reordered(graph: Graphs, order: Ints) -> Graphs:
    """Return one graph with its atoms in another order."""
    place = np.append(np.argsort(order), len(order))
    return Graphs(graph.colour[:, order], place[graph.neighbour[:, order]])
