"""What properties are learned from an embedding with few labels: kernel ridge regression, beside other descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupShuffleSplit

from molgiae.errors import ConfigError
from molgiae.evaluation.descriptors import COMPOSITION, Floats, Panel
from molgiae.evaluation.report import Figures
from molgiae.properties.kernels import kernel_ridge
from molgiae.properties.labels import Labelled, read_labelled
from molgiae.properties.references import fit_references
from molgiae.properties.splitting import molecule_numbers
from molgiae.properties.targets import BY_NAME, normalized

Ints = NDArray[np.int64]

TEST_SHARE, DRAWS = 0.2, 5
"""Of data that do not say their split: the share of molecules that is held out, and how often it is drawn."""
TEST_PART = 2
"""Number of the test set in what data say of their split; 0 is that of the training set."""


@dataclass(frozen=True)
class Trial:
    """Conformers (K,) to learn from, to be tested on, and the number of the molecule (K,) of those to learn from."""

    train: Ints
    test: Ints
    molecule: Ints


def read_targets(
    path: str | os.PathLike[str], targets: Sequence[str], table: str | os.PathLike[str] | None = None
) -> Labelled:
    """Return the conformers of a file that have every target; known ones by name, symbol or alias, others by column.

    Raises:
        ConfigError: a target is not there, or no conformer has all of them.
        MolgiaeError: the file cannot be read.
    """
    known = [name for name in targets if normalized(name) in BY_NAME]
    columns = [name for name in targets if name not in known]
    labelled = read_labelled([os.fspath(path)], known, target_columns=columns, table=table, keep_text=True)
    labelled = labelled.take(np.flatnonzero(np.isfinite(labelled.values).all(axis=1)))
    if not len(labelled):
        raise ConfigError(f"{Path(path).name}: no conformer has a value of each of {', '.join(targets)}")
    return labelled


def trials(labelled: Labelled, sizes: Sequence[int], seed: int) -> dict[int, list[Trial]]:
    """Return the trials by the number of labels that are learned from.

    Where data say their split, there is one of each size that does not exceed the training conformers, drawn from them
    so that smaller ones are part of larger, and all test conformers. Elsewhere there are `DRAWS` random ones of all
    molecules, whose conformers stay together.

    Raises:
        ConfigError: there is nothing to learn from, or to be tested on.
    """
    rng = np.random.default_rng(seed)
    if labelled.split is not None:
        train, test = (rng.permutation(np.flatnonzero(labelled.split == k)) for k in (0, TEST_PART))
        if not len(train) or not len(test):
            raise ConfigError(
                f"{len(train)} training and {len(test)} test conformers with values; both are needed"
            )
        sizes = sorted({min(size, len(train)) for size in sizes})
        return {size: [Trial(train[:size], np.sort(test), train[:size])] for size in sizes}
    molecule = molecule_numbers(labelled.block)
    if molecule.max(initial=0) < 1:
        raise ConfigError("one molecule with values cannot make a training and a test set")
    splits = GroupShuffleSplit(DRAWS, test_size=TEST_SHARE, random_state=seed).split(
        molecule, groups=molecule
    )
    found = [Trial(train, test, molecule[train]) for train, test in splits]
    return {round(float(np.mean([len(trial.train) for trial in found]))): found}


def feature_learning(panel: Panel, labelled: Labelled, sizes: Sequence[int]) -> dict[str, Figures]:
    """Return errors of kernel ridge regression on each descriptor, and of least squares on composition.

    What least squares on composition explain within the training labels is taken off first. Kernel, width and strength
    are chosen in cross-validation within the training labels.

    Returns:
        for each descriptor, by target and number of labels, `mae` and `rmse` on the test conformers, means over trials,
        in `unit`; `mae_std` of the trials, None of one; and the number of `test` conformers of a trial.
    """
    drawn = trials(labelled, sizes, panel.seed)
    rows = np.unique(np.concatenate([np.r_[t.train, t.test] for some in drawn.values() for t in some]))
    part = labelled.take(rows)
    values = panel(part.block)[1]
    figures: dict[str, Figures] = {name: {} for name in values}
    for size, some in drawn.items():
        errors: dict[str, list[Floats]] = {name: [] for name in values}
        for trial in some:
            train, test = np.searchsorted(rows, trial.train), np.searchsorted(rows, trial.test)
            for name, error in _errors(panel, part, values, train, test, trial.molecule):
                errors[name].append(error)
        for name, found in errors.items():
            for target, error in zip(part.targets, np.stack(found, axis=-1), strict=True):
                what = target.symbol.replace("/", "_")  # parts paths of figures
                figures[name][f"{what}, {size} labels"] = {
                    "mae": float(error[0].mean()),
                    "rmse": float(error[1].mean()),
                    "mae_std": float(error[0].std(ddof=1)) if len(some) > 1 else None,
                    "unit": target.unit,
                    "test": len(some[0].test),
                }
    return figures


def _errors(
    panel: Panel, labelled: Labelled, values: dict[str, Floats], train: Ints, test: Ints, molecule: Ints
) -> Iterator[tuple[str, Floats]]:
    """Yield for each descriptor (M, D) the mean absolute and root mean square error (T, 2) on the test rows."""
    learned, tested = labelled.take(train), labelled.take(test)
    references = fit_references(learned.block, learned.values, learned.targets, "composition")
    rest, explained = learned.values - references.of(learned.block), references.of(tested.block)
    for name, table in panel.track(values.items()):
        error: Floats = explained - tested.values
        if name != COMPOSITION:
            error += kernel_ridge(table[train], rest, None, table[test], groups=molecule, seed=panel.seed)
        yield name, np.stack([np.abs(error).mean(axis=0), np.sqrt((error**2).mean(axis=0))], axis=1)
