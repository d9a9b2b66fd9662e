"""Training and test data with classes, in one npz file."""

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
    """Pictures, or grids of voxels, and their classes.

    Attributes:
        x: (M, ...) float32, 0 to 1.
        label: (M,) number of the class.
    """

    x: Tensor
    label: Labels

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
) -> tuple[Labelled, Labelled]:
    """Read training and test data.

    Args:
        path: npz file with x_train and x_test (M, *shape) uint8, y_train and y_test (M,).
        shape: of one picture, as stored.
        name: of the data, for the message.
        decoded: what makes (M, ...) float32 of the stored numbers.

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
    return parts[0], parts[1]
