"""Training, validation and test sets that share no molecule."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from molgiae.data.bonds import known_bonds
from molgiae.data.conformer import Bonds, ConformerBlock, offset_of
from molgiae.errors import ConfigError
from molgiae.matching.graphs import graph_of, refine
from molgiae.properties.labels import Labelled

Ints = NDArray[np.int64]
By = Literal["molecule", "random", "scaffold", "column"]
SHARES = 0.8, 0.1, 0.1
PARTS = "training", "validation", "test"


class Split(NamedTuple):
    """Which conformers are for what: places (K,), ascending, of each set."""

    train: Ints
    validation: Ints
    test: Ints


def make_split(
    labelled: Labelled, by: By | None = None, shares: Sequence[float] = SHARES, seed: int = 0
) -> Split:
    """Divide conformers.

    Args:
        labelled: the conformers.
        by: "molecule" keeps the conformers of a molecule together, "scaffold" the molecules of a scaffold, too, with
            the common scaffolds in the training set; "random" keeps nothing together; "column" takes what the
            data says. None is "column" where the data says something, else "molecule".
        shares: of training, validation and test in the number of conformers; ignored by "column".
        seed: of the choice.

    Raises:
        ConfigError: a set would be empty, or an option has no such value.
    """
    by = by or ("molecule" if labelled.split is None else "column")
    if by not in get_args(By):
        raise ConfigError(f"split by '{by}': expected one of {', '.join(get_args(By))}")
    if len(shares) != len(PARTS) or min(shares) <= 0 or not np.isclose(sum(shares), 1):
        raise ConfigError(f"shares {tuple(shares)}: expected three positive numbers whose sum is 1")
    if by == "column" and labelled.split is None:
        raise ConfigError("the data says nothing about its split; name a column with --split-column")
    part = labelled.split if by == "column" else _by_groups(labelled, by, shares, seed)
    split = Split(*(np.flatnonzero(part == k) for k in range(len(PARTS))))
    for name, rows in zip(PARTS, split, strict=True):
        for target, values in zip(labelled.targets, labelled.values[rows].T, strict=True):
            if not np.isfinite(values).any():
                raise ConfigError(
                    f"the {name} set has no value of {target.name}; choose other shares or another split"
                )
    return split


def _by_groups(labelled: Labelled, by: By, shares: Sequence[float], seed: int) -> Ints:
    groups = np.arange(len(labelled)) if by == "random" else molecule_numbers(labelled.block)
    if by == "scaffold":
        _, first = np.unique(groups, return_index=True)
        groups = scaffold_numbers(labelled.block)[first][groups]
    n_groups = len(np.unique(groups))
    if n_groups < len(PARTS):
        what = "record" if by == "random" else by
        instead = "" if by == "random" else "; split by random to divide their conformers"
        raise ConfigError(
            f"{n_groups} {what}{'s' * (n_groups != 1)} with values cannot make three sets, which takes at least 3"
            f"{instead}"
        )
    return _divided(groups, shares, np.random.default_rng(seed), large_first=by == "scaffold")


def _divided(groups: Ints, shares: Sequence[float], rng: np.random.Generator, large_first: bool) -> Ints:
    """Return (M,) 0, 1 or 2: groups in random order, each to the set that misses the largest part of its share.

    With `large_first` groups that are larger than half of the smallest set go into the training set.
    """
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    goal = np.array(shares) * len(groups)
    filled = np.zeros(len(shares))
    part = np.full(len(sizes), -1)
    order = rng.permutation(len(sizes))
    if large_first:
        large = order[sizes[order] > goal.min() / 2][: max(len(sizes) - 2, 0)]
        part[large] = 0
        filled[0] = sizes[large].sum()
        order = order[part[order] < 0]
    else:
        order = order[np.argsort(-sizes[order], kind="stable")]
    for group in order:
        part[group] = int(np.argmax((goal - filled) / goal))
        filled[part[group]] += sizes[group]
    return part[groups]


def molecule_numbers(block: ConformerBlock) -> Ints:
    """Return (M,) the number of the molecule of each conformer, from 0 in the order of their first conformers.

    Conformers of one bond graph are of one molecule, stereoisomers with them, and so are those of one title. A title
    under which molecules of unlike formula stand names nothing, and neither does an empty one.
    """
    conformers = list(block)
    bonds = [known_bonds(conformer) for conformer in conformers]
    graph = _numbered(_graph_keys(block.atomic_number, block.offset, bonds))
    titles = _numbered(block.title)
    formula = _numbered(np.sort(conformer.atomic_number).tobytes() for conformer in conformers)
    pairs = np.unique(np.stack([titles, formula]), axis=1)
    names_one = np.bincount(pairs[0], minlength=len(block)) == 1
    titled = names_one[titles] & np.array([bool(title) for title in block.title], bool)
    size, own = len(block), np.flatnonzero(titled)
    # conformers, then graphs, then titles are the nodes of a graph whose components are the molecules
    ends = np.concatenate([np.arange(size), own]), np.concatenate([graph + size, titles[own] + 2 * size])
    links = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(3 * size, 3 * size))
    return _numbered(connected_components(links, directed=False)[1][:size].tolist())


def scaffold_numbers(block: ConformerBlock) -> Ints:
    """Return (M,) the number of the scaffold of each conformer: its rings and what links them (Bemis and Murcko 1996).

    Orders of bonds are not told apart, so that atoms at double bonds outside of rings fall away, too. All molecules
    without rings share a scaffold.
    """
    numbers, bonds = [], []
    for conformer in block:
        pairs = known_bonds(conformer)
        kept = _core(pairs, len(conformer))
        place = np.cumsum(kept) - 1
        numbers.append(conformer.atomic_number[kept])
        bonds.append(place[pairs[kept[pairs].all(axis=1)]])
    offset = offset_of([len(number) for number in numbers])
    return _numbered(_graph_keys(np.concatenate([np.empty(0, np.uint8), *numbers]), offset, bonds))


def _core(pairs: Bonds, n: int) -> NDArray[np.bool_]:
    """Return (n,) atoms that are left when leaves are cut off until there are none."""
    kept = np.ones(n, bool)
    while True:
        inside = pairs[kept[pairs].all(axis=1)]
        leaves = kept & (np.bincount(inside.ravel(), minlength=n) < 2)
        if not leaves.any():
            return kept
        kept &= ~leaves


def _graph_keys(atomic_number: NDArray[np.uint8], offset: Ints, bonds: list[Bonds]) -> list[bytes]:
    """Return refined colours of each graph, equal for isomorphic graphs and hardly ever for others."""
    graphs = (
        graph_of(atomic_number[a:b], pairs) for (a, b), pairs in zip(pairwise(offset), bonds, strict=True)
    )
    return [np.sort(refine(graph)).tobytes() for graph in graphs]


def _numbered(keys: Iterable[Hashable]) -> Ints:
    """Return equal numbers for equal keys, from 0 in the order of their first occurrence."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], np.int64)
