"""The first picture of the README: scrambled copies of a conformer, its canonical form, its vector, what is decoded.

python benchmarks/overview.py examples/conformers.sdf --title caffeine -o examples/figures/overview.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

import molgiae
from molgiae.data.bonds import perceived_bonds
from molgiae.evaluation.drawing import draw_molecule, shortest_last
from molgiae.plots import blank, saved

SEED = 3
TURNED = Rotation.from_euler("xyz", [20, -25, 15], degrees=True).as_matrix()
"""So that no atom of a flat molecule hides another."""


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("conformers")
    parser.add_argument("--title", default="caffeine", help="which of them")
    parser.add_argument("--model", default="drug")
    parser.add_argument("--output", "-o", type=Path, default=Path("overview.png"))
    options = parser.parse_args()
    one = next(c for c in molgiae.read_conformers(options.conformers) if c.title == options.title)
    rng = np.random.default_rng(SEED)
    copies = [scrambled(one.atomic_number, one.position, rng) for _ in range(2)]
    model = molgiae.Embedder(options.model)
    result = model.embed(copies, reconstruct=True)
    n = len(one)
    first, second = (result["canonical_position"][k * n : (k + 1) * n] for k in range(2))
    gap = np.abs(result["embedding"][0] - result["embedding"][1]).max()
    rmsd = float(np.sqrt(((first - second) ** 2).sum(axis=1).mean()))

    figure = blank(12, 4.4)
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1.1, 1.5, 1.1))
    for k, copy in enumerate(copies):
        panel = figure.add_subplot(grid[k, 0])
        numbered(panel, copy.atomic_number, copy.position)
        panel.set_title(f"copy {k + 1}: another pose, another order", fontsize=9)
    whole = figure.add_subplot(grid[:, 1])
    z = copies[0].atomic_number[result["permutation"][:n]]
    numbered(whole, z, first @ shortest_last(first) @ TURNED)
    whole.set_title(f"one canonical form\n(the two agree to {rmsd:.0e} Å)", fontsize=10)
    stripes(figure.add_subplot(grid[:, 2]), result["embedding"], model, gap)
    decoded = figure.add_subplot(grid[:, 3])
    back, types = result["reconstructed_position"][:n], result["reconstructed_atomic_number"][:n]
    off = float(result["rmsd"][0])
    numbered(decoded, types, back)
    decoded.set_title(f"decoded from the vector,\nput where copy 1 is ({off:.0e} Å off)", fontsize=10)
    saved(figure, options.output)
    print(f"canonical forms differ by {rmsd:.1e} A, embeddings by {gap:.1e}, decoded by {off:.1e} A")


def scrambled(z: Any, x: Any, rng: np.random.Generator) -> molgiae.Conformer:
    """Return a conformer in another pose and order of its atoms."""
    order = rng.permutation(len(z))
    pose = shortest_last(x) @ TURNED @ Rotation.from_euler("z", rng.uniform(0, 360), degrees=True).as_matrix()
    return molgiae.Conformer(z[order], x[order] @ (pose * np.sign(np.linalg.det(pose))) + rng.normal(size=3))


def numbered(panel: Any, z: Any, x: Any) -> None:
    """Draw a conformer as seen from above, its atoms numbered in their order."""
    panel.set_axis_off()
    flat = x[:, :2]
    draw_molecule(panel, z, flat, perceived_bonds(z, x), scale=2.2)
    for k, place in enumerate(flat, 1):
        dark = z[k - 1] in (6, 7, 35, 53)
        panel.text(
            *place, str(k), fontsize=5, ha="center", va="center", color="white" if dark else "black", zorder=4
        )


def stripes(panel: Any, vectors: Any, model: molgiae.Embedder, gap: float) -> None:
    """Draw both vectors, a stripe for each number: its root, scaled within its part."""
    shown = np.array(vectors, dtype=float)
    for part in model.parts:
        columns = part.columns
        shown[:, columns] = np.sign(shown[:, columns]) * np.sqrt(
            np.abs(shown[:, columns]) / np.abs(shown[:, columns]).max()
        )
    panel.imshow(
        shown,
        aspect="auto",
        cmap="RdBu",
        vmin=-1,
        vmax=1,
        interpolation="nearest",
        extent=(0, shown.shape[1], 2, 0),
    )
    panel.axhline(1, color="black", linewidth=0.8)
    for part in model.parts:
        start, stop = part.columns.start, part.columns.stop
        panel.axvline(stop, color="black", linewidth=0.8)
        panel.text((start + stop) / 2, 2.05, part.name, rotation=90, fontsize=8, ha="center", va="top")
    panel.set(yticks=[0.5, 1.5], yticklabels=["copy 1", "copy 2"], xticks=[])
    panel.set_title(f"one vector, in parts\n(the two agree to {gap:.0e})", fontsize=10)


if __name__ == "__main__":
    main()
