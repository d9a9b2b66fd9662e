"""Baselines that a model has to beat: the mean, composition, and kernel ridge regression on fixed features."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold

from molgiae.errors import ShapeError
from molgiae.properties.labels import Labelled
from molgiae.properties.references import Kind, References, fit_references
from molgiae.properties.splitting import Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Fold = tuple[Ints, Ints]
"""Rows that are fitted, and rows that are held out."""

N_MAX = 8000
"""Most training rows of kernel ridge regression; its time grows with their third power."""
N_SEARCH = 1000
"""Most rows, of training and validation each, with which kernel, width and strength are chosen."""
ALPHAS = 1e-8, 1e-6, 1e-4, 1e-2, 1.0
"""Strengths of the regularization that are tried; with the least of them no kernel matrix is singular."""
WIDTHS = 0.5, 1.0, 2.0, 4.0, 8.0
"""Widths tried, times the median distance of training rows."""
KERNELS: dict[str, tuple[str, Callable[[float], float], Callable[[Floats, float], Floats]]] = {
    "laplacian": ("cityblock", lambda width: 1 / width, lambda d, gamma: np.exp(-gamma * d)),
    "rbf": ("euclidean", lambda width: 1 / (2 * width**2), lambda d, gamma: np.exp(-gamma * d**2)),
}
"""Kernels tried, exp(-gamma |x - y|_1) and exp(-gamma |x - y|^2): distance d, gamma of a width, kernel."""
FOLDS = 5
"""Of cross-validation."""
CHUNK = 2048
"""Rows predicted at once."""
MIN_SPREAD = 1e-9
"""Relative standard deviation below which a feature is a constant, which says nothing."""


def kernel_ridge(
    features: Floats,
    values: Floats,
    validation: tuple[Floats, Floats] | None,
    wanted: Floats,
    *,
    groups: Ints | None = None,
    seed: int = 0,
    n_max: int = N_MAX,
) -> Floats:
    """Predict (K,) values by kernel ridge regression on features as they are, or standardized.

    Which of these, kernel, width and strength are those of the least mean absolute error on a validation set, or, where
    there is none, in cross-validation within the training rows. Of more rows than `N_SEARCH`, or `n_max`, a random
    subset is used for the choice, or for the fit.

    Args:
        features: (M, F) of values (M,), which are not NaN.
        values: (M,), or (M, T) of T properties, for each of which the choice is made.
        validation: features (V, F) and values (V,); None for cross-validation.
        wanted: (K, F) features of what is predicted.
        groups: (M,) numbers of what stays together in cross-validation; None if nothing does.
        seed: of the subsets and the folds.
        n_max: most rows of the fit.

    Returns:
        (K,), or (K, T).

    Raises:
        ShapeError: if there are no rows, or not as many values.
    """
    if len(features) != len(values) or not len(values):
        raise ShapeError(
            f"{len(features)} rows of features and {len(values)} values: expected as many, at least 1"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))[:n_max]
    center, mean = features[order].mean(axis=0), values[order].mean(axis=0)
    rows, goal = features[order] - center, (values[order] - mean).reshape(len(order), -1)
    among, among_goal = rows[:N_SEARCH], goal[:N_SEARCH]
    if validation is None:
        folds = _folds(len(among), None if groups is None else groups[order[:N_SEARCH]])
    else:
        held = rng.permutation(len(validation[1]))[:N_SEARCH]
        place, own = np.arange(len(among) + len(held)), len(among)
        folds = [(place[:own], place[own:])] if len(held) else []
        among = np.concatenate([among, validation[0][held] - center])
        among_goal = np.concatenate([among_goal, (validation[1][held] - mean).reshape(-1, goal.shape[1])])
    scales = _scales(rows, center)
    predicted = np.empty((len(wanted), goal.shape[1]))
    for t, choice in enumerate(_search([among / scale for scale in scales], among_goal, folds)):
        scale = scales[choice.scale]
        model = KernelRidge(alpha=choice.alpha, kernel=choice.kernel, gamma=choice.gamma)
        model.fit(rows / scale, goal[:, t])
        for start in range(0, len(wanted), CHUNK):
            part = slice(start, start + CHUNK)
            predicted[part, t] = model.predict((wanted[part] - center) / scale)
    return (mean + predicted).reshape(len(wanted), *values.shape[1:])


def _scales(rows: Floats, center: Floats) -> tuple[Floats, Floats]:
    """Return (F,) what features are divided by: their standard deviation, or nothing; constants by infinity."""
    spread = rows.std(axis=0)
    is_constant = spread <= MIN_SPREAD * np.maximum(1.0, np.abs(center))
    return np.where(is_constant, np.inf, spread), np.where(is_constant, np.inf, 1.0)


def _folds(size: int, groups: Ints | None) -> list[Fold]:
    """Return the rows of training and those held out, for each fold; none where there is too little to divide."""
    numbers = np.arange(size) if groups is None else groups
    count = min(FOLDS, len(np.unique(numbers)))
    if count < 2:
        return []
    return list(GroupKFold(count).split(numbers, groups=numbers))


class Choice(NamedTuple):
    """Of a kernel: place of the scale, its name, gamma, and the strength of the regularization."""

    scale: int
    kernel: str
    gamma: float
    alpha: float


def _search(tables: Sequence[Floats], goal: Floats, folds: Sequence[Fold]) -> list[Choice]:
    """Return the choice of least error in the folds, for each column of the goal (M, T); tables (M, F) by scale."""
    best, choice = np.full(goal.shape[1], np.inf), [Choice(0, "rbf", 0.5, ALPHAS[-1])] * goal.shape[1]
    cases = itertools.product(range(len(tables)), KERNELS) if folds else ()
    for scale, kernel in cases:
        metric, gamma_of, of_distance = KERNELS[kernel]
        distance = squareform(pdist(tables[scale], metric))
        apart = squareform(distance[np.ix_(folds[0][0], folds[0][0])], checks=False)
        apart = apart[apart > 0]
        typical = float(np.median(apart)) if len(apart) else 1.0
        for gamma in (gamma_of(factor * typical) for factor in WIDTHS):
            errors = np.mean([_errors(of_distance(distance, gamma), goal, fold) for fold in folds], axis=0)
            for t, k in enumerate(errors.argmin(axis=0)):
                if errors[k, t] < best[t]:
                    best[t], choice[t] = errors[k, t], Choice(scale, kernel, gamma, ALPHAS[k])
    return choice


def _errors(matrix: Floats, goal: Floats, fold: Fold) -> Floats:
    """Return the mean absolute error on what is held out, for each strength and column of the goal."""
    own, held = fold
    among, across = matrix[np.ix_(own, own)], matrix[np.ix_(held, own)]
    models = (KernelRidge(alpha=alpha, kernel="precomputed").fit(among, goal[own]) for alpha in ALPHAS)
    return np.stack([np.abs(model.predict(across) - goal[held]).mean(axis=0) for model in models])


def baselines(
    labelled: Labelled,
    split: Split,
    references: References,
    features: Mapping[str, Floats],
    *,
    seed: int = 0,
    n_max: int = N_MAX,
) -> dict[str, Floats]:
    """Return predictions (K, T) for the K conformers of the test set, which no fit sees, by the name of the row.

    Kernel ridge regression is on features (M, F) by name, as "embedding"; references are taken off before and put back.
    """
    train, test = labelled.take(split.train), labelled.take(split.test)
    trivial: tuple[Kind, ...] = "mean", "composition"
    plain = [replace(target, odd=False, binary=False) for target in labelled.targets]
    found: dict[str, Floats] = {
        kind: fit_references(train.block, train.values, plain, kind).of(test.block) for kind in trivial
    }
    explained = references.of(labelled.block) + (0 if labelled.cheap is None else labelled.cheap)
    if labelled.baseline:
        found[f"{labelled.baseline} and composition"] = explained[split.test]
    rest = labelled.values - explained
    fitted = min(n_max, len(split.train))
    note = f" ({fitted} of {len(split.train)} training rows)" if fitted < len(split.train) else ""
    for what, features_of_all in features.items():
        table, columns = features_of_all.astype(np.float64), []
        for values in rest.T:
            own, held = (rows[np.isfinite(values[rows])] for rows in (split.train, split.validation))
            validation = table[held], values[held]
            columns.append(
                kernel_ridge(table[own], values[own], validation, table[split.test], seed=seed, n_max=n_max)
            )
        found[f"kernel ridge on {what}{note}"] = explained[split.test] + np.stack(columns, axis=1)
    binary = np.array([target.binary for target in labelled.targets])
    return {row: np.where(binary, values.clip(0, 1), values) for row, values in found.items()}
