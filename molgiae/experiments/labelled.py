"""Data with classes: training and test data of one npz file, and how well neighbours tell the class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.npz import open_npz
from molgiae.errors import MolgiaeError

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Pictures, grids of voxels or embeddings, and their classes."""

    x: Tensor  # (M, ...) float32; pictures and voxels are 0 to 1
    label: Labels  # (M,) number of the class

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, keep: Tensor) -> Labelled:
        return Labelled(self.x[keep], self.label[keep.numpy()])

    @property
    def first_of_each(self) -> Tensor:
        """Places of the first of each class, int64."""
        return torch.from_numpy(np.unique(self.label, return_index=True)[1])


def read(
    path: Path, shape: tuple[int, ...], name: str, decoded: Callable[[Labels], Tensor]
) -> list[Labelled]:
    """Read training and test data of an npz file: x_train and x_test (M, *shape) uint8, y_train and y_test (M,).

    `decoded` makes (M, ...) float32 of the stored numbers; the name is that of the data, for the message.

    Raises:
        MolgiaeError: if the file cannot be read or holds something else.
    """
    parts = []
    with open_npz(path) as file:
        for part in ("train", "test"):
            x, label = file[f"x_{part}"], file[f"y_{part}"]
            if x.dtype != np.uint8 or x.shape != (len(label), *shape):
                raise MolgiaeError(
                    f"{path}: x_{part} is {x.dtype} {x.shape}, expected uint8 (M, {', '.join(map(str, shape))}) "
                    f"with a label for each; give {name}"
                )
            parts.append(Labelled(decoded(x), label.astype(np.uint8)))
    return parts


def knn_accuracy(known: Labelled, asked: Labelled, neighbours: int) -> float:
    """Return the share of embeddings (M, D) whose nearest known ones (K, D), by vote, have their label.

    Of labels with as many votes the lowest wins.
    """
    nearest = torch.cdist(asked.x, known.x).topk(neighbours, dim=1, largest=False).indices
    votes = torch.from_numpy(known.label).long()[nearest.cpu()].mode(dim=1).values
    return float((votes.numpy() == asked.label).mean())


def accuracies(
    known: Labelled, asked: Labelled | None, number: int, neighbours: int, repeats: int, seed: int
) -> list[float]:
    """Measure a classifier that is shown a number of the known embeddings, other ones every time.

    It is asked for those given, or for all that it was not shown. The draws are the same for every embedding.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        order = torch.from_numpy(generator.permutation(len(known)))
        others = known[order[number:]] if asked is None else asked
        found.append(knn_accuracy(known[order[:number]], others, neighbours))
    return found
