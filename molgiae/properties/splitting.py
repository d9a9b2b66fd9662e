"""Training, validation and test sets that share no molecule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConfigError
from molgiae.properties.labels import Labelled
from molgiae.properties.molecules import scaffold_numbers

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
    if by == "random":
        groups = np.arange(len(labelled))
    else:
        groups = labelled.group
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
