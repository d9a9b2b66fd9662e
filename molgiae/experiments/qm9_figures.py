"""How far reconstructions of molecules are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from molgiae.plots import blank, saved


def rmsd(folder: Path, series: Mapping[int, Sequence[float]], paper: float) -> Path:
    """Share of test molecules reconstructed within a distance, a line for each size of the embedding.

    Args:
        folder: of the picture.
        series: RMSD of each molecule, angstrom, by size.
        paper: mean of the paper, angstrom.
    """
    figure = blank()
    axes = figure.subplots()
    for dim, found in series.items():
        share = np.arange(1, len(found) + 1) / len(found)
        axes.plot(np.sort(found), 100 * share, label=f"{dim} numbers")
    axes.axvline(paper, color="grey", linestyle="--", label="mean of the paper, 256 numbers")
    axes.set(xlabel="RMSD as predicted (Å)", ylabel="test molecules within (%)", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return saved(figure, folder / "rmsd.png")
