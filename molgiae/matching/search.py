"""The best automorphism for each pair of conformers of one molecule: branch and bound over rotations and leaves.

With positions from the centroid, the RMSD over all rotations is least where the overlap, the largest
trace of R^T C with C = sum x_i y_i^T over matched atoms, is largest. C is a sum: a core automorphism gives the part
of the core, leaves of a bunch standing for their mean, and each bunch adds that of its own deviations, which
depends on its permutation and is at most the product of their norms, its radius.

A node of the search has a core automorphism, some bunches decided, the others open. It holds no
better solution than its overlap plus the radii of the open bunches. Any better solution turns by a
limited angle from the best rotation of the node, for turning further costs more than open bunches can
give; within this angle many permutations of open bunches are never the best one, and the radii shrink. What
remains open branches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from molgiae.matching.chain import promising
from molgiae.matching.kabsch import Covariances, best_overlap, best_rotations
from molgiae.matching.symmetry import Bunches, Symmetry, exchanges, swapped

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

TOLERANCE = 1e-7
"""A lesser RMSD is not looked for if it is lesser by no more than this, in angstrom."""
DIRECT = 48
"""Automorphisms that are tried one by one rather than bounded."""
CROWDED, FEW = 120, 5040
"""Permutations of one bunch from which on so many automorphisms are tried one by one."""
BUDGET = 4000
"""Nodes of one pair after which the search is given up and nothing is proven."""
NODES = 4096
"""Nodes looked at together."""
ENTRIES = 1 << 20
"""Numbers in the largest array of a chunk of pairs."""
CONTRACTIONS = 3
FIRST_WIDTH, WIDTH = 16, 1024
"""Core automorphisms kept at each step of a chain, for a first solution and for a proof."""
SLACK = 1e-9
"""Round-off of a cosine."""


class Search:
    """Search for one molecule.

    Args:
        symmetry: of its bond graph.
    """

    def __init__(self, symmetry: Symmetry) -> None:
        self.symmetry = symmetry
        self.order = len(symmetry.core)
        for bunches in symmetry.bunches:
            self.order *= len(bunches.permutations) ** len(bunches.atoms)
        most = max((len(bunches.permutations) for bunches in symmetry.bunches), default=1)
        # bounds compare permutations of a bunch pairwise: for six leaves trying all is cheaper
        self.direct = self.order <= (FEW if most >= CROWDED else DIRECT) or not symmetry.bunches

    def __call__(self, x: Floats, y: Floats) -> tuple[Ints, Mask]:
        """The automorphisms with the largest overlap.

        Args:
            x: (P, n, 3) references, centroids at the origin, angstrom.
            y: (P, n, 3) probes, the same.

        Returns:
            (P, n) atom of y for each of x; (P,) whether it is proven to be the best.
        """
        n = x.shape[1]
        chunk = max(1, ENTRIES // (9 * max(len(self.symmetry.core), min(self.order, DIRECT)) + 27 * n))
        parts = [self._chunk(x[k : k + chunk], y[k : k + chunk]) for k in range(0, len(x), chunk)]
        return np.concatenate([order for order, _ in parts]), np.concatenate([proven for _, proven in parts])

    def _chunk(self, x: Floats, y: Floats) -> tuple[Ints, Mask]:
        if self.symmetry.levels:
            return self._one_by_one(x, y)
        pairs = Pairs.of(self.symmetry, x, y)
        if self.direct:
            core, choices = pairs.try_all()
            proven = np.ones(len(x), bool)
        else:
            core, choices, proven = branch_and_bound(pairs)
        return pairs.orders(core, choices), proven

    def _one_by_one(self, x: Floats, y: Floats) -> tuple[Ints, Mask]:
        """A first solution from few core automorphisms, then all that may lead to a better one."""
        orders, proven = np.empty(x.shape[:2], np.int64), np.zeros(len(x), bool)
        for p in range(len(x)):
            core, _ = promising(self.symmetry.levels, x[p], y[p], -np.inf, FIRST_WIDTH)
            first, _ = Search(self.symmetry.with_core(core))(x[p : p + 1], y[p : p + 1])
            overlap = best_overlap(np.einsum("ki,kj->ij", x[p], y[p][first[0]]).reshape(9, 1))
            square = np.square(x[p]).sum() + np.square(y[p]).sum()
            least = float(sufficient(overlap, square, x.shape[1])[0])
            core, complete = np.empty((0, x.shape[1]), np.int64), True
            if least < square / 2:
                core, complete = promising(self.symmetry.levels, x[p], y[p], least, WIDTH)
            found = Search(self.symmetry.with_core(core))(x[p : p + 1], y[p : p + 1]) if len(core) else None
            orders[p], proven[p] = first[0], complete and (found is None or found[1][0])
            if found is not None:
                other = best_overlap(np.einsum("ki,kj->ij", x[p], y[p][found[0][0]]).reshape(9, 1))
                orders[p] = found[0][0] if other > overlap else first[0]
        return orders, proven


def sufficient(overlap: Floats, square: Floats | float, n: int) -> Floats:
    """Overlaps that lower the RMSD of n atoms by more than `TOLERANCE`, from that of the best known solution.

    Args:
        overlap: of the solution, angstrom squared.
        square: sum of the squared positions of both, angstrom squared.
        n: number of atoms.
    """
    left = np.maximum(square - 2 * overlap, 0)
    return overlap + np.sqrt(left * n) * TOLERANCE + n * TOLERANCE**2 / 2


@dataclass(frozen=True)
class Deviations:
    """Leaves from the means of their bunches, G bunches of k leaves in P pairs.

    Attributes:
        bunches: which leaves.
        x: (P, G, k, 3) of the references, angstrom.
        y: (P, G, k, 3) of the probes, angstrom.
        norm_x: (P, G) angstrom.
        norm_y: (P, G) angstrom.
        edge_x: (P, G, k, k) distances among leaves, angstrom.
        edge_y: (P, G, k, k) angstrom.
    """

    bunches: Bunches
    x: Floats
    y: Floats
    norm_x: Floats
    norm_y: Floats
    edge_x: Floats
    edge_y: Floats


@dataclass(frozen=True)
class Pairs:
    """What the search needs of P pairs.

    Attributes:
        symmetry: of the molecule.
        square: (P,) sum of the squared positions of both, angstrom squared.
        core: (9, P, K) covariances of the core.
        leaves: deviations by number of leaves.
    """

    symmetry: Symmetry
    square: Floats
    core: Covariances
    leaves: list[Deviations]

    @classmethod
    def of(cls, symmetry: Symmetry, x: Floats, y: Floats) -> Pairs:
        """Means, deviations and covariances."""
        mean = y.copy()
        leaves = []
        for bunches in symmetry.bunches:
            mine, theirs = x[:, bunches.atoms], y[:, bunches.atoms]
            centre = theirs.mean(axis=2, keepdims=True)
            mean[:, bunches.atoms] = centre
            dx, dy = mine - mine.mean(axis=2, keepdims=True), theirs - centre
            norms = (np.sqrt(np.einsum("pgai,pgai->pg", d, d)) for d in (dx, dy))
            edges = (np.linalg.norm(d[:, :, :, None] - d[:, :, None], axis=-1) for d in (dx, dy))
            leaves.append(Deviations(bunches, dx, dy, *norms, *edges))
        square = np.einsum("pni,pni->p", x, x) + np.einsum("pni,pni->p", y, y)
        return cls(symmetry, square, _core_covariances(symmetry.core, x, mean), leaves)

    def __len__(self) -> int:
        return len(self.square)

    def try_all(self) -> tuple[Ints, list[Ints]]:
        """(P,) core automorphism and (P, G) permutations, by number of leaves, with the largest overlap."""
        p, k = self.core.shape[1:]
        c = self.core.reshape(9, p, k, 1)
        for leaves in self.leaves:
            image, table = leaves.bunches.image, leaves.bunches.permutations
            for g in range(len(leaves.bunches.atoms)):
                y = leaves.y[:, image[:, g]][:, :, table]
                added = np.einsum("pai,pkfaj->ijpkf", leaves.x[:, g], y).reshape(9, p, k, 1, -1)
                c = (c[..., None] + added).reshape(9, p, k, -1)
        best = best_overlap(c.reshape(9, -1)).reshape(p, -1).argmax(axis=1)
        sizes = [len(d.bunches.permutations) for d in self.leaves for _ in d.bunches.atoms]
        core, *flat = np.unravel_index(best, (k, *sizes))
        choices = []
        for leaves in self.leaves:
            g = len(leaves.bunches.atoms)
            choices.append(np.stack(flat[:g], axis=1))
            flat = flat[g:]
        return core, choices

    def orders(self, core: Ints, choices: list[Ints]) -> Ints:
        """(P, n) atom of the probe for each atom of the reference."""
        result = self.symmetry.core[core]
        for leaves, choice in zip(self.leaves, choices, strict=True):
            image = leaves.bunches.image[core]
            target = leaves.bunches.atoms[image]
            target = np.take_along_axis(target, leaves.bunches.permutations[choice], axis=2)
            result[:, leaves.bunches.atoms] = target
        return result


def _core_covariances(core: Ints, x: Floats, y: Floats) -> Covariances:
    """(9, P, K) for all core automorphisms; atoms that all of them send to one place are summed once."""
    moving = np.flatnonzero((core != core[0]).any(axis=0))
    still = np.setdiff1d(np.arange(core.shape[1]), moving)
    c = np.einsum("pni,pnj->ijp", x[:, still], y[:, core[0, still]])[..., None]
    if len(moving):
        c = c + np.einsum("pni,pknj->ijpk", x[:, moving], y[:, core[:, moving]])
    return c.reshape(9, len(x), -1)


@dataclass
class Nodes:
    """N nodes of the search.

    Attributes:
        pair: (N,).
        core: (N,) core automorphism.
        c: (9, N) covariance of the core and the decided bunches.
        alive: (N, G, k!) permutations not excluded, by number of leaves.
        open: (N, G) bunches not in `c` yet, by number of leaves.
    """

    pair: Ints
    core: Ints
    c: Covariances
    alive: list[Mask]
    open: list[Mask]

    def __len__(self) -> int:
        return len(self.pair)

    def take(self, rows: Ints | Mask) -> Nodes:
        """Some of them, also more than once."""
        return Nodes(
            self.pair[rows],
            self.core[rows],
            self.c[:, rows],
            [mask[rows] for mask in self.alive],
            [mask[rows] for mask in self.open],
        )


class Incumbents:
    """The best solution of each pair so far."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.overlap = np.full(len(pairs), -np.inf)
        self.core = np.zeros(len(pairs), np.int64)
        self.choice = [np.zeros((len(pairs), len(d.bunches.atoms)), np.int64) for d in pairs.leaves]
        self.atoms = pairs.symmetry.core.shape[1]

    def offer(self, nodes: Nodes, overlap: Floats, choices: list[Ints]) -> None:
        """Take what is better."""
        order = np.argsort(overlap, kind="stable")
        winner = np.full(len(self.overlap), -1)
        winner[nodes.pair[order]] = order
        pair = np.flatnonzero(winner >= 0)
        row = winner[pair]
        better = overlap[row] > self.overlap[pair]
        pair, row = pair[better], row[better]
        self.overlap[pair], self.core[pair] = overlap[row], nodes.core[row]
        for mine, choice in zip(self.choice, choices, strict=True):
            mine[pair] = choice[row]

    def sufficient(self, pair: Ints) -> Floats:
        """(N,) overlap that a node must exceed to be worth a look."""
        return sufficient(self.overlap[pair], self.pairs.square[pair], self.atoms)


def branch_and_bound(pairs: Pairs) -> tuple[Ints, list[Ints], Mask]:
    """The solution of each pair: core automorphism, permutations by number of leaves, whether it is proven."""
    best = Incumbents(pairs)
    visits = np.zeros(len(pairs), np.int64)
    stack = [_roots(pairs)]
    while stack:
        nodes = stack.pop()
        if len(nodes) > NODES:
            stack.append(nodes.take(np.arange(NODES, len(nodes))))
            nodes = nodes.take(np.arange(NODES))
        visits += np.bincount(nodes.pair, minlength=len(pairs))
        nodes = _look(pairs, nodes, best)
        nodes = nodes.take(visits[nodes.pair] <= BUDGET)
        if len(nodes):
            stack.append(nodes)
    return best.core, best.choice, visits <= BUDGET


def _roots(pairs: Pairs) -> Nodes:
    """A node for each pair and core automorphism, the most promising last."""
    p, k = pairs.core.shape[1:]
    shapes = [(p * k, len(d.bunches.atoms), len(d.bunches.permutations)) for d in pairs.leaves]
    return Nodes(
        np.repeat(np.arange(p), k),
        np.tile(np.arange(k), p),
        pairs.core.reshape(9, -1),
        [np.ones(shape, bool) for shape in shapes],
        [np.ones(shape[:2], bool) for shape in shapes],
    )


def _look(pairs: Pairs, nodes: Nodes, best: Incumbents) -> Nodes:
    """The nodes that remain to be looked at: contracted ones, or their branches."""
    overlap, rotation, fall = best_rotations(nodes.c)
    views = [
        View.of(d, nodes, alive, is_open, rotation)
        for d, alive, is_open in zip(pairs.leaves, nodes.alive, nodes.open, strict=True)
    ]
    complete = nodes.c + sum(view.added(view.choice, view.open) for view in views)
    best.offer(nodes, best_overlap(complete), [view.choice for view in views])
    limit, most = best.sufficient(nodes.pair), pairs.square[nodes.pair] / 2

    def excess() -> Floats:
        return np.minimum(overlap + sum(view.bound.sum(axis=1) for view in views), most) - limit

    for _ in range(CONTRACTIONS):
        left = excess()
        turn = largest_turn(left, fall)
        for view in views:
            view.contract(left, turn)
    possible = np.all([np.all(view.alive.any(axis=2), axis=1) for view in views], axis=0)
    unfinished = np.any([view.open.any(axis=1) for view in views], axis=0)
    keep = np.flatnonzero((excess() > 0) & possible & unfinished)
    return _decide(nodes.take(keep), [view.take(keep) for view in views])


def largest_turn(excess: Floats, fall: Floats) -> Floats:
    """(N,) angles, radian, beyond which a rotation costs more than the excess (N,), see `best_rotations`."""
    return 2 * np.arcsin(np.sqrt(np.clip(excess / np.maximum(fall, 1e-300), 0, 1)))


@dataclass
class View:
    """The bunches of one size as N nodes see them.

    Attributes:
        x: (N, G, k, 3) deviations of the references, angstrom.
        y: (N, G, k, 3) of the probes in the bunches that the core automorphism sends them to.
        permutations: (k!, k).
        value: (N, G, k!) overlap of each permutation at the rotation of the node, angstrom squared.
        worst: (N, G, k!) least cosine of the angle that an exchange of two leaves would turn round.
        radius: (N, G) the largest overlap of a bunch at any rotation.
        alive: (N, G, k!) permutations not excluded.
        open: (N, G) bunches not decided.
        bound: (N, G) the most that an open bunch can give; 0 for others.
        choice: (N, G) the best permutation at the rotation of the node.
    """

    x: Floats
    y: Floats
    permutations: Ints
    value: Floats
    worst: Floats
    radius: Floats
    alive: Mask
    open: Mask
    bound: Floats
    choice: Ints

    @classmethod
    def of(cls, d: Deviations, nodes: Nodes, alive: Mask, is_open: Mask, rotation: Covariances) -> View:
        """Look from the rotations (9, N) of the nodes."""
        table = d.bunches.permutations
        k = table.shape[1]
        image = nodes.pair[:, None], d.bunches.image[nodes.core]
        x, y = d.x[nodes.pair], d.y[image]
        turned = np.einsum("ijn,ngaj->ngai", rotation.reshape(3, 3, -1), y)
        product = np.einsum("ngai,ngbi->ngab", x, turned)
        value = product[:, :, np.arange(k), table].sum(axis=-1)
        gain = value[..., None] - value[:, :, swapped(k)]
        i, j = exchanges(k).T
        apart = d.edge_x[nodes.pair][:, :, i, j][:, :, None] * d.edge_y[image][:, :, table[:, i], table[:, j]]
        worst = (gain / np.maximum(apart, 1e-300)).min(axis=-1)
        radius = d.norm_x[nodes.pair] * d.norm_y[image]
        choice = np.where(alive, value, -np.inf).argmax(axis=2)
        return cls(
            x, y, table, value, worst, radius, alive, is_open, np.where(is_open, radius, 0.0), choice
        )  # fmt: skip

    def take(self, rows: Ints) -> View:
        """Those of some nodes."""
        return View(
            **{name: value if name == "permutations" else value[rows] for name, value in vars(self).items()}
        )

    def added(self, choice: Ints, included: Mask) -> Covariances:
        """(9, N) covariances of the bunches included (N, G), permuted by choice (N, G)."""
        y = np.take_along_axis(self.y, self.permutations[choice][..., None], axis=2)
        return np.einsum("ngai,ngaj,ng->ijn", self.x, y, included.astype(float)).reshape(9, -1)

    def contract(self, excess: Floats, turn: Floats) -> None:
        """Exclude permutations that cannot be the best within a turn of the rotation of the node.

        A turn by t changes the angle of the deviations of all leaves, as one vector, by t at most. And the best
        permutation is one that no exchange of two leaves improves.

        Args:
            excess: (N,) what bound and overlap exceed the incumbent by.
            turn: (N,) largest angle, radian.
        """
        cosine, sine = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
        whole = self.radius[..., None]
        rest = np.sqrt(np.maximum(whole * whole - self.value * self.value, 0))
        reach = np.where(self.value >= whole * cosine, whole, self.value * cosine + rest * sine)
        alive = self.alive & (reach >= self.bound[..., None] - excess[:, None, None])
        alive &= (self.worst >= -sine - SLACK) | (cosine <= 0)
        self.alive = np.where(self.open[..., None], alive, self.alive)
        most = np.where(self.alive, reach, -whole).max(axis=2)
        self.bound = np.where(self.open, most, 0.0)


def _decide(nodes: Nodes, views: list[View]) -> Nodes:
    """Nodes with the bunches of one permutation left decided; those with none of these branch on one bunch."""
    decided = [view.open & (view.alive.sum(axis=2) == 1) for view in views]
    some = np.any([d.any(axis=1) for d in decided], axis=0)
    c = nodes.c + sum(
        view.added(view.alive.argmax(axis=2), d) for view, d in zip(views, decided, strict=True)
    )
    contracted = Nodes(
        nodes.pair,
        nodes.core,
        c,
        [view.alive for view in views],
        [view.open & ~d for view, d in zip(views, decided, strict=True)],
    )
    branching = np.flatnonzero(~some)
    branches = _branches(contracted.take(branching), [view.take(branching) for view in views])
    return _joined(contracted.take(some), branches)


def _branches(nodes: Nodes, views: list[View]) -> Nodes:
    """For each node its open bunch with the largest bound, with each permutation that is left."""
    bounds = np.concatenate([view.bound for view in views], axis=1)
    chosen = bounds.argmax(axis=1)
    parts, start = [], 0
    for which, view in enumerate(views):
        bunch = chosen - start
        start += view.bound.shape[1]
        here = np.flatnonzero((bunch >= 0) & (bunch < view.bound.shape[1]))
        row, permutation = np.nonzero(view.alive[here, bunch[here]])
        node = here[row]
        g = bunch[node]
        child = nodes.take(node)
        x, y = view.x[node, g], view.y[node, g]
        y = np.take_along_axis(y, view.permutations[permutation][..., None], axis=1)
        child.c = child.c + np.einsum("nai,naj->ijn", x, y).reshape(9, -1)
        child.open[which][np.arange(len(node)), g] = False
        child.alive[which][np.arange(len(node)), g] = False
        child.alive[which][np.arange(len(node)), g, permutation] = True
        parts.append(child)
    return _joined(*parts)


def _joined(*parts: Nodes) -> Nodes:
    return Nodes(
        np.concatenate([p.pair for p in parts]),
        np.concatenate([p.core for p in parts]),
        np.concatenate([p.c for p in parts], axis=1),
        [np.concatenate(masks) for masks in zip(*(p.alive for p in parts), strict=True)],
        [np.concatenate(masks) for masks in zip(*(p.open for p in parts), strict=True)],
    )
