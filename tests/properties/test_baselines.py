"""Rows that a model has to beat."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from molgiae.errors import ShapeError
from molgiae.properties.baselines import baselines
from molgiae.properties.kernels import ALPHAS, WIDTHS, kernel_ridge
from molgiae.properties.references import fit_references
from molgiae.properties.splitting import make_split
from tests.properties.labelled import chain, labelled_of


def smooth(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)) * [1.0, 10.0, 0.1, 0.0] + [0.0, 5.0, 100.0, 3.0]
    return x, np.sin(x[:, 0]) + 0.1 * x[:, 1] + 5.0


TRAIN, VALIDATION, TEST = smooth(300, 0), smooth(60, 1), smooth(60, 2)


def test_kernel_ridge_learns_a_smooth_function():
    error = np.abs(kernel_ridge(*TRAIN, VALIDATION, TEST[0]) - TEST[1]).mean()
    assert error < 0.1 * np.abs(TEST[1] - TRAIN[1].mean()).mean()


def test_it_solves_the_normal_equations_of_a_random_subset():
    """For one of the kernels, widths and strengths; constants of the training set play no part."""
    found = kernel_ridge(*TRAIN, VALIDATION, TEST[0], n_max=100, seed=4)
    rows = np.random.default_rng(4).permutation(300)[:100]
    x, y = TRAIN[0][rows], TRAIN[1][rows]
    between = (x[:, None] - np.concatenate([x, TEST[0]]))[..., :3]
    near = []
    for scale, power in itertools.product((1.0, x.std(axis=0)[:3]), (1, 2)):
        sizes = np.linalg.norm(between / scale, ord=power, axis=2)
        among = sizes[:, :100][~np.eye(100, dtype=bool)]
        for width, alpha in itertools.product(np.median(among) * np.array(WIDTHS), ALPHAS):
            kernel = np.exp(-((sizes / width) ** power) / power)
            dual = np.linalg.solve(kernel[:, :100] + alpha * np.eye(100), y - y.mean())
            near.append(np.abs(kernel[:, 100:].T @ dual + y.mean() - found).max())
    assert sum(error < 1e-5 for error in near) == 1


def test_repeated_rows_and_constants_do_no_harm():
    x = np.repeat(TRAIN[0][:10], 5, axis=0)
    assert kernel_ridge(x, np.full(50, 7.0), VALIDATION, TEST[0]) == pytest.approx(7.0)
    zeros = np.zeros((5, 3)), np.arange(5.0), (np.zeros((2, 3)), np.arange(2.0))
    assert kernel_ridge(*zeros, np.zeros((3, 3))) == pytest.approx(2.0)
    assert kernel_ridge(*TRAIN, VALIDATION, np.empty((0, 4))).shape == (0,)


def test_one_row_and_no_validation_still_predict():
    nothing = np.empty((0, 4)), np.empty(0)
    found = kernel_ridge(TRAIN[0][:1], TRAIN[1][:1], nothing, TEST[0])
    assert found == pytest.approx(TRAIN[1][0])
    with pytest.raises(ShapeError):
        kernel_ridge(TRAIN[0], TRAIN[1][:5], VALIDATION, TEST[0])


def test_rows_of_the_table_are_on_the_test_set_and_ignore_its_values():
    conformers = [
        chain(n, f"{n} {z} {k}", z=z, seed=k) for n in range(3, 9) for z in (6, 8) for k in range(20)
    ]
    size = np.array([len(c) for c in conformers], float)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(len(conformers), 2))
    values = np.stack([10 * size + hidden[:, 0], hidden[:, 1]], axis=1)
    values[::7, 1] = np.nan
    labelled = labelled_of(conformers, values)
    split = make_split(labelled, "random")
    train = labelled.take(split.train)
    references = fit_references(train.block, train.values, labelled.targets, "composition")
    found = baselines(labelled, split, references, {"x": hidden}, n_max=100)
    assert list(found) == [
        "mean",
        "composition",
        f"kernel ridge on x (100 of {len(split.train)} training rows)",
    ]
    truth = values[split.test]
    errors = {name: np.nanmean(np.abs(prediction - truth), axis=0) for name, prediction in found.items()}
    mean, by_composition, kernel = errors.values()
    assert mean[0] > 5 * by_composition[0] > 15 * kernel[0]
    assert mean[1] > 3 * kernel[1]
    values[split.test] = 0.0
    again = baselines(labelled_of(conformers, values), split, references, {"x": hidden}, n_max=100)
    assert all((again[name] == found[name]).all() for name in found)
