"""What a model has to beat: the mean, composition, and kernel ridge regression on fixed features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.spatial.distance import cdist

from molgiae.errors import ShapeError
from molgiae.properties.labels import Labelled
from molgiae.properties.references import Kind, References, fit_references
from molgiae.properties.splitting import Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_MAX = 8000
"""Most training rows of kernel ridge regression; its time grows with their third power."""
N_SEARCH = 1000
"""Most training rows with which kernel, width and strength are chosen."""
ALPHAS = 1e-8, 1e-6, 1e-4, 1e-2, 1.0
WIDTHS = 0.5, 1.0, 2.0, 4.0, 8.0
"""Widths tried, times the median distance of training rows."""
METRICS = {"laplacian": "cityblock", "gaussian": "euclidean"}
CHUNK = 2048
"""Rows predicted at once."""


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """Kernel ridge regression on standardised features, fitted to one target.

    Attributes:
        kernel: "laplacian", exp(-|x - y|_1 / width), or "gaussian", exp(-|x - y|^2 / (2 width^2)).
        width: of the kernel.
        alpha: strength of the regularisation; the values are standardised.
        n_train: rows it was fitted to.
        rows: (n_train, F) standardised.
        dual: (n_train,) weights.
        center: (F,) and
        scale: (F,) of the standardisation.
        mean: of the values.
    """

    kernel: str
    width: float
    alpha: float
    n_train: int
    rows: Floats
    dual: Floats
    center: Floats
    scale: Floats
    mean: float

    def predict(self, features: Floats) -> Floats:
        """(M,) values for features (M, F)."""
        standard = (features - self.center) / self.scale
        parts = [
            _kernel(self.kernel, cdist(standard[i : i + CHUNK], self.rows, METRICS[self.kernel]), self.width)
            @ self.dual
            for i in range(0, len(standard), CHUNK)
        ]
        return self.mean + np.concatenate([np.empty(0), *parts])


def fit_kernel_ridge(
    features: Floats,
    values: Floats,
    validation: tuple[Floats, Floats],
    *,
    seed: int = 0,
    n_max: int = N_MAX,
    n_search: int = N_SEARCH,
) -> KernelRidge:
    """Fit, with kernel, width and strength by the mean absolute error of a validation set.

    Of more rows than `n_search`, or `n_max`, a random subset is used for the choice, or for the fit.

    Args:
        features: (M, F).
        values: (M,), without NaN.
        validation: features (K, F) and values (K,) of the validation set.
        seed: of the subsets.
        n_max: most rows of the fit.
        n_search: most rows of the search, of training and validation each.
    """
    if len(features) != len(values) or not len(values):
        raise ShapeError(
            f"{len(features)} rows of features and {len(values)} values: expected as many, at least 1"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))[:n_max]
    center, scale = features[order].mean(axis=0), features[order].std(axis=0)
    scale = np.where(scale > 1e-9 * np.maximum(1.0, np.abs(center)), scale, np.inf)  # constants say nothing
    rows, mean = (features[order] - center) / scale, float(values[order].mean())
    goal = values[order] - mean
    chosen = rng.permutation(len(validation[1]))[:n_search]
    held = (validation[0][chosen] - center) / scale, validation[1][chosen] - mean
    kernel, width, alpha = _search(rows[:n_search], goal[:n_search], held)
    matrix = _kernel(kernel, cdist(rows, rows, METRICS[kernel]), width)
    strengths = (strength for strength in ALPHAS if strength >= alpha)  # the last is never too weak
    alpha, dual = next((a, dual) for a in strengths if (dual := _solved(matrix, goal, a)) is not None)
    return KernelRidge(kernel, width, alpha, len(rows), rows, dual, center, scale, mean)


def _search(rows: Floats, goal: Floats, held: tuple[Floats, Floats]) -> tuple[str, float, float]:
    best, choice = np.inf, ("gaussian", 1.0, ALPHAS[-1])
    if not len(held[1]):
        return choice
    for kernel, metric in METRICS.items():
        among, across = cdist(rows, rows, metric), cdist(held[0], rows, metric)
        typical = float(np.median(among[among > 0])) if (among > 0).any() else 1.0
        for width in (factor * typical for factor in WIDTHS):
            matrix, other = _kernel(kernel, among, width), _kernel(kernel, across, width)
            for alpha in ALPHAS:
                dual = _solved(matrix, goal, alpha)
                error = np.inf if dual is None else float(np.abs(other @ dual - held[1]).mean())
                if error < best:
                    best, choice = error, (kernel, width, alpha)
    return choice


def _kernel(name: str, distance: Floats, width: float) -> Floats:
    return np.exp(-distance / width) if name == "laplacian" else np.exp(-0.5 * (distance / width) ** 2)


def _solved(matrix: Floats, goal: Floats, alpha: float) -> Floats | None:
    """Dual weights; None where the matrix is singular to working precision."""
    regularised = matrix.copy()
    regularised[np.diag_indices_from(regularised)] += alpha
    try:
        return cho_solve(cho_factor(regularised, lower=True, overwrite_a=True), goal)
    except LinAlgError:
        return None


def baselines(
    labelled: Labelled,
    split: Split,
    references: References,
    features: Mapping[str, Floats] | None = None,
    *,
    seed: int = 0,
    n_max: int = N_MAX,
) -> dict[str, Floats]:
    """Predictions (K, T) for the K conformers of the test set, by the name of the row.

    Args:
        labelled: M conformers.
        split: of them; the test set is seen by no fit.
        references: taken off before kernel ridge regression and put back.
        features: (M, F) for rows of kernel ridge regression, by what they are called, as in "embedding".
        seed: of subsets of rows.
        n_max: see `fit_kernel_ridge`.
    """
    train, test = labelled.take(split.train), labelled.take(split.test)
    trivial: tuple[Kind, ...] = "mean", "composition"
    found: dict[str, Floats] = {
        kind: fit_references(train.block, train.values, labelled.targets, kind).of(test.block)
        for kind in trivial
    }
    rest = labelled.values - references.of(labelled.block)
    for what, table in (features or {}).items():
        columns = [
            _kernel_ridge_column(table.astype(np.float64), rest[:, t], split, seed, n_max)
            for t in range(rest.shape[1])
        ]
        name = f"kernel ridge on {what}"
        fitted = min(n_max, len(split.train))
        if fitted < len(split.train):
            name += f" ({fitted} of {len(split.train)} training rows)"
        found[name] = references.of(test.block) + np.stack(columns, axis=1)
    return found


def _kernel_ridge_column(features: Floats, values: Floats, split: Split, seed: int, n_max: int) -> Floats:
    train, validation = (rows[np.isfinite(values[rows])] for rows in (split.train, split.validation))
    held = features[validation], values[validation]
    return fit_kernel_ridge(features[train], values[train], held, seed=seed, n_max=n_max).predict(
        features[split.test]
    )
