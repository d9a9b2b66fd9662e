"""Figures of predictions side by side, a verdict in words, and plots of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from molgiae.errors import ShapeError
from molgiae.plots import blank, saved
from molgiae.properties.targets import Target

Floats = NDArray[np.float64]

TRIVIAL = "mean", "composition"
"""Baselines that take no learning on structures."""
MIN_STANDARD_ERRORS = 2.0
"""Standard errors by which errors must differ to be called different."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Errors of one row of the table, for T targets, over the conformers that have a value.

    Attributes:
        mae: (T,) mean absolute error.
        rmse: (T,) root of the mean square error.
        r2: (T,) 1 - mean square error over the variance of the values; NaN for fewer than two or equal values.
        r2_rest: (T,) likewise over the variance of what composition leaves of the values. Of total energies it leaves a
            millionth, so that `r2` is 1 for any model.
        brier: (T,) mean square error of probabilities; this and what follows is NaN for other targets.
        roc_auc: (T,) chance that one of class 1 has a higher probability than one of class 0.
        pr_auc: (T,) mean precision over the recall of class 1.
    """

    mae: Floats
    rmse: Floats
    r2: Floats
    r2_rest: Floats
    brier: Floats
    roc_auc: Floats
    pr_auc: Floats


NUMBERS = {"MAE": "mae", "RMSE": "rmse", "R2": "r2", "R2 rest": "r2_rest"}
CHANCES = {"Brier": "brier", "ROC-AUC": "roc_auc", "PR-AUC": "pr_auc"}
"""Scores that are shown of numbers and of probabilities, by their headings; the first one is judged by."""
PURE = ("r2", "r2_rest", "roc_auc", "pr_auc")
"""Scores that are at most 1."""


EQUAL = 1e-20
"""Variance over the mean square of values that round-off makes of equal ones, generously."""


def score(
    prediction: Floats, truth: Floats, explained: Floats | None = None, binary: Sequence[bool] | None = None
) -> Scores:
    """Score predictions (K, T) against values (K, T), NaN where there is none; composition explains (K, T), or nothing.

    Of targets that are `binary` (T,) predictions are probabilities.

    Raises:
        ShapeError: the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ShapeError(f"predictions have shape {prediction.shape}, values {truth.shape}")
    rest = truth if explained is None else truth - explained
    found = np.full((len(fields(Scores)), truth.shape[1]), np.nan)
    for t, known in enumerate(np.isfinite(truth).T):
        if known.any():
            error = (prediction - truth)[known, t]
            square = float(np.mean(error**2))
            found[:2, t] = float(np.abs(error).mean()), square**0.5
            for row, values in ((2, truth), (3, rest)):
                variance = float(np.var(values[known, t]))
                # round-off, as of equal values, is no variance
                spread = variance > EQUAL * float(np.mean(values[known, t] ** 2))
                found[row, t] = 1 - square / variance if spread else np.nan
            if binary is not None and binary[t]:
                found[4, t] = square
                if 0 < truth[known, t].mean() < 1:
                    found[5, t] = roc_auc_score(truth[known, t], prediction[known, t])
                    found[6, t] = average_precision_score(truth[known, t], prediction[known, t])
    return Scores(*found)


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Rows of scores on one test set.

    Attributes:
        targets: T targets; errors are in their units.
        rows: scores by the name of the row.
        counts: (T,) values of each target in the test set.
        sizes: conformers for training, validation and testing.
        model: name of the row that is to be judged.
        worse: for each other row (T,) how much larger its error is, and the standard error of that; errors are mean
            absolute ones, those of probabilities squared.
    """

    targets: tuple[Target, ...]
    rows: dict[str, Scores]
    counts: tuple[int, ...]
    sizes: tuple[int, int, int]
    model: str
    worse: dict[str, tuple[Floats, Floats]]

    def text(self) -> str:
        """Return a table for people, with the verdict."""
        width = max(map(len, self.rows))
        lines = [f"{self.sizes[0]} training, {self.sizes[1]} validation, {self.sizes[2]} test conformers"]
        for t, target in enumerate(self.targets):
            unit = "" if target.unit == "1" else f" ({target.unit})"
            label = f"{target.name}{unit}, {self.counts[t]} test values"
            shown = CHANCES if target.binary else NUMBERS
            lines += ["", label, f"{'':{width}}" + "".join(f"  {heading:>10}" for heading in shown)]
            lines += [
                f"{name:{width}}"
                + "".join(
                    f"  {getattr(s, kind)[t]:>10{'.4f' if kind in PURE else '.4g'}}"
                    for kind in shown.values()
                )
                for name, s in self.rows.items()
            ]
        notes = []
        if not all(target.binary for target in self.targets):
            notes = ["R2 rest: of the values less what composition explains in the training set"]
        return "\n".join([*lines, "", *notes, *self.verdict()])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: NaN as None."""
        return {
            "sizes": dict(zip(("train", "validation", "test"), self.sizes, strict=True)),
            "model": self.model,
            "targets": {
                target.name: {
                    "symbol": target.symbol,
                    "unit": target.unit,
                    "test_values": self.counts[t],
                    "rows": {
                        name: {key: float(v[t]) if np.isfinite(v[t]) else None for key, v in vars(s).items()}
                        for name, s in self.rows.items()
                    },
                }
                for t, target in enumerate(self.targets)
            },
            "verdict": self.verdict(),
        }

    def beaten(self, t: int) -> list[str]:
        """Return rows that the model clearly beats in target t, by paired differences of absolute errors."""
        return [
            name for name, (gain, error) in self.worse.items() if gain[t] > MIN_STANDARD_ERRORS * error[t]
        ]

    def verdict(self) -> list[str]:
        """Return a sentence for each target."""
        return [f"{target.name}: {self._sentence(t)}" for t, target in enumerate(self.targets)]

    def _sentence(self, t: int) -> str:
        if not self.worse:
            return "there is nothing to compare with."
        heading, _ = self._judged(t)
        by_error = sorted(self.worse, key=lambda name: self._error(name, t))
        missed = [name for name in by_error if name not in self.beaten(t)]
        if trivial := [name for name in missed if name in TRIVIAL]:
            how = "not clearly better" if self.worse[trivial[0]][0][t] > 0 else "NOT better"
            return f"{self.model} is {how} than {self._against(trivial[0], t)}; that row serves as well."
        if missed:
            return f"{self.model} beats the trivial rows, but not {self._against(missed[0], t)}."
        ratio = self._error(by_error[0], t) / max(self._error(self.model, t), 1e-300)
        return f"{self.model} beats every row; its {heading} is {ratio:.1f} times less than that of {by_error[0]}."

    def _judged(self, t: int) -> tuple[str, str]:
        """Return heading and name of the score that target t is judged by."""
        return next(iter((CHANCES if self.targets[t].binary else NUMBERS).items()))

    def _error(self, name: str, t: int) -> float:
        return float(getattr(self.rows[name], self._judged(t)[1])[t])

    def _against(self, name: str, t: int) -> str:
        gain, error = self.worse[name]
        own, other = self._error(self.model, t), self._error(name, t)
        unit = "" if self.targets[t].unit == "1" else f" {self.targets[t].unit}"
        what = f"{name} ({self._judged(t)[0]} {own:.4g} against {other:.4g}{unit}"
        if abs(gain[t]) <= MIN_STANDARD_ERRORS * error[t]:
            what += f", a difference within {MIN_STANDARD_ERRORS:g} standard errors"
        return f"{what})"


def compare(
    truth: Floats,
    predictions: Mapping[str, Floats],
    targets: Sequence[Target],
    sizes: tuple[int, int, int],
    model: str,
    explained: Floats | None = None,
) -> ScoreTable:
    """Compare predictions (K, T) for one test set, by the name of their row, with that of the model.

    Args as of `score` and `ScoreTable`.
    """
    binary = [target.binary for target in targets]
    rows = {name: score(prediction, truth, explained, binary) for name, prediction in predictions.items()}

    def error(prediction: Floats) -> Floats:
        """Return what `NUMBERS` and `CHANCES` are judged by, of each value."""
        return np.where(binary, (prediction - truth) ** 2, np.abs(prediction - truth))

    own = error(predictions[model])
    worse = {name: _paired(error(values) - own) for name, values in predictions.items() if name != model}
    counts = tuple(np.isfinite(truth).sum(axis=0).tolist())
    return ScoreTable(tuple(targets), rows, counts, sizes, model, worse)


def _paired(difference: Floats) -> tuple[Floats, Floats]:
    """Mean (T,) and its standard error (T,), infinite for fewer than two values."""
    count = np.isfinite(difference).sum(axis=0)
    mean = np.nansum(difference, axis=0) / np.maximum(count, 1)
    square = np.nansum((difference - mean) ** 2, axis=0)
    error = np.sqrt(square / np.maximum(count - 1, 1) / np.maximum(count, 1))
    return mean, np.where(count > 1, error, np.inf)


def parity_plot(
    path: str | os.PathLike[str],
    truth: Floats,
    prediction: Floats,
    targets: Sequence[Target],
    std: Floats | None = None,
    explained: Floats | None = None,
) -> Path:
    """Draw predictions (K, T) against values (K, T), a panel for each target, as PNG, SVG or PDF by the name.

    Standard deviations (K, T) are drawn as bars. What composition explains (K, T) is taken off both, as it hides all
    else of total energies.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure = blank(4.5 * len(targets), 4.5)
    shift = np.zeros_like(truth) if explained is None else explained
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for t, (axes, target) in enumerate(zip(panels, targets, strict=True)):
        known = np.isfinite(truth[:, t])
        x, y = truth[known, t] - shift[known, t], prediction[known, t] - shift[known, t]
        if std is not None:
            axes.errorbar(x, y, std[known, t], fmt="none", elinewidth=0.5, alpha=0.3)
        axes.plot(x, y, ".", markersize=3, alpha=0.5)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())] if len(x) else [0, 1]
        axes.plot(ends, ends, color="grey", linewidth=0.8)
        s = score(prediction[:, t : t + 1], truth[:, t : t + 1], shift[:, t : t + 1])
        name = target.heading if explained is None else f"{target.heading} less composition"
        axes.set(xlabel=f"{name}, given", ylabel=f"{name}, predicted", aspect="equal")
        which = "R²" if explained is None else "R² of the rest"
        axes.set_title(f"{target.name}: MAE {s.mae[0]:.4g}, {which} {s.r2_rest[0]:.4f}", fontsize=10)
        axes.grid(alpha=0.3)
    return saved(figure, Path(path))


def class_plot(
    path: str | os.PathLike[str], truth: Floats, probability: Floats, targets: Sequence[Target]
) -> Path:
    """Draw the ROC and the precision-recall curve of probabilities (K, T) of classes (K, T) as PNG, SVG or PDF.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    figure = blank(8, 4 * len(targets))
    panels = figure.subplots(len(targets), 2, squeeze=False)
    for t, (target, (left, right)) in enumerate(zip(targets, panels, strict=True)):
        known = np.isfinite(truth[:, t])
        x, y = truth[known, t], probability[known, t]
        left.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        right.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
        left.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
        if len(x):
            right.axhline(x.mean(), color="grey", linewidth=0.8)
        if len(set(x.tolist())) > 1:
            found = score(probability[:, t : t + 1], truth[:, t : t + 1], binary=[True])
            left.step(*roc_curve(x, y)[:2], where="post")
            precision, recall, _ = precision_recall_curve(x, y)
            right.step(recall, precision, where="post")
            left.set_title(f"{target.name}: ROC-AUC {found.roc_auc[0]:.3f}", fontsize=10)
            right.set_title(f"PR-AUC {found.pr_auc[0]:.3f}, {x.mean():.0%} of class 1", fontsize=10)
        for axes in (left, right):
            axes.grid(alpha=0.3)
    return saved(figure, Path(path))
