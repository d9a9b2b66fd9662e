"""Figures 2, 3 and 7 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molgiae.plots import blank, saved


def maps(folder: Path, points: Mapping[str, NDArray[np.float32]], label: NDArray[np.uint8]) -> Path:
    """Embeddings of rotated digits in the plane, a colour for each digit, a panel for each model.

    Args:
        folder: of the picture.
        points: (M, 2) by model.
        label: (M,).
    """
    figure = blank(3.4 * len(points) + 1, 3.8)
    panels = figure.subplots(1, len(points))
    for axes, (kind, place) in zip(panels, points.items(), strict=True):
        for digit in np.unique(label):
            of_it = label == digit
            axes.scatter(place[of_it, 0], place[of_it, 1], s=4, color=f"C{digit}", label=str(digit))
        axes.set(title=kind, xticks=[], yticks=[])
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
    return saved(figure, folder / "maps.png")


def reconstructions(folder: Path, given: Tensor, decoded: Tensor, output: Tensor) -> Path:
    """Rotated digits, their canonical elements as decoded, and after the group action.

    Args:
        folder: of the picture.
        given: (k, n, n) inputs.
        decoded: (k, n, n) canonical elements.
        output: (k, n, n) reconstructions.
    """
    figure = blank(0.6 * len(given), 2.2)
    panels = figure.subplots(3, len(given), squeeze=False)
    for row, (title, pictures) in enumerate((("input", given), ("decoded", decoded), ("output", output))):
        for axes, picture in zip(panels[row], pictures, strict=True):
            axes.imshow(picture.numpy(), cmap="Greys", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        panels[row, 0].set_ylabel(title)
    return saved(figure, folder / "reconstructions.png")
