"""Baselines that a model has to beat: the mean, composition, and kernel ridge regression on fixed features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from molgiae.properties.kernels import N_MAX, kernel_ridge
from molgiae.properties.labels import Labelled
from molgiae.properties.references import Kind, References, fit_references
from molgiae.properties.splitting import Split

Floats = NDArray[np.float64]


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
