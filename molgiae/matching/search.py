"""first version"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.graphs import Graphs, automorphisms
from molgiae.matching.kabsch import best_overlap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LIMIT = 20000


class BondMatcher:
    """The best automorphism for conformers of one molecule."""

    def __init__(self, graph: Graphs) -> None:
        self.group, self.complete = automorphisms(graph, LIMIT)

    def __call__(self, x: Floats, y: Floats) -> tuple[Ints, NDArray[np.bool_]]:
        """(P, n) order of probes y (P, n, 3) on references x, centred; and whether it is proven."""
        best = []
        for a, b in zip(x, y, strict=True):
            c = np.einsum("ni,knj->ijk", a, b[self.group])
            best.append(self.group[best_overlap(c.reshape(9, -1)).argmax()])
        return np.array(best), np.full(len(x), self.complete)
