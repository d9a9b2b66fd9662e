"""Kernel ridge regression on what a pretrained network reads of conformers, beside the networks that are fine-tuned.

Of a few hundred values it often learns more than a network of some hundred thousand weights does, and errs elsewhere,
so that a mean of the two is better than either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.conformer import ConformerBlock
from molgiae.nn.taught import TaughtNetwork
from molgiae.properties.kernels import KernelModel, fit_kernels
from molgiae.properties.reading import numbers_of

MAX_ROWS = 2000
"""Most training conformers; of more, the network learns more than the kernel can."""
KERNEL = "laplacian"
"""Where molecules are far from all that were learned, as large ones are, it errs less than "rbf"."""
STRENGTHS = 1e-4, 1e-3, 1e-2, 1e-1, 1.0
"""Strengths of the regularization that are tried: with less, weights are no longer exact in single precision."""
SHARES = np.linspace(0, 1, 51)
"""Shares that are tried."""
MIN_SHARE = 0.05
"""Smaller ones are not worth their time: half of that of a prediction."""
PRIOR_SHARE, PRIOR_COUNT = 0.5, 10
"""The share without any validation value, and for how many values it stands."""

Floats = NDArray[np.float64]


class KernelPart(nn.Module):
    """Conformers to T standardized values by kernel ridge regression, and the share that these have.

    Args:
        taught: the pretrained network, as it was.
        rows: R training conformers.
        targets: T.
    """

    weight: Tensor
    share: Tensor

    def __init__(self, taught: TaughtNetwork, rows: int, targets: int) -> None:
        super().__init__()
        self.taught = taught
        shapes = {
            "rows": (rows, taught.described_size),
            "factor": (targets, taught.described_size),
            "weight": (rows, targets),
            **{name: (targets,) for name in ("gamma", "mean", "share")},
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))

    def fill(self, model: KernelModel, share: Floats) -> None:
        """Take the numbers of a model, and the shares (T,) of its values."""
        numbers = {name: getattr(model, name) for name in ("rows", "factor", "weight", "gamma", "mean")}
        numbers["share"] = share
        for name, values in numbers.items():
            getattr(self, name).copy_(torch.from_numpy(values))

    def model(self) -> KernelModel:
        """Return the regression."""
        rows, factor, gamma, weight, mean = (
            self.get_buffer(name).double().cpu().numpy()
            for name in ("rows", "factor", "gamma", "weight", "mean")
        )
        return KernelModel(rows, factor, (KERNEL,) * len(mean), gamma, weight, mean)

    def predict(self, block: ConformerBlock) -> Floats:
        """Return (M, T) standardized values."""
        return self.model().predict(
            numbers_of(self.taught, self.taught.described, self.taught.described_size, block)
        )

    def shares(self) -> Floats:
        """Return (T,) from 0 to 1, what its values count in the mean with those of networks."""
        return np.asarray(self.share.double().cpu().numpy())


def fitted(
    taught: TaughtNetwork,
    block: ConformerBlock,
    values: Floats,
    learned: NDArray[np.bool_],
    owner: Any,
    seed: int,
) -> KernelPart:
    """Return the part, fitted to standardized values (M, T), NaN where there is none, of conformers.

    Args:
        taught: the pretrained network.
        block: M conformers.
        values: of them.
        learned: (T,) which targets it is fitted to; it says nothing of others.
        owner: (M,) numbers of what stays together in cross-validation.
        seed: of its folds.
    """
    features = numbers_of(taught, taught.described, taught.described_size, block)
    part = KernelPart(taught, len(block), values.shape[1]).to(next(taught.parameters()).device)
    size = values.shape[1]
    factor, weight = np.zeros((size, features.shape[1])), np.zeros(values.shape)
    gamma, mean = np.zeros(size), np.zeros(size)
    for t in np.flatnonzero(learned & (np.isfinite(values).sum(axis=0) > 1)):
        known = np.flatnonzero(np.isfinite(values[:, t]))
        own = fit_kernels(
            features[known],
            values[known, t : t + 1],
            groups=owner[known],
            seed=seed,
            alphas=STRENGTHS,
            kernels=(KERNEL,),
        )
        factor[t], gamma[t], mean[t] = own.factor[0], own.gamma[0], own.mean[0]
        weight[known[own.order], t] = own.weight[:, 0]
    part.fill(KernelModel(features, factor, (KERNEL,) * size, gamma, weight, mean), np.zeros(size))
    return part


def shares_of(network: Floats, kernel: Floats, truth: Floats, learned: NDArray[np.bool_]) -> Floats:
    """Return (T,) the shares of a kernel whose mean with the network has the least mean absolute error, from 0 to 1.

    Not the least square: the largest errors of a few molecules would choose for all. All are (K, T) standardized values
    of validation molecules, NaN where there is none; as these are few, the share is drawn to `PRIOR_SHARE`.
    """
    share = np.zeros(truth.shape[1])
    for t in np.flatnonzero(learned):
        known = np.isfinite(truth[:, t])
        apart, left = (kernel - network)[known, t], (truth - network)[known, t]
        if apart.any():
            error = np.abs(left[:, None] - SHARES * apart[:, None]).sum(axis=0)
            drawn = PRIOR_COUNT * np.abs(apart).mean() * np.abs(SHARES - PRIOR_SHARE)
            share[t] = SHARES[(error + drawn).argmin()]
    return np.where(share < MIN_SHARE, 0.0, share)
