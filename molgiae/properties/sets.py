"""Conformers of one molecule that share one value: a molecule is a set, and what is learned is a weighted mean over it.

Measured values know no conformer. Weights are equal ("mean"), learned ("attention", a softmax of scores; Ilse et al.,
ICML 2018), or those of Boltzmann, by energies that the records hold. Where nothing is pooled each conformer is a set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.config import Pooling
from molgiae.nn.property_head import Found
from molgiae.properties.labels import Labelled
from molgiae.properties.predictor import Standardized
from molgiae.properties.splitting import molecule_numbers

MOST = 8
"""Conformers of a molecule in one step of training, drawn at random from all of it."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sets:
    """M conformers of K molecules.

    Attributes:
        owner: (M,) number of the molecule of each, 0 to K - 1.
        fixed: (M,) scores that are known, whose softmax over a molecule are weights; to these learned ones are added.
        learned: whether the scores of the network count.
    """

    owner: Ints
    fixed: Floats
    learned: bool

    @classmethod
    def of(cls, labelled: Labelled, pooling: Pooling) -> Sets:
        """Return the molecules of conformers, or each conformer by itself."""
        every = np.arange(len(labelled))
        owner = every if pooling == "none" else molecule_numbers(labelled.block)
        known = labelled.scores if pooling == "boltzmann" else None
        scores = np.zeros(len(labelled)) if known is None else known
        return cls(owner, scores, pooling == "attention")

    def __len__(self) -> int:
        return int(self.owner.max(initial=-1)) + 1

    def mean(self, numbers: Floats) -> Floats:
        """Return (K, F) means of the numbers (M, F) of conformers, by what is known of their weights."""
        return self.weighed(numbers, np.zeros(len(numbers)))

    def values(self, values: Floats) -> Floats:
        """Return (K, T) values of molecules, means of those (M, T) that their conformers have; NaN for none."""
        known = np.isfinite(values)
        total, count = np.zeros((2, len(self), values.shape[1]))
        np.add.at(total, self.owner, np.where(known, values, 0))
        np.add.at(count, self.owner, known)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def largest(self, sizes: Ints) -> Ints:
        """Return (K,) the largest of some sizes (M,) in each molecule."""
        found = np.zeros(len(self), np.int64)
        np.maximum.at(found, self.owner, sizes)
        return found

    def pooled(self, found: Standardized) -> Standardized:
        """Return what is predicted of molecules, from what is predicted of their conformers."""
        value, uncertainty = (self.weighed(part, found.score) for part in found[:2])
        return Standardized(value, uncertainty, np.zeros(len(self)))

    def weighed(self, numbers: Floats, score: Floats) -> Floats:
        """Return (K, F) means of the numbers (M, F) of conformers, by what is known and learned of their weights."""
        weight = self._weights(self.fixed + (score if self.learned else 0))
        total = np.zeros((len(self), numbers.shape[1]))
        np.add.at(total, self.owner, weight[:, None] * numbers)
        return total

    def _weights(self, score: Floats) -> Floats:
        highest = np.full(len(self), -np.inf)
        np.maximum.at(highest, self.owner, score)
        weight = np.exp(score - highest[self.owner])
        return np.asarray(weight / np.bincount(self.owner, weight)[self.owner])

    def rows(self, index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return conformers (C,) of molecules (b,), at most `MOST` of each, and which of the b each is of."""
        if len(self) == len(self.owner):
            return self._only[index], torch.arange(len(index))
        rng = np.random.default_rng([step, len(self.owner)])
        of_molecule = [self._conformers[k] for k in index.tolist()]
        drawn = [rows if len(rows) <= MOST else rng.choice(rows, MOST, replace=False) for rows in of_molecule]
        owner = np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn])
        return torch.from_numpy(np.concatenate(drawn)), torch.from_numpy(owner)

    @cached_property
    def _only(self) -> Tensor:
        """The conformer of each molecule, where each has one."""
        return torch.from_numpy(np.argsort(self.owner))

    @cached_property
    def _conformers(self) -> list[Ints]:
        """Conformers of each molecule."""
        order = np.argsort(self.owner, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.owner, minlength=len(self)))[:-1])

    def together(self, found: Found, rows: Tensor, owner: Tensor, binary: Tensor) -> Found:
        """Return values and uncertainties of molecules (b, T), with gradients; `binary` (T,) ones are probabilities."""
        value = torch.where(binary, found.value.sigmoid(), found.value)
        if len(self) == len(self.owner):
            return found._replace(value=value)
        score = torch.from_numpy(self.fixed[rows.numpy()]).to(value)
        if self.learned:
            score = score + found.score
        count = int(owner.max()) + 1
        highest = score.new_full((count,), -torch.inf).scatter_reduce(0, owner, score.detach(), "amax")
        weight = (score - highest[owner]).exp()
        weight = weight / weight.new_zeros(count).index_add(0, owner, weight)[owner]

        def pooled(part: Tensor) -> Tensor:
            return part.new_zeros(count, part.shape[1]).index_add(0, owner, weight[:, None] * part)

        return Found(pooled(value), pooled(found.uncertainty), score)
