"""MNIST as it comes, and rotated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.qm9 import open_npz
from molgiae.errors import MolgiaeError

PIXELS = 28


@dataclass(frozen=True)
class Digits:
    """Pictures of digits.

    Attributes:
        picture: (M, 28, 28) float32, 0 to 1.
        label: (M,) uint8.
    """

    picture: Tensor
    label: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.label)


def read(path: Path) -> tuple[Digits, Digits]:
    """Training and test digits.

    Args:
        path: npz file with x_train and x_test (M, 28, 28) uint8, y_train and y_test (M,).

    Raises:
        MolgiaeError: if the file cannot be read or holds something else.
    """
    parts = []
    with open_npz(path) as file:
        for part in ("train", "test"):
            picture, label = file[f"x_{part}"], file[f"y_{part}"]
            if picture.dtype != np.uint8 or picture.shape != (len(label), PIXELS, PIXELS):
                raise MolgiaeError(
                    f"{path}: x_{part} is {picture.dtype} {picture.shape}, expected uint8 (M, {PIXELS}, {PIXELS}) "
                    "with a label for each; give MNIST as npz"
                )
            parts.append(Digits(torch.from_numpy(picture).float() / 255, label.astype(np.uint8)))
    return parts[0], parts[1]


def some(digits: Digits, number: int | None, generator: torch.Generator) -> Digits:
    """As many as asked for, drawn at random, in a random order."""
    chosen = torch.randperm(len(digits), generator=generator)[:number]
    return Digits(digits.picture[chosen], digits.label[chosen.numpy()])


def rotated(picture: Tensor, angle: Tensor) -> Tensor:
    """Pictures (B, n, n) rotated by angles (B,), radians, counter-clockwise; bicubic, black from outside."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # rows point down
    back = torch.stack([torch.stack([cos, -sin, zero], dim=1), torch.stack([sin, cos, zero], dim=1)], dim=1)
    grid = nn.functional.affine_grid(back, [len(picture), 1, *picture.shape[1:]], align_corners=False)
    found = nn.functional.grid_sample(picture[:, None], grid, mode="bicubic", align_corners=False)
    return found[:, 0].clamp(0, 1)
