"""Kinds of pictures that several experiments draw; each returns the name of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molgiae.experiments.labelled import Labels
from molgiae.plots import blank, saved


def maps(
    path: Path, points: Mapping[str, NDArray[np.float32]], label: Labels, classes: Mapping[int, str]
) -> str:
    """Draw embeddings (M, 2) in the plane, a panel for each model, a colour for each label (M,), classes by name."""
    figure = blank(3.4 * len(points) + 1, 3.8)
    panels = figure.subplots(1, len(points))
    for panel, (model, place) in zip(panels, points.items(), strict=True):
        for k, name in classes.items():
            of_it = label == k
            panel.scatter(place[of_it, 0], place[of_it, 1], s=4, color=f"C{k}", label=name)
        panel.set(title=model, xticks=[], yticks=[])
    panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=3)
    return saved(figure, path).name


def reconstructions(
    path: Path, given: Tensor, decoded: Tensor, output: Tensor, names: Sequence[str] = (), darkest: float = 1
) -> str:
    """Draw inputs, their canonical elements as decoded, and these after the group action, one under another.

    Each are pictures (k, n, n), with names of the columns; 0 is white, and the darkest black.
    """
    width = 1.1 if names else 0.6
    figure = blank(width * len(given), 3 * width + 0.4)
    panels = figure.subplots(3, len(given), squeeze=False)
    for row, (title, pictures) in zip(
        panels, {"input": given, "decoded": decoded, "output": output}.items(), strict=True
    ):
        for panel, picture in zip(row, pictures, strict=True):
            panel.imshow(picture.numpy(), cmap="Greys", vmin=0, vmax=darkest)
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(title)
    for panel, name in zip(panels[0], names, strict=False):
        panel.set_title(name, fontsize=6)
    return saved(figure, path).name


def bars_of(path: Path, rows: Sequence[Mapping[str, Any]], panels: Mapping[str, str]) -> str:
    """Draw a panel for each key of the rows, with its title, and in it a bar for the embedding of each row."""
    figure = blank(2.5 * len(panels), 0.35 * len(rows) + 1)
    drawn = figure.subplots(1, len(panels), sharey=True)
    for panel, (key, title) in zip(drawn, panels.items(), strict=True):
        values = [row[key] or 0.0 for row in rows]
        panel.barh([row["embedding"] for row in rows], values)
        panel.set(title=title, xlim=(min(0, *values), 1))
    drawn[0].invert_yaxis()
    return saved(figure, path).name
