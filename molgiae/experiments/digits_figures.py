"""Figure 4 of the paper, a to c."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from molgiae.plots import blank, saved

STYLES = {"invariant": "o-", "classical": "s--"}


def accuracy(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Element accuracy against the size of the embedding, a line for each model and size of the sets.

    Args:
        folder: of the picture.
        rows: with "model", "n", "dim" and "accuracy".
    """
    figure = blank(7, 4.5)
    axes = figure.subplots()
    sizes = sorted({row["n"] for row in rows})
    for kind, style in STYLES.items():
        for k, n in enumerate(sizes):
            line = [row for row in rows if row["model"] == kind and row["n"] == n]
            axes.plot(
                [row["dim"] for row in line],
                [100 * row["accuracy"] for row in line],
                style,
                color=f"C{k}",
                label=f"{kind}, n = {n}",
            )
    axes.set(xlabel="size of the embedding", ylabel="elements right (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    return saved(figure, folder / "accuracy.png")


def canonical(
    folder: Path, digits: NDArray[np.uint8], decoded: Tensor, permutation: Tensor, classes: int
) -> Path:
    """One set, its permutation matrix and its canonical element as decoded.

    Args:
        folder: of the picture.
        digits: (n,) of the set.
        decoded: (n,) digits of the canonical element.
        permutation: (n, n) P with P c = x.
        classes: digits there are.
    """
    n = len(digits)
    figure = blank(8, 4)
    parts = figure.subplots(1, 3, width_ratios=[1, 2, 1])
    middle = parts[1]
    middle.imshow(permutation.numpy(), cmap="Greys")
    middle.set(title="permutation", xlabel="canonical place", ylabel="place in the input")
    for axes, column, title in ((parts[0], digits, "set"), (parts[2], decoded.numpy(), "canonical element")):
        axes.imshow(np.asarray(column)[:, None], cmap="tab10", vmin=0, vmax=classes - 1, aspect="auto")
        for k in range(n):
            axes.text(0, k, str(int(column[k])), ha="center", va="center", fontsize=7)
        axes.set(title=title, xticks=[], yticks=[])
    return saved(figure, folder / "canonical.png")


def plane(folder: Path, embedding: Tensor, shares: Tensor) -> Path:
    """The two-dimensional embedding; red, green and blue are the shares of the three digits.

    Args:
        folder: of the picture.
        embedding: (M, 2).
        shares: (M, 3) from 0 to 1.
    """
    figure = blank(5, 4.5)
    axes = figure.subplots()
    axes.scatter(embedding[:, 0].tolist(), embedding[:, 1].tolist(), c=shares.numpy(), s=16)
    axes.set(xlabel="embedding 1", ylabel="embedding 2", title="coloured by composition")
    return saved(figure, folder / "plane.png")
