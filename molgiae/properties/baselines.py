"""Baselines that a model has to beat: the mean, composition, and kernel ridge regression on fixed features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import pairwise_kernels

from molgiae.errors import ShapeError
from molgiae.properties.labels import Labelled
from molgiae.properties.references import Kind, References, fit_references
from molgiae.properties.splitting import Split

Floats = NDArray[np.float64]

N_MAX = 8000
"""Most training rows of kernel ridge regression; its time grows with their third power."""
N_SEARCH = 1000
"""Most rows, of training and validation each, with which kernel, width and strength are chosen."""
ALPHAS = 1e-8, 1e-6, 1e-4, 1e-2, 1.0
"""Strengths of the regularization that are tried; with the least of them no kernel matrix is singular."""
WIDTHS = 0.5, 1.0, 2.0, 4.0, 8.0
"""Widths tried, times the median distance of training rows."""
KERNELS = {
    "laplacian": ("cityblock", lambda width: 1 / width),
    "rbf": ("euclidean", lambda width: 1 / (2 * width**2)),
}
"""Kernels tried, exp(-gamma |x - y|_1) and exp(-gamma |x - y|^2): distance that widths go by, gamma of a width."""
CHUNK = 2048
"""Rows predicted at once."""
MIN_SPREAD = 1e-9
"""Relative standard deviation below which a feature is a constant, which says nothing."""


def kernel_ridge(
    features: Floats,
    values: Floats,
    validation: tuple[Floats, Floats],
    wanted: Floats,
    *,
    seed: int = 0,
    n_max: int = N_MAX,
) -> Floats:
    """Predict (K,) values by kernel ridge regression on standardized features.

    Kernel, width and strength are those of the least mean absolute error on a validation set. Of more rows than
    `N_SEARCH`, or `n_max`, a random subset is used for the choice, or for the fit.

    Args:
        features: (M, F) of values (M,), which are not NaN.
        values: (M,).
        validation: features (V, F) and values (V,).
        wanted: (K, F) features of what is predicted.
        seed: of the subsets.
        n_max: most rows of the fit.

    Raises:
        ShapeError: if there are no rows, or not as many values.
    """
    if len(features) != len(values) or not len(values):
        raise ShapeError(
            f"{len(features)} rows of features and {len(values)} values: expected as many, at least 1"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))[:n_max]
    chosen = rng.permutation(len(validation[1]))[:N_SEARCH]
    center, scale = features[order].mean(axis=0), features[order].std(axis=0)
    scale = np.where(scale > MIN_SPREAD * np.maximum(1.0, np.abs(center)), scale, np.inf)
    rows, held, wanted = (
        (table - center) / scale for table in (features[order], validation[0][chosen], wanted)
    )
    mean = float(values[order].mean())
    goal = values[order] - mean
    kernel, gamma, alpha = _search(rows[:N_SEARCH], goal[:N_SEARCH], held, validation[1][chosen] - mean)
    model = KernelRidge(alpha=alpha, kernel=kernel, gamma=gamma).fit(rows, goal)
    parts = [model.predict(wanted[start : start + CHUNK]) for start in range(0, len(wanted), CHUNK)]
    return mean + np.concatenate([np.empty(0), *parts])


def _search(rows: Floats, goal: Floats, held: Floats, held_goal: Floats) -> tuple[str, float, float]:
    """Return kernel, gamma and strength of the least error."""
    best, choice = np.inf, ("rbf", 0.5, ALPHAS[-1])
    if not len(held):
        return choice
    grid = []
    for kernel, (metric, gamma_of) in KERNELS.items():
        distance = pdist(rows, metric)
        distance = distance[distance > 0]
        typical = float(np.median(distance)) if len(distance) else 1.0
        grid += [(kernel, gamma_of(factor * typical)) for factor in WIDTHS]
    for kernel, gamma in grid:
        among, across = (pairwise_kernels(x, rows, metric=kernel, gamma=gamma) for x in (rows, held))
        for alpha in ALPHAS:
            model = KernelRidge(alpha=alpha, kernel="precomputed").fit(among, goal)
            error = float(np.abs(model.predict(across) - held_goal).mean())
            if error < best:
                best, choice = error, (kernel, gamma, alpha)
    return choice


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
    found: dict[str, Floats] = {
        kind: fit_references(train.block, train.values, labelled.targets, kind).of(test.block)
        for kind in trivial
    }
    rest = labelled.values - references.of(labelled.block)
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
        found[f"kernel ridge on {what}{note}"] = references.of(test.block) + np.stack(columns, axis=1)
    return found
