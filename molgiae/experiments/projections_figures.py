"""What embeddings keep and whether their distances are those of orbits, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molgiae.plots import blank, saved

COLUMNS = {
    "linear_r2": "R², linear map",
    "neighbours_r2": "R², neighbours",
    "spearman_with_orbits": "Spearman, orbits of latents",
    "spearman_with_rmsd_of_isomers": "Spearman, RMSD of isomers",
}


def bars(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A panel for each figure of merit, a bar for each embedding.

    Args:
        folder: of the picture.
        rows: with "embedding" and the keys of `COLUMNS`.
    """
    figure = blank(10, 0.35 * len(rows) + 1)
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    names = [row["embedding"] for row in rows]
    for axes, (key, title) in zip(panels, COLUMNS.items(), strict=True):
        axes.barh(names, [row[key] or 0.0 for row in rows])
        axes.set(title=title, xlim=(min(0, *(row[key] or 0.0 for row in rows)), 1))
    panels[0].invert_yaxis()
    return saved(figure, folder / "projections.png")
