"""Kernel ridge regression, whose kernel, width and strength are chosen by held-out values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold

from molgiae.errors import ShapeError

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
METRICS = {"laplacian": "cityblock", "rbf": "euclidean"}
"""Kernels tried, exp(-gamma |x - y|_1) and exp(-gamma |x - y|^2), and the distance of each."""
FOLDS = 5
"""Of cross-validation."""
CHUNK = 2048
"""Rows predicted at once."""
MIN_SPREAD = 1e-9
"""Relative standard deviation below which a feature is a constant, which says nothing."""


class Choice(NamedTuple):
    """Of a kernel: place of the scale, its name, gamma, and the strength of the regularization."""

    scale: int
    kernel: str
    gamma: float
    alpha: float


@dataclass(frozen=True, eq=False)
class KernelModel:
    """Kernel ridge regressions of T properties on the same M rows.

    Attributes:
        rows: (M, F) features of the training rows.
        factor: (T, F) what features are multiplied by before distances are taken; 0 for constants.
        kernel: T names in `METRICS`.
        gamma: (T,) of the kernels.
        weight: (M, T).
        mean: (T,) of the training values.
        order: (M,) which of the training rows these are; None for all in their order.
    """

    rows: Floats
    factor: Floats
    kernel: tuple[str, ...]
    gamma: Floats
    weight: Floats
    mean: Floats
    order: Ints | None = None

    def predict(self, wanted: Floats) -> Floats:
        """Return (K, T) values of rows of features (K, F)."""
        center = self.rows.mean(axis=0)
        found = np.empty((len(wanted), len(self.mean)))
        for t, (kernel, factor) in enumerate(zip(self.kernel, self.factor, strict=True)):
            own = (self.rows - center) * factor
            for start in range(0, len(wanted), CHUNK):
                part = slice(start, start + CHUNK)
                distance = cdist((wanted[part] - center) * factor, own, METRICS[kernel])
                found[part, t] = _kernel(kernel, distance, self.gamma[t]) @ self.weight[:, t]
        return np.asarray(self.mean + found)


def fit_kernels(
    features: Floats,
    values: Floats,
    validation: tuple[Floats, Floats] | None = None,
    *,
    groups: Ints | None = None,
    seed: int = 0,
    n_max: int = N_MAX,
    alphas: Sequence[float] = ALPHAS,
    kernels: Sequence[str] = tuple(METRICS),
) -> KernelModel:
    """Fit kernel ridge regressions on features as they are, or standardized.

    Which of these, kernel, width and strength are those of the least mean absolute error on a validation set, or, where
    there is none, in cross-validation within the training rows. Of more rows than `N_SEARCH`, or `n_max`, a random
    subset is used for the choice, or for the fit.

    Args:
        features: (M, F).
        values: (M, T) of T properties, for each of which the choice is made; none is NaN.
        validation: features (V, F) and values (V, T); None for cross-validation.
        groups: (M,) numbers of what stays together in cross-validation; None if nothing does.
        seed: of the subsets and the folds.
        n_max: most rows of the fit.
        alphas: strengths that are tried.
        kernels: names in `METRICS` that are tried.

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
    rows, goal = features[order] - center, values[order] - mean
    among, among_goal = rows[:N_SEARCH], goal[:N_SEARCH]
    if validation is None:
        folds = _folds(len(among), None if groups is None else groups[order[:N_SEARCH]])
    else:
        held = rng.permutation(len(validation[1]))[:N_SEARCH]
        place, own = np.arange(len(among) + len(held)), len(among)
        folds = [(place[:own], place[own:])] if len(held) else []
        among = np.concatenate([among, validation[0][held] - center])
        among_goal = np.concatenate([among_goal, validation[1][held] - mean])
    factors = _factors(rows, center)
    choices = _search([among * factor for factor in factors], among_goal, folds, alphas, kernels)
    weight = np.empty((len(order), len(choices)))
    for t, choice in enumerate(choices):
        own_rows = rows * factors[choice.scale]
        matrix = _kernel(choice.kernel, cdist(own_rows, own_rows, METRICS[choice.kernel]), choice.gamma)
        weight[:, t] = (
            KernelRidge(alpha=choice.alpha, kernel="precomputed").fit(matrix, goal[:, t]).dual_coef_
        )
    return KernelModel(
        features[order],
        np.stack([factors[choice.scale] for choice in choices]),
        tuple(choice.kernel for choice in choices),
        np.array([choice.gamma for choice in choices]),
        weight,
        mean,
        order,
    )


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
    """Return (K,) or (K, T) values of rows of features (K, F) by `fit_kernels`, of values (M,) or (M, T)."""
    held = None if validation is None else (validation[0], _columns(validation[1]))
    model = fit_kernels(features, _columns(values), held, groups=groups, seed=seed, n_max=n_max)
    return model.predict(wanted).reshape(len(wanted), *values.shape[1:])


def _columns(values: Floats) -> Floats:
    return values.reshape(len(values), -1) if len(values) else values.reshape(0, 1)


def _kernel(name: str, distance: Floats, gamma: float) -> Floats:
    return np.asarray(np.exp(-gamma * (distance if name == "laplacian" else distance**2)))


def _gamma(name: str, width: float) -> float:
    return 1 / width if name == "laplacian" else 1 / (2 * width**2)


def _factors(rows: Floats, center: Floats) -> tuple[Floats, Floats]:
    """Return (F,) what features are multiplied by: one over their standard deviation, or one; constants by 0."""
    spread = rows.std(axis=0)
    is_constant = spread <= MIN_SPREAD * np.maximum(1.0, np.abs(center))
    return np.where(is_constant, 0.0, 1 / np.where(is_constant, 1.0, spread)), np.where(is_constant, 0.0, 1.0)


def _folds(size: int, groups: Ints | None) -> list[Fold]:
    """Return the rows of training and those held out, for each fold; none where there is too little to divide."""
    numbers = np.arange(size) if groups is None else groups
    count = min(FOLDS, len(np.unique(numbers)))
    if count < 2:
        return []
    return list(GroupKFold(count).split(numbers, groups=numbers))


def _search(
    tables: Sequence[Floats],
    goal: Floats,
    folds: Sequence[Fold],
    alphas: Sequence[float],
    kernels: Sequence[str],
) -> list[Choice]:
    """Return the choice of least error in the folds, for each column of the goal (M, T); tables (M, F) by scale."""
    best, choice = np.full(goal.shape[1], np.inf), [Choice(0, kernels[-1], 0.5, alphas[-1])] * goal.shape[1]
    cases = itertools.product(range(len(tables)), kernels) if folds else ()
    for scale, kernel in cases:
        distance = squareform(pdist(tables[scale], METRICS[kernel]))
        apart = squareform(distance[np.ix_(folds[0][0], folds[0][0])], checks=False)
        apart = apart[apart > 0]
        typical = float(np.median(apart)) if len(apart) else 1.0
        for gamma in (_gamma(kernel, factor * typical) for factor in WIDTHS):
            matrix = _kernel(kernel, distance, gamma)
            errors = np.mean([_errors(matrix, goal, fold, alphas) for fold in folds], axis=0)
            for t, k in enumerate(errors.argmin(axis=0)):
                if errors[k, t] < best[t]:
                    best[t], choice[t] = errors[k, t], Choice(scale, kernel, gamma, alphas[k])
    return choice


def _errors(matrix: Floats, goal: Floats, fold: Fold, alphas: Sequence[float]) -> Floats:
    """Return the mean absolute error on what is held out, for each strength and column of the goal."""
    own, held = fold
    among, across = matrix[np.ix_(own, own)], matrix[np.ix_(held, own)]
    models = (KernelRidge(alpha=alpha, kernel="precomputed").fit(among, goal[own]) for alpha in alphas)
    return np.stack([np.abs(model.predict(across) - goal[held]).mean(axis=0) for model in models])
