"""Figure 5 of the paper, a and b."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from molgiae.plots import blank, saved


def reconstructions(folder: Path, names: list[str], given: Tensor, decoded: Tensor, output: Tensor) -> Path:
    """One copy of each shape: the canonical element as decoded, and after the group action upon the input.

    Args:
        folder: of the picture.
        names: of the k shapes.
        given: (k, 4, 3) inputs, angstrom.
        decoded: (k, 4, 3) canonical elements.
        output: (k, 4, 3) reconstructions.
    """
    figure = blank(2 * len(names), 4.6)
    for k, name in enumerate(names):
        before = figure.add_subplot(2, len(names), k + 1, projection="3d")
        before.scatter(*decoded[k].T.tolist(), s=60, color="tab:orange", label="decoded")
        before.set_title(name)
        after = figure.add_subplot(2, len(names), len(names) + k + 1, projection="3d")
        middle = given[k].mean(dim=0)
        after.scatter(*(given[k] - middle).T.tolist(), s=120, color="tab:blue", alpha=0.4, label="input")
        after.scatter(*(output[k] - middle).T.tolist(), s=25, color="tab:orange", label="output")
        for axes in (before, after):
            axes.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), zlim=(-2.5, 2.5), xticks=[], yticks=[], zticks=[])
            axes.set_box_aspect((1, 1, 1))
            if k == 0:
                axes.legend(loc="lower left", fontsize="small")
    return saved(figure, folder / "reconstructions.png")


def embedding(folder: Path, names: list[str], points: Tensor) -> Path:
    """The first two numbers of the embedding, a colour for each shape.

    Args:
        folder: of the picture.
        names: of the k shapes.
        points: (k, M, D).
    """
    figure = blank(6, 5)
    axes = figure.subplots()
    for name, cluster in zip(names, points, strict=True):
        marker = "^" if name.startswith("chiral") else "o"
        axes.scatter(cluster[:, 0].tolist(), cluster[:, 1].tolist(), s=12, marker=marker, label=name)
    axes.set(xlabel="embedding 1", ylabel="embedding 2")
    axes.legend()
    return saved(figure, folder / "embedding.png")
