"""Voxels under SO(3) (Section 5.4): how shapes are rotated from those they are like or learned, an ordinary decoder.

ModelNet10 stands in for ShapeNet. Its shapes are aligned, so all of them, of training too, are turned. Of voxels it is
how near the next full one is that becomes coefficients of smooth functions in a ball (`grids`, `ball`) once, before
training; these turn exactly, by any rotation, and are what is encoded, decoded and compared. The invariant autoencoder
is set against ordinary ones with the same decoder, the same dense layers in the encoder and the same training, by a
nearest-neighbour classifier that is shown a thousand embeddings. One ordinary autoencoder has to bear any rotation, as
the invariant one does, another only the 24 of a cube, as grids do without interpolation: an easier task.

The rotation of the invariant autoencoder is the likeliest one under a density of training shapes, which agree by
synchronization (`alignment`): neither classes nor how the file aligns them is asked. Another one learns a frame of two
vectors of a steerable network by reconstruction, as in the paper.

Shrunk against the paper: dense layers, and a network of fields at one point, in place of stacks of convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgiae.errors import MolgiaeError
from molgiae.evaluation.embedding_map import tsne
from molgiae.experiments import Bar, Findings, Setting, both, labelled, pictures, sized
from molgiae.experiments.alignment import Aligner
from molgiae.experiments.autoencoders import (
    ActingAutoencoder,
    SeparateEncoder,
    classical,
    different_pairs,
    distances,
    fit,
    parameters,
)
from molgiae.experiments.ball import Ball
from molgiae.experiments.deep_sets import bottleneck
from molgiae.experiments.grids import (
    BATCH,
    RADIUS,
    REACH,
    SIZE,
    Projection,
    eighths,
    quarter_turns,
    random_turns,
    turned,
    voxel_orders,
)
from molgiae.experiments.labelled import Labelled, Labels, accuracies
from molgiae.experiments.steerable3d import SteerableEncoder
from molgiae.groups import SO3
from molgiae.nn.slots import LinearPlusResidual

CLASSES = (
    "bathtub", "bed", "chair", "desk", "dresser", "monitor", "night stand", "sofa", "table", "toilet",
)  # fmt: skip
ALIGNED, LEARNED = "invariant", "invariant, a learned frame"

KINDS = {ALIGNED: False, LEARNED: False, "classical": False, "classical, 24 rotations": True}
"""Name to whether shapes are turned by the 24 rotations of a cube alone."""

SOME = 100
"""Test shapes, about, that are turned by all rotations of a cube."""

GAP, ACCURACY = 0.18, 0.75
"""Between the two accuracies in the paper, 0.81 and 0.63, and of the invariant autoencoder here."""

DARKEST = 0.5
"""Mean nearness along a line of sight from which it is drawn black; grey levels show hollows too."""

Model = ActingAutoencoder[SO3]
"""Of coefficients (B, N)."""


@dataclass(frozen=True)
class Config:
    """Sizes of the study."""

    limit: float = sized(20.0, fast=12.0)  # of wave numbers, over the radius of the ball
    embedding_dim: int = 32  # D
    highest: int = sized(4, fast=2)  # L, order of the highest spherical harmonics of the steerable layers
    channels: int = sized(16, fast=8)  # of their fields, of each order
    layers: int = sized(2, fast=1)  # how many there are
    width: int = sized(256, fast=128)  # features of the dense layers
    train_shapes: int | None = None  # most to learn from; None for all
    batch_size: int = 64  # shapes in a step
    steps: int = sized(1500, fast=100)
    learning_rate: float = 3e-3  # its peak
    known: int = 1000  # embeddings that the classifier is shown
    neighbours: int = 5  # that vote
    others: tuple[int, ...] = (1, 3)  # numbers of them that stand beside it
    repeats: int = sized(20, fast=5)  # draws of the known ones, over which accuracies are averaged
    pairs: int = 5000  # of shapes, for the typical distance of their embeddings
    mapped: int = sized(900, fast=200)  # test shapes in the picture of embeddings


CONFIG, FAST = both(Config)


def read(path: Path) -> tuple[Labelled, Labelled]:
    """Read training and test shapes without empty ones, and without test shapes that are training shapes turned.

    The npz file has x_train and x_test (M, 30, 30, 4) uint8, 30 bits in the last axis, y_train and y_test (M,).
    Returned are voxels (M, SIZE, SIZE, SIZE) uint8 of 0 and 1, and their `CLASSES`. Shapes are compared by how full
    cubes of eight voxels are.

    Raises:
        MolgiaeError: if the file cannot be read or holds something else, or if a shape reaches out too far.
    """
    place = torch.arange(SIZE) - (SIZE - 1) / 2
    outside = torch.cartesian_prod(place, place, place).norm(dim=1) > REACH

    def decoded(bits: Labels) -> Tensor:
        grid = torch.from_numpy(np.unpackbits(bits, axis=-1)[..., :SIZE])
        if grid.flatten(1)[:, outside].any():
            raise MolgiaeError(
                f"{path}: shapes reach beyond {REACH:g} voxels from the middle; make them smaller"
            )
        return grid

    parts = labelled.read(path, (SIZE, SIZE, (SIZE + 7) // 8), "ModelNet10 as packed voxels", decoded)
    train, test = (part[part.x.flatten(1).any(dim=1).bool()] for part in parts)
    orders, coarse = voxel_orders(quarter_turns(), SIZE // 2), eighths(train.x)
    seen = {row.tobytes() for order in orders for row in coarse[:, order].numpy()}
    return train, test[torch.tensor([row.tobytes() not in seen for row in eighths(test.x).numpy()])]


def build(kind: str, config: Config, ball: Ball, aligner: Aligner | None = None) -> Model:
    """Return an untrained autoencoder; all kinds have the same decoder, and only the aligned one needs an aligner."""
    dim, width = config.embedding_dim, config.width
    decoder = LinearPlusResidual(dim, width, 2, ball.numbers)
    if kind == LEARNED:
        sizes = (config.highest, config.channels, config.layers)
        return ActingAutoencoder(SteerableEncoder(ball, *sizes, dim, width), decoder, SO3, ball.turned)
    network = bottleneck(ball.numbers, dim, width, layers=1)
    if aligner is not None and kind == ALIGNED:
        return ActingAutoencoder(SeparateEncoder(aligner, network), decoder, SO3, ball.turned)
    # all its group elements are the identity
    return ActingAutoencoder(classical(network, SO3), decoder, SO3, lambda g, x: x)


def train(model: Model, shapes: Tensor, kind: str, ball: Ball, config: Config, setting: Setting) -> None:
    """Train on batches of coefficients (M, N): canonical ones of the aligned kind, others randomly turned."""
    generator = torch.Generator().manual_seed(setting.seed)

    def loss() -> Tensor:
        chosen = torch.randint(len(shapes), (config.batch_size,), generator=generator)
        x = shapes[chosen].to(setting.device)
        if kind == ALIGNED:
            return (model.decode(model.encoder.invariant(None, x)) - x).square().mean()
        turns = random_turns(config.batch_size, KINDS[kind], generator).to(setting.device)
        with torch.no_grad():
            x = ball.turned(turns, x)
        encoding = model.encode(x)
        # as long as the difference of the reconstruction and x
        return (model.decode(encoding.embedding) - encoding.canonical).square().mean()

    fit(model, loss, config.steps, config.learning_rate, name=kind, progress=setting.progress)


@torch.no_grad()
def measured(model: Model, x: Tensor, device: str) -> tuple[Tensor, float]:
    """Return eta of coefficients, (M, D) on the CPU, and the mean squared error of those decoded."""
    embeddings, errors = [], []
    for part in x.to(device).split(BATCH):
        encoding = model.encode(part)
        output = model.act(encoding.action, model.decode(encoding.embedding))
        embeddings.append(encoding.embedding.cpu())
        errors.append((output - part).square().mean(dim=1))
    return torch.cat(embeddings), torch.cat(errors).mean().item()


@torch.no_grad()
def symmetry(
    model: Model, grid: Tensor, project: Projection, typical: float, device: str
) -> dict[str, float]:
    """Measure how the embedding bears the 24 rotations of a cube, and any others by interpolation.

    Changes are those of embeddings over their typical distance. What the grid alone does to coefficients stands beside
    those of what is turned, and those of coefficients that are turned exactly.
    """
    x = project(grid)
    still = measured(model, x, device)[0]

    def change(moved: Tensor, of: slice = slice(None)) -> Tensor:
        return (measured(model, moved, device)[0] - still[of]).norm(dim=1) / typical

    g = SO3.random(len(grid), generator=torch.Generator().manual_seed(0))
    moved, exact = project.rotated(g, grid), project.ball.turned(g.to(device), x.to(device)).cpu()
    some = slice(None, None, max(len(grid) // SOME, 1))
    quarters = [
        change(project(turned(grid[some], order.expand(len(grid[some]), -1))), some)
        for order in voxel_orders(quarter_turns())
    ]
    shares = {"median": 0.5, "90_percent": 0.9, "99_percent": 0.99, "max": 1.0}
    changes = {"any_rotation": change(moved), "any_rotation_of_coefficients": change(exact)}
    return {
        "quarter_turns_max": torch.stack(quarters).max().item(),
        **{
            f"{how}_{name}": found.quantile(share).item()
            for how, found in changes.items()
            for name, share in shares.items()
        },
        "coefficients_after_interpolation": ((moved - exact).norm(dim=1) / x.norm(dim=1)).median().item(),
    }


def run(config: Config, setting: Setting) -> Findings:
    """Train the autoencoders on turned shapes, embed the same turned shapes, classify, draw."""
    shapes, test = read(setting.data)
    generator = torch.Generator().manual_seed(setting.seed)
    shapes = shapes[torch.randperm(len(shapes), generator=generator)[: config.train_shapes]]
    ball = Ball(RADIUS, config.limit)
    project = Projection(ball, shapes.x)
    learned, asked = project(shapes.x), project(test.x)
    known = {
        quarters: ball.turned(random_turns(len(shapes), quarters, generator), learned)
        for quarters in (False, True)
    }
    # any rotation by interpolation of voxels; those of a cube turn voxels and coefficients alike
    turns = {quarters: random_turns(len(test), quarters, generator) for quarters in (False, True)}
    asked_of = {False: project.rotated(turns[False], test.x), True: ball.turned(turns[True], asked)}

    def classified(known: Tensor, asked: Tensor) -> dict[str, float]:
        """Return accuracies and the spread over what the classifier is shown."""
        embedded = Labelled(known, shapes.label), Labelled(asked, test.label)

        def found(neighbours: int) -> Tensor:
            return torch.tensor(accuracies(*embedded, config.known, neighbours, config.repeats, setting.seed))

        own = found(config.neighbours)
        return {
            "accuracy": own.mean().item(),
            "accuracy_sd": own.std().item(),
            **{f"accuracy_neighbours_{k}": found(k).mean().item() for k in config.others},
        }

    def embedded(model: Model, quarters: bool) -> tuple[dict[str, float], Tensor, float]:
        """Return accuracies, embeddings of test shapes, and the error of their reconstructions."""
        z, error = measured(model, asked_of[quarters], setting.device)
        return classified(measured(model, known[quarters], setting.device)[0], z), z, error

    figures: dict[str, Any] = {
        "train": len(shapes),
        "test": len(test),
        "coefficients": ball.numbers,
        "squares_in_coefficients": (
            project.plain(asked).square().sum() / project.field(test.x).square().sum()
        ).item(),
    }
    embeddings: dict[str, Tensor] = {}
    # of turned shapes, so that nothing is taken from how the data file aligns them
    aligner = Aligner(ball, known[False])
    for kind, quarters in KINDS.items():
        torch.manual_seed(setting.seed)
        model = build(kind, config, ball, aligner).to(setting.device).eval()
        untrained = embedded(model, quarters)[0]["accuracy"]
        train(model, aligner.forms if kind == ALIGNED else learned, kind, ball, config, setting)
        accuracy, z, error = embedded(model, quarters)
        variance = (asked_of[quarters] - known[quarters].mean(dim=0)).square().mean().item()
        embeddings[kind] = z
        figures[kind] = {
            "weights": parameters(model),
            "variance_unexplained": error / variance,
            **accuracy,
            "accuracy_untrained": untrained,
        }
        if kind == ALIGNED:
            invariant = model
    figures["invariant, 24 rotations"] = embedded(invariant, True)[0]
    for quarters, name in ((False, "coefficients"), (True, "coefficients, 24 rotations")):
        figures[f"{name} themselves"] = classified(known[quarters], asked_of[quarters])
    # as if all group actions were known
    figures["coefficients, not turned, themselves"] = classified(learned, asked)
    pair = different_pairs(len(test), config.pairs, generator)
    typical = distances(embeddings["invariant"], pair).median().item()
    figures["symmetry"] = symmetry(invariant, test.x, project, typical, setting.device)
    points = {kind: tsne(z[: config.mapped], setting.seed) for kind, z in embeddings.items()}
    label, classes = test.label[: config.mapped], dict(enumerate(CLASSES))
    maps = pictures.maps(setting.folder / "maps.png", points, label, classes)
    return Findings(figures, bars(figures), (maps, examples(invariant, test, project, setting)))


def bars(figures: dict[str, Any]) -> tuple[Bar, ...]:
    """Return what is to be reached."""
    gaps = [
        figures[f"invariant{how}"]["accuracy"] - figures[f"classical{how}"]["accuracy"]
        for how in ("", ", 24 rotations")
    ]
    change = "change of the embedding over its typical distance"
    return (
        Bar("accuracy of the classifier, invariant less classical, any rotation", gaps[0], GAP),
        Bar("the same, the 24 rotations of a cube", gaps[1], GAP),
        Bar("accuracy of the classifier, invariant", figures["invariant"]["accuracy"], ACCURACY),
        Bar(f"{change}, the 24", figures["symmetry"]["quarter_turns_max"], 1e-4, at_least=False),
        Bar(
            f"{change}, any rotation, median", figures["symmetry"]["any_rotation_median"], 0.1, at_least=False
        ),
    )


@torch.no_grad()
def examples(model: Model, test: Labelled, project: Projection, setting: Setting) -> str:
    """Draw the first shape of each class, as it is and turned, seen along the first axis."""
    first = test[test.first_of_each]
    g = SO3.random(len(first), generator=torch.Generator().manual_seed(setting.seed))
    x = torch.stack([project(first.x), project.rotated(g, first.x)], dim=1).flatten(0, 1)
    encoding = model.encode(x.to(setting.device))
    decoded = model.decode(encoding.embedding)
    given, drawn, output = (
        project.grid(part).clamp(0, 1).mean(dim=1)
        for part in (x, decoded, model.act(encoding.action, decoded))
    )
    names = [CLASSES[label] + how for label in first.label for how in ("", ", turned")]
    path = setting.folder / "reconstructions.png"
    return pictures.reconstructions(path, given, drawn, output, names, DARKEST)
