"""Figures 6 and 11 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molgiae.plots import blank, saved

FULL = 0.5
"""Occupancy from which a voxel is drawn."""


def maps(
    folder: Path,
    points: Mapping[str, NDArray[np.float32]],
    label: NDArray[np.uint8],
    classes: Sequence[str],
) -> Path:
    """Embeddings in the plane, a colour for each class, a panel for each model.

    Args:
        folder: of the picture.
        points: (M, 2) by model.
        label: (M,).
        classes: their names.
    """
    figure = blank(11, 5)
    panels = figure.subplots(1, len(points))
    for axes, (kind, place) in zip(panels, points.items(), strict=True):
        for k, name in enumerate(classes):
            of_it = label == k
            axes.scatter(place[of_it, 0], place[of_it, 1], s=8, color=f"C{k}", label=name)
        axes.set(title=kind, xticks=[], yticks=[])
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return saved(figure, folder / "maps.png")


def reconstructions(
    folder: Path, names: Sequence[str], given: Tensor, decoded: Tensor, output: Tensor
) -> Path:
    """Shapes, their canonical elements as decoded, and after the group action: seen along the first axis.

    A grey level is the share of voxels that are full along the line of sight, which shows hollows too.

    Args:
        folder: of the picture.
        names: of the k shapes.
        given: (k, n, n, n) inputs.
        decoded: (k, n, n, n) canonical elements.
        output: (k, n, n, n) reconstructions.
    """
    figure = blank(1.1 * len(names), 4.2)
    panels = figure.subplots(3, len(names))
    for row, (title, grids) in enumerate((("input", given), ("decoded", decoded), ("output", output))):
        for column, (name, grid) in enumerate(zip(names, grids, strict=True)):
            axes = panels[row, column]
            axes.imshow(grid.mean(dim=0).numpy(), cmap="Greys", vmin=0, vmax=FULL)
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(name, fontsize=6)
            if column == 0:
                axes.set_ylabel(title)
    return saved(figure, folder / "reconstructions.png")
