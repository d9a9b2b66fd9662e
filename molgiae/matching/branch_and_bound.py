"""The best automorphism for each pair of conformers of one molecule: branch and bound over rotations and leaves.

With positions from the centroid, the RMSD over all rotations is least where the overlap, the largest
trace of R^T C with C = sum x_i y_i^T over matched atoms, is largest. C is a sum: a core automorphism gives the part
of the core, leaves of a bunch standing for their mean, and each bunch adds that of its own deviations, which
depends on its permutation and is at most the product of their norms, its radius.

A node of the search has a core automorphism and for each bunch the permutations that are not excluded; a bunch with
one permutation left is decided, the others are open. The node holds no better solution than the overlap of what is
decided plus the radii of the open bunches. Any better solution turns by a limited angle from the best rotation of the
node, for turning further costs more than open bunches can give; within this angle many permutations of open bunches
are never the best one, and the radii shrink. What remains open branches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.automorphisms import Automorphisms, exchanges
from molgiae.matching.chain import promising
from molgiae.matching.kabsch import Covariances, best_overlap, best_rotations

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

TOLERANCE = 1e-7
"""Angstrom by which an RMSD must be lesser to be looked for."""
MAX_DIRECT = 48
"""Automorphisms that are tried one by one rather than bounded."""
MIN_CROWDED, MAX_DIRECT_CROWDED = 120, 5040
"""Permutations of one bunch from which on more automorphisms are tried one by one, and how many."""
MAX_VISITS = 4000
"""Nodes of one pair after which the search is given up and nothing is proven."""
NODES = 4096
"""Nodes looked at together."""
MAX_ENTRIES = 1 << 20
"""Numbers in the largest array of a chunk of pairs."""
CONTRACTIONS = 3
FIRST_WIDTH, WIDTH = 16, 1024
"""Core automorphisms kept at each step of a chain, for a first solution and for a proof."""
COSINE_ROUND_OFF = 1e-9
TINY = 1e-300
"""Keeps quotients finite where both terms vanish."""


class Search:
    """The search for one molecule, by the symmetry of its bond graph."""

    def __init__(self, symmetry: Automorphisms) -> None:
        self.symmetry = symmetry
        self.options = [len(table) for table in symmetry.tables]
        self.order = len(symmetry.core) * math.prod(self.options)
        # bounds compare permutations of a bunch pairwise: for six leaves trying all is cheaper
        crowded = max(self.options, default=1) >= MIN_CROWDED
        self.direct = not self.options or self.order <= (MAX_DIRECT_CROWDED if crowded else MAX_DIRECT)

    def __call__(self, x: Floats, y: Floats) -> tuple[Ints, Mask]:
        """Return the automorphisms with the largest overlap.

        Args:
            x: (P, n, 3) references, centroids at the origin, angstrom.
            y: (P, n, 3) probes, the same.

        Returns:
            (P, n) atom of y for each of x; (P,) whether it is proven to be the best.
        """
        covariances = len(self.symmetry.core) * (1 + sum(self.options))
        size = 9 * max(covariances, min(self.order, MAX_DIRECT)) + 27 * x.shape[1]
        chunk = max(1, MAX_ENTRIES // size)
        parts = [self._chunk(x[k : k + chunk], y[k : k + chunk]) for k in range(0, len(x), chunk)]
        return np.concatenate([order for order, _ in parts]), np.concatenate([proven for _, proven in parts])

    def _chunk(self, x: Floats, y: Floats) -> tuple[Ints, Mask]:
        if self.symmetry.levels:
            found = [self._down_the_chain(*pair) for pair in zip(x, y, strict=True)]
            return np.array([order for order, _ in found]), np.array([proven for _, proven in found])
        pairs = Pairs.of(self.symmetry, x, y)
        if self.direct:
            return pairs.orders(*pairs.try_all()), np.ones(len(x), bool)
        core, choice, proven = BranchAndBound(pairs).run()
        return pairs.orders(core, choice), proven

    def _down_the_chain(self, x: Floats, y: Floats) -> tuple[Ints, bool]:
        """Find a first solution from few core automorphisms, then look at all that may lead to a better one."""

        def best_of(core: Ints) -> tuple[Ints, bool, Floats]:
            [order], [proven] = Search(self.symmetry.with_core(core))(x[None], y[None])
            return order, bool(proven), best_overlap(np.einsum("ki,kj->ij", x, y[order]).reshape(9, 1))

        first, _, overlap = best_of(promising(self.symmetry.levels, x, y, -np.inf, FIRST_WIDTH)[0])
        square = np.square(x).sum() + np.square(y).sum()
        least = float(sufficient(overlap, square, len(x))[0])
        if least >= square / 2:
            return first, True
        core, complete = promising(self.symmetry.levels, x, y, least, WIDTH)
        if not len(core):
            return first, complete
        second, proven, other = best_of(core)
        return second if other > overlap else first, complete and proven


def sufficient(overlap: Floats, square: Floats | float, n: int) -> Floats:
    """Return overlaps that lower the RMSD of n atoms by more than `TOLERANCE`.

    They follow from the overlap of the best known solution and the sum of the squared positions of both conformers,
    all in angstrom squared.
    """
    left = np.maximum(square - 2 * overlap, 0)
    return overlap + np.sqrt(left * n) * TOLERANCE + n * TOLERANCE**2 / 2


@dataclass(frozen=True)
class Pairs:
    """What the search needs of P pairs.

    Attributes:
        symmetry: of the molecule.
        square: (P,) sum of the squared positions of both, angstrom squared.
        core: (9, P, K) covariances of the core.
        options: (9, P, K, T) what the permutations of the leaves of each bunch add, bunch after bunch.
        leaves: of each bunch the deviations of its k leaves from their mean, (P, k, 3) of the references and
            (P, K, k, 3) of what core automorphisms send them to in the probes, angstrom.
    """

    symmetry: Automorphisms
    square: Floats
    core: Covariances
    options: Covariances
    leaves: list[tuple[Floats, Floats]]

    @classmethod
    def of(cls, symmetry: Automorphisms, x: Floats, y: Floats) -> Pairs:
        """Take means, deviations and covariances of positions (P, n, 3) about their centroids."""
        mean = y.copy()
        leaves, options = [], [np.empty((9, len(x), len(symmetry.core), 0))]
        for atoms, table in zip(symmetry.bunches, symmetry.tables, strict=True):
            mean[:, atoms] = y[:, atoms].mean(axis=1, keepdims=True)
            mine, theirs = x[:, atoms], y[:, symmetry.core[:, atoms]]
            dx, dy = mine - mine.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=2, keepdims=True)
            leaves.append((dx, dy))
            added = np.einsum("pai,pkfaj->ijpkf", dx, dy[:, :, table])
            options.append(added.reshape(9, *added.shape[2:]))
        square = np.einsum("pni,pni->p", x, x) + np.einsum("pni,pni->p", y, y)
        core = _core_covariances(symmetry.core, x, mean)
        return cls(symmetry, square, core, np.concatenate(options, axis=3), leaves)

    def try_all(self) -> tuple[Ints, Ints]:
        """Return the core automorphism (P,) and permutations (P, G) with the largest overlap."""
        p, k = self.core.shape[1:]
        c = self.core[..., None]
        counts = [len(table) for table in self.symmetry.tables]
        for options in np.split(self.options, np.cumsum(counts)[:-1], axis=3) if counts else ():
            c = (c[..., None] + options[:, :, :, None]).reshape(9, p, k, -1)
        best = best_overlap(c.reshape(9, -1)).reshape(p, -1).argmax(axis=1)
        core, *choice = np.unravel_index(best, (k, *counts))
        return core, np.reshape(choice, (-1, p)).T

    def orders(self, core: Ints, choice: Ints) -> Ints:
        """Return the atom of the probe for each atom of the reference (P, n)."""
        result = self.symmetry.core[core]
        for g, (atoms, table) in enumerate(zip(self.symmetry.bunches, self.symmetry.tables, strict=True)):
            result[:, atoms] = np.take_along_axis(result[:, atoms], table[choice[:, g]], axis=1)
        return result


def _core_covariances(core: Ints, x: Floats, y: Floats) -> Covariances:
    """Return the covariances (9, P, K) of core automorphisms; atoms that all send to one place are summed once."""
    moving = np.flatnonzero((core != core[0]).any(axis=0))
    still = np.setdiff1d(np.arange(core.shape[1]), moving)
    c = np.einsum("pni,pnj->ijp", x[:, still], y[:, core[0, still]])[..., None]
    if len(moving):
        c = c + np.einsum("pni,pknj->ijpk", x[:, moving], y[:, core[:, moving]])
    return c.reshape(9, len(x), -1)


class View:
    """N nodes as they are seen from their best rotations, and what can be excluded from there.

    Args:
        search: that they are of.
        row: (N,) of the nodes.
        alive: (N, T) permutations not excluded.
        is_open: (N, G) bunches not decided.
        rotation: (9, N) best rotations.

    Attributes:
        value: (N, T) overlap of each permutation at the rotation of the node, angstrom squared.
        bound: (N, G) the most that an open bunch can give, angstrom squared; 0 for others.
    """

    def __init__(
        self, search: BranchAndBound, row: Ints, alive: Mask, is_open: Mask, rotation: Covariances
    ) -> None:
        self.start, self.bunch, self.radius = search.start, search.bunch, search.radius[row]
        self.alive, self.is_open = alive, is_open
        self.value = (search.options[row] @ rotation.T[:, :, None])[..., 0]
        gain = self.value[..., None] - self.value[:, search.exchanged]
        # least cosine (N, T) of the angle that an exchange of two leaves would turn round
        self.worst = (gain / np.maximum(search.apart[row], TINY)).min(axis=-1)
        self.bound = np.where(is_open, self.radius, 0.0)

    def contract(self, excess: Floats, turn: Floats) -> None:
        """Exclude permutations that cannot be the best within a turn of the rotation of the node.

        A turn by t changes the angle of the deviations of all leaves, as one vector, by t at most. And the best
        permutation is one that no exchange of two leaves improves.

        Args:
            excess: (N,) what bound and overlap exceed the best known solution by.
            turn: (N,) largest angle, radian.
        """
        cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
        whole, bound = self.radius[:, self.bunch], self.bound[:, self.bunch]
        rest = np.sqrt(np.maximum(whole * whole - self.value * self.value, 0))
        reach = np.where(self.value >= whole * cosine, whole, self.value * cosine + rest * sine)
        possible = reach >= bound - excess[:, None]
        possible &= (self.worst >= -sine - COSINE_ROUND_OFF) | (cosine <= 0)
        self.alive = self.alive & (possible | ~self.is_open[:, self.bunch])
        most = np.maximum.reduceat(np.where(self.alive, reach, -whole), self.start, axis=1)
        self.bound = np.where(self.is_open, most, 0.0)


class BranchAndBound:
    """The search over all pairs at once, with the best solution of each so far.

    A node is a row, pair times K plus core automorphism, and a mask (T,) of the permutations that are not excluded.
    """

    def __init__(self, pairs: Pairs) -> None:
        symmetry, p = pairs.symmetry, len(pairs.square)
        self.n_core, self.n_atoms = symmetry.core.shape
        count = np.array([len(table) for table in symmetry.tables])
        self.start, self.bunch = np.cumsum(count) - count, np.repeat(np.arange(len(count)), count)
        self.square = pairs.square
        self.core = pairs.core.reshape(9, -1).T
        self.options = np.ascontiguousarray(pairs.options.reshape(9, len(self.core), -1).transpose(1, 2, 0))
        self.radius, self.apart = _measures(pairs)
        self.exchanged = symmetry.exchanged()
        self.overlap = np.full(p, -np.inf)
        self.best_core, self.choice = np.zeros(p, np.int64), np.zeros((p, len(count)), np.int64)

    def run(self) -> tuple[Ints, Ints, Mask]:
        """Return the core automorphism (P,) and permutations (P, G) of each pair, and whether it is proven (P,)."""
        visits = np.zeros(len(self.square), np.int64)
        stack = [(np.arange(len(self.core)), np.ones(self.options.shape[:2], bool))]
        while stack:
            row, alive = stack.pop()
            if len(row) > NODES:
                stack.append((row[NODES:], alive[NODES:]))
                row, alive = row[:NODES], alive[:NODES]
            visits += np.bincount(row // self.n_core, minlength=len(visits))
            row, alive = self._look(row, alive)
            left = visits[row // self.n_core] <= MAX_VISITS
            if left.any():
                stack.append((row[left], alive[left]))
        return self.best_core, self.choice, visits <= MAX_VISITS

    def _look(self, row: Ints, alive: Mask) -> tuple[Ints, Mask]:
        """Return the nodes that remain to be looked at: contracted ones, or their branches."""
        pair, is_open = row // self.n_core, self.left(alive) > 1
        decided = alive & ~is_open[:, self.bunch]
        c = self.core[row] + (decided[:, None].astype(float) @ self.options[row])[:, 0]
        overlap, rotation, fall = best_rotations(c.T)
        view = View(self, row, alive, is_open, rotation)
        self.offer(row, alive, view.value)
        limit, most = self.sufficient(pair), self.square[pair] / 2

        def excess() -> Floats:
            return np.minimum(overlap + view.bound.sum(axis=1), most) - limit

        for _ in range(CONTRACTIONS):
            over = excess()
            view.contract(over, largest_turn(over, fall))
        left = self.left(view.alive)
        keep = (excess() > 0) & (left > 0).all(axis=1) & is_open.any(axis=1)
        smaller = (is_open & (left == 1)).any(axis=1)
        again, split = np.flatnonzero(keep & smaller), np.flatnonzero(keep & ~smaller)
        chosen = self.bunch == view.bound[split].argmax(axis=1)[:, None]
        node, branches = self._branches(view.alive[split], chosen)
        return np.append(row[again], row[split[node]]), np.concatenate([view.alive[again], branches])

    def _branches(self, alive: Mask, chosen: Mask) -> tuple[Ints, Mask]:
        """Branch on each permutation left of a chosen bunch: which node each branch is of, and its mask."""
        node, option = np.nonzero(alive & chosen)
        branches = alive[node] & ~chosen[node]
        branches[np.arange(len(node)), option] = True
        return node, branches

    def left(self, alive: Mask) -> Ints:
        """Return how many permutations of each bunch are not excluded (N, G)."""
        return np.add.reduceat(alive, self.start, axis=1, dtype=np.int64)

    def offer(self, row: Ints, alive: Mask, value: Floats) -> None:
        """Complete nodes by the best permutation of each bunch, and keep what is better than what is known."""
        among = np.split(np.where(alive, value, -np.inf), self.start[1:], axis=1)
        choice = np.stack([values.argmax(axis=1) for values in among], axis=1)
        chosen = self.options[row[:, None], choice + self.start]
        overlap = best_overlap((self.core[row] + chosen.sum(axis=1)).T)
        order = np.argsort(overlap, kind="stable")
        winner = np.full(len(self.overlap), -1)
        winner[row[order] // self.n_core] = order
        pair = np.flatnonzero(winner >= 0)
        pair = pair[overlap[winner[pair]] > self.overlap[pair]]
        won = winner[pair]
        self.overlap[pair], self.choice[pair] = overlap[won], choice[won]
        self.best_core[pair] = row[won] % self.n_core

    def sufficient(self, pair: Ints) -> Floats:
        """Return the overlap that a node must exceed to be worth a look (N,)."""
        return sufficient(self.overlap[pair], self.square[pair], self.n_atoms)


def _measures(pairs: Pairs) -> tuple[Floats, Floats]:
    """Return the radii (R, G) of the bunches, and the products (R, T, E) of the distances of exchanged leaves.

    R are rows of `BranchAndBound`, E the exchanges of two leaves (`Automorphisms.exchanged`); a product is that of the
    distances in reference and probe, and 1 where nothing is exchanged.
    """
    rows, tables = pairs.core[0].size, pairs.symmetry.tables
    radius = np.empty((rows, len(tables)))
    product = np.ones((rows, *pairs.symmetry.exchanged().shape))
    start = 0
    for g, (table, (dx, dy)) in enumerate(zip(tables, pairs.leaves, strict=True)):
        norm_x, norm_y = np.linalg.norm(dx, axis=(-2, -1)), np.linalg.norm(dy, axis=(-2, -1))
        radius[:, g] = (norm_x[:, None] * norm_y).ravel()
        i, j = exchanges(table.shape[1]).T
        edge_x, edge_y = (np.linalg.norm(d[..., :, None, :] - d[..., None, :, :], axis=-1) for d in (dx, dy))
        apart = edge_x[:, None, None, i, j] * edge_y[:, :, table[:, i], table[:, j]]
        product[:, start : start + len(table), : len(i)] = apart.reshape(rows, len(table), len(i))
        start += len(table)
    return radius, product


def largest_turn(excess: Floats, fall: Floats) -> Floats:
    """Return angles (N,), radian, beyond which a rotation costs more than the excess (N,), see `best_rotations`."""
    return 2 * np.arcsin(np.sqrt(np.clip(excess / np.maximum(fall, TINY), 0, 1)))
